"""However a process dies, each part of a job is one batch at the provider, and no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from pandas_genai.testing import BatchFault, Fault, LoopbackProvider

openai_only = pytest.mark.parametrize("backend", ["openai"], indirect=True)

ROWS, PER_REQUEST, PER_BATCH = 12, 2, 4
PARTS = 2

# A process with everything imported, a client opened before and no thread, which forks a kernel for
# each line it reads: a kernel costs a tenth of a second then. It kills itself at the given event of
# its file system.
ZYGOTE = """
import json, os, signal, sys, warnings
import anthropic, openai, pandas as pd
import pandas_genai
from pandas_genai import SqliteCache
from pandas_genai.clock import Clock
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import submit
from pandas_genai.batch.create import JobSpec
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.batch.texts import text_form
from pandas_genai.backends.resolve import Question
from pandas_genai.task.task import Task

class NoWait(Clock):
    def sleep(self, seconds):
        pass

WRITES = os.O_WRONLY | os.O_RDWR

def watch(place, kill_at):
    seen = 0
    def hook(event, args):
        nonlocal seen
        if event == "os.rename":
            path = args[1]
        elif event == "open" and isinstance(args[2], int) and args[2] & WRITES:
            path = args[0]
        elif event == "sqlite3.connect":
            path = args[0]
        else:
            return
        if place in str(path):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    return lambda: seen

def kernel(order):
    place = order["place"]
    os.chdir(place)
    count = watch(place, order["kill_at"])
    frame = pd.DataFrame({"text": [f"row {n}" for n in range(order["rows"])]})
    task = Task("Echo.", {"answer": str}, model=order["model"], backend=order["backend"])
    question = Question(task, order["url"], "sk-k")
    means = ConnectionOptions("sk-k", clock=Clock())
    with SqliteCache("cache.sqlite") as cache:
        form = text_form(frame, None)
        asked = JobSpec(question, frame, form, cache, name="night", chunk_size=order["per_request"],
                      most_requests=order["per_batch"])
        job = submit(JobsFolder(__import__("pathlib").Path("jobs")), asked, means)
    out = job.collect()
    right = out["answer"].tolist() == frame["text"].tolist()
    return {"right": right, "events": count(), "calls": job.report.calls, "cost": job.report.cost}

for backend in ("openai", "anthropic"):  # what a first client reads and builds, all find
    task = Task("Echo.", {"answer": str}, model="m", backend=backend)
    Question(task, "http://127.0.0.1", "k").resolve().open(1)

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            answer = kernel(order)
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(said, json.dumps(answer).encode())
        os._exit(0)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(ZYGOTE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Kernels end without a word to coverage, so that it would only slow them down.
            env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        )
        self.pid = 0

    def begin(self, place, url, backend, kill_at=0):
        """Let a kernel begin to submit and collect; ``pid`` is its process."""
        order = {
            "place": str(place),
            "said": str(place.parent / f"{place.name}.said"),
            "url": url,
            "backend": backend,
            "model": {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}[backend],
            "kill_at": kill_at,
            "rows": ROWS,
            "per_request": PER_REQUEST,
            "per_batch": PER_BATCH,
        }
        self._said = Path(order["said"])
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        self.pid = int(self._process.stdout.readline())

    def end(self):
        """Wait for the kernel; return what it said, None if it was killed."""
        code = int(self._process.stdout.readline())
        if code == -signal.SIGKILL:
            return None
        assert code == 0
        return json.loads(self._said.read_text())

    def run(self, *args, **options):
        self.begin(*args, **options)
        return self.end()

    def close(self):
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def zygote():
    born = Zygote()
    yield born
    born.close()


def url_of(provider, backend):
    return provider.openai_url if backend == "openai" else provider.anthropic_url


def check(provider, backend, ended):
    """One batch a part, one file a part, every row answered once, and paid once."""
    assert ended["right"], ended
    assert ended["calls"] == ROWS / PER_REQUEST
    sent = [custom_id for batch in provider.batches for custom_id in batch.custom_ids]
    assert max(Counter(sent).values()) == 1
    assert len(provider.batches) == PARTS
    assert len(sent) == ROWS / PER_REQUEST
    assert set(provider.ledger.answered.values()) == {1}
    assert provider.ledger.rows == ROWS
    if backend == "openai":
        assert len([file for file in provider.files if file.purpose == "batch"]) == PARTS


