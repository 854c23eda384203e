"""Every form in which a schema may be written, and the sentences for what cannot be one."""

import dataclasses
import enum
import itertools
import json
import typing
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typing_extensions
from pydantic import BaseModel, computed_field
from pydantic import Field as PydanticField

from pandas_genai.task.schema import Field, Schema, compile_schema

LIST = list  # linters take the texts in list[{"a": int}] for names of types


class Tone(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Review(BaseModel):
    """What a review says."""

    tone: Tone
    year: int | None = None


class OldDict(typing.TypedDict, total=False):
    tone: typing.Required[Literal["good", "bad"]]
    year: int


class OldOuter(typing.TypedDict):
    """Nested."""

    inner: list[OldDict]
    maybe: OldDict | None


class NewDict(typing_extensions.TypedDict):
    tone: Tone
    year: int | None


@dataclasses.dataclass
class Data:
    tone: Literal["good", "bad"]
    year: int | None = None


ROW = {
    "type": "object",
    "properties": {
        "input_id": {"type": "string"},
        "tone": {"type": "string", "enum": ["good", "bad"]},
        "year": {"type": ["integer", "null"]},
    },
    "required": ["input_id", "tone", "year"],
    "additionalProperties": False,
}
REPLY = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"all_results": {"type": "array", "items": ROW}},
    "required": ["all_results"],
}
WRAPPER = {
    "type": "json_schema",
    "json_schema": {"name": "reviews", "strict": True, "schema": REPLY},
}
COLUMNS = (Field("tone", "category", ("good", "bad")), Field("year", "int", nullable=True))


@pytest.mark.parametrize(
    "spec",
    [
        {"tone": ["good", "bad"], "year": int | None},
        {"tone": ("good", "bad"), "year": int | None},
        {"tone": Literal["good", "bad"], "year": typing.Optional[int]},  # noqa: UP045 - users do
        {"tone": Tone, "year": {"type": ["integer", "null"]}},
        {"tone": {"enum": ["good", "bad"], "type": "string"}, "year": int | None},
        Review,
        NewDict,
        Data,
        ROW,
        REPLY,
        WRAPPER,
        WRAPPER["json_schema"],
        {"type": "json_schema", "name": "x", "schema": ROW},
        {"type": "json_schema", "schema": ROW},
        {"type": "object", "properties": {"results": {"type": "array", "items": ROW}}},
        {"type": "array", "items": ROW},
        {"$ref": "#/$defs/Row", "$defs": {"Row": ROW}},
        {"allOf": [ROW]},
        {"properties": ROW["properties"], "required": ["tone"]},
    ],
    ids=map(str, itertools.count()),
)
def test_one_record_in_every_form(spec):
    schema = compile_schema(spec)
    assert (schema.fields, schema.many, schema.free) == (COLUMNS, False, False)
    assert schema.validate({"tone": "bad"}) == {"tone": "bad", "year": None}
    assert list(schema.record["properties"]) == ["tone", "year"]
    assert compile_schema(schema) is schema


def test_a_typeddict_of_the_standard_library():
    schema = compile_schema(OldDict)
    assert schema.fields == COLUMNS
    assert schema.validate({"tone": "bad", "year": None}) == {"tone": "bad"}
    nested = compile_schema(OldOuter)
    assert nested.record["description"] == "Nested."
    assert nested.validate({"inner": [{"tone": "good", "year": 3.0}]}) == {
        "inner": [{"tone": "good", "year": 3}],
        "maybe": None,
    }


@pytest.mark.parametrize(
    "spec",
    [
        list[Review],
        typing.List[Review],  # noqa: UP006 - users do
        LIST[{"tone": ["good", "bad"], "year": int | None}],
        [Review],
        [{"tone": ["good", "bad"], "year": int | None}],
        (Review,),
        list[ROW],
        list[WRAPPER],
        [ROW],
        {"type": "array", "items": {**ROW, "properties": {**ROW["properties"]}}},
    ],
    ids=map(str, itertools.count()),
)
def test_many_records_in_every_form(spec):
    if isinstance(spec, dict):
        del spec["items"]["properties"]["input_id"]
        spec["items"]["required"] = ["tone", "year"]
    schema = compile_schema(spec)
    assert (schema.fields, schema.many) == (COLUMNS, True)
    assert schema.validate({"records": [{"tone": "bad"}]}) == [{"tone": "bad", "year": None}]
    assert schema.validate({"records": []}) == []


