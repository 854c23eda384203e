"""Half is in the cache: ``python tests/benchmarks/bench_first.py [rows]``, the first new row.

The time from the call of ``extract`` to the first request that the provider reads, each call in a
process of its own, against a bare script that does what a bare script would before its first
request: hash each text, look the keys up in sorted blocks, import the SDK.
Ratios within one run count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import bench_cached
import numpy as np
from bench_live import fast_provider

LATENCY = 60.0  # nothing is answered while the time of the first request is measured


def first_request(url):
    """Wait until the provider has read a request, and return when that was."""
    while True:
        with urllib.request.urlopen(f"{url}/first") as answer:
            first = json.load(answer)
        if first is not None:
            return first
        time.sleep(0.1)


def ours(rows, path, url):
    """Return the seconds from the call to the first request, the process ended there."""
    command = [sys.executable, __file__, "ours", str(rows), str(path), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        called = float(child.stdout.readline())
        first = first_request(url)
        child.kill()
    return first - called


def call(rows, path, url):
    frame = bench_cached.frame_of(rows)
    import pandas_genai  # noqa: F401

    print(time.monotonic(), flush=True)
    frame.genai.extract(
        bench_cached.PROMPT,
        bench_cached.SCHEMA,
        cache=path,
        base_url=url,
        max_workers=16,
        **bench_cached.OPTIONS,
    )


def main(rows, rounds=3):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cache.sqlite"
        prompt_hash = bench_cached.fill(path, rows, step=2)
        ratios = []
        for _ in range(rounds):
            with fast_provider(LATENCY) as url:
                seconds = ours(rows, path, url)
            command = [sys.executable, __file__, "bare", str(rows), str(path), prompt_hash]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            ratios.append(seconds / float(done.stdout))
            print(f"first request {seconds:.2f} s after the call, bare {float(done.stdout):.2f} s")
        print(f"{rows:,} rows: {np.median(ratios):.2f} of the bare script's time")


def bare(rows, path, prompt_hash):
    frame = bench_cached.frame_of(rows)
    since = time.monotonic()
    keys, found = bench_cached.look_up(frame, path, prompt_hash)
    missing = [key for key in keys if key not in found]
    import openai

    openai.OpenAI(api_key="k")
    seconds = time.monotonic() - since
    assert len(missing) == rows // 2
    print(seconds)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        ways = {"ours": call, "bare": bare}
        ways[sys.argv[1]](int(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