def events_of(zygote, tmp_path, backend):
    place = tmp_path / "dry"
    place.mkdir()
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        ended = zygote.run(place, url_of(provider, backend), backend)
        check(provider, backend, ended)
        requests = [
            f"{record.method} {record.path.partition('?')[0]}"
            for record in provider.ledger.requests
        ]
    return ended["events"], requests


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.campaign)])
def test_killed_at_every_step_on_disk(zygote, tmp_path, backend, every):
    """At every step in a campaign; in the suite at every fifth, other ones for each backend."""
    events, _ = events_of(zygote, tmp_path, backend)
    assert events > 40
    killed = 0
    first = 1 if every == 1 or backend == "openai" else 3
    steps = range(first, events + 1, every)
    for kill_at in steps:
        place = tmp_path / f"at-{kill_at}"
        place.mkdir()
        with LoopbackProvider(lambda text: {"answer": text}) as provider:
            url = url_of(provider, backend)
            killed += zygote.run(place, url, backend, kill_at) is None
            check(provider, backend, zygote.run(place, url, backend))
        assert {path.name for path in place.rglob(".*")} <= {".gitignore", ".lock"}
    assert killed == len(steps)


@pytest.mark.parametrize("moment", ["arrived", "handled"])
def test_killed_inside_every_request(zygote, tmp_path, backend, moment):
    _, requests = events_of(zygote, tmp_path, backend)
    assert len(requests) >= 6
    for number, line in enumerate(requests, 1):
        place = tmp_path / f"in-{number}"
        place.mkdir()
        seen = []

        def hook(now, what, seen=seen, number=number):
            if now == moment:
                seen.append(what)
                if len(seen) == number:
                    os.kill(zygote.pid, signal.SIGKILL)

        with LoopbackProvider(lambda text: {"answer": text}, on_request=hook) as provider:
            url = url_of(provider, backend)
            assert zygote.run(place, url, backend) is None
            assert seen[number - 1].startswith(line.split("/batch_")[0].split("/file-")[0][:12])
            check(provider, backend, zygote.run(place, url, backend))


def test_killed_again_and_again(zygote, tmp_path, backend):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        url = url_of(provider, backend)
        for kill_at in (6, 9, 14, 5, 17, 8, 21, 11, 3, 25):
            zygote.run(tmp_path, url, backend, kill_at)
        check(provider, backend, zygote.run(tmp_path, url, backend))


CREATE = {"openai": "POST /v1/batches", "anthropic": "POST /v1/messages/batches"}


@pytest.mark.parametrize("kind", ["reset", "reset_after", "server_error", "rate_limit", "html"])
def test_answers_to_a_create_get_lost(night, frame_of, backend, kind):
    fault = Fault(kind, path=CREATE[backend], times=2)
    with night(faults=[fault]) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=2, requests=5)
        assert len(kernel.batches()) == 2
        out = job.collect()
        assert out["answer"].tolist() == frame_of(20)["text"].tolist()
        assert set(kernel.provider.ledger.answered.values()) == {1}


@pytest.mark.parametrize("backend", ["anthropic"], indirect=True)
def test_a_batch_that_does_not_tell_its_size_before_it_ends_is_found(night, frame_of, backend):
    lost = Fault("reset_after", path=CREATE[backend], times=1)
    with night(faults=[lost], batch_faults=[BatchFault("no_counts")], batch_seconds=60) as kernel:
        job = kernel.submit(frame_of(20), chunk_size=2, requests=5)
        assert len(kernel.batches()) == 2
        kernel.provider.advance(60)
        assert job.collect()["answer"].tolist() == frame_of(20)["text"].tolist()
        assert set(kernel.provider.ledger.answered.values()) == {1}


