"""Every state in which a batch can end, and every oddity of its results."""

from __future__ import annotations

import json

import pytest

from pandas_genai import CallError, RowsFailedError, SqliteCache
from pandas_genai.runs.failures import RowsFailedWarning
from pandas_genai.runs.progress import Silent
from pandas_genai.testing import BatchFault, Fault

openai_only = pytest.mark.parametrize("backend", ["openai"], indirect=True)

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.runs.failures.RowsFailedWarning",  # failures are the subject here
)


def reasons(job):
    return job.report.errors["reason"].value_counts().to_dict()


def open_lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_completed(night, frame_of):
    with night() as kernel:
        out = kernel.submit(frame_of(23), chunk_size=5).collect()
        assert out["answer"].tolist() == frame_of(23)["text"].tolist()
        assert len(kernel.open().report.errors) == 0


def test_in_progress_then_completed(night, frame_of):
    frame = frame_of(10)
    with night(batch_seconds=3600) as kernel:
        job = kernel.submit(frame)
        assert job.collect()["answer"].isna().all()
        assert reasons(job) == {"in progress": 10}
        assert "in progress; 0 of 10 rows collected" in kernel.lines[-1]
        kernel.provider.advance(3600)
        assert job.collect()["answer"].tolist() == frame["text"].tolist()
    with SqliteCache(kernel.cache) as cache:  # a look at a large job must not fill the cache
        assert [cache.failures(run["run_id"]) for run in cache.runs()] == [[], []]


def test_expired_rows_are_listed_the_others_kept(night, frame_of):
    with night(batch_faults=[BatchFault("expire", finished=0.5)]) as kernel:
        job = kernel.submit(frame_of(40), chunk_size=2)
        kernel.provider.advance(86_400)
        out = job.collect()
        assert out["answer"].notna().sum() == 20
        assert reasons(job) == {"expired": 20}
        state = job.status()
        assert (state.stage, state.answered, state.failed, state.expired) == (
            "collected",
            20,
            20,
            20,
        )


def test_cancelled_keeps_what_was_finished(night, frame_of):
    with night(batch_seconds=10_000) as kernel:
        job = kernel.submit(frame_of(40), chunk_size=2)
        kernel.provider.advance(5_000)
        job.cancel()
        kernel.provider.advance(10_000)
        out = job.collect()
        done = int(out["answer"].notna().sum())
        assert reasons(job) == {"cancelled": 40 - done}
        assert job.status().stage == "collected"
        assert kernel.provider.ledger.rows == done


def test_all_failed_without_an_output_file(night, frame_of):
    with night(batch_faults=[BatchFault("all_failed")]) as kernel:
        job = kernel.submit(frame_of(10))
        out = job.collect()
        assert out["answer"].isna().all()
        assert reasons(job) == {"server error": 10}
        assert job.report.cost == 0


@openai_only
def test_a_batch_that_fails_as_a_whole(night, frame_of):
    fault = BatchFault("validation", batches=[1])
    with night(batch_faults=[fault]) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=1, requests=5)
        out = job.collect()
        assert out["answer"].notna().sum() == 5
        assert reasons(job) == {"batch failed": 5}
        message = job.report.errors["message"].iloc[0]
        assert message.startswith("The batch failed: ")
        assert len(message) > 30


def test_requests_that_fail_one_by_one(night, frame_of):
    faults = [Fault("bad_request", text="row 7"), Fault("refusal", text="row 3")]
    with night(faults=faults) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=1)
        out = job.collect()
        assert out["answer"].isna().to_numpy().nonzero()[0].tolist() == [3, 7]
        assert reasons(job) == {"bad request": 1, "refusal": 1}
        assert job.report.errors["request_id"].notna().all()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "missing in reply"),
        ("doubled", "doubled in reply"),
        ("truncated", "truncated"),
        ("garbage", "invalid reply"),
        ("wrong_type", "invalid answer"),
        ("content_filter", None),
    ],
)
def test_a_bad_reply_costs_its_own_rows(night, frame_of, kind, reason):
    with night(faults=[Fault(kind, text="row 4")]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=2)
        out = job.collect()
        right = out["answer"] == frame_of(20)["text"]
        assert (right | out["answer"].isna()).all()
        assert 18 <= right.sum() < 20
        if reason:
            assert set(reasons(job)) == {reason}
        assert job.report.calls == 10


