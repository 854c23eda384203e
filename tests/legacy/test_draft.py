"""``draft_prompt``: a goal in plain words, one call, a prompt and a schema to edit."""

from __future__ import annotations

import copy
import json
import pickle

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai import RowError, UsageError, draft_prompt
from pandas_genai.legacy import DraftedPrompt
from pandas_genai.testing import Fault, LoopbackProvider

FIELDS = [
    {"name": "tone", "kind": "one of some labels", "labels": ["good", "bad"]},
    {"name": "stars", "kind": "whole number", "labels": []},
    {"name": "topics", "kind": "list of texts", "labels": []},
]
DRAFT = {
    "prompt": 'Read each review.\n1. tone: "good" or "bad".\n2. stars: 1 to 5.',
    "fields": FIELDS,
}


@pytest.fixture
def draft():
    def ask(reply=DRAFT, *, faults=(), **options):
        with LoopbackProvider(lambda text: reply, faults=list(faults)) as provider:
            where = {"api_key": "k", "base_url": provider.openai_url} | options
            found = draft_prompt("the tone of reviews", **where)
            return found, provider.ledger.requests

    return ask


def run(code):
    names = {}
    exec(code, names)
    return names


def test_a_prompt_and_a_schema_from_one_call(draft, capsys):
    rows = pd.DataFrame({"text": ["Lovely!", None, "x" * 5_000, "a", "b", "sixth"]})
    found, calls = draft(rows=rows)
    assert found == DRAFT["prompt"]
    assert isinstance(found, str)
    assert found.schema == {"tone": ["good", "bad"], "stars": int, "topics": [str]}
    (call,) = calls
    (item,) = json.loads(call.body["messages"][-1]["content"])
    assert item["input_text"].startswith("Goal: the tone of reviews\n\nText 1:\nLovely!")
    assert "x" * 2_000 in item["input_text"]
    assert "x" * 2_001 not in item["input_text"]
    assert "sixth" not in item["input_text"]
    assert run(capsys.readouterr().out)["prompt"] == found


def test_what_is_shown_can_be_pasted_into_a_cell(draft, capsys):
    found, _ = draft(rows=["one", "two"], print_prompt=False)
    assert capsys.readouterr().out == ""
    names = run(repr(found))
    assert (names["prompt"], names["schema"]) == (found, found.schema)
    with LoopbackProvider(lambda text: {"tone": "good", "stars": 5, "topics": []}) as provider:
        frame = pd.DataFrame({"text": ["Lovely!"]})
        where = {"api_key": "k", "base_url": provider.openai_url, "cache": False}
        out = frame.genai.extract(found, found.schema, progress=False, **where)
    assert out["tone"].tolist() == ["good"]


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_any_draft_can_be_pasted(prompt, labels):
    found = DraftedPrompt(prompt, {"label": labels, "score": float})
    names = run(repr(found))
    assert (names["prompt"], names["schema"]) == (prompt, found.schema)
    for same in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert (same, same.schema) == (found, found.schema)
        assert type(str(found)) is str


def test_anthropic(draft):
    with LoopbackProvider(lambda text: DRAFT) as provider:
        found = draft_prompt(
            "tone",
            backend="anthropic",
            base_url=provider.anthropic_url,
            api_key="k",
            rows=pd.Series(["Lovely!"]),
        )
    assert found.schema["stars"] is int


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"prompt": "", "fields": FIELDS}, "prompt is empty"),
        ({"prompt": "x", "fields": []}, "names no field"),
        ({"prompt": "x", "fields": [FIELDS[0], FIELDS[0]]}, "'tone' cannot be the name"),
        ({"prompt": "x", "fields": [{**FIELDS[0], "name": "My tone"}]}, "'My tone' cannot be"),
        ({"prompt": "x", "fields": [{**FIELDS[0], "labels": []}]}, "tone"),
        ({"prompt": "x"}, "fields"),
    ],
)
def test_an_unusable_draft_is_one_error(draft, reply, why):
    with pytest.raises(RowError, match=rf"draft cannot be used \(.*{why}"):
        draft(reply)


def test_a_refusal_is_one_error(draft):
    with pytest.raises(RowError, match="draft cannot be used"):
        draft(faults=[Fault("refusal")])


def test_no_goal(draft):
    for goal in ("", "  ", None):
        with pytest.raises(UsageError, match="goal="):
            draft_prompt(goal, api_key="k", base_url="http://127.0.0.1:9/v1")
