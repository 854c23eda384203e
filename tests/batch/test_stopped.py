"""Stop, wherever it comes in a submission or a collection: one sentence, and no batch twice."""

from __future__ import annotations

import os
import re
import sys
import threading

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import Stopped
from pandas_genai.testing import LoopbackProvider

WRITES = os.O_WRONLY | os.O_RDWR
SENTENCE = (
    r"Stopped\. Run the cell again to go on: nothing is sent twice\.|"
    r"Stopped\. Job 'night-\d+': .* Nothing is lost: run the cell again to go on\."
)
FRAME = pd.DataFrame({"text": [f"row {number}" for number in range(4)]})


class Press:
    """Stop comes when this thread opens a file to write, renames one, or looks an address up.

    The ``at``-th time. An audit hook cannot be taken away: it is idle where that is 0.
    """

    at = 0
    seen = 0

    def __call__(self, event, args):
        if not self.at or threading.current_thread() is not threading.main_thread():
            return
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITES
        if writes or event in {"os.rename", "socket.getaddrinfo"}:
            self.seen += 1
            if self.seen == self.at:
                self.at = 0
                raise KeyboardInterrupt


PRESS = Press()
sys.addaudithook(PRESS)


def stopped_everywhere(work):
    """Press Stop at each moment of some work, and yield each time what was shown."""
    for at in range(1, 500):
        PRESS.at, PRESS.seen = at, 0
        try:
            work(at)
        except Stopped as stopped:
            yield at, stopped
        else:
            assert PRESS.at, "Stop came and nobody heard it"
            return
        finally:
            PRESS.at = 0


@pytest.fixture
def given(backend, monkeypatch):
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", "sk-test-key-0123456789")
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        yield provider, {"backend": backend, "base_url": url}


def submit(at, given):
    return FRAME.genai.batch_submit(
        f"Echo {at}.", {"answer": str}, chunk_size=2, name=f"night-{at}", **given
    )


def test_in_a_submission(given):
    provider, options = given
    for at, stopped in stopped_everywhere(lambda at: submit(at, options)):
        assert re.fullmatch(SENTENCE, str(stopped))
        assert stopped.result is None
        submit(at, options)
        assert len(provider.batches) == at
        labels = FRAME.genai.batch_collect(f"night-{at}")
        assert labels["answer"].tolist() == FRAME["text"].tolist()
    assert at > 10
    assert pandas_genai.jobs()["stage"].eq("collected").sum() == at


def test_in_a_collection(given):
    provider, options = given

    def collect(at):
        return FRAME.genai.batch_collect(f"night-{at}")

    submit(1, options)
    for at, stopped in stopped_everywhere(collect):
        assert re.fullmatch(SENTENCE, str(stopped))
        known = stopped.result
        if known is not None:
            answers = known["answer"].dropna()
            assert answers.tolist() == FRAME["text"].loc[answers.index].tolist()
        assert collect(at)["answer"].tolist() == FRAME["text"].tolist()
        submit(at + 1, options)
    assert at > 10
    assert len(provider.batches) == at + 1
    assert not pandas_genai.runs()["status"].eq("running").any()
