"""The live path over HTTP, with a clock that never waits."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.backends.resolve import Question
from pandas_genai.clock import Clock
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.task.task import Task
from pandas_genai.task.text import rows_text


class FastClock(Clock):
    """Waits by moving its hands."""

    def __init__(self):
        self._lock = threading.Lock()
        self.time = 0.0
        self.waits = []

    def monotonic(self):
        with self._lock:
            return self.time

    def wait(self, stop, seconds):
        with self._lock:
            self.time += seconds
            self.waits.append(seconds)
        return stop.is_set()


@pytest.fixture
def clock():
    return FastClock()


@pytest.fixture
def extract(clock):
    """Run the live path against a provider, as the accessor would."""

    def run(
        frame,
        provider,
        schema=("good", "bad"),
        *,
        prompt="Classify the tone.",
        backend="openai",
        model=None,
        cache=False,
        text=None,
        api_key="sk-test-key",
        params=None,
        endpoints=None,
        **options,
    ):
        schema = list(schema) if isinstance(schema, tuple) else schema
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        task = Task(prompt, schema, model=model, backend=backend, params=params)
        question = Question(task, url, api_key)
        options.setdefault("clock", clock)
        return Extraction(
            question,
            rows_text(frame, text),
            frame.index,
            RunOptions(cache, endpoints=endpoints or Endpoints(), **options),
        ).run()

    return run


def numbered(count, prefix="row"):
    """A frame whose right answers can be read off its texts."""
    return pd.DataFrame({"text": [f"{prefix} {number}" for number in range(count)]})


@pytest.fixture
def frame_of():
    return numbered
