"""Answers to nested, recursive and user-written models, and to no schema at all."""

import decimal
import enum
import json
import threading
from datetime import date
from typing import Annotated, Literal

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from pandas_genai.task.schema import compile_schema


class Sub(BaseModel):
    v: int
    w: str | None = None


class Other(BaseModel):
    v: int
    z: str


class Cat(BaseModel):
    kind: Literal["cat"]
    name: str | None


class Dog(BaseModel):
    kind: Literal["dog"]
    age: int | None


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: decimal.Decimal
    y: int = 3
    sub: Sub | None = None
    flags: set[int] = {1}

    @field_validator("y")
    @classmethod
    def _luck(cls, value: int) -> int:
        if value == 13:
            raise ValueError("no 13 please")
        if value == 14:
            raise KeyError("fourteen")
        return value * 2**62 if value == 2 else value


class Tree(BaseModel):
    name: str
    kids: list["Tree"] = []


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


def test_unions():
    spec = {"a": int | str | None, "b": Sub | Other, "c": list[int] | str, "d": int | bool}
    good = {"a": 1, "b": {"v": 1, "z": "kept"}, "c": "x", "d": True}
    accepted(spec, good, good)
    accepted(spec, {**good, "b": {"v": 1}, "a": "x"}, {**good, "b": {"v": 1, "w": None}, "a": "x"})
    accepted(spec, {**good, "c": [1, "2"]}, {**good, "c": [1, 2]})
    refused(spec, {**good, "a": True}, 'Field "a" is true, not one of the values that are allowed.')
    refused(spec, {**good, "a": float("inf")}, 'Field "a" is inf, which is not a number.')
    refused(spec, {**good, "a": "\ud800"}, 'Field "a" is "?"')
    refused(spec, {**good, "c": [True]}, 'Field "c[0]" is true')
    refused(spec, {**good, "c": 5}, 'Field "c" is 5: ')
    refused(spec, {**good, "b": 5}, 'Field "b" is 5: ')
    pets = {"pet": Annotated[Cat | Dog, Field(discriminator="kind")], "other": Cat | Dog | None}
    result = {"pet": {"kind": "dog", "age": None}, "other": {"kind": "cat", "name": None}}
    accepted(pets, {"pet": {"kind": "dog"}, "other": {"kind": "cat"}}, result)
    refused(pets, {"pet": {"kind": "dog", "age": "old"}}, 'Field "pet.age" is "old"')
    refused(pets, {"pet": {"kind": "dog", "age": True}}, 'Field "pet.age" is true')


def test_a_pydantic_model_has_the_last_word():
    schema = compile_schema(Model)
    assert schema.validate({"x": 1.5, "y": None, "unknown": 1}) == {
        "x": "1.5",
        "y": 3,
        "sub": None,
        "flags": [1],
    }
    for answer, says in (
        ({"x": 1, "y": 13}, 'Field "y" is 13: no 13 please.'),
        ({"x": 1, "y": 14}, "The answer was refused: KeyError('fourteen')."),
        ({"x": 1, "y": 2}, 'Field "y" is 9223372036854775808: it must fit 64 bits.'),
        ({"x": 1, "y": True}, 'Field "y" is true: it must be a whole number.'),
        ({"x": "NaN"}, 'Field "x" is "NaN": it must be a number.'),
        ({"x": 1, "sub": {"v": "a"}}, 'Field "sub.v" is "a": input should be a valid integer'),
        ({"x": 1, "sub": {}}, 'Field "sub.v" is missing or null.'),
        ({"x": 1, "flags": [1, "b"]}, 'Field "flags[1]" is "b"'),
    ):
        with pytest.raises(ValueError) as caught:
            schema.validate(answer)
        assert str(caught.value).startswith(says)


def test_a_strict_model_is_fed_json():
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: date
        tone: enum.Enum("Tone", {"GOOD": "good"})
        count: int
        tags: set[str]

    schema = compile_schema(Strict)
    answer = {"day": "2024-01-01", "tone": "good", "count": 1, "tags": ["x"]}
    assert schema.validate(answer) == answer
    with pytest.raises(ValueError, match='Field "count" is "1"'):
        schema.validate({**answer, "count": "1"})


def test_what_a_whole_model_refuses_names_no_field():
    class Whole(BaseModel):
        a: int

        @pydantic.model_validator(mode="after")
        def _check(self):
            if self.a == 1:
                raise ValueError("not one")
            return self

    class Odd(BaseModel):
        a: int

        @pydantic.model_serializer
        def _write(self):
            return self.a

    with pytest.raises(ValueError, match=r"^The answer is not valid: not one\.$"):
        compile_schema(Whole).validate({"a": 1})
    with pytest.raises(ValueError, match=r"^The answer became 1: it must be an object\.$"):
        compile_schema(Odd).validate({"a": 1})


