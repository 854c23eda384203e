"""Bounds of fields: enforced where a server can, said where it does not show them to its model."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.backends.registry import backend_named
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.schema import compile_schema
from pandas_genai.task.task import BoundTask, Task
from pandas_genai.testing import LoopbackProvider


def text(**bounds):
    return {"type": "string", **bounds}


FIELDS = {
    "short": text(maxLength=30),
    "both": text(minLength=2, maxLength=9, description="Two."),
    "code": text(pattern="^[A-Z]{3}$"),
    "list": {
        "type": "array",
        "items": text(maxLength=5),
        "minItems": 2,
        "maxItems": 4,
        "uniqueItems": True,
    },
    "score": {"type": "integer", "minimum": 1, "maximum": 5},
    "share": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "multipleOf": 0.25,
    },
    "day": text(format="date"),
    "tone": {"enum": ["good", "bad"]},
    "deep": {"type": "object", "properties": {"name": text(maxLength=7)}, "required": []},
}
SCHEMA = {
    "type": "object",
    "properties": FIELDS,
    "required": ["short", "code", "list", "score"],
}
VENDOR_BODIES = {
    ("openai", "strict"): "7560766e816bdfead71de7850d9292aa",
    ("openai", "json_schema"): "85c31ee33104759c94ebfec174a062a3",
    ("openai", "json_object"): "f1a5f44ce8215387cce4e210415ebbb9",
    ("openai", "text"): "a29a7b52965e9692c50e00be80c7159c",
    ("anthropic", "native"): "4db5a19ca1ac26021c2c72797213da25",
    ("anthropic", "tool"): "31420f56d381d819d21b33ec3410d51a",
    ("anthropic", "text"): "fe889792a0debef5463c79d2c9b0453b",
}


def body_of(schema, capabilities, *, backend="openai", vendor=False):
    model = "gpt-6-luna" if backend == "openai" else "claude-haiku-4-5"
    texts = ["A text.", "Another."]
    rows = distinct_rows(texts)
    (chunk,) = plan_chunks(rows, range(2), texts, 2, first=7)
    params = {"max_tokens": 50}
    task = BoundTask.of(
        Task("Read.", schema, params=params), model=model, backend=backend, host="api"
    )
    wire = backend_named(backend)
    return wire.build(task, chunk, capabilities, vendor=vendor)


@pytest.mark.parametrize(("backend", "mode"), VENDOR_BODIES)
def test_the_vendors_own_hosts_get_what_they_always_got(backend, mode):
    """Every byte: a changed prefix is another entry in the vendor's prompt cache."""
    body = body_of(SCHEMA, Capabilities(mode), backend=backend, vendor=True)
    found = hashlib.sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()[:32]
    assert found == VENDOR_BODIES[backend, mode]


def record_in(body):
    reply = body["response_format"]["json_schema"]["schema"]
    Draft202012Validator.check_schema(reply)
    return reply["properties"]["all_results"]["items"]["properties"]


@pytest.mark.parametrize("mode", ["strict", "json_schema"])
def test_a_compatible_server_gets_every_bound_and_its_model_is_asked_for_it(mode):
    body = body_of(SCHEMA, Capabilities(mode))
    record = record_in(body)
    assert record["short"] == text(maxLength=30, description="At most 30 characters.")
    assert record["both"]["anyOf"][0]["maxLength"] == 9
    assert "at most 9 characters" in json.dumps(record["both"]).lower()
    assert record["list"]["maxItems"] == 4
    assert record["list"]["items"]["maxLength"] == 5
    system = body["messages"][0]["content"]
    for limit in (
        '"short" at most 30 characters',
        '"list" at least 2 items, at most 4 items, no item twice',
        '"list[]" at most 5 characters',
        '"deep.name" at most 7 characters',
        '"score" at least 1, at most 5',
    ):
        assert limit in system


def test_a_server_that_refuses_them_gets_them_in_words():
    body = body_of(SCHEMA, Capabilities("strict").without("bounds in the schema"))
    sent = json.dumps(record_in(body))
    for keyword in ("maxLength", "pattern", "maxItems", "maximum", "multipleOf"):
        assert f'"{keyword}"' not in sent
    assert "at most 30 characters" in sent.lower()


