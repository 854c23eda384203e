"""Rows paid twice by kernels that start the same call: ``python kernels_together.py [rows]``.

Two and four processes extract the same frame into the same cache file, started together and a
second apart, six trials each. The provider counts the rows that it was asked to answer: whatever
is above the number of distinct texts was paid twice.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

KERNEL = """
import sys, time
import pandas as pd
import pandas_genai
path, url, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
frame = pd.DataFrame({"text": [f"row {n}: " + "word " * 20 for n in range(rows)]})
print("ready", flush=True)
sys.stdin.readline()
out = frame.genai.extract(
    "Repeat the text.", {"answer": str}, base_url=url, api_key="sk-bench", cache=path,
    progress=False, max_workers=16,
)
assert (out["answer"] == frame["text"]).all()
print("completed", flush=True)
"""


def rule(text):
    """Answer with the text itself."""
    return {"answer": text}


def started(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def trial(url, folder, kernels, apart, rows):
    """Run so many kernels; return the rows that were asked for, and the seconds it took."""
    before = asked(url)
    processes = [started(KERNEL, Path(folder) / "c.sqlite", url, rows) for _ in range(kernels)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    start = time.perf_counter()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(apart)
    for process in processes:
        assert process.communicate(timeout=600)[0] == "completed\n"
    return asked(url) - before, time.perf_counter() - start


def asked(url):
    with urllib.request.urlopen(url.removesuffix("/v1") + "/ledger") as answer:
        return json.load(answer)["rows"]


def main(rows=2_000, trials=6):
    options = ["--rule", f"{__file__}:rule"]
    command = [sys.executable, "-m", "pandas_genai.testing", *options]
    provider = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = json.loads(provider.stdout.readline())["openai_url"]
    try:
        for kernels in (2, 4):
            for apart in (0.0, 1.0):
                found = []
                for _ in range(trials):
                    with tempfile.TemporaryDirectory() as folder:
                        found.append(trial(url, folder, kernels, apart, rows))
                twice = [count - rows for count, _ in found]
                seconds = statistics.median(seconds for _, seconds in found)
                print(
                    f"{kernels} kernels, {apart:.0f} s apart, {rows:,} rows: paid twice {twice}, "
                    f"median {statistics.median(twice):.0f}; {seconds:.1f} s",
                    flush=True,
                )
    finally:
        provider.stdin.close()
        provider.wait(10)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
