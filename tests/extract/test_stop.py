"""Stop, kill and two kernels at once, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from pandas_genai import SqliteCache
from pandas_genai.testing import Fault, LoopbackProvider

SCRIPT = """
import json, signal, sys, time, threading
import pandas as pd, pandas_genai
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
url, cache, rows, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
df = pd.DataFrame({"text": [f"row {n}" for n in range(rows)]})

def ask():
    return df.genai.extract("Echo.", {"answer": str}, base_url=url, api_key="sk-k", cache=cache,
                            max_workers=workers, progress=None)

def ours():
    return [t for t in threading.enumerate() if t.name.startswith("genai")]

def say(**what):
    print(json.dumps(what), flush=True)
"""


def echo(text):
    return {"answer": text}


def start(body, url, cache, rows, workers):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(body), url, cache, str(rows), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


ALL_RIGHT = "out = ask(); say(right=bool((out['answer'] == df['text']).all()))"


def test_a_killed_kernel_loses_what_was_in_flight_and_no_more(tmp_path):
    cache, rows, workers = str(tmp_path / "c.sqlite"), 2_000, 20
    with LoopbackProvider(echo, latency=0.01) as provider:
        process = start("ask()", provider.openai_url, cache, rows, workers)
        provider.wait_for(calls=100, timeout=60)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        answered = provider.ledger.rows
        assert 0 < answered < rows
        process = start(ALL_RIGHT, provider.openai_url, cache, rows, workers)
        out, err = process.communicate(timeout=120)
        assert json.loads(out) == {"right": True}, err
        ledger = provider.ledger
    assert len(ledger.answered) == rows
    assert ledger.rows - rows <= 5 * workers


STOPPED = """
import _thread
pressed = []

def press():
    sys.stdin.readline()
    pressed.append(time.monotonic())
    _thread.interrupt_main()

threading.Thread(target=press, daemon=True).start()
try:
    ask()
except KeyboardInterrupt as error:
    say(seconds=time.monotonic() - pressed[0], lines=error._render_traceback_(),
        kind=type(error).__name__)
    sys.stderr.write("--- control\\n")
if not sys.stdin.readline():
    sys.exit()
for thread in ours():
    thread.join(30)
say(left=[thread.name for thread in ours()])
"""


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped with 64 hanging calls, and its process."""
    cache = str(tmp_path / "c.sqlite")
    hanging = [Fault("hang", calls=set(range(20, 100_000)))]
    with LoopbackProvider(echo, faults=hanging) as provider:
        process = start(STOPPED, provider.openai_url, cache, 2_000, 64)
        provider.wait_for_in_flight(64, timeout=60)
        process.stdin.write("stop\n")
        process.stdin.flush()
        yield provider, process, cache
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_stop_gives_control_back_within_a_second_and_prints_nothing_later(stopped):
    provider, process, cache = stopped
    said = json.loads(process.stdout.readline())
    assert said["seconds"] < 1
    assert said["kind"] == "Stopped"
    (line,) = said["lines"]
    assert "95 of 2,000 rows" in line
    assert "Run the cell again" in line
    provider.release()
    out, err = process.communicate("look\n", timeout=60)
    assert json.loads(out) == {"left": []}
    assert err.partition("--- control\n")[2] == ""
    # What was in flight has arrived meanwhile, and is kept and counted.
    with SqliteCache(cache) as kept:
        (run,) = kept.runs()
    assert (run["status"], run["ok"]) == ("stopped", 95 + 64 * 5)
    assert run["calls"] == provider.ledger.calls == 19 + 64
    with LoopbackProvider(echo) as other:
        process = start(ALL_RIGHT, other.openai_url, cache, 2_000, 8)
        out, err = process.communicate(timeout=60)
        assert json.loads(out) == {"right": True}, err
        assert other.ledger.rows == 2_000 - 95 - 64 * 5


def test_a_script_that_was_stopped_ends_without_waiting_for_hanging_calls(stopped):
    _, process, cache = stopped
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(20) == 0
    with SqliteCache(cache) as kept:
        (run,) = kept.runs()
    assert (run["status"], run["ok"]) == ("stopped", 95)


def test_two_kernels_at_once_both_finish(tmp_path):
    cache, rows = str(tmp_path / "c.sqlite"), 1_000
    with LoopbackProvider(echo, latency=0.005) as provider:
        both = [start(ALL_RIGHT, provider.openai_url, cache, rows, 8) for _ in range(2)]
        ends = [process.communicate(timeout=120) for process in both]
        assert [json.loads(out) for out, _ in ends] == [{"right": True}] * 2, ends
        # They start at different chunks and look once more before each call.
        assert provider.ledger.rows < 1.9 * rows