def test_an_invented_row_changes_nothing(night, frame_of):
    with night(faults=[Fault("invented", rate=1.0)]) as kernel:
        out = kernel.submit(frame_of(20), chunk_size=4).collect()
        right = out["answer"] == frame_of(20)["text"]
        assert (right | out["answer"].isna()).all()


LINES = {
    "line_missing": "missing in results",
    "line_garbage": "unreadable result",
    "line_truncated": "unreadable result",
}


@pytest.mark.parametrize("kind", sorted(LINES))
def test_a_line_of_the_results_is_damaged(night, frame_of, kind):
    with night(batch_faults=[BatchFault(kind)]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=2)
        out = job.collect()
        right = out["answer"] == frame_of(20)["text"]
        assert right.sum() == 18
        assert out.loc[~right, "answer"].isna().all()
        assert set(reasons(job)) <= {LINES[kind], "missing in results"}
        assert sum(reasons(job).values()) == 2


def test_unknown_and_doubled_lines_change_nothing(night, frame_of):
    faults = [BatchFault("line_unknown"), BatchFault("line_doubled", lines=0.5)]
    with night(batch_faults=faults) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=2)
        out = job.collect()
        assert out["answer"].tolist() == frame_of(20)["text"].tolist()
        strange = job.status().strange
        assert strange["unknown"] >= 1
        assert strange["doubled"] >= 1
        assert f"odd lines in the results: {strange['doubled']} doubled" in repr(job)


def test_two_answers_to_one_request_are_kept_where_they_agree(night, frame_of, backend):
    with night(batch_seconds=60) as kernel:
        job = kernel.submit(frame_of(4), chunk_size=2)
        kernel.provider.advance(60)
        job.status()
        results = job.folder.results(backend, job.folder.read_manifest().parts[0])
        out = job.collect()
        assert out["answer"].notna().all()
        # The vendor's file again, with one request answered twice, the second time otherwise.
        lines = results.read_text().splitlines()
        other = next(line for line in lines if "row 0" in line).replace("row 0", "row zero")
        results.write_text("\n".join([*lines, other]) + "\n")
        kernel.cache.unlink()
        out = job.collect()
        assert out["answer"].isna().sum() == 1
        assert reasons(job) == {"doubled in results": 1}


def test_raw_results_are_there_before_a_line_is_read(night, frame_of, backend):
    with night(batch_faults=[BatchFault("expire", finished=0.5)]) as kernel:
        job = kernel.submit(frame_of(8), chunk_size=1)
        kernel.provider.advance(86_400)
        job.collect()
        part = job.folder.read_manifest().parts[0]
        paths = job.folder.results(backend, part), job.folder.errors(backend, part)
        results, errors = ([json.loads(line) for line in open_lines(path)] for path in paths)
        assert len(results) == (4 if backend == "openai" else 8)
        assert len(errors) == 4
        assert {"custom_id"} <= results[0].keys() & errors[0].keys()


def test_the_cache_file_may_be_lost(night, frame_of):
    with night() as kernel:
        job = kernel.submit(frame_of(10))
        job.collect()
        cost, requests = job.report.cost, len(kernel.provider.ledger.requests)
        kernel.cache.unlink()
        assert job.collect()["answer"].notna().all()
        assert job.report.cost == cost
        assert len(kernel.provider.ledger.requests) == requests


def test_collecting_twice_counts_nothing_twice(night, frame_of):
    with night() as kernel:
        job = kernel.submit(frame_of(10))
        first = job.collect().genai.report
        second = job.collect().genai.report
        assert (first.calls, first.ok, first.cached) == (2, 10, 0)
        assert (second.calls, second.ok, second.cached, second.cost) == (0, 10, 10, 0)
        ledger = kernel.provider.ledger
        assert first.input_tokens == ledger.tokens_in
        assert first.output_tokens == ledger.tokens_out
        assert job.report.cost == first.cost > 0


