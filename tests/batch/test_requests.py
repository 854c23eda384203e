"""What is written for the batch APIs: the live path's bodies, in files within the limits."""

from __future__ import annotations

import json
import string

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import UsageError
from pandas_genai.backends.batches import Limits
from pandas_genai.backends.endpoints import Capabilities, Endpoint
from pandas_genai.backends.registry import backend_named
from pandas_genai.batch.connection import limits_of
from pandas_genai.batch.folder import JobFolder
from pandas_genai.batch.manifest import Part
from pandas_genai.batch.names import checked_name, custom_prefix, default_name
from pandas_genai.batch.requests import Template, compact, write_requests
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.task import BoundTask, Task

OUTPUT_MODES = {
    "openai": ["strict", "json_schema", "json_object", "text"],
    "anthropic": ["native", "tool", "text"],
}


def task_of(backend, *, schema=("good", "bad"), **params):
    model = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}[backend]
    schema = list(schema) if isinstance(schema, tuple) else schema
    return BoundTask.of(
        Task("Tone?", schema, params=params), model=model, backend=backend, host="h"
    )


def chunks_of(texts, size=5):
    return list(plan_chunks(distinct_rows(texts), range(len(set(texts))), texts, size))


def text_of(backend, line):
    request = json.loads(line)
    return request["body"] if backend == "openai" else request["params"]


sendable = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(texts=st.lists(sendable, min_size=1, max_size=7, unique=True))
@pytest.mark.parametrize("vendor", [True, False])
@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_template_writes_what_the_live_builder_builds(backend, vendor, texts):
    url = "https://api.openai.com/v1" if vendor else "http://127.0.0.1:1/v1"
    task = task_of(backend, temperature=0)
    for mode in OUTPUT_MODES[backend]:
        capabilities = Capabilities(mode)
        template = Template(task, Endpoint(backend, url), capabilities)
        for chunk in chunks_of(texts, 3):
            is_vendor = Endpoint(backend, url).is_vendor
            body = backend_named(backend).build(task, chunk, capabilities, vendor=is_vendor)
            envelope = backend_named(backend).batches.envelope
            assert template.line("job-1-1", chunk) == compact(envelope("job-1-1", body))


@pytest.mark.parametrize(
    "params", [{}, {"temperature": 0.5}, {"structured": "text"}, {"structured": "forced"}]
)
def test_the_batch_request_is_the_live_request(night, frame_of, backend, params):
    """The bytes of the body as both SDKs write them, taken off the wire and out of the file."""
    if params.get("structured") == "forced":
        params = {"structured": {"openai": "json_object", "anthropic": "tool"}[backend]}
    frame = frame_of(7)
    schema = {"answer": str, "note": str | None}
    rule = lambda text: {"answer": text, "note": None}
    with night(rule) as kernel:
        frame.genai.extract(
            "Echo.",
            schema,
            backend=backend,
            base_url=kernel.url,
            api_key="sk-live",
            cache=False,
            chunk_size=3,
            params=params,
            progress=False,
        )
        live = {
            record.body["messages"][-1]["content"]: record.body
            for record in kernel.provider.ledger.requests
            if record.number
        }
        job = kernel.submit(frame, schema=schema, chunk_size=3, params=params)
        path = job.folder.requests(backend, 1)
        lines = [line.rstrip(",") for line in path.read_text(encoding="utf-8").splitlines()]
        written = [text_of(backend, line) for line in lines if line not in ("[", "]")]
    assert len(written) == len(live) == 3
    for body in written:
        assert compact(body) == compact(live[body["messages"][-1]["content"]])


def test_what_the_live_path_learnt_goes_into_the_batch(night, frame_of):
    from pandas_genai.backends.endpoints import ENDPOINTS

    frame = frame_of(4)
    with night(dialect="no_json_schema") as kernel:
        options = {"base_url": kernel.provider.openai_url, "api_key": "k", "progress": False}
        model = "learnt-model"
        frame.genai.extract("Echo.", {"answer": str}, model=model, cache=False, **options)
        connection_options = kernel.connection_options(endpoints=ENDPOINTS)
        kernel.backend = "openai"
        job = kernel.submit(frame, model=model, connection_options=connection_options)
        assert job.collect()["answer"].notna().all()
        assert job.folder.read_manifest().parts[0].rung == "json_object"


