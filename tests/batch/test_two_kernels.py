"""Two kernels that submit or collect the same job at once."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack

import pytest

from pandas_genai.testing import LoopbackProvider

# A process with everything imported, which forks three kernels for each line it reads.
KERNELS = """
import json, os, sys
import pandas as pd, pandas_genai
import openai, anthropic
url, backend = sys.argv[1:]
frame = pd.DataFrame({"text": [f"row {n}" for n in range(200)]})

def kernel(what):
    os.dup2(2, 1)
    if what == "submit":
        frame.genai.batch_submit(
            "Echo.", {"answer": str}, backend=backend, base_url=url, api_key="k"
        )
    assert frame.genai.batch_collect()["answer"].tolist() == frame["text"].tolist()
    sys.exit()

for line in sys.stdin:
    kernels = [os.fork() or kernel(line.strip()) for _ in range(3)]
    print(json.dumps([os.waitpid(one, 0)[1] for one in kernels]), flush=True)
"""


@pytest.fixture
def at_once():
    """Let three kernels submit or collect at once."""
    stack = ExitStack()

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", KERNELS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.communicate, timeout=60)

        def run(what):
            process.stdin.write(f"{what}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == [0, 0, 0]

        return run

    with stack:
        yield start


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_submitting_at_once(backend, at_once):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        run = at_once(url, backend)
        run("submit")
        assert len(provider.batches) == 1
        assert set(provider.ledger.answered.values()) == {1}
        assert len([file for file in provider.files if file.purpose == "batch"]) <= 1
        run("collect")


def test_who_waits_says_so(night, frame_of):
    with night() as kernel:
        job = kernel.submit(frame_of(3))
        lines = []
        other = kernel.open(tell=lines.append)
        with job.folder.lock(print):
            import threading

            waiting = threading.Thread(target=other.collect)
            waiting.start()
            while not lines:
                waiting.join(0.01)
            assert "Another kernel is at work on the job 'night'" in lines[0]
        waiting.join(20)
        assert job.folder.read_manifest().finished
