"""OpenAI's cap of enqueued tokens: parts wait, and are sent when there is room."""

from __future__ import annotations

from collections import Counter

import pytest

from pandas_genai import StopRunError
from pandas_genai.testing import BatchFault, Fault

openai_only = pytest.mark.parametrize("backend", ["openai"], indirect=True)


@openai_only
def test_parts_over_the_cap_wait_for_others_to_end(night, frame_of, clock):
    with night(batch_seconds=3600, enqueued_tokens=700) as kernel:
        clock.on_sleep.append(kernel.provider.advance)
        job = kernel.submit(frame_of(30), chunk_size=5, requests=1)
        kernel.provider.advance(600)
        state = job.status()
        assert state.stage == "waiting for quota"
        assert "wait for quota" in str(state)
        assert 0 < state.waiting < 6
        out = job.collect(wait=True)
        assert out["answer"].tolist() == frame_of(30)["text"].tolist()
        assert set(kernel.provider.ledger.answered.values()) == {1}
        worked_on = [batch for batch in kernel.batches() if batch.status == "completed"]
        assert len(worked_on) == 6


@openai_only
def test_the_next_collect_sends_what_waited(night, frame_of):
    faults = [BatchFault("token_limit", batches=[2], times=1)]
    with night(batch_faults=faults) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=5, requests=1)
        first = job.collect()
        assert first["answer"].notna().sum() in (5, 10)
        out = job.collect()
        assert out["answer"].notna().all()
        tries = Counter(batch.metadata["part"] for batch in kernel.batches())
        assert tries == {"1": 1, "2": 2}
        assert [batch.metadata["try"] for batch in kernel.batches()] == ["1", "1", "2"]
        assert len(kernel.inputs()) == 2
        assert set(kernel.provider.ledger.answered.values()) == {1}


@openai_only
def test_a_single_part_tries_again_at_each_collect(night, frame_of):
    faults = [BatchFault("token_limit", times=2)]
    with night(batch_faults=faults) as kernel:
        job = kernel.submit(frame_of(5))
        assert [job.collect()["answer"].notna().all() for _ in range(4)] == [
            False,
            False,
            True,
            True,
        ]
        assert len(kernel.batches()) == 3


@openai_only
@pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")
def test_what_waits_can_be_cancelled(night, frame_of):
    with night(batch_seconds=3600, enqueued_tokens=700) as kernel:
        job = kernel.submit(frame_of(30), chunk_size=5, requests=1)
        kernel.provider.advance(600)
        waiting = job.status().waiting
        created = len(kernel.batches())
        assert waiting
        job.cancel()
        kernel.provider.advance(7200)
        out = job.collect()
        assert len(kernel.batches()) == created
        assert set(job.report.errors["reason"]) == {"cancelled"}
        assert out["answer"].isna().sum() >= 5 * waiting
        assert job.status().stage == "collected"


def test_what_was_never_sent_is_cancelled_for_good(night, frame_of, backend):
    create = {"openai": "POST /v1/batches", "anthropic": "POST /v1/messages/batches"}[backend]
    with night(faults=[Fault("forbidden", path=create)]) as kernel:
        with pytest.raises(StopRunError, match=r"refused, nothing was submitted of part 1"):
            kernel.submit(frame_of(5))
        kernel.provider.faults = []
        kernel.open().cancel()
        assert kernel.open().status().stage == "ended"
        assert kernel.batches() == []
