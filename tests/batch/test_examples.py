"""Solved examples: in the static prefix of every request, live and batch, and in the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, field_validator

from pandas_genai.batch.requests import compact
from pandas_genai.testing import Fault

EXAMPLES = [('Said "é".', {"answer": "yes"}), ("b", {"answer": "no"})]
REPLY = (
    '{"all_results": [{"input_id": "example-1", "answer": "yes"}, '
    '{"input_id": "example-2", "answer": "no"}]}'
)
MODES = {
    "openai": ["strict", "json_schema", "json_object", "text"],
    "anthropic": ["native", "tool", "text"],
}


class Loud(BaseModel):
    """Its validator is no part of a manifest."""

    answer: str

    @field_validator("answer")
    @classmethod
    def _upper(cls, value):
        return value.upper()


def prefix_of(backend, body):
    """What stands before the rows: the part that a prompt cache may keep."""
    content = body["system"] if backend == "anthropic" else body["messages"][0]["content"]
    if isinstance(content, str):
        return content
    (block,) = content
    mark = "cache_control" if backend == "anthropic" else "prompt_cache_breakpoint"
    assert set(block) == {"type", "text", mark}
    return block["text"]


def bodies_of(backend, path):
    lines = [line.rstrip(",") for line in path.read_text(encoding="utf-8").splitlines()]
    found = [json.loads(line) for line in lines if line not in ("[", "]")]
    return [one["body" if backend == "openai" else "params"] for one in found]


def test_live_and_batch_send_them_in_every_output_mode(night, frame_of, backend):
    frame, live = frame_of(3), {}
    with night() as kernel:
        for mode in MODES[backend]:
            out = frame.genai.extract(
                "Echo.",
                {"answer": str},
                backend=backend,
                base_url=kernel.url,
                api_key="sk-live",
                cache=False,
                progress=False,
                params={"structured": mode},
                examples=EXAMPLES,
            )
            assert out["answer"].tolist() == frame["text"].tolist()
            sent = [one.body for one in kernel.provider.ledger.requests if one.number][-1]
            prefix = prefix_of(backend, sent)
            assert prefix.endswith(f"the right answer is\n{REPLY}")
            assert '[{"input_id": "example-1", "input_text": "Said \\"é\\"."}, ' in prefix
            live[mode] = sent, out.genai.report.prompt_hash
        for mode, (sent, prompt_hash) in live.items():
            asked = {"params": {"structured": mode}, "examples": EXAMPLES}
            job = kernel.submit(frame, name=mode, **asked)
            (written,) = bodies_of(backend, job.folder.requests(backend, 1))
            assert compact(written) == compact(sent)
            assert job.report.prompt_hash == prompt_hash


def test_the_vendors_prompt_caches_are_told_that_they_end_there(frame_of, backend):
    asked = {"backend": backend, "examples": EXAMPLES}
    (request,) = frame_of(2).genai.preview("Echo.", {"answer": str}, **asked)
    content = request["body"]["messages"][0]["content"]
    system = request["body"]["system"] if backend == "anthropic" else content
    assert len(system) == 1
    assert prefix_of(backend, request["body"]).endswith(REPLY)


@pytest.mark.parametrize("schema", [{"answer": str}, Loud])
def test_a_later_kernel_goes_on_with_them(night, frame_of, backend, schema):
    frame = frame_of(4)
    faults = [Fault("refusal", text="row 2")]
    with night(faults=faults) as kernel:
        job = kernel.submit(frame, schema=schema, examples=EXAMPLES, chunk_size=1)
        said = json.loads((Path(job.path) / "job.json").read_text(encoding="utf-8"))["examples"]
        assert [text for text, _ in said] == [text for text, _ in EXAMPLES]
        later = kernel.open()
        with pytest.warns(UserWarning, match="1 of 4 rows"):
            later.collect()
        kernel.provider.faults = ()
        later.resubmit_failed()
        out = later.collect()
        assert out["answer"].notna().all()
        (first, *_), (again,) = (
            bodies_of(backend, job.folder.requests(backend, number)) for number in (1, 2)
        )
        assert prefix_of(backend, first) == prefix_of(backend, again)
        assert said[0][1] in prefix_of(backend, again).replace('"input_id": "example-1", ', "")
