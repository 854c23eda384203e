"""How time and memory grow with the rows: ``python tests/benchmarks/bench_growth.py [name ...]``.

``cached`` (everything is in the cache), ``batch`` (requests written, results taken in, frame) and
``live``; each size in a process of its own. The exponent is the slope of a straight line through
the logarithms: 1 is linear. ``overnight`` takes 5,000,000 rows to files and back once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIZES = {"cached": (10_000, 100_000, 1_000_000), "live": (1_000, 10_000, 100_000)}
SIZES["batch"] = SIZES["cached"]
OVERNIGHT = 5_000_000


def cached(rows, place):
    import bench_cached

    path = place / "cache.sqlite"
    task = bench_cached.fill(path, rows)
    command = [sys.executable, bench_cached.__file__, "ours", str(rows), str(path), task]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, _, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def batch(rows, place):
    import bench_batch

    frame = bench_batch.frame_of(rows)
    folder, written, most = bench_batch.build(frame, "openai", place)
    taken, built, memory = bench_batch.collect(folder, "openai", place)
    return written + taken + built, max(most, memory)


def live(rows, place):
    import bench_batch
    import bench_live

    frame = bench_live.frame_of(rows)
    with bench_live.fast_provider() as url:
        bench_live.extract(frame.iloc[:100], url, False)
        before, since = bench_batch.start()
        out = bench_live.extract(frame, url, place / "c.sqlite", max_workers=32)
        seconds = bench_batch.time.perf_counter() - since
        assert out["answer"].notna().all()
        return seconds, bench_batch.memory_mb("VmHWM") - before


WAYS = {"cached": cached, "batch": batch, "live": live}


def measured(name, rows):
    """Run one size in a process of its own; return seconds, and MB above the frame."""
    command = [sys.executable, __file__, "--one", name, str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes, values):
    return np.polyfit(np.log(sizes), np.log(values), 1)[0]


def growth(name):
    found = []
    for rows in SIZES[name]:
        seconds, memory = measured(name, rows)
        found.append((seconds, memory))
        print(f"{name}: {rows:,} rows in {seconds:.2f} s, {memory:.0f} MB above the frame")
    seconds, memory = zip(*found, strict=True)
    print(
        f"{name}: time grows with the rows to the power {exponent(SIZES[name], seconds):.2f}, "
        f"memory {exponent(SIZES[name], np.maximum(memory, 1)):.2f}"
    )


def overnight():
    seconds, memory = measured("batch", OVERNIGHT)
    print(f"overnight: {OVERNIGHT:,} rows to files and back in {seconds:.0f} s, {memory:,.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(WAYS[sys.argv[2]](int(sys.argv[3]), Path(scratch))))
    else:
        for chosen in sys.argv[1:] or WAYS:
            overnight() if chosen == "overnight" else growth(chosen)
