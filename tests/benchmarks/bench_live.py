"""Figures of the live path, by hand: ``python tests/benchmarks/bench_live.py [name ...]``.

Ratios within one run count, not seconds: the machine beside it is never quiet. The provider
runs in a process of its own, so that it does not share the client's interpreter.

``throughput`` and ``latency`` use a provider that keeps up (``fast_provider.py``), and tell how far
it did; both can be told ``--workers N``, ``--calls N`` and ``--rounds N``, and ``latency`` also
``--bare``, which runs a bare pool over the SDK's ``create`` in turn.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai import Stopped

THREADS = 32
KEY = "sk-bench"


def rule(text):
    """Answer with the text itself."""
    return {"answer": text}


def frame_of(rows):
    return pd.DataFrame({"text": [f"row {number}: " + "word " * 20 for number in range(rows)]})


@contextmanager
def provider(*options):
    """A loopback provider in a process of its own; yields its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pandas_genai.testing", "--rule", f"{__file__}:rule", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield json.loads(process.stdout.readline())["openai_url"]
    finally:
        process.stdin.close()
        process.wait(10)


def ledger(url):
    with urllib.request.urlopen(url.removesuffix("/v1") + "/ledger") as answer:
        return json.load(answer)


def extract(frame, url, cache, **options):
    return frame.genai.extract(
        "Repeat the text.",
        {"answer": str},
        base_url=url,
        api_key=KEY,
        cache=cache,
        progress=False,
        **options,
    )


