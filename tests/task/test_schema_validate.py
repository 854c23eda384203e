"""What is accepted as an answer, what is refused, and in which words."""

import enum
import json
from datetime import date, datetime
from typing import Annotated

import pytest
from pydantic import Field

from pandas_genai.task.schema import compile_schema

FOUR = {"tone": ["good", "bad"], "year": int | None, "score": float, "why": str}
GOOD = {"tone": "good", "year": 1999, "score": 0.5, "why": "So."}


def both(spec):
    """The schema itself, and what is made of its JSON schema."""
    schema = compile_schema(spec)
    return [schema, compile_schema(json.loads(json.dumps(schema.record)))]


def accepted(spec, answer, result):
    for schema in both(spec):
        assert schema.validate(answer) == result
        assert json.loads(json.dumps(schema.validate(answer), allow_nan=False)) == result


def refused(spec, answer, says):
    for schema in both(spec):
        with pytest.raises(ValueError) as caught:
            schema.validate(answer)
        assert str(caught.value).startswith(says), str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({}, {}),
        ({"year": "3"}, {"year": 3}),
        ({"year": 3.0}, {"year": 3}),
        ({"year": None}, {"year": None}),
        ({"score": 1}, {"score": 1.0}),
        ({"score": "0.25"}, {"score": 0.25}),
        ({"extra": 1, "input_id": "x"}, {}),
        ({"why": "Ünïcode 🎻"}, {"why": "Ünïcode 🎻"}),
    ],
)
def test_what_is_accepted(change, result):
    accepted(FOUR, {**GOOD, **change}, {**GOOD, **result})


def test_what_is_absent_is_null():
    accepted(FOUR, {key: GOOD[key] for key in ("why", "tone", "score")}, {**GOOD, "year": None})
    accepted({"a": {"b": [{"c": int | None}]}}, {"a": {"b": [{}]}}, {"a": {"b": [{"c": None}]}})
    accepted(["a", None], {}, {"label": None})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"year": True}, 'Field "year" is true: it must be a whole number.'),
        ({"year": 1.5}, 'Field "year" is 1.5: input should be a valid integer'),
        ({"year": "x" * 500}, 'Field "year" is "xxxxxxxxx'),
        ({"year": 2**63}, 'Field "year" is 9223372036854775808: it must fit 64 bits.'),
        ({"year": [1]}, 'Field "year" is [1]: input should be a valid integer'),
        ({"score": False}, 'Field "score" is false: it must be a number.'),
        ({"score": float("nan")}, 'Field "score" is nan: it must be a number.'),
        ({"score": float("-inf")}, 'Field "score" is -inf: it must be a number.'),
        ({"score": "nan"}, 'Field "score" is "nan": it must be a number.'),
        ({"score": "1e999"}, 'Field "score" is "1e999": it must be a number.'),
        ({"score": "high"}, 'Field "score" is "high": input should be a valid number'),
        ({"score": 10**400}, 'Field "score" is 1000000'),
        ({"tone": "ugly"}, "Field \"tone\" is \"ugly\": input should be 'good' or 'bad'."),
        ({"tone": None}, 'Field "tone" is missing or null.'),
        ({"tone": ["good"]}, 'Field "tone" is ["good"]: input should be'),
        ({"why": 3}, 'Field "why" is 3: input should be a valid string.'),
        ({"why": "\ud800"}, 'Field "why" is "?", which has half of a surrogate pair.'),
        ({"why": "a\nb" * 99, "score": None}, 'Field "score" is missing or null.'),
        ({"why": {"deep": "\n" * 99}}, 'Field "why" is {"deep": "\\n'),
    ],
    ids=[f"change{n}" for n in range(19)],
)
def test_what_is_refused(change, says):
    refused(FOUR, {**GOOD, **change}, says)


def test_labels_keep_their_json_type():
    accepted([0, 0.5, 1], {"label": 1.0}, {"label": 1})
    refused([0, 0.5, 1], {"label": True}, 'Field "label" is true, which is not one of its labels.')
    refused([True, False], {"label": 1}, 'Field "label" is 1, which is not one of its labels.')
    accepted([True, False], {"label": False}, {"label": False})
    accepted(["1", 1], {"label": "1"}, {"label": "1"})
    level = enum.IntEnum("Level", {"LOW": 1, "HIGH": 2})
    accepted({"level": level}, {"level": 2}, {"level": 2})
    refused({"level": level}, {"level": True}, 'Field "level" is true')
    refused({"level": level}, {"level": 3}, 'Field "level" is 3: input should be 1 or 2.')


