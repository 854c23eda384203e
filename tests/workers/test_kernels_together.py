"""Kernels that ask the same at once pay for each row once."""

import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from pandas_genai.testing import Fault, LoopbackProvider

KERNEL = """
import sys
import pandas as pd
import pandas_genai
path, url, start, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
frame = pd.DataFrame({"text": [f"row {number}" for number in range(start, end)]})
print("ready", flush=True)
sys.stdin.readline()
out = frame.genai.extract(
    "Repeat.", {"answer": str}, base_url=url, api_key="sk-test", cache=path, progress=False,
    max_workers=8,
)
assert (out["answer"] == frame["text"]).all()
"""


def echo(text):
    return {"answer": text}


@pytest.fixture
def kernel(tmp_path):
    """Starts a kernel on the cache of this test; what is left of it is killed."""
    started = []

    def start(url, first, last):
        command = [sys.executable, "-c", KERNEL, tmp_path / "c.sqlite", url, first, last]
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def ended(process):
    _, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")


def in_process(frame, provider, path):
    return frame.genai.extract(
        "Repeat.",
        {"answer": str},
        base_url=provider.openai_url,
        api_key="sk-test",
        cache=path,
        progress=False,
        max_workers=8,
    )


@pytest.mark.parametrize("second", [(0, 200), (100, 250)])
def test_kernels_that_start_together_pay_once(kernel, tmp_path, second):
    with LoopbackProvider(echo, latency=0.02) as provider:
        kernels = [kernel(provider.openai_url, 0, 200), kernel(provider.openai_url, *second)]
        for process in kernels:
            go(process)
        for process in kernels:
            ended(process)
        assert provider.ledger.rows == max(200, second[1])
    assert [path.name for path in tmp_path.iterdir()] == ["c.sqlite"]


def test_what_a_killed_kernel_had_under_way_is_taken_over(kernel, tmp_path):
    hang = [Fault("hang", calls=set(range(6, 13)))]
    with LoopbackProvider(echo, faults=hang) as provider:
        dying = kernel(provider.openai_url, 0, 60)
        go(dying)
        provider.wait_for_in_flight(7, timeout=60)
        os.kill(dying.pid, signal.SIGKILL)
        dying.wait(10)
        frame = pd.DataFrame({"text": [f"row {number}" for number in range(60)]})
        out = in_process(frame, provider, tmp_path / "c.sqlite")
        assert (out["answer"] == frame["text"]).all()
        # What was answered before the kill is not asked again; what hung was never answered.
        assert provider.ledger.rows <= 60 + 7 * 5
        provider.release()
    assert [path.name for path in tmp_path.iterdir()] == ["c.sqlite"]


def test_stop_lets_another_kernel_have_what_was_not_sent(kernel, tmp_path):
    hang = [Fault("hang", calls=set(range(4, 12)))]
    with LoopbackProvider(echo, faults=hang) as provider:
        stopped = kernel(provider.openai_url, 0, 80)
        go(stopped)
        provider.wait_for_in_flight(8, timeout=60)
        os.kill(stopped.pid, signal.SIGINT)
        _, err = stopped.communicate(timeout=60)
        assert "Stopped" in err
        provider.release()
        frame = pd.DataFrame({"text": [f"row {number}" for number in range(80)]})
        out = in_process(frame, provider, tmp_path / "c.sqlite")
        assert (out["answer"] == frame["text"]).all()
        assert provider.ledger.rows <= 80 + 8 * 5
