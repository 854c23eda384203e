"""Jobs in different folders that share a cache pay for each row once; calls are recorded."""

import json
import shutil

import pytest

from pandas_genai import SqliteCache, UsageError
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.testing import Fault

openai_only = pytest.mark.parametrize("backend", ["openai"], indirect=True)

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.runs.failures.RowsFailedWarning",  # rows elsewhere are missing here
)


def elsewhere(kernel, tmp_path):
    """The same kernel, with another folder for its jobs."""
    kernel.jobs = JobsFolder(tmp_path / "elsewhere")
    return kernel


def submitted(kernel):
    return [custom_id for batch in kernel.batches() for custom_id in batch.custom_ids]


def leases(kernel):
    with SqliteCache(kernel.cache) as cache:
        return cache._database.query("SELECT count(*) FROM leases")[0][0]


@openai_only
def test_a_job_in_another_folder_sends_only_what_the_first_has_not(night, frame_of, tmp_path):
    frame = frame_of(40)
    with night(batch_seconds=100) as kernel:
        first = kernel.submit(frame.iloc[:25], chunk_size=5)
        assert len(submitted(kernel)) == 5
        second = elsewhere(kernel, tmp_path).submit(frame.iloc[10:], chunk_size=5)
        assert len(submitted(kernel)) == 8
        kernel.provider.advance(200)
        second.collect()
        first.collect()
        assert set(kernel.provider.ledger.answered.values()) == {1}
        out = second.collect()
        assert out["answer"].tolist() == frame["text"].tolist()[10:]
        assert leases(kernel) == 0


@openai_only
def test_the_lease_of_a_job_whose_directory_is_gone_has_ended(night, frame_of, tmp_path):
    with night(batch_seconds=100) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=5)
        shutil.rmtree(job.path)
        elsewhere(kernel, tmp_path).submit(frame_of(10), chunk_size=5)
        assert len(submitted(kernel)) == 4


@openai_only
def test_fresh_submits_what_another_job_has_under_way(night, frame_of, tmp_path):
    with night(batch_seconds=100) as kernel:
        kernel.submit(frame_of(10), chunk_size=5)
        elsewhere(kernel, tmp_path).submit(frame_of(10), chunk_size=5, fresh=True)
        assert len(submitted(kernel)) == 4


@openai_only
def test_a_job_that_was_not_written_leases_nothing(night, frame_of):
    with night() as kernel:
        with pytest.raises(UsageError):
            kernel.submit(frame_of(10), requests=0)
        assert leases(kernel) == 0
        kernel.submit(frame_of(10), chunk_size=5)
        assert len(submitted(kernel)) == 2


def test_each_request_of_a_batch_is_recorded_once(night, frame_of):
    with night(faults=[Fault("refusal", text="row 3")]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=5)
        job.collect(keep_replies=True)
        with SqliteCache(kernel.cache) as cache:
            requests = cache.requests()
            (run,) = cache.runs()
            # Results that are read again are the same requests.
            cache._database.write("DELETE FROM results WHERE run_id = ?", [(run["run_id"],)])
        job.collect(keep_replies=True)
        with SqliteCache(kernel.cache) as cache:
            again = cache.requests()
    assert len(requests) == len(again) == 4
    assert [one["id"] for one in requests] == [one["id"] for one in again]
    assert {one["job"] for one in requests} == {job.folder.read_manifest().uid}
    assert sorted(one["refused"] for one in requests) == [0, 0, 0, 5]
    assert sum(one["output_tokens"] for one in requests) == run["output_tokens"]
    assert sum(one["cost"] for one in requests) == pytest.approx(run["cost"])
    assert len({key for one in requests for key in one["rows"]}) == 20
    assert all(json.loads(one["reply"])["custom_id"] for one in requests)