def test_a_schema_without_bounds_changes_nothing():
    schema = {"tone": ["good", "bad"]}
    bodies = [
        body_of(schema, capabilities)
        for capabilities in (
            Capabilities("strict"),
            Capabilities("strict").without("bounds in the schema"),
        )
    ]
    assert bodies[0] == bodies[1]
    assert "limits" not in bodies[0]["messages"][0]["content"]


TEXTS = st.text(st.sampled_from("abZ "), max_size=12)
BOUNDED = st.one_of(
    st.tuples(
        st.tuples(st.integers(0, 6), st.integers(6, 10)).map(
            lambda pair: text(minLength=pair[0], maxLength=pair[1])
        ),
        st.just(TEXTS),
    ),
    st.tuples(st.integers(1, 10).map(lambda most: text(maxLength=most)), st.just(TEXTS)),
    st.tuples(st.just(text(pattern="^[a-z]+$")), st.just(TEXTS)),
    st.tuples(
        st.integers(-5, 5).map(lambda least: {"type": "integer", "minimum": least, "maximum": 7}),
        st.just(st.integers(-7, 9)),
    ),
)
NESTED = st.one_of(
    BOUNDED,
    BOUNDED.map(
        lambda pair: (
            {"type": "array", "items": pair[0], "minItems": 1, "maxItems": 2},
            st.lists(pair[1], max_size=3),
        )
    ),
    BOUNDED.map(
        lambda pair: (
            {"type": "object", "properties": {"maxLength": pair[0]}, "required": ["maxLength"]},
            st.fixed_dictionaries({"maxLength": pair[1]}),
        )
    ),
)
CASES = st.dictionaries(st.sampled_from(["a", "pattern", "maxItems"]), NESTED, min_size=1).flatmap(
    lambda pairs: st.tuples(
        st.just({name: node for name, (node, _) in pairs.items()}),
        st.fixed_dictionaries({name: values for name, (_, values) in pairs.items()}),
    )
)


@settings(deadline=None, max_examples=200)
@given(CASES, st.sampled_from(["strict", "json_schema"]))
def test_a_grammar_lets_through_what_the_validation_accepts_and_nothing_else(case, mode):
    """So no answer of a server that enforces the schema is refused, and none is left out."""
    fields, answer = case
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    reply = body_of(schema, Capabilities(mode))["response_format"]["json_schema"]["schema"]
    written = {"all_results": [{"input_id": "x", **answer}] * 2}
    try:
        compile_schema(schema).validate(answer)
        accepted = True
    except ValueError:
        accepted = False
    assert Draft202012Validator(reply).is_valid(written) == accepted


def asked(provider):
    return pd.DataFrame({"text": ["A text.", "Another."]}).genai.extract(
        "Summarise.",
        {"type": "object", "properties": {"summary": text(maxLength=9)}, "required": ["summary"]},
        base_url=provider.openai_url,
        api_key="key-of-a-test-server",
        model="gpt-6-luna",
        cache=False,
        progress=False,
        chunk_size=2,
    )


@pytest.mark.parametrize(
    ("dialect", "mode", "grammar", "calls"),
    [
        ("ollama", "strict", True, 1),
        ("no_strict", "json_schema", True, 2),  # strict is refused: the bounds stay
        ("openai", "strict", False, 2),  # such as Azure, which takes no length in a strict schema
    ],
)
def test_what_a_server_takes_is_found_and_kept(dialect, mode, grammar, calls):
    with LoopbackProvider(lambda text: {"summary": "short"}, dialect=dialect) as provider:
        out = asked(provider)
        again = asked(provider)
        requests = provider.ledger.requests
    assert out["summary"].tolist() == again["summary"].tolist() == ["short", "short"]
    assert len(requests) == calls + 1
    wrapped = requests[-1].body["response_format"]["json_schema"]
    sent = wrapped["schema"]["properties"]["all_results"]["items"]["properties"]["summary"]
    assert wrapped.get("strict", False) == (mode == "strict")
    assert sent.get("maxLength") == (9 if grammar else None)
    assert sent["description"] == "At most 9 characters."
