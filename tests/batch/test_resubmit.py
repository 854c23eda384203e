"""Failed rows, and only those, once more."""

from __future__ import annotations

from collections import Counter

import pytest

from pandas_genai import JobError
from pandas_genai.testing import BatchFault, Fault

openai_only = pytest.mark.parametrize("backend", ["openai"], indirect=True)

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.runs.failures.RowsFailedWarning",  # failures are the subject here
)


def test_expired_rows_are_sent_again_together(night, frame_of):
    with night(batch_faults=[BatchFault("expire", finished=0.5, batches=[1])]) as kernel:
        frame = frame_of(40)
        job = kernel.submit(frame, chunk_size=5)
        kernel.provider.advance(86_400)
        assert job.collect()["answer"].notna().sum() == 20
        job.resubmit_failed()
        assert "Submitted 20 failed rows" in kernel.lines[-1]
        assert len(kernel.batches()) == 2
        assert len(kernel.batches()[1].custom_ids) == 4
        out = job.collect()
        assert out["answer"].tolist() == frame["text"].tolist()
        assert set(kernel.provider.ledger.answered.values()) == {1}
        state = job.status()
        assert (state.answered, state.failed, state.batches) == (40, 0, 2)


def test_texts_that_are_too_long_together_stay_apart(night, frame_of, backend, monkeypatch):
    window = {"openai": 4_000, "anthropic": 20_000}  # of which 16,000 are kept for the answer
    monkeypatch.setenv("PANDAS_GENAI_CONTEXT_WINDOW", str(window[backend]))
    with night(batch_faults=[BatchFault("expire", finished=0.0, batches=[1])]) as kernel:
        frame = frame_of(6, "row " * 1_500)
        job = kernel.submit(frame, chunk_size=3)
        kernel.provider.advance(86_400)
        assert job.collect()["answer"].isna().all()
        job.resubmit_failed()
        assert [len(batch.custom_ids) for batch in kernel.batches()] == [6, 6]
        assert job.collect()["answer"].tolist() == frame["text"].tolist()


def test_rows_of_a_bad_reply_are_sent_again_alone(night, frame_of):
    with night(faults=[Fault("garbage", text="row 3", times=1)]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=5)
        assert job.collect()["answer"].isna().sum() == 5
        job.resubmit_failed()
        assert len(kernel.batches()[1].custom_ids) == 5
        assert job.collect()["answer"].notna().all()
        assert Counter(kernel.provider.ledger.sent.values()) == {1: 15, 2: 5}


def test_nothing_failed_nothing_sent(night, frame_of):
    with night(batch_seconds=60) as kernel:
        job = kernel.submit(frame_of(5))
        job.resubmit_failed()
        kernel.provider.advance(60)
        job.collect()
        job.resubmit_failed()
        assert "nothing was submitted" in kernel.lines[-1]
        assert len(kernel.batches()) == 1


def test_what_is_under_way_again_is_not_sent_a_third_time(night, frame_of):
    with night(faults=[Fault("bad_request", text="row 1", times=1)]) as kernel:
        job = kernel.submit(frame_of(4), chunk_size=1)
        job.collect()
        job.resubmit_failed()
        job.resubmit_failed()
        assert len(kernel.batches()) == 2
        assert job.collect()["answer"].notna().all()


def test_rows_that_fail_again_can_be_sent_again(night, frame_of):
    with night(faults=[Fault("bad_request", text="row 1", times=2)]) as kernel:
        job = kernel.submit(frame_of(4), chunk_size=1)
        for expected in (3, 3, 4):
            assert job.collect()["answer"].notna().sum() == expected
            if expected < 4:
                assert job.status().failed == 1
                job.resubmit_failed()
        assert [len(batch.custom_ids) for batch in kernel.batches()] == [4, 1, 1]
        names = [name for batch in kernel.batches() for name in batch.custom_ids]
        assert len(set(names)) == 6


def test_attempts_are_counted(night, frame_of):
    with night(faults=[Fault("bad_request", text="row 1")]) as kernel:
        job = kernel.submit(frame_of(4), chunk_size=1)
        job.collect()
        job.resubmit_failed()
        job.collect()
        assert job.report.errors["attempts"].tolist() == [2]


def test_rows_answered_live_meanwhile_are_not_sent(night, frame_of, backend):
    frame = frame_of(10)
    with night(faults=[Fault("bad_request", text="row 1", times=1)]) as kernel:
        job = kernel.submit(frame, chunk_size=1)
        job.collect()
        out = frame.genai.extract(
            "Echo.",
            {"answer": str},
            model=job.folder.read_manifest().model,
            backend=backend,
            base_url=kernel.url,
            api_key="sk-live",
            cache=kernel.cache,
            progress=False,
        )
        assert out["answer"].notna().all()
        assert kernel.provider.ledger.calls == 1
        job.resubmit_failed()
        assert len(kernel.batches()) == 1
        assert len(job.report.errors) == 0


@openai_only
def test_what_the_results_taught_is_heeded(night, frame_of):
    """A server refuses strict schemas; the second batch asks as the live path would."""
    with night(dialect="no_strict") as kernel:
        connection_options = kernel.connection_options()
        job = kernel.submit(frame_of(4), chunk_size=2, connection_options=connection_options)
        assert job.collect()["answer"].isna().all()
        assert set(job.report.errors["reason"]) == {"bad request"}
        job.resubmit_failed()
        assert job.collect()["answer"].notna().all()
        assert job.folder.read_manifest().parts[1].rung == "json_schema"
        endpoints = connection_options.endpoints
        kernel.submit(
            frame_of(3, "other"),
            name="later",
            connection_options=kernel.connection_options(endpoints=endpoints),
        )
        assert kernel.open("later").collect()["answer"].notna().all()


def test_without_the_files_the_rows_cannot_be_sent(night, frame_of, backend):
    with night(faults=[Fault("bad_request", text="row 1", times=1)]) as kernel:
        job = kernel.submit(frame_of(4), chunk_size=1)
        job.collect()
        job.folder.requests(backend, 1).unlink()
        with pytest.raises(JobError, match=r"is gone.*df\.genai\.extract"):
            job.resubmit_failed()
        assert len(kernel.batches()) == 1
