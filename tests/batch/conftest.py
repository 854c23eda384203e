"""The overnight path over HTTP, with a clock that never waits."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from pandas_genai import SqliteCache
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.batch.create import JobSpec
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob, submit
from pandas_genai.batch.texts import text_form
from pandas_genai.clock import Clock
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider

KEY = "sk-test-key-0123456789"
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}


class FastWallClock(Clock):
    """Waits by moving its hands, and those of the provider."""

    def __init__(self, start=1_790_000_000.0):
        self.time = start
        self.waits = []
        self.on_sleep = []

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        self.waits.append(seconds)
        for call in self.on_sleep:
            call(seconds)


def echo(text):
    return {"answer": text}


def numbered(count, prefix="row"):
    return pd.DataFrame({"text": [f"{prefix} {number}" for number in range(count)]})


class Night:
    """One provider, one folder of jobs, one clock, and as many kernels as it takes."""

    def __init__(self, provider, backend, folder, clock):
        self.provider = provider
        self.backend = backend
        self.clock = clock
        self.jobs = JobsFolder(Path(folder) / "genai_batches")
        self.cache = Path(folder) / "genai_cache.sqlite"
        self.lines = []

    @property
    def url(self):
        if self.backend == "openai":
            return self.provider.openai_url
        return self.provider.anthropic_url

    def connection_options(self, **changes):
        given = {"api_key": KEY, "clock": self.clock, "tell": self.lines.append}
        return ConnectionOptions(**{**given, "endpoints": Endpoints(), **changes})

    def submit(self, frame, *, schema=None, name="night", requests=None, model=None, **options):
        params = options.pop("params", None)
        connection_options = options.pop("connection_options", None) or self.connection_options()
        task = Task(
            options.pop("prompt", "Echo."),
            {"answer": str} if schema is None else schema,
            model=model or MODELS[self.backend],
            backend=self.backend,
            params=params,
            examples=options.pop("examples", None),
        )
        question = Question(task, self.url, KEY)
        with SqliteCache(self.cache) as cache:
            form = text_form(frame, options.pop("text", None))
            spec = JobSpec(
                question, frame, form, cache, name=name, most_requests=requests, **options
            )
            return submit(self.jobs, spec, connection_options)

    def open(self, name="night", **changes):
        return BatchJob(self.jobs.job(name), self.connection_options(**changes))

    def batches(self):
        return self.provider.batches

    def inputs(self):
        """The files of requests that the provider has."""
        return [file for file in self.provider.files if file.purpose == "batch"]


@pytest.fixture(params=["openai", "anthropic"])
def backend(request):
    return request.param


@pytest.fixture
def clock():
    return FastWallClock()


@pytest.fixture
def night(backend, tmp_path, clock):
    """Open a provider for one night."""

    @contextmanager
    def opened(rule=echo, **options):
        options.setdefault("wall_clock", clock.now)
        with LoopbackProvider(rule, **options) as provider:
            yield Night(provider, backend, tmp_path, clock)

    return opened


@pytest.fixture
def frame_of():
    return numbered
