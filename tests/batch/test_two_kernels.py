"""Two kernels that submit or collect the same job at once."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from pandas_genai.testing import LoopbackProvider

KERNEL = """
import json, sys
import pandas as pd, pandas_genai
import openai, anthropic
url, backend, what = sys.argv[1:]
frame = pd.DataFrame({"text": [f"row {n}" for n in range(200)]})
print("ready", flush=True)
sys.stdin.readline()
if what == "submit":
    frame.genai.batch_submit("Echo.", {"answer": str}, backend=backend, base_url=url, api_key="k")
out = frame.genai.batch_collect()
print(json.dumps({"right": out["answer"].tolist() == frame["text"].tolist()}), flush=True)
"""


def run(count, url, backend, what):
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KERNEL), url, backend, what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for kernel in kernels:
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    said = [kernel.communicate(timeout=60)[0].splitlines() for kernel in kernels]
    assert [kernel.returncode for kernel in kernels] == [0] * count
    return said


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_submitting_at_once(backend):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        provider.faults = []
        said = run(3, url, backend, "submit")
        assert all(json.loads(lines[-1]) == {"right": True} for lines in said)
        assert len(provider.batches) == 1
        assert set(provider.ledger.answered.values()) == {1}
        assert len([file for file in provider.files if file.purpose == "batch"]) <= 1
        said = run(3, url, backend, "collect")
        assert all(json.loads(lines[-1]) == {"right": True} for lines in said)


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
        assert job.folder.journal().finished