@pytest.mark.parametrize("spec", [["good", "bad"], ("good", "bad"), Literal["good", "bad"], Tone])
def test_bare_labels_are_one_column(spec):
    schema = compile_schema(spec)
    assert schema.fields == (Field("label", "category", ("good", "bad")),)
    assert compile_schema(list[spec]).many


def test_paths(tmp_path):
    for name, document in (("row", ROW), ("reply", REPLY), ("wrapper", WRAPPER)):
        (tmp_path / name).write_text("\ufeff" + json.dumps(document), encoding="utf-8")
        assert compile_schema(tmp_path / name).fields == COLUMNS
        assert compile_schema(str(tmp_path / name)).fields == COLUMNS
    assert compile_schema(LIST["row"]).many
    Path("labels.json").write_text('["good", "bad"]', encoding="utf-8")
    assert compile_schema("labels.json").fields[0].labels == ("good", "bad")


def test_nothing_is_free():
    schema = compile_schema(None)
    assert (schema.free, schema.fields, schema.record, schema.many) == (True, (), None, False)
    assert schema.canonical == "null"
    assert schema.reply_schema("openai") is None
    assert schema.check("anthropic") is None
    assert schema == Schema()


def test_equal_questions_have_equal_text():
    model = compile_schema(Review)
    written = compile_schema(Review.model_json_schema())
    assert model.record == {key: written.record[key] for key in model.record}
    shuffled = {key: ROW[key] for key in reversed(ROW)}
    assert compile_schema(shuffled).canonical == compile_schema(ROW).canonical
    assert compile_schema(ROW) == compile_schema(REPLY)
    assert hash(compile_schema(ROW)) == hash(compile_schema(WRAPPER))
    assert compile_schema({"a": int, "b": int}) != compile_schema({"b": int, "a": int})
    assert compile_schema(["a", "b"]) != compile_schema(["b", "a"])
    assert compile_schema([Review]) != compile_schema(Review)
    assert compile_schema(Review) != Review


def test_a_field_named_properties_does_not_disturb_the_text():
    schema = compile_schema({"properties": {"properties": {"b": int, "a": int}}, "x": int})
    assert schema.canonical.index('"b"') < schema.canonical.index('"a"')


def test_computed_fields_and_aliases_are_columns():
    class Counted(BaseModel):
        kind: str = PydanticField(alias="class")
        n: int

        @computed_field
        @property
        def double(self) -> int:
            return 2 * self.n

    schema = compile_schema(Counted)
    assert [field.name for field in schema.fields] == ["class", "n", "double"]
    assert schema.validate({"class": "x", "n": 2}) == {"class": "x", "n": 2, "double": 4}
    assert '"x-columns":["class","n","double"]' in schema.canonical
    assert list(schema.record["properties"]) == ["class", "n"]


def test_what_cannot_be_said_of_a_result_is_said_of_the_answer():
    class Odd(BaseModel):
        n: int

        @computed_field
        @property
        def pair(self) -> tuple[int, str]:
            return self.n, "x"

    assert [field.name for field in compile_schema(Odd).fields] == ["n"]


def test_the_text_of_a_bound_is_that_of_the_users_number():
    """The text is hashed: a release of pydantic that writes 0 as 0.0 would ask every row again."""
    schema = compile_schema({"x": Annotated[float, PydanticField(ge=0, lt=1e3)]})
    assert schema.canonical == (
        '{"properties":{"x":{"exclusiveMaximum":1000.0,"minimum":0,"type":"number"}},'
        '"required":["x"],"type":"object"}'
    )
