"""Everything is in the cache: ``python tests/benchmarks/bench_cached.py [rows]``.

A call of ``extract`` whose rows are all answered, against a bare script that does what cannot be
left out: hash each text, look the keys up in sorted blocks, parse the answers, build the frame.
Each in a process of its own, in turn, on one file; ratios within one run count.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SCHEMA = {"tone": ["positive", "neutral", "negative"], "confidence": float, "topic": str}
PROMPT = "Classify the tone and the topic of the complaint."
OPTIONS = {"model": "gpt-6-luna", "backend": "openai", "api_key": "k", "progress": False}
BLOCK = 900


def frame_of(rows):
    words = ("service", "slow", "nobody", "answered", "the", "letter", "that", "I", "sent", "in")
    line = " ".join(random.Random(1).choices(words, k=80))
    return pd.DataFrame({"text": [f"{number}: {line}"[:300] for number in range(rows)]})


def memory_mb(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def fill(path, rows, step=1):
    """Write an answer to each row, or to every ``step``-th, as a run would have."""
    from pandas_genai import SqliteCache, Task
    from pandas_genai.backends.resolve import Question
    from pandas_genai.store import Answer
    from pandas_genai.task.rows import distinct_rows

    task = Task(PROMPT, SCHEMA, model=OPTIONS["model"], backend=OPTIONS["backend"])
    prompt_hash = Question(task, None, "k").resolve().task.prompt_hash
    draw, tones = random.Random(2), SCHEMA["tone"]
    with SqliteCache(path) as cache:
        writer = cache.writer()
        keys = distinct_rows(frame_of(rows)["text"][::step]).keys
        for start in range(0, len(keys), 10_000):
            answers = []
            for key in keys[start : start + 10_000]:
                text = json.dumps(
                    {
                        "tone": draw.choice(tones),
                        "confidence": round(draw.random(), 2),
                        "topic": f"letter {draw.randrange(1000)}",
                    },
                    separators=(",", ":"),
                )
                answers.append(
                    Answer(
                        prompt_hash, key, text, None, OPTIONS["model"], None, "run", "r", 1, 0, 1
                    )
                )
            writer.put(answers)
        writer.close()
    return prompt_hash


def ours(frame, path, _):
    import pandas_genai  # noqa: F401 - gives frames .genai

    return frame.genai.extract(PROMPT, SCHEMA, cache=path, **OPTIONS)


def look_up(frame, path, prompt_hash):
    """Return the keys in the order of the rows, and the answer to each that has one."""
    keys = [hashlib.sha256(text.encode()).digest()[:16].hex() for text in frame["text"].tolist()]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    connection = sqlite3.connect(path)
    found = {}
    for start in range(0, len(order), BLOCK):
        block = [keys[place] for place in order[start : start + BLOCK]]
        marks = ",".join("?" * len(block))
        found.update(
            connection.execute(
                f"SELECT text_hash, json_result FROM results WHERE prompt_hash = ? "
                f"AND text_hash IN ({marks}) AND repeat = 0",
                (prompt_hash, *block),
            )
        )
    return keys, found


def bare(frame, path, prompt_hash):
    keys, found = look_up(frame, path, prompt_hash)
    records = [json.loads(found[key]) for key in keys]
    out = pd.DataFrame.from_records(records, index=frame.index)
    out["tone"] = pd.Categorical(out["tone"], categories=SCHEMA["tone"])
    return out


def one(way, rows, path, prompt_hash):
    frame = frame_of(rows)
    if way == "ours":
        import pandas_genai  # noqa: F401

        _ = pd.DataFrame.genai  # what is imported late is imported now
    Path("/proc/self/clear_refs").write_text("5")
    before, since, cpu = memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    out = {"ours": ours, "bare": bare}[way](frame, path, prompt_hash)
    seconds, cpu = time.perf_counter() - since, time.process_time() - cpu
    assert len(out) == rows
    assert out["topic"].notna().all()
    print(json.dumps([seconds, cpu, memory_mb("VmHWM") - before]))


def main(rows, rounds=3):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cache.sqlite"
        prompt_hash = fill(path, rows)
        ratios = []
        for _ in range(rounds):
            found = {}
            for way in ("bare", "ours"):
                command = [sys.executable, __file__, way, str(rows), str(path), prompt_hash]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[way] = json.loads(done.stdout.splitlines()[-1])
                seconds, cpu, memory = found[way]
                print(f"{way}: {seconds:.2f} s ({cpu:.2f} s CPU), {memory:.0f} MB above the frame")
            ratios.append([found["ours"][n] / found["bare"][n] for n in (0, 1)])
        time_ratio, cpu_ratio = np.median(ratios, axis=0)
        print(
            f"{rows:,} rows: {time_ratio:.2f} of the bare script's time, {cpu_ratio:.2f} of its CPU"
        )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        one(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
