"""Figures of the overnight path, by hand: ``python tests/benchmarks/bench_batch.py [rows]``.

Ratios within one run count, not seconds: the machine beside it is never quiet. Nothing is sent:
the provider's part, a file of results for each file of requests, is written here.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import orjson
import pandas as pd

from pandas_genai import SqliteCache
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.advance import PartAdvancer
from pandas_genai.batch.connection import Connection, ConnectionOptions
from pandas_genai.batch.create import JobSpec, prepare
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.texts import text_form
from pandas_genai.task.task import Task

CHUNK = 5
SCHEMA = {"tone": ["positive", "neutral", "negative"], "confidence": float, "topic": str}
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}


def memory_mb(name):
    """What Linux says of this process: VmRSS is now, VmHWM the most since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def start():
    """Forget the most memory so far; return what there is now, and the time."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mb("VmRSS"), time.perf_counter()


def frame_of(rows):
    words = ("service", "slow", "nobody", "answered", "the", "letter", "that", "I", "sent", "in")
    line = " ".join(random.Random(1).choices(words, k=80))
    return pd.DataFrame({"text": [f"{number}: {line}"[:300] for number in range(rows)]})


def question_of(backend):
    prompt = "Classify the tone and the topic of the complaint."
    return Question(Task(prompt, SCHEMA, model=MODELS[backend], backend=backend), None, "k")


def build(frame, backend, place):
    """Write the requests of a job; return the job, the seconds, and the memory above the frame."""
    with SqliteCache(place / "cache.sqlite") as cache:
        form = text_form(frame, None)
        question = question_of(backend)
        with SqliteCache(
            place / "warm.sqlite"
        ) as other:  # a job's rows are not submitted in a second one
            warm = JobSpec(question, frame.iloc[:1_000], form, other, chunk_size=CHUNK)
            prepare(JobsFolder(place / "warm"), warm, ConnectionOptions())
        before, since = start()
        spec = JobSpec(question, frame, form, cache, chunk_size=CHUNK)
        folder = prepare(JobsFolder(place / "jobs"), spec, ConnectionOptions())
        return folder, time.perf_counter() - since, memory_mb("VmHWM") - before


def bare_loop(frame, folder, place, backend):
    """Serialise the same bodies with orjson, and nothing else; return the seconds."""
    path = folder.requests(backend, 1)
    with path.open(encoding="utf-8") as file:
        line = next(line for line in file if line.strip() != "[").strip().rstrip(",")
    request = json.loads(line)
    name = "body" if "body" in request else "params"
    texts = frame["text"]
    since = time.perf_counter()
    with (place / "bare.jsonl").open("wb") as out:
        for number, start in enumerate(range(0, len(frame), CHUNK)):
            rows = enumerate(texts.iloc[start : start + CHUNK].tolist())
            items = [{"input_id": f"{start + n}", "input_text": text} for n, text in rows]
            content = json.dumps(items, ensure_ascii=False)
            messages = [*request[name]["messages"][:-1], {"role": "user", "content": content}]
            body = {**request[name], "messages": messages}
            out.write(orjson.dumps({**request, "custom_id": f"j-1-{number}", name: body}) + b"\n")
    return time.perf_counter() - since


def answer(folder, backend, part):
    """Write what the provider would have: an answer to every request of a part, shuffled."""
    lines = []
    with folder.requests(backend, part.number).open("rb") as file:
        for line in file:
            stripped = line.strip().rstrip(b",")
            if stripped in (b"[", b"]"):
                continue
            request = orjson.loads(stripped)
            body = request.get("body") or request["params"]
            items = orjson.loads(body["messages"][-1]["content"])
            entry = {"tone": "negative", "confidence": 0.75, "topic": "a letter without an answer"}
            rows = [{"input_id": item["input_id"], **entry} for item in items]
            text = orjson.dumps({"all_results": rows}).decode()
            lines.append(result_line(backend, request["custom_id"], text))
    random.Random(part.number).shuffle(lines)
    folder.results(backend, part).write_bytes(b"".join(lines))


def result_line(backend, custom_id, text):
    if backend == "openai":
        body = {
            "id": f"chatcmpl-{custom_id}",
            "model": "gpt-6-luna-2026-09-01",
            "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 120},
        }
        response = {"status_code": 200, "request_id": f"req_{custom_id}", "body": body}
        line = {"id": "r", "custom_id": custom_id, "response": response, "error": None}
    else:
        message = {
            "id": f"msg_{custom_id}",
            "model": "claude-haiku-5-5",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 700, "output_tokens": 120},
        }
        line = {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}
    return orjson.dumps(line) + b"\n"


def collect(folder, backend, place):
    """Take the results into the cache and build the frame; return the seconds of both."""
    manifest = folder.read_manifest()
    for part in manifest.parts:
        part.stage, part.status, part.batch_id = "stored", "completed", f"b{part.number}"
        answer(folder, backend, part)
    folder.save(manifest)
    before, since = start()
    with (
        Connection(folder, ConnectionOptions()) as connection,
        SqliteCache(place / "cache.sqlite") as cache,
    ):
        PartAdvancer(connection, cache).advance()
    cached, memory = time.perf_counter() - since, memory_mb("VmHWM") - before
    since = time.perf_counter()
    out = BatchJob(folder, ConnectionOptions()).collect()
    assert out["tone"].eq("negative").all()
    return cached, time.perf_counter() - since, memory


def main(rows):
    frame = frame_of(rows)
    for backend in ("openai", "anthropic"):
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            folder, seconds, memory = build(frame, backend, place)
            parts = folder.read_manifest().parts
            size = sum(part.bytes for part in parts) / 1e6
            bare = bare_loop(frame, folder, place, backend)
            (place / "bare.jsonl").unlink()
            print(
                f"{backend}: {rows:,} rows written in {seconds:.1f} s ({size:,.0f} MB, {len(parts)}"
                f" files), {bare / seconds:.2f} of the rate of a bare orjson loop, "
                f"{memory:.0f} MB above the frame"
            )
            cached, built, memory = collect(folder, backend, place)
            print(
                f"{backend}: {rows / cached:,.0f} rows/s parsed, validated and cached, "
                f"{memory:.0f} MB more than before; {built:.1f} s more to the frame"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