def test_batches_cost_half(night, frame_of):
    with night() as kernel:
        report = kernel.submit(frame_of(10)).collect().genai.report
        dollars = {"gpt-6-luna": (0.10, 0.50), "claude-haiku-5-5": (0.10, 0.50)}
        sent, answered = dollars[report.models[0]]
        full = (report.input_tokens * sent + report.output_tokens * answered) / 1e6
        assert report.cost == pytest.approx(full / 2)


def test_on_error_raise_after_everything_is_saved(night, frame_of):
    with night(faults=[Fault("bad_request", text="row 7")]) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=1)
        with pytest.raises(RowsFailedError, match="1 of 10 rows failed") as caught:
            job.collect(on_error="raise")
        assert caught.value.result["answer"].notna().sum() == 9


def test_rows_in_progress_are_no_failure(night, frame_of, recwarn):
    with night(batch_seconds=60) as kernel:
        kernel.submit(frame_of(3)).collect(on_error="raise")
    assert not [one for one in recwarn if one.category is RowsFailedWarning]


def test_waiting_polls_with_growing_intervals(night, frame_of, clock):
    with night(batch_seconds=7_200) as kernel:
        clock.on_sleep.append(kernel.provider.advance)
        seen = []

        class Watch:
            def started(self, progress):
                seen.append(("started", progress.done))

            def moved(self, progress):
                seen.append(("moved", progress.done))

            def ended(self, progress, outcome):
                seen.append((outcome, progress.done))

        job = kernel.submit(frame_of(10))
        job.observer = Watch
        out = job.collect(wait=True)
        assert out["answer"].notna().all()
        assert clock.waits[:4] == [60.0, 90.0, 135.0, 202.5]
        assert max(clock.waits) <= 900
        assert seen[0] == ("started", 0)
        assert seen[-1] == ("completed", 10)


def test_waiting_ends_at_the_timeout(night, frame_of, clock):
    with night(batch_seconds=80_000) as kernel:
        out = kernel.submit(frame_of(3)).collect(wait=True, timeout=500)
        assert sum(clock.waits) == 500
        assert out["answer"].isna().all()


STATUS = {"openai": "GET /v1/batches", "anthropic": "GET /v1/messages/batches"}


@pytest.mark.parametrize("kind", ["reset", "server_error", "rate_limit"])
def test_an_outage_in_the_night_is_waited_out(night, frame_of, backend, clock, kind):
    with night(batch_seconds=7_200) as kernel:
        job = kernel.submit(frame_of(10))
        waiting = []

        class Watch(Silent):
            def moved(self, progress):
                waiting.append((progress.waiting_for, progress.waiting_s))

        def pass_the_time(seconds):
            kernel.provider.advance(seconds)
            kernel.provider.faults = outage if 600 < kernel.clock.now() - begun < 4_000 else []

        begun, outage = clock.now(), [Fault(kind, path=STATUS[backend])]
        clock.on_sleep.append(pass_the_time)
        job.observer = Watch
        out = job.collect(wait=True)
        assert out["answer"].notna().all()
        assert len(kernel.batches()) == 1
        said = [seconds for reason, seconds in waiting if reason]
        assert len(said) >= 2
        assert all(60 < seconds <= 900 for seconds in said)
        assert waiting[-1] == ("", 0.0)


def test_an_outage_without_end_ends_at_the_timeout(night, frame_of, backend, clock):
    with night(batch_seconds=7_200) as kernel:
        job = kernel.submit(frame_of(10))

        def lose_the_network(_):
            kernel.provider.faults = [Fault("reset", path=STATUS[backend])]

        clock.on_sleep.append(lose_the_network)
        out = job.collect(wait=True, timeout=10_000)
        assert out["answer"].isna().all()
        assert "in progress" in kernel.lines[-1]
        assert f"The last time it was asked: {kernel.url.removesuffix('/v1')}" in kernel.lines[-1]
        with pytest.raises(CallError):  # whoever does not wait hears of it at once
            job.collect()