@pytest.mark.parametrize("hours", [-5, 5])
def test_clocks_that_disagree_find_the_batch_all_the_same(night, frame_of, backend, clock, hours):
    fault = Fault("reset_after", path=CREATE[backend], times=1)
    with night(faults=[fault], wall_clock=lambda: clock.now() + hours * 3600) as kernel:
        job = kernel.submit(frame_of(5))
        assert len(kernel.batches()) == 1
        assert job.collect()["answer"].notna().all()


@pytest.mark.parametrize("kind", ["reset", "reset_after", "server_error", "rate_limit"])
@openai_only
def test_answers_to_an_upload_get_lost(night, frame_of, kind):
    fault = Fault(kind, path="POST /v1/files", times=2)
    with night(faults=[fault]) as kernel:
        kernel.submit(frame_of(20), chunk_size=2, requests=5)
        assert (len(kernel.batches()), len(kernel.inputs())) == (2, 2)


def test_every_other_request_may_fail_twice(night, frame_of, backend):
    paths = ["GET /v1/files", "GET /v1/batches", "GET /v1/messages/batches"]
    faults = [Fault("reset", path=path, times=2) for path in paths]
    with night(faults=faults) as kernel:
        out = kernel.submit(frame_of(10)).collect()
        assert out["answer"].notna().all()
        assert len(kernel.batches()) == 1


def test_a_download_that_breaks_off_is_begun_again(night, frame_of, backend):
    path = "GET /v1/files" if backend == "openai" else "GET /v1/messages/batches"
    with night(faults=[Fault("reset_after", path=path, times=3)]) as kernel:
        out = kernel.submit(frame_of(50)).collect()
        assert out["answer"].tolist() == frame_of(50)["text"].tolist()
        assert kernel.provider.ledger.rows == 50


def test_submitting_again_is_nothing_new(night, frame_of):
    with night() as kernel:
        first = kernel.submit(frame_of(10))
        again = kernel.submit(frame_of(10))
        assert (again.name, len(kernel.batches())) == (first.name, 1)
        other_order = kernel.submit(frame_of(10).iloc[::-1], name=None)
        assert (other_order.name, len(kernel.batches())) == (first.name, 1)
        first.collect()
        assert kernel.submit(frame_of(10)).name == first.name
        assert len(kernel.batches()) == 1


def test_rows_under_way_in_another_job_are_not_submitted(night, frame_of):
    with night(batch_seconds=3600) as kernel:
        kernel.submit(frame_of(10), name="first")
        kernel.submit(frame_of(15), name="second")
        sent = Counter(text for batch in kernel.batches() for text in batch.texts)
        assert len(sent) == 15
        assert set(sent.values()) == {1}
        out = kernel.open("second").collect()
        reasons = out.attrs and kernel.open("second").report.errors
        assert reasons["reason"].unique().tolist() == ["in progress"]
        assert reasons["message"].str.contains("'first'").sum() == 10
        kernel.provider.advance(3600)
        kernel.open("first").collect()
        assert kernel.open("second").collect()["answer"].notna().all()


def test_somebody_elses_batches_are_not_taken_for_ours(tmp_path, night, frame_of, backend):
    """With no tags to tell by, a batch of the same size is waited for and then let go."""
    with night(batch_seconds=3600) as kernel:
        theirs = kernel.submit(pd.DataFrame({"text": [f"their {n}" for n in range(10)]}))
        (tmp_path / "elsewhere").mkdir()
        kernel.jobs.path.rename(tmp_path / "elsewhere" / "genai_batches")
        kernel.provider.faults = [Fault("reset", path=CREATE[backend], times=1)]
        job = kernel.submit(frame_of(10), name="ours")
        expected = {"openai": 2, "anthropic": 1}[backend]
        assert len(kernel.batches()) == expected
        kernel.provider.advance(3600)
        job.collect()
        kernel.provider.advance(3600)
        assert job.collect()["answer"].tolist() == frame_of(10)["text"].tolist()
        assert len(kernel.batches()) == 2
        assert set(kernel.provider.ledger.answered.values()) == {1}
        assert theirs.name == "night"