def parts_of(tmp_path, backend, texts, limits, chunk_size=1):
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir(exist_ok=True)
    folder.make()
    task = task_of(backend)
    template = Template(
        task, Endpoint(backend, "https://example.org"), Capabilities(OUTPUT_MODES[backend][0])
    )
    parts = write_requests(
        folder,
        task,
        chunks_of(texts, chunk_size),
        template,
        limits,
        lambda part, request: f"job-{part}-{request}",
        Part,
        lambda rows: [str(row.position) for row in rows],
    )
    return folder, parts


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_parts_keep_to_the_limits(tmp_path, backend):
    texts = [f"{number} " + "x" * (number * 37 % 900) for number in range(200)]
    limits = Limits(requests=40, bytes=30_000)
    folder, parts = parts_of(tmp_path, backend, texts, limits)
    assert len(parts) > 5
    sent = []
    for part in parts:
        path = folder.requests(backend, part.number)
        assert path.stat().st_size == part.bytes <= limits.bytes
        assert part.requests <= limits.requests
        data = path.read_text(encoding="utf-8")
        requests = (
            json.loads(data)
            if backend == "anthropic"
            else [json.loads(line) for line in data.splitlines()]
        )
        assert len(requests) == part.requests
        names = [request["custom_id"] for request in requests]
        assert names == [f"job-{part.number}-{n}" for n in range(1, part.requests + 1)]
        bodies = [request.get("body") or request["params"] for request in requests]
        assert len({body["model"] for body in bodies}) == 1
        sent += [
            item["input_text"]
            for body in bodies
            for item in json.loads(body["messages"][-1]["content"])
        ]
    assert sorted(sent) == sorted(texts)
    full = [part for part in parts[:-1] if part.requests == 40 or part.bytes > 25_000]
    assert len(full) == len(parts) - 1


def test_a_request_over_the_limit_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"row 1 \(counted from 0\).*shorten its text"):
        parts_of(tmp_path, "openai", ["short", "x" * 5_000], Limits(requests=10, bytes=4_000))


def test_the_vendors_limits():
    assert limits_of("openai") == Limits(requests=50_000, bytes=200_000_000)
    assert limits_of("anthropic") == Limits(requests=100_000, bytes=256_000_000)


NAMES = ["night", "a b", "Beschwerden, März", "数据", "x" * 100, "a.b", "-", "ends-with-3"]


@pytest.mark.parametrize("name", NAMES)
def test_custom_ids_are_what_every_vendor_takes(night, frame_of, name):
    with night() as kernel:
        out = kernel.submit(frame_of(6), name=name, chunk_size=1).collect()
        assert out["answer"].notna().all()
        (batch,) = kernel.batches()
        allowed = set(string.ascii_letters + string.digits + "_-")
        assert all(0 < len(one) <= 64 and set(one) <= allowed for one in batch.custom_ids)


def test_different_names_never_share_their_ids():
    names = [*NAMES, "a_b", "a-b", "Beschwerden_ M_rz", "x" * 99, "a,b"]
    assert len({custom_prefix(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "a\\b", "/etc", ".hidden", "a\x00b", "a\n", "x" * 101),
        *("a:b", None, 3, "trailing.", " lead"),
    ],
)
def test_names_cannot_leave_the_folder(name):
    with pytest.raises(UsageError, match="cannot be that of a directory"):
        checked_name(name)


def test_nothing_is_written_for_a_bad_name(night, frame_of, tmp_path):
    with night() as kernel:
        with pytest.raises(UsageError, match="cannot be that of a directory"):
            kernel.submit(frame_of(3), name="../out")
        assert not kernel.jobs.path.exists()
        assert kernel.provider.ledger.requests == []


def test_default_names_say_task_and_date():
    from datetime import date

    day = date(2026, 11, 23)
    assert default_name("Classify the TONE!", day) == "classify-the-tone-2026-11-23"
    assert default_name("???", day) == "task-2026-11-23"
    assert checked_name(default_name("語 " * 50, day))
    assert default_name("a" * 300, day).endswith("-2026-11-23")


def test_lazy_texts_are_the_live_paths_texts(frames):
    from pandas_genai.batch.texts import FrameInputs, text_form
    from pandas_genai.task.text import rows_text

    for name, frame in frames.items():
        if name in ("no_text_column", "two_text_columns", "duplicate_columns", "multi_columns"):
            continue
        text = "text" if name in ("categorical", "numbers") else None
        lazy = FrameInputs(frame, json.loads(json.dumps(text_form(frame, text))))
        expected = rows_text(frame, text)
        assert list(lazy) == expected
        assert lazy.values(list(range(len(frame)))[::-1]) == expected[::-1]
    two = frames["two_text_columns"]
    for text in (["title", "body"], "{title}: {body}", "title"):
        lazy = FrameInputs(two, json.loads(json.dumps(text_form(two, text))))
        assert list(lazy) == rows_text(two, text)
    multi = frames["multi_columns"]
    form = json.loads(json.dumps(text_form(multi, ("text", 0))))
    assert list(FrameInputs(multi, form)) == ["a"]
    with pytest.raises(UsageError, match="'title', which this frame does not have"):
        FrameInputs(pd.DataFrame({"x": ["a"]}), text_form(two, "title"))
