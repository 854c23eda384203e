"""Stop, wherever it comes in a submission or a collection: one sentence, and no batch twice."""

from __future__ import annotations

import builtins
import functools
import io
import os
import re
import socket
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

    The ``at``-th time. It stands before Python's own functions: an audit hook cannot be taken
    away, and where coverage traces, CPython 3.11 cannot start threads safely beside one.
    """

    def __init__(self, monkeypatch):
        self.at = self.seen = 0
        for owner, name, counts in (
            (os, "open", lambda path, flags, *_, **__: flags & WRITES),
            (io, "open", lambda path, mode="r", *_, **__: set(mode) & set("wax+")),
            (os, "rename", lambda *_, **__: True),
            (os, "replace", lambda *_, **__: True),
            (socket, "getaddrinfo", lambda *_, **__: True),
        ):
            monkeypatch.setattr(owner, name, self.before(getattr(owner, name), counts))
        monkeypatch.setattr(builtins, "open", io.open)

    def before(self, inner, counts):
        @functools.wraps(inner)
        def called(*args, **kwargs):
            mine = self.at and threading.current_thread() is threading.main_thread()
            if mine and counts(*args, **kwargs):
                self.seen += 1
                if self.seen == self.at:
                    self.at = 0
                    raise KeyboardInterrupt
            return inner(*args, **kwargs)

        return called

    def everywhere(self, work):
        """Press Stop at each moment of some work, and yield each time what was shown."""
        for at in range(1, 500):
            self.at, self.seen = at, 0
            try:
                work(at)
            except Stopped as stopped:
                yield at, stopped
            else:
                assert self.at, "Stop came and nobody heard it"
                return
            finally:
                self.at = 0


@pytest.fixture
def press(monkeypatch):
    return Press(monkeypatch)


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


def test_in_a_submission(given, press):
    provider, options = given
    for at, stopped in press.everywhere(lambda at: submit(at, options)):
        assert re.fullmatch(SENTENCE, str(stopped))
        assert stopped.result is None
        submit(at, options)
        assert len(provider.batches) == at
        labels = FRAME.genai.batch_collect(f"night-{at}")
        assert labels["answer"].tolist() == FRAME["text"].tolist()
    assert at > 10
    assert pandas_genai.jobs()["stage"].eq("collected").sum() == at


def test_in_a_collection(given, press):
    provider, options = given

    def collect(at):
        return FRAME.genai.batch_collect(f"night-{at}")

    submit(1, options)
    for at, stopped in press.everywhere(collect):
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