def test_many_records():
    (schema, _) = both(list[Sub])
    assert schema.validate({"records": []}) == []
    assert schema.validate({"records": [{"v": 1}, {"v": "2", "w": "x"}]}) == [
        {"v": 1, "w": None},
        {"v": 2, "w": "x"},
    ]
    for answer, says in (
        ({}, 'The entry\'s "records" is null: it must be a list.'),
        ({"records": {}}, 'The entry\'s "records" is {}'),
        ({"records": [{"v": 1}, 5]}, '"records[1]" is 5: it must be an object.'),
        ({"records": [{"v": 1}, {"v": True}]}, 'Field "records[1].v" is true'),
        ({"records": [{"v": "x"}]}, 'Field "records[0].v" is "x"'),
        ({"records": [{}]}, 'Field "records[0].v" is missing'),
        ({"records": [{"v": 2**64}]}, 'Field "records[0].v" is 184'),
    ):
        with pytest.raises(ValueError) as caught:
            schema.validate(answer)
        assert str(caught.value).startswith(says)


def test_recursion():
    for schema in (compile_schema(Tree), compile_schema(Tree.model_json_schema())):
        assert schema.validate({"name": "a", "kids": [{"name": "b", "kids": None}]}) == {
            "name": "a",
            "kids": [{"name": "b", "kids": []}],
        }
        with pytest.raises(ValueError, match=r'^Field "kids\[0\]\.name" is 5'):
            schema.validate({"name": "a", "kids": [{"name": 5}]})
        answer = {"name": "a"}
        for _ in range(20_000):
            answer = {"name": "a", "kids": [answer]}
        with pytest.raises(ValueError, match=r"^The answer was refused: RecursionError"):
            schema.validate(answer)
    forest = {
        "$defs": {
            "leaf": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            "fork": {
                "type": "object",
                "properties": {
                    "kids": {
                        "type": "array",
                        "items": {"anyOf": [{"$ref": "#/$defs/fork"}, {"$ref": "#/$defs/leaf"}]},
                    },
                    "note": {"type": ["string", "null"]},
                },
                "required": ["kids"],
            },
        },
        "$ref": "#/$defs/fork",
    }
    schema = compile_schema(forest)
    assert schema.validate({"kids": [{"kids": []}, {"n": 1}]}) == {
        "kids": [{"kids": [], "note": None}, {"n": 1}],
        "note": None,
    }
    with pytest.raises(ValueError, match=r'^Field "kids\[0\]\.n" is true'):
        schema.validate({"kids": [{"n": True}]})


def test_without_a_schema_any_fields_will_do():
    schema = compile_schema(None)
    assert schema.validate({"a": [1, {"b": None}]}) == {"a": [1, {"b": None}]}
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for answer, says in (
        ({}, "The answer has no fields."),
        ({"a": float("nan")}, 'Field "a" is nan, which JSON cannot carry.'),
        ({"a": {"b": [float("inf")]}}, 'Field "a" is {"b": [Infinity]}'),
        ({"a": "\ud800"}, 'Field "a" is "?"'),
        ({"\ud800": 1}, 'Field "?" is 1'),
        ({"a": deep}, 'Field "a" is a list that cannot be shown'),
    ):
        with pytest.raises(ValueError) as caught:
            schema.validate(answer)
        assert str(caught.value).startswith(says)


class Named(TypedDict):
    text: Annotated[str, Field(serialization_alias="words")]


@pytest.mark.parametrize(
    ("spec", "answer", "kept"),
    [
        ({"x": Annotated[str, pydantic.PlainSerializer(str.upper)]}, {"x": "a"}, {"x": "A"}),
        (Named, {"text": "a"}, {"words": "a"}),
        ({"day": date, "n": int}, {"day": "2026-01-02", "n": 1.0}, {"day": "2026-01-02", "n": 1}),
        ({"x": float, "y": bool}, {"x": 1, "y": True}, {"x": 1.0, "y": True}),
        ({"x": [1.5, 2]}, {"x": 2.0}, {"x": 2}),
    ],
)
def test_what_is_kept_is_json_in_the_form_that_the_type_is_written_in(spec, answer, kept):
    found = compile_schema(spec).validate(answer)
    assert json.dumps(found) == json.dumps(kept)


def test_threads_share_a_schema():
    schema = compile_schema(Tree)
    answer = {"name": "a", "kids": [{"name": "b", "kids": [{"name": "c"}]}]}
    expected = schema.validate(answer)
    wrong = []

    def work():
        wrong.extend(1 for _ in range(300) if schema.validate(answer) != expected)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
