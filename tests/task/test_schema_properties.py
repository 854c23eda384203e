"""Random schemas and random answers: what holds for all of them."""

import json
import math
from datetime import date, datetime
from typing import Literal, Optional

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from pandas_genai.errors import SchemaError
from pandas_genai.task.frames import build_frame
from pandas_genai.task.schema import compile_schema

settings.register_profile("schema", max_examples=150, deadline=None, database=None)
settings.load_profile("schema")

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NAMES = TEXTS.filter(lambda name: name.strip() and name != "input_id")
LABELS = st.lists(
    st.one_of(TEXTS, st.integers(-9, 9), st.booleans()), min_size=1, max_size=4, unique=True
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DAYS = st.dates().map(date.isoformat)
MOMENTS = st.datetimes().map(datetime.isoformat)


def choice(labels):
    return st.tuples(st.sampled_from([labels, Literal[tuple(labels)]]), st.just(labels)).map(
        lambda pair: (pair[0], st.sampled_from(pair[1]))
    )


SCALARS = st.one_of(
    st.sampled_from(
        [
            (int, st.integers(-(2**63), 2**63 - 1)),
            (float, FLOATS),
            (bool, st.booleans()),
            (str, TEXTS),
            (date, DAYS),
            (datetime, MOMENTS),
        ]
    ),
    LABELS.flatmap(choice),
)


def optional(pair):
    kind, values = pair
    if isinstance(kind, list):
        return [*kind, None], st.none() | values
    return Optional[kind], st.none() | values  # noqa: UP045 - a list[{...}] takes no |


def listed(pair):
    kind, values = pair
    return [kind], st.lists(values, max_size=3)


def record(fields):
    spec = {name: kind for name, (kind, _) in fields.items()}
    return spec, st.fixed_dictionaries({name: values for name, (_, values) in fields.items()})


RECORDS = st.recursive(
    st.one_of(SCALARS, SCALARS.map(optional)),
    lambda inner: st.one_of(
        inner.filter(lambda pair: not (isinstance(pair[0], list) and None in pair[0])).map(listed),
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(record),
    ),
    max_leaves=6,
)
SPECS = st.dictionaries(NAMES, RECORDS, min_size=1, max_size=5).map(record)
CASES = SPECS.flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def valid(schema, answer):
    error = best_match(Draft202012Validator(schema).iter_errors(answer))
    assert error is None, error


def without_null(value, node):
    """The answer as Anthropic's model would give it: what is null is left out."""
    if isinstance(value, dict) and "properties" in node:
        return {
            name: without_null(inner, node["properties"][name])
            for name, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list) and "items" in node:
        return [without_null(inner, node["items"]) for inner in value]
    return value


def same(left, right):
    if isinstance(left, float) and isinstance(right, int | float):
        return math.isclose(left, right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right and isinstance(left, bool) == isinstance(right, bool)


@given(CASES)
def test_an_answer_survives(case):
    spec, answer = case
    schema = compile_schema(spec)
    result = schema.validate(answer)
    assert same(result, answer)
    assert schema.validate(json.loads(json.dumps(result, allow_nan=False))) == result

    again = compile_schema(json.loads(json.dumps(schema.record)))
    assert again.canonical == schema.canonical == compile_schema(dict(spec)).canonical
    assert again.fields == schema.fields
    assert same(again.validate(answer), result)

    for backend in ("openai", "anthropic"):
        reply = schema.reply_schema(backend)
        Draft202012Validator.check_schema(reply)
        entry = reply["properties"]["all_results"]["items"]
        sent = answer if backend == "openai" else without_null(answer, entry)
        valid(reply, {"all_results": [{"input_id": "x", **sent}]})
        assert same(schema.validate(sent), result)
        assert list(entry["properties"]) == ["input_id", *spec]


@pytest.mark.parametrize("kind", [Optional[int], [int], ["a", "b"], {"n": int}])  # noqa: UP045
def test_a_field_may_be_called_as_the_keyword_for_definitions(kind):
    assert [field.name for field in compile_schema({"$defs": kind}).fields] == ["$defs"]
    nested = compile_schema({"inner": {"n": Optional[int], "$defs": kind}})  # noqa: UP045
    assert [field.name for field in nested.fields] == ["inner"]


@given(CASES, st.lists(st.integers(-1, 1), max_size=5))
def test_an_answer_reaches_its_row(case, codes):
    spec, answer = case
    schema = compile_schema(spec)
    result = schema.validate(answer)
    texts = [json.dumps(result, ensure_ascii=False), None]
    frame = build_frame(schema, pd.RangeIndex(len(codes)), np.array(codes, dtype=int), texts)
    assert list(frame.columns) == list(spec)
    for code, (_, row) in zip(codes, frame.iterrows(), strict=True):
        for field in schema.fields:
            value, expected = row[field.name], result[field.name]
            if code != 0 or expected is None:
                assert value is None or pd.isna(value)
            elif field.kind == "datetime":
                assert value == pd.Timestamp(expected).as_unit("us")
            else:
                assert value == expected


@given(SPECS, st.dictionaries(TEXTS, ANYTHING, max_size=3) | ANYTHING, st.data())
def test_any_answer_is_taken_or_refused_in_one_sentence(pair, answer, data):
    spec, _ = pair
    schema = compile_schema(spec)
    if isinstance(answer, dict) and data.draw(st.booleans()):
        answer = dict(zip(spec, answer.values(), strict=False))
    if not isinstance(answer, dict):
        answer = dict.fromkeys(spec, answer)
    message = ""
    try:
        result = schema.validate(answer)
    except ValueError as error:
        message = str(error)
    if message:
        assert message.endswith(".")
        assert "\n" not in message
        assert len(message) < 400
        message.encode()
        return
    json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    build_frame(schema, pd.RangeIndex(1), np.array([0]), [json.dumps(result)])


@given(st.recursive(
    st.one_of(ANYTHING, st.sampled_from([int, str, list, dict, float | None, date])),
    lambda inner: st.dictionaries(
        st.sampled_from(["type", "properties", "enum", "items", "anyOf", "$ref", "a", "required"]),
        inner, max_size=4,
    ) | st.lists(inner, max_size=3) | st.sampled_from(["object", "string", "array", "#/a"]),
    max_leaves=10,
))  # fmt: skip
@example({"0\n": None})
@example({"type": "object", "properties": {"0\n": {"type": "zz"}}})
def test_any_schema_is_read_or_refused_in_one_sentence(spec):
    if isinstance(spec, str):
        return
    message = ""
    try:
        schema = compile_schema(spec)
        schema.check("anthropic")
        schema.check("openai")
    except SchemaError as error:
        message = str(error)
    assert "\n" not in message
    if not message and not schema.free:
        Draft202012Validator.check_schema(schema.reply_schema("openai"))
        assert schema.fields
