"""An error that ends a run carries the frame so far, and no run stays ``running``."""

from __future__ import annotations

import gc
import json
import threading
import time
import warnings

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import (
    BudgetError,
    CredentialsError,
    RowsFailedWarning,
    SqliteCache,
    Stopped,
    StopRunError,
)
from pandas_genai.backends.resolve import Question
from pandas_genai.runs.progress import Silent
from pandas_genai.store import Answer
from pandas_genai.task.fingerprint import text_hash
from pandas_genai.task.task import Task
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {"who": str}


def rule(text):
    return {"who": text}


def rows(count):
    """Labels that are no positions, and a row that needs no call."""
    frame = pd.DataFrame({"text": [f"row {number}" for number in range(count - 1)] + [None]})
    return frame.set_index(pd.Index([f"label {number}" for number in range(count)], name="doc"))


def is_right(result, frame):
    """Aligned to the input; what is there is right; what is not there has its reason."""
    assert result.index.equals(frame.index)
    known = result["who"].dropna()
    assert known.tolist() == frame["text"].loc[known.index].tolist()
    errors = result.genai.errors
    assert set(errors.index) == set(frame.index) - set(known.index)
    assert errors["reason"].isin(["not reached", "empty text"]).all()
    report = result.genai.report
    assert report.ok == len(known)
    assert report.status in ("failed", "stopped")
    return len(known)


@pytest.fixture(params=["file", "memory", "open", "closed"])
def cache(request, tmp_path):
    """All ways to keep answers; the last is closed by its user before the error is looked at."""
    path = tmp_path / "c.sqlite"
    if request.param in ("file", "memory"):
        yield path if request.param == "file" else False
        return
    with SqliteCache(path) as opened:
        opened.closes = request.param == "closed"
        yield opened


def let_go(cache):
    if getattr(cache, "closes", False):
        cache.close()


def test_money_that_runs_out(extract, cache):
    frame = rows(200)
    faults = [Fault("insufficient_quota", calls=range(20, 10_000))]
    with LoopbackProvider(rule, faults=faults) as provider:
        with pytest.raises(StopRunError) as caught:
            extract(frame, provider, SCHEMA, cache=cache, max_workers=4)
    let_go(cache)
    assert is_right(caught.value.result, frame) > 50
    assert caught.value.result is caught.value.result  # built once


def test_a_budget(extract, cache):
    frame = rows(200)
    with LoopbackProvider(rule) as provider, pytest.raises(BudgetError) as caught:
        extract(frame, provider, SCHEMA, cache=cache, max_cost=0.0008)
    let_go(cache)
    answered = is_right(caught.value.result, frame)
    assert f"{answered} of 200 rows" in str(caught.value)


def test_a_key_that_is_missing(tmp_path):
    """Without a key the answers of the cache are there all the same."""
    frame, path = rows(50), tmp_path / "c.sqlite"
    asked = {"prompt": "Who?", "schema": SCHEMA}
    task = Question(Task(**asked)).resolve().task
    with SqliteCache(path) as cache:
        writer = cache.writer()
        writer.put(
            [
                Answer(task.prompt_hash, text_hash(text), json.dumps({"who": text}))
                for text in frame["text"].iloc[:20]
            ]
        )
        writer.close()
    with pytest.raises(CredentialsError) as caught:
        frame.genai.extract(**asked, cache=path, progress=False)
    assert is_right(caught.value.result, frame) == 20


KINDS = ["insufficient_quota", "forbidden", "payment_required"]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    begins=st.integers(1, 60),
    count=st.integers(2, 120),
    chunk_size=st.integers(1, 7),
    workers=st.sampled_from([1, 4, 16]),
    known=st.integers(0, 40),
)
def test_wherever_a_run_ends_the_frame_so_far_is_right(
    extract, kind, begins, count, chunk_size, workers, known
):
    """Some rows are in the cache, then the run ends at some call, or does not."""
    frame = rows(count)
    asked = {"chunk_size": chunk_size, "max_workers": workers}
    with SqliteCache(None) as cache, LoopbackProvider(rule) as provider:
        if known:
            extract(frame.iloc[: min(known, count - 1)], provider, SCHEMA, cache=cache)
        before = provider.ledger.calls
        provider.faults = [Fault(kind, calls=range(before + begins, 10_000))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RowsFailedWarning)
                result = extract(frame, provider, SCHEMA, cache=cache, **asked)
        except StopRunError as error:
            result = error.result
            stored = known or begins > 1
            if result is not None or stored:
                is_right(result, frame)
        else:
            assert result["who"].notna().sum() == count - 1


class Stopping(Silent):
    """Presses Stop once some rows are done."""

    def moved(self, progress):
        if progress.done > 30:
            raise KeyboardInterrupt


def test_stop_comes_back_at_once_and_the_frame_when_it_is_asked_for(extract, cache):
    frame = rows(400)
    with LoopbackProvider(rule, latency=0.02) as provider:
        with pytest.raises(Stopped) as caught:
            extract(frame, provider, SCHEMA, cache=cache, observer=Stopping(), max_workers=4)
        for thread in threading.enumerate():
            if thread.name.startswith("genai-"):
                thread.join(10)
    let_go(cache)
    assert is_right(caught.value.result, frame) > 30


def test_nothing_answered_is_no_result(extract, cache):
    faults = [Fault("insufficient_quota")]
    with LoopbackProvider(rule, faults=faults) as provider, pytest.raises(StopRunError) as caught:
        extract(rows(20), provider, SCHEMA, cache=cache)
    let_go(cache)
    assert caught.value.result is None


def test_memory_is_let_go_with_its_error(extract):
    faults = [Fault("insufficient_quota", calls=range(5, 10_000))]
    with LoopbackProvider(rule, faults=faults) as provider:
        with pytest.raises(StopRunError) as caught:
            extract(rows(100), provider, SCHEMA, cache=False, max_workers=1)
    error = caught.value
    assert error.result is not None
    del caught, error
    gc.collect()


class Broken(Silent):
    """Raises at one moment."""

    def __init__(self, moment, error):
        self._moment = moment
        self._error = error

    def _raise(self, moment):
        if moment == self._moment:
            raise self._error

    def started(self, progress):
        self._raise("started")

    def moved(self, progress):
        self._raise("moved")

    def ended(self, progress, outcome):
        self._raise("ended")


@pytest.mark.parametrize("moment", ["started", "moved", "ended"])
@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("known", [False, True])
def test_no_run_stays_running_whatever_an_observer_raises(extract, tmp_path, moment, error, known):
    frame, path = rows(30).iloc[:-1], tmp_path / "c.sqlite"
    with LoopbackProvider(rule) as provider:
        if known:
            extract(frame, provider, SCHEMA, cache=path)
        if known and moment == "moved":
            return  # nothing moves
        with pytest.raises((RuntimeError, KeyboardInterrupt, SystemExit)):
            extract(frame, provider, SCHEMA, cache=path, observer=Broken(moment, error))
    until = time.monotonic() + 10
    while (status := pandas_genai.runs(path)["status"]).eq("running").any():
        assert time.monotonic() < until, status
        time.sleep(0.01)
    assert pandas_genai.runs(path)["ended"].notna().all()
