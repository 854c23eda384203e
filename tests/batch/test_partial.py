"""An error that ends a collecting carries the frame so far; its run is not left ``running``."""

from __future__ import annotations

import pytest

import pandas_genai
from pandas_genai import Stopped, StopRunError
from pandas_genai.runs.progress import Silent
from pandas_genai.testing import Fault

MESSAGES = [Fault("forbidden", path="/v1/messages/batches")]


def is_right(result, frame, answered):
    assert result.index.equals(frame.index)
    known = result["answer"].dropna()
    assert len(known) == answered
    assert known.tolist() == frame["text"].loc[known.index].tolist()
    assert len(result.genai.errors) == len(frame) - answered
    assert result.genai.report.ok == answered


def test_stop_while_waiting(night, frame_of, clock):
    """Half of the rows are known when the user presses Stop."""
    frame = frame_of(40)

    def stop(_):
        raise KeyboardInterrupt

    with night(batch_seconds=3_600) as kernel:
        kernel.submit(frame.iloc[:20], name="first")
        kernel.open("first").collect(wait=True)
        kernel.submit(frame, name="second")
        clock.on_sleep.append(stop)
        with pytest.raises(Stopped) as caught:
            kernel.open("second").collect(wait=True)
    is_right(caught.value.result, frame, 20)
    assert caught.value.result.genai.errors["reason"].eq("in progress").all()
    assert pandas_genai.runs(kernel.cache)["status"].tolist() == ["stopped", "completed"]


def test_a_key_that_is_refused(night, frame_of):
    frame = frame_of(40)
    with night() as kernel:
        kernel.submit(frame.iloc[:20], name="first")
        kernel.open("first").collect()
        kernel.submit(frame, name="second")
        kernel.provider.faults = [Fault("forbidden", path="/v1/batches"), *MESSAGES]
        with pytest.raises(StopRunError) as caught:
            kernel.open("second").collect()
    is_right(caught.value.result, frame, 20)
    assert pandas_genai.runs(kernel.cache)["status"].tolist() == ["failed", "completed"]


class Broken(Silent):
    def __init__(self, moment):
        self._moment = moment

    def started(self, progress):
        self._raise("started")

    def ended(self, progress, outcome):
        self._raise("ended")

    def _raise(self, moment):
        if moment == self._moment:
            raise RuntimeError(moment)


@pytest.mark.parametrize("moment", ["started", "ended"])
def test_no_run_stays_running_whatever_an_observer_raises(night, frame_of, moment):
    with night(batch_seconds=7_200) as kernel:
        kernel.submit(frame_of(10))
        job = kernel.open()
        job.observer = lambda: Broken(moment)
        with pytest.raises(RuntimeError):
            job.collect(wait=True)
    assert pandas_genai.runs(kernel.cache)["status"].tolist() == ["failed"]
