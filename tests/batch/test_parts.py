"""One bad thing at the provider never takes its neighbours along, and waiting knows its end."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import textwrap
import urllib.request
from collections import Counter

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import SqliteCache, StopRunError
from pandas_genai.runs.progress import Silent
from pandas_genai.testing import BatchFault, Fault, LoopbackProvider

openai_only = pytest.mark.parametrize("backend", ["openai"], indirect=True)

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.runs.failures.RowsFailedWarning",  # failures are the subject here
)


def delete(kernel, path):
    """Delete something at the provider, as its owner may in the night."""
    url = kernel.url.removesuffix("/v1") + path
    headers = {"Authorization": "Bearer k", "anthropic-version": "2026-10-21"}
    request = urllib.request.Request(url, method="DELETE", headers=headers)
    urllib.request.urlopen(request).close()


def lose(kernel, job, number):
    """Let the provider lose the results of a part: OpenAI's file, Anthropic's whole batch."""
    part = job.folder.read_manifest().parts[number - 1]
    if kernel.backend == "openai":
        job.status()
        part = job.folder.read_manifest().parts[number - 1]
        delete(kernel, f"/v1/files/{part.output}")
    else:
        delete(kernel, f"/v1/messages/batches/{part.batch_id}")


@openai_only
def test_answers_that_are_counted_but_named_nowhere_are_lost_not_missing(night, frame_of, backend):
    def unnamed(body):
        entry = json.loads(body)
        if "output_file_id" in entry:
            entry["output_file_id"] = ""
        return json.dumps(entry).encode()

    faults = [
        Fault("bad_request", text="row 3"),
        Fault("rewrite", path="GET /v1/batches", rewrite=unnamed),
    ]
    with night(faults=faults) as kernel:
        job = kernel.submit(frame_of(4), chunk_size=1)
        job.collect()
        assert reasons(job) == {"results lost": 3, "bad request": 1}
        job.resubmit_failed()  # nothing that was paid is paid again without a word
        assert job.folder.read_manifest().parts[-1].rows == 1


def reasons(job):
    return Counter(job.report.errors["reason"])


def test_lost_results_of_one_part_fail_its_own_rows(night, frame_of, backend):
    frame = frame_of(12)
    with night() as kernel:
        job = kernel.submit(frame, chunk_size=2, requests=2)
        lose(kernel, job, 2)
        left = len(kernel.batches())
        assert left == {"openai": 3, "anthropic": 2}[backend]  # what is deleted is not listed
        out = job.collect()
        assert out["answer"].notna().sum() == 8
        assert reasons(job) == {"results lost": 4}
        assert "lost the results, which were paid for" in kernel.lines[-1]
        state = job.status()
        assert (state.stage, state.answered, state.failed, state.lost) == ("collected", 8, 4, 4)
        job.resubmit_failed()
        assert len(kernel.batches()) == left
        assert "Not submitted again: 4 rows" in kernel.lines[-1]
        assert "paid for a second time" in kernel.lines[-1]
        job.resubmit_failed(lost=True)
        assert [len(batch.custom_ids) for batch in kernel.batches()] == [2] * (left + 1)
        assert job.collect()["answer"].tolist() == frame["text"].tolist()
        job.resubmit_failed(lost=True)
        assert len(kernel.batches()) == left + 1


@openai_only
def test_results_that_come_back_are_collected(night, frame_of):
    """A file may be out of reach for a day only: nothing is given up before it is paid again."""
    with night() as kernel:
        job = kernel.submit(frame_of(8), chunk_size=2, requests=2)
        job.status()
        output = job.folder.read_manifest().parts[0].output
        kernel.provider.faults = [
            Fault("error", status=404, path=f"GET /v1/files/{output}/content")
        ]
        assert job.collect()["answer"].notna().sum() == 4
        assert reasons(job) == {"results lost": 4}
        kernel.provider.faults = []
        assert job.collect()["answer"].notna().all()
        assert len(kernel.batches()) == 2


@pytest.mark.parametrize("backend", ["anthropic"], indirect=True)
def test_the_only_batch_is_gone(night, frame_of):
    """That may be another key as well: it is an error until the user says what to do."""
    with night() as kernel:
        job = kernel.submit(frame_of(4))
        lose(kernel, job, 1)
        with pytest.raises(StopRunError, match="not found"):
            job.collect()
        job.resubmit_failed(lost=True)
        assert job.collect()["answer"].notna().all()
        assert len(kernel.batches()) == 1  # the deleted one is not among them


@pytest.mark.parametrize("kind", ["server_error", "html", "forbidden", "reset"])
def test_a_part_that_cannot_be_asked_leaves_the_others(night, frame_of, backend, kind):
    with night() as kernel:
        job = kernel.submit(frame_of(12), chunk_size=2, requests=2)
        batch_id = job.folder.read_manifest().parts[1].batch_id
        path = "/v1/batches" if backend == "openai" else "/v1/messages/batches"
        kernel.provider.faults = [Fault(kind, path=f"GET {path}/{batch_id}")]
        for _ in range(2):  # the second time, nothing else is left to be done
            out = job.collect()
            assert out["answer"].notna().sum() == 8
            assert reasons(job) == {"in progress": 4}
            assert "The last time" in job.report.errors["message"].iloc[0]
        kernel.provider.faults = []
        assert job.collect()["answer"].notna().all()
        assert job.folder.read_manifest().parts[1].trouble == ""


def test_damaged_keys_of_one_part_cost_its_own_rows(night, frame_of):
    with night() as kernel:
        job = kernel.submit(frame_of(12), chunk_size=2, requests=2)
        keys = job.folder.keys(2)
        good = keys.read_bytes()
        keys.write_bytes(good.replace(b"[", b"{", 1))
        out = job.collect()
        assert out["answer"].notna().sum() == 8
        assert reasons(job) == {"damaged job": 4}
        assert "keys_2.jsonl" in job.report.errors["message"].iloc[0]
        keys.write_bytes(good)
        assert job.collect()["answer"].notna().all()
        assert len(kernel.batches()) == 3


def test_a_refused_row_is_alone_after_one_resubmit(night, frame_of):
    with night(faults=[Fault("bad_request", text="row 13")]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=5)
        assert job.collect()["answer"].isna().sum() == 5
        job.resubmit_failed()
        assert [len(batch.custom_ids) for batch in kernel.batches()] == [4, 5]
        out = job.collect()
        assert out["answer"].isna().to_numpy().nonzero()[0].tolist() == [13]
        assert reasons(job) == {"bad request": 1}


def test_a_text_that_breaks_the_server_is_alone_after_one_resubmit(night, frame_of):
    with night(faults=[Fault("server_error", text="row 13")]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=5)
        job.collect()
        job.resubmit_failed()
        assert job.collect()["answer"].isna().to_numpy().nonzero()[0].tolist() == [13]


def test_after_an_outage_rows_go_together_then_alone(night, frame_of):
    faults = [BatchFault("all_failed", batches=[1, 2])]
    with night(batch_faults=faults) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=5)
        for _ in range(2):
            job.collect()
            job.resubmit_failed()
        assert [len(batch.custom_ids) for batch in kernel.batches()] == [2, 2, 10]
        assert job.collect()["answer"].notna().all()


def test_cancelled_rows_are_not_counted_as_expired(night, frame_of, monkeypatch):
    with night(batch_seconds=10_000) as kernel:
        job = kernel.submit(frame_of(10), chunk_size=2)
        job.cancel()
        kernel.provider.advance(10_000)
        job.collect()
        listed = pandas_genai.jobs(kernel.jobs.path).loc["night"]
        assert (listed["failed"], listed["expired"]) == (10, 0)


def as_string(line):
    """A line as OGX writes it: the body is JSON in a string."""
    said = json.loads(line)
    if said.get("response"):
        said["response"]["body"] = json.dumps(said["response"]["body"])
    return json.dumps(said).encode()


@openai_only
def test_bodies_in_strings_are_answers(night, frame_of):
    frame = frame_of(40)
    with night(faults=[Fault("rewrite", rewrite=as_string, rate=1.0)]) as kernel:
        job = kernel.submit(frame, chunk_size=2)
        assert job.collect()["answer"].tolist() == frame["text"].tolist()
        job.resubmit_failed()
        assert len(kernel.batches()) == 1
        assert (job.report.calls, kernel.provider.ledger.rows) == (20, 40)
        assert job.report.cost > 0


def test_waiting_ends_though_the_clock_is_set_back(night, frame_of, clock):
    with night(batch_seconds=80_000) as kernel:
        job = kernel.submit(frame_of(3))
        clock.now = lambda: clock.time - 3600 * len(clock.waits)
        out = job.collect(wait=True, timeout=500)
        assert sum(clock.waits) == 500
        assert out["answer"].isna().all()


class Raises(Silent):
    def __init__(self, moment):
        self.moment = moment

    def started(self, progress):
        self._maybe("started")

    def moved(self, progress):
        self._maybe("moved")

    def ended(self, progress, outcome):
        self._maybe("ended")

    def _maybe(self, moment):
        if moment == self.moment:
            raise RuntimeError(moment)


@openai_only
@pytest.mark.parametrize("moment", ["started", "moved", "ended"])
def test_no_run_stays_running_whatever_an_observer_raises(night, frame_of, clock, moment):
    with night(batch_seconds=3_600) as kernel:
        clock.on_sleep.append(kernel.provider.advance)
        job = kernel.submit(frame_of(3))
        job.observer = lambda: Raises(moment)
        with pytest.raises(RuntimeError, match=moment):
            job.collect(wait=True)
        with SqliteCache(kernel.cache) as cache:
            assert [run["status"] for run in cache.runs()] == ["failed"]


@openai_only
def test_no_status_steers_a_terminal(night, frame_of):
    with night(batch_seconds=60) as kernel:
        job = kernel.submit(frame_of(3))
        manifest = job.folder.read_manifest()
        manifest.parts[0].status = "in\x1b[2Jprogress"
        manifest.parts[0].strange = {"\x1b]0;x\x07": 1}
        manifest.model = "gpt\x1b[31m"
        job.folder.save(manifest)
        shown = (
            repr(job) + str(job.status().statuses) + pandas_genai.jobs(kernel.jobs.path).to_string()
        )
        assert "\x1b" not in shown
        assert "\x07" not in shown


@pytest.mark.parametrize("label", ["\ud800", ("a", "\udfff")])
def test_half_a_character_in_an_index_label(night, backend, label):
    index = pd.Index([label, "b"], dtype=object, tupleize_cols=False)
    with night() as kernel:
        job = kernel.submit(pd.DataFrame({"text": ["x", "y"]}, index=index))
        out = job.collect()
        assert out["answer"].tolist() == ["x", "y"]
        assert re.search(r"\\ud800|\\udfff", str(out.index[0]))


CHILD = """
import resource, sys
import pandas as pd, pandas_genai
frame = pd.DataFrame({"text": [f"{n} " + "x" * 300 for n in range(400)]})
options = dict(base_url=sys.argv[1], api_key="sk-k", name="n", model="gpt-6-luna", chunk_size=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    frame.genai.batch_submit("Echo.", {"answer": str}, **options)
except pandas_genai.GenaiError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no such limit here")
def test_a_full_disk_is_a_sentence_and_the_cell_goes_on(tmp_path):
    def run(most, url):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CHILD), url, str(most)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        for most, error in ((10_000, "CacheError"), (300_000, "JobError")):
            ended = run(most, provider.openai_url)
            assert ended.stdout.startswith(error), ended.stderr
        assert provider.batches == []
        ended = run(10**9, provider.openai_url)
        assert "400 of 400 rows submitted" in ended.stdout, ended.stderr
        assert len(provider.batches) == 1