def test_dates_are_texts():
    spec = {"day": date, "at": datetime, "from_": date | None}
    accepted(
        spec,
        {"day": "2024-01-05", "at": "2024-01-05T10:00:00+02:00"},
        {"day": "2024-01-05", "at": "2024-01-05T10:00:00+02:00", "from_": None},
    )
    accepted(
        spec,
        {"day": "2024-01-05T00:00:00", "at": "2024-01-05"},
        {"day": "2024-01-05", "at": "2024-01-05T00:00:00", "from_": None},
    )
    at = {"day": "2024-01-05", "at": "2024-01-05T10:00:00Z"}
    refused(
        spec, {**at, "day": 2024}, 'Field "day" is 2024: it must be a date such as "2024-01-31".'
    )
    refused(spec, {**at, "day": "2024"}, 'Field "day" is "2024": it must be a date')
    refused(spec, {**at, "at": 1.5}, 'Field "at" is 1.5: it must be a date-time such as')
    refused(spec, {**at, "at": True}, 'Field "at" is true')
    refused(spec, {**at, "day": "2024-13-05"}, 'Field "day" is "2024-13-05": input should be')


def test_bounds_are_enforced():
    spec = {
        "n": Annotated[int, Field(gt=0, lt=5)],
        "x": Annotated[float, Field(ge=0, le=1, multiple_of=0.25)],
        "s": Annotated[str, Field(min_length=2, max_length=3, pattern="^a")],
        "l": Annotated[list[int], Field(min_length=1, max_length=2)],
    }
    good = {"n": 1, "x": 0.5, "s": "ab", "l": [1]}
    accepted(spec, good, good)
    for change in ({"n": 0}, {"n": 5}, {"x": 1.25}, {"x": 0.3}, {"s": "a"}, {"s": "aaaa"}):
        refused(spec, {**good, **change}, f'Field "{next(iter(change))}" is ')
    for change in ({"s": "ba"}, {"l": []}, {"l": [1, 2, 3]}):
        refused(spec, {**good, **change}, f'Field "{next(iter(change))}" is ')
    refused(spec, {**good, "l": [1, True]}, 'Field "l[1]" is true: it must be a whole number.')


def test_bounds_that_only_json_schemas_have():
    spec = {
        "type": "object",
        "properties": {
            "half": {"type": "integer", "minimum": 0.5, "exclusiveMaximum": 3.5},
            "step": {"type": "integer", "multipleOf": 2.5},
            "set": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "bag": {"type": "array", "items": {"type": "string"}, "uniqueItems": False},
            "at": {"type": "string", "format": "time"},
            "mail": {"type": "string", "format": "email"},
            "tone": {"type": "string", "default": "good", "minLength": 2},
            "list": {"type": "array", "items": {"type": "integer"}, "default": [1]},
        },
    }
    result = dict.fromkeys(spec["properties"]) | {"tone": "good", "list": [1]}
    accepted(spec, {}, result)
    compile_schema(spec).validate({})["list"].append(2)
    accepted(spec, {"half": 3, "step": 5, "set": ["a"], "bag": ["a", "a"]}, {
        **result, "half": 3, "step": 5, "set": ["a"], "bag": ["a", "a"],
    })  # fmt: skip
    accepted(spec, {"at": "10:00", "mail": "x"}, {**result, "at": "10:00:00", "mail": "x"})
    refused(spec, {"half": 0}, 'Field "half" is 0')
    refused(spec, {"half": 4}, 'Field "half" is 4')
    refused(spec, {"step": 4}, 'Field "step" is 4')
    refused(
        spec, {"set": ["a", "a"]}, 'Field "set" is ["a", "a"]: input should have no item twice.'
    )
    refused(spec, {"at": 3}, 'Field "at" is 3: it must be a time such as "12:00:00".')
    refused(spec, {"tone": "g"}, 'Field "tone" is "g"')
