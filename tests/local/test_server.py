"""The local model's server: on loopback, deterministic, and gone when its parent is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pandas as pd
import pytest

from pandas_genai import LocalModelError, local
from pandas_genai.local import server as embedded
from pandas_genai.runs.progress import Silent

pytestmark = pytest.mark.local_model


@pytest.fixture(scope="module")
def server(weights):
    with local.serve(weights) as base_url:
        yield base_url


def listens(base_url):
    try:
        with urllib.request.urlopen(base_url.removesuffix("/v1") + "/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def wait_until_gone(base_url):
    deadline = time.monotonic() + 20
    while listens(base_url) and time.monotonic() < deadline:
        pass
    return not listens(base_url)


def test_a_real_model_labels_real_texts_through_the_ordinary_path(server):
    texts = ["I love it, wonderful!", "Terrible, a waste of money."]
    frame = pd.DataFrame({"text": texts}, index=["x", "y"])
    out = frame.genai.extract(
        "Is the sentiment of the review positive or negative?",
        {"tone": ["positive", "negative"]},
        base_url=server,
        model=local.MODEL,
        cache=False,
        chunk_size=1,
        max_workers=1,
        progress=False,
    )
    assert out["tone"].tolist() == ["positive", "negative"]
    assert out.genai.report.models == [local.MODEL]


def test_an_answer_is_the_same_each_time(server):
    frame = pd.DataFrame({"text": ["The dog sleeps.", "Rates were raised."]})
    answers = [
        frame.genai.extract(
            "Summarise the text in three words.",
            {"summary": str},
            base_url=server,
            model=local.MODEL,
            cache=False,
            chunk_size=1,
            max_workers=1,
            params={"max_tokens": 60},
            progress=False,
        )["summary"].tolist()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]


def test_a_text_beyond_the_context_fails_its_own_row(server):
    frame = pd.DataFrame({"text": ["good " * 20_000, "Wonderful!"]})
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        out = frame.genai.extract(
            "Is the text positive or negative?",
            ["positive", "negative"],
            base_url=server,
            model=local.MODEL,
            cache=False,
            progress=False,
            chunk_size=2,
            max_workers=1,
        )
    assert out["label"].isna().tolist() == [True, False]
    assert out.genai.errors["reason"].tolist() == ["bad request"]


def test_model_local_starts_one_server_and_stops_it(weights, monkeypatch):
    monkeypatch.setenv("PANDAS_GENAI_GGUF", str(weights))
    try:
        base_url = local.start()
        assert local.start() == base_url
        out = pd.Series(["Wonderful!"]).genai.extract(
            "Is the sentiment positive or negative?",
            ["positive", "negative"],
            model="local",
            cache=False,
            progress=False,
        )
        assert out["label"].tolist() == ["positive"]
        assert out.genai.report.cost == 0
    finally:
        local.stop()
    assert wait_until_gone(base_url)


PARENT = """
import sys, json
from pathlib import Path
from pandas_genai import local
with local.serve(Path(sys.argv[1])) as base_url:
    print(json.dumps(base_url), flush=True)
    sys.stdin.read()
"""


def test_the_server_ends_with_a_parent_that_is_killed(weights):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SOME_API_KEY": "hidden"},
    ) as parent:
        base_url = json.loads(parent.stdout.readline())
        assert listens(base_url)
        parent.send_signal(signal.SIGKILL)
    assert wait_until_gone(base_url)


FORKS = """
import json, os, sys, time
from pathlib import Path
from pandas_genai import local
with local.serve(Path(sys.argv[1])) as base_url:
    if os.fork() == 0:  # a worker that outlives its parent
        sys.stdout.close()
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(json.dumps([base_url, os.getpid()]), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of the threads in the parent
@pytest.mark.parametrize("hook", ["with", "without"])
def test_a_forked_worker_does_not_keep_the_server_alive(weights, hook):
    """Also where the fork was not Python's own, and the worker holds the pipe."""
    silent = "import os\nos.register_at_fork = lambda **_: None\n"
    script = FORKS if hook == "with" else silent + FORKS
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        base_url, pid = json.loads(parent.stdout.readline())
        assert listens(base_url)
        os.kill(pid, signal.SIGKILL)
        parent.wait()
        gone = wait_until_gone(base_url)
        os.killpg(pid, signal.SIGKILL)  # the worker
    assert gone


class Kills(Silent):
    """Kills the server when the first answer is there, as the kernel does without memory."""

    def __init__(self):
        self.killed = []

    def moved(self, progress):
        if progress.done and not self.killed:
            process = embedded._server._process
            self.killed.append(process.pid)
            process.kill()
            process.wait()


def test_a_run_goes_on_when_its_server_was_killed(weights, monkeypatch):
    monkeypatch.setenv("PANDAS_GENAI_GGUF", str(weights))
    watcher = Kills()
    texts = ["Wonderful!", "Terrible.", "I love it.", "A waste of money."]
    try:
        out = pd.Series(texts).genai.extract(
            "Is the sentiment positive or negative?",
            ["positive", "negative"],
            model="local",
            cache=False,
            progress=watcher,
        )
        assert embedded._server._process.pid not in watcher.killed
    finally:
        local.stop()
    assert len(watcher.killed) == 1
    assert out["label"].tolist() == ["positive", "negative", "positive", "negative"]
    assert out.genai.report.retries >= 1


def test_a_server_that_cannot_load_says_so(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(LocalModelError, match="ended with code"), local.serve(broken):
        pass


def test_stopping_twice_does_nothing():
    local.stop()
    local.stop()