@contextmanager
def fast_provider(latency=0.0):
    """A provider that keeps up with hundreds of connections; yields its base URL."""
    path = Path(__file__).with_name("fast_provider.py")
    process = subprocess.Popen(
        [sys.executable, path, str(latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def lateness(url):
    """How late the provider's answers since the last look were sent, as a sentence."""
    with urllib.request.urlopen(url + "/lateness") as answer:
        late = sorted(json.load(answer))
    median, most = statistics.median(late), late[int(len(late) * 0.99)]
    return f"answers late by {median * 1e3:.1f} ms (median), {most * 1e3:.1f} ms (99 %)"


def timed(calls, run):
    """Run it; return calls a second and milliseconds of this process's CPU a call."""
    start, cpu = time.perf_counter(), time.process_time()
    run()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return calls / seconds, cpu / calls * 1e3


def bodies_of(url, calls):
    """The bodies that ``ours`` sends."""
    requests = frame_of(calls).genai.preview(
        "Repeat the text.", {"answer": str}, n=calls, base_url=url, chunk_size=1
    )
    return [request["body"] for request in requests]


def ours(url, calls, workers):
    """``extract`` with one row a call, into a new cache file; every answer is looked at."""
    frame = frame_of(calls)
    with tempfile.TemporaryDirectory() as scratch:

        def run():
            cache = Path(scratch) / "c.sqlite"
            out = extract(frame, url, cache, max_workers=workers, chunk_size=1)
            assert (out["answer"] == frame["text"]).all()

        return timed(calls, run)


def bare(send, bodies, workers):
    """The same bodies through a plain thread pool."""
    with ThreadPoolExecutor(workers) as pool:
        return timed(len(bodies), lambda: list(pool.map(send, bodies)))


def bare_create(url, bodies, workers):
    """The SDK's own client and its ``create``: no checks, nothing kept."""
    import openai

    with openai.OpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
        client.chat.completions.create(**bodies[0])
        return bare(lambda body: client.chat.completions.create(**body), bodies, workers)


def bare_http(url, bodies, workers):
    """Raw HTTP, a connection a thread: what the provider and the machine could do."""
    address, own = urlsplit(url), threading.local()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

    def send(body):
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(address.hostname, address.port)
        path = address.path + "/chat/completions"
        own.connection.request("POST", path, json.dumps(body), headers)
        return json.loads(own.connection.getresponse().read())

    return bare(send, bodies, workers)


def throughput(workers=32, calls=4_000, rounds=5, **_):
    """No latency, one row a call: calls a second against a bare pool over ``create``."""
    ways = {"ours": [], "create": [], "raw HTTP": []}
    with fast_provider() as url:
        extract(frame_of(50), url, False)
        bodies = bodies_of(url, calls)
        for _ in range(rounds):
            ways["ours"].append(ours(url, calls, workers))
            ways["create"].append(bare_create(url, bodies, workers))
            ways["raw HTTP"].append(bare_http(url, bodies, workers))
    for name, found in ways.items():
        ratios = [one[0] / other[0] for one, other in zip(found, ways["create"], strict=True)]
        cpu = [one[1] / other[1] for one, other in zip(found, ways["create"], strict=True)]
        print(
            f"throughput, {workers} threads, {name}: "
            f"{statistics.median(one[0] for one in found):,.0f} calls/s, "
            f"{statistics.median(one[1] for one in found):.2f} ms of CPU a call; calls/s against "
            f"create {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), "
            f"CPU {statistics.median(cpu):.2f}",
            flush=True,
        )


def latency(workers=256, calls=10_000, rounds=1, seconds=1.0, with_bare=False):
    """A provider that takes its time: wall time against calls / workers, rounded up, x latency."""
    import openai  # noqa: F401 - takes a second, whoever sends

    ideal = math.ceil(calls / workers) * seconds
    with fast_provider(seconds) as url:
        bodies = bodies_of(url, calls)
        ways = {
            "raw HTTP": lambda: bare_http(url, bodies, workers),
            "ours": lambda: ours(url, calls, workers),
        }
        if with_bare:
            ways["create"] = lambda: bare_create(url, bodies, workers)
        for _ in range(rounds):
            for name, run in ways.items():
                rate, cpu = run()
                print(
                    f"latency, {workers} workers, {name}: {calls / rate:.2f} s, "
                    f"{calls / rate / ideal:.3f} x the ideal of {ideal:g} s, {cpu:.2f} ms of CPU "
                    f"a call; provider: {lateness(url)}",
                    flush=True,
                )


def original_way(path, keys):
    """Look every row up as the original toolkit did: a connection and a query a row."""
    found = 0
    for key in keys:
        connection = sqlite3.connect(path)
        row = connection.execute(
            "SELECT json_result, prompt_hash FROM results WHERE row_id = ?", (key,)
        ).fetchone()
        connection.close()
        found += bool(json.loads(row[0]))
    return found


def cached(rows=100_000):
    """A frame that is all in the cache: seconds, and the ratio to the original's way."""
    frame = frame_of(rows)
    with provider() as url, tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "c.sqlite"
        extract(frame, url, path, chunk_size=500, max_workers=8)
        start = time.perf_counter()
        out = extract(frame, url, path, chunk_size=500)
        ours = time.perf_counter() - start
        assert out["answer"].notna().all()
        old = Path(scratch) / "original.sqlite"
        with sqlite3.connect(old) as connection:
            connection.execute(
                "CREATE TABLE results (row_id TEXT PRIMARY KEY, json_result TEXT NOT NULL, "
                "prompt_hash TEXT)"
            )
            connection.executemany(
                "INSERT INTO results VALUES (?, ?, 'x')",
                ((str(n), json.dumps({"answer": t})) for n, t in enumerate(frame["text"])),
            )
        connection.close()
        start = time.perf_counter()
        assert original_way(old, [str(number) for number in range(rows)]) == rows
        theirs = time.perf_counter() - start
    print(
        f"cached: {rows:,} rows in {ours:.2f} s, the original way {theirs:.2f} s for the look-ups "
        f"alone, ratio {theirs / ours:.1f}"
    )


def stop(calls=64):
    """Stop with 64 hanging calls: seconds to control."""
    from pandas_genai.testing import Fault, LoopbackProvider

    hang = [Fault("hang", calls=set(range(2, 10_000)))]
    with LoopbackProvider(rule, faults=hang) as server:

        def press():
            server.wait_for_in_flight(calls, timeout=30)
            pressed.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        pressed = []
        threading.Thread(target=press).start()
        try:
            extract(frame_of(5_000), server.openai_url, False, max_workers=calls)
        except Stopped as error:
            seconds = time.perf_counter() - pressed[0]
            print(f"stop: {seconds:.3f} s to control with {calls} hanging calls. {error}")
        server.release()


def faults(rows=10_000):
    """Ten thousand rows through every fault, answers in random order."""
    from pandas_genai.testing import Fault, LoopbackProvider

    rates = {
        "rate_limit": 0.05,
        "server_error": 0.03,
        "reset": 0.02,
        "garbage": 0.02,
        "missing": 0.02,
        "doubled": 0.01,
        "invented": 0.01,
        "truncated": 0.01,
    }
    frame = frame_of(rows)
    plan = [Fault(kind, rate=rate) for kind, rate in rates.items()]
    start = time.perf_counter()
    with LoopbackProvider(
        rule, faults=plan, latency=lambda number, rng: rng.uniform(0, 0.02), seed=1
    ) as server:
        out = extract(frame, server.openai_url, False)
        answered = server.ledger.rows
    right = (out["answer"] == frame["text"]).sum()
    print(
        f"faults: {right:,} of {rows:,} right, {out['answer'].notna().sum() - right} on another's "
        f"row, rows answered {answered / rows:.3f} x rows, {time.perf_counter() - start:.0f} s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=["throughput", "cached", "stop", "faults"])
    for name in ("workers", "calls", "rounds"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--bare", action="store_true", dest="with_bare")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value}
    random.seed(0)
    for name in given.pop("names"):
        globals()[name](**given)


if __name__ == "__main__":
    main()
