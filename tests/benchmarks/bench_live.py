"""Figures of the live path, by hand: ``python tests/benchmarks/bench_live.py [name ...]``.

Ratios within one run count, not seconds: the machine beside it is never quiet. The provider
runs in a process of its own, so that it does not share the client's interpreter.
"""

from __future__ import annotations

import json
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


def bare_pool(url, calls):
    """Calls a second of ``create`` through a plain thread pool: the same bodies, no checks."""
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=url, max_retries=0)
    bodies = [
        request["body"]
        for request in frame_of(calls * 5).genai.preview(
            "Repeat the text.", {"answer": str}, n=calls, base_url=url
        )
    ]

    def create(body):
        return client.chat.completions.create(**body)

    create(bodies[0])
    with ThreadPoolExecutor(THREADS) as pool:
        start = time.perf_counter()
        list(pool.map(create, bodies))
        seconds = time.perf_counter() - start
    client.close()
    return calls / seconds


def throughput(calls=1_500, rounds=3):
    """Zero latency, 32 threads: calls a second against a bare pool over ``create``."""
    ratios, ours, bare = [], [], []
    with provider() as url, tempfile.TemporaryDirectory() as scratch:
        extract(frame_of(50), url, False)
        for number in range(rounds):
            frame = frame_of(calls * 5)
            start = time.perf_counter()
            extract(frame, url, Path(scratch) / f"{number}.sqlite", max_workers=THREADS)
            ours.append(calls / (time.perf_counter() - start))
            bare.append(bare_pool(url, calls))
            ratios.append(ours[-1] / bare[-1])
    print(
        f"throughput: {statistics.median(ours):,.0f} calls/s, bare pool over create "
        f"{statistics.median(bare):,.0f} calls/s, ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f}-{max(ratios):.2f})"
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


if __name__ == "__main__":
    random.seed(0)
    for name in sys.argv[1:] or ["throughput", "cached", "stop", "faults"]:
        globals()[name]()
