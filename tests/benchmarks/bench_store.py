"""PostgreSQL beside SQLite: ``python bench_store.py [rows] [trials]``.

Both on this machine and in one run, so that the ratios count: answers of 300 characters written by
20 threads in puts of five, read in blocks of 9,000, looked up block by block as leases are taken;
and ``extract``, of rows that are all new (a provider that answers at once, five rows a call, 20
threads) and of rows that are all answered.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

import pandas_genai  # noqa: F401 - the accessor
from pandas_genai.store import Answer, open_store
from pandas_genai.testing import LoopbackProvider

sys.path.insert(0, str(Path(__file__).parents[1]))
import postgres_server

TASK = "a" * 32
RESULT = json.dumps({"tone": "good", "why": "x" * 274})
BLOCK, THREADS = 9_000, 20


def timed(act):
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def write(store, keys):
    writer = store.writer()

    def work(mine):
        for start in range(0, len(mine), 5):
            writer.put(
                [
                    Answer(TASK, key, RESULT, model="m", model_answered="m-1", output_tokens=80)
                    for key in mine[start : start + 5]
                ]
            )

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, [keys[number::THREADS] for number in range(THREADS)]))
    writer.close()


def read(store, keys):
    ordered = sorted(keys)
    found = 0
    for start in range(0, len(ordered), BLOCK):
        found += len(store.read(TASK, ordered[start : start + BLOCK]))
    assert found == len(keys)


def lease(store, keys):
    leases = store.leases(TASK)
    for start in range(0, len(keys), 100):
        block = keys[start : start + 100]
        assert len(leases.acquire(block).ours) == len(block)
        store.present(TASK, block)
        leases.end(block)
    leases.close()


def extract(url, frame, provider, chunk_size):
    frame.genai.extract(
        "Tone?",
        {"tone": str},
        base_url=provider.openai_url,
        api_key="k",
        cache=url,
        progress=False,
        chunk_size=chunk_size,
    )


def measured(url, rows, trial):
    """Return rates of one trial, whose rows are its own."""
    keys = [hashlib.md5(f"{trial} {number}".encode()).hexdigest() for number in range(rows)]
    frame = pd.DataFrame({"text": [f"text {trial} {number}" for number in range(rows)]})
    live = frame.iloc[: rows // 10] + " live"
    found = {}
    with open_store(url)[0] as store:
        found["answers written/s"] = rows / timed(lambda: write(store, keys))
        found["answers read/s"] = rows / timed(lambda: read(store, keys))
        found["rows leased/s"] = 5_000 / timed(lambda: lease(store, keys[:5_000]))
    with LoopbackProvider(lambda text: {"tone": text.ljust(280, "x")}) as provider:
        found["calls/s"] = len(live) / 5 / timed(lambda: extract(url, live, provider, 5))
        extract(url, frame, provider, 50)
        found["cached rows/s"] = rows / timed(lambda: extract(url, frame, provider, 50))
    return found


def bytes_an_answer(server, rows):
    """Return what an answer takes, alone and with its share of the record of its call."""
    with server.connect() as connection:
        connection.execute("DROP SCHEMA pandas_genai CASCADE")
    frame = pd.DataFrame({"text": [f"{number} live" for number in range(rows)]})
    with LoopbackProvider(lambda text: {"tone": text.ljust(290, "x")}) as provider:
        extract(server.url(), frame, provider, 5)
    size = "SELECT pg_total_relation_size(%s::regclass)::float"
    with server.connect() as connection:
        tables = ("pandas_genai.results", "pandas_genai.requests")
        sizes = [connection.execute(size, (table,)).fetchone()[0] / rows for table in tables]
    return sizes[0], sum(sizes)


def main(rows=20_000, trials=5):
    server = postgres_server.PostgresServer(postgres_server.binaries())
    rates = {"SQLite": [], "PostgreSQL": []}
    try:
        with tempfile.TemporaryDirectory() as folder:
            urls = {"SQLite": f"sqlite:///{folder}/c.sqlite", "PostgreSQL": server.url()}
            for trial in range(trials):  # in turns, because the machine may not be quiet
                for name, url in urls.items():
                    rates[name].append(measured(url, rows, trial))
        alone, with_call = bytes_an_answer(server, rows)
    finally:
        server.close()
    for what in rates["SQLite"][0]:
        sqlite, postgres = (
            statistics.median(one[what] for one in found) for found in rates.values()
        )
        ratio = postgres / sqlite
        print(f"{what}: SQLite {sqlite:,.0f}, PostgreSQL {postgres:,.0f}, ratio {ratio:.2f}")
    print(f"bytes an answer of 300 characters: {alone:,.0f}, with its call {with_call:,.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
