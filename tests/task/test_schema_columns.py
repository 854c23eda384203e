"""What the values of a shorthand and of a JSON schema become."""

import enum
from datetime import date, datetime
from typing import Annotated

import pytest
from pydantic import AnyUrl, BaseModel
from pydantic import Field as PydanticField

from pandas_genai.task.schema import compile_schema

LIST = list  # linters take the texts in list[{"a": int}] for names of types


class Tone(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Review(BaseModel):
    """What a review says."""

    tone: Tone
    year: int | None = None


def test_every_shorthand_value_has_its_column():
    schema = compile_schema(
        {
            "choice": ["a", "b", None],
            "numbers": [1, 2, 0.5],
            "mixed": ["a", 1, True][:2],
            "flag": [True, False],
            "int": Annotated[int, PydanticField(ge=0, le=5, description="How strong.")],
            "float": float,
            "either": int | float,
            "bool": bool | None,
            "str": str,
            "day": date,
            "moment": datetime | None,
            "list": [str],
            "choices": [["x", "y"]],
            "objects": LIST[{"a": int}],
            "maybe": LIST[{"a": int}] | None,
            "nested": {"a": {"b": [int]}},
            "model": Review | None,
            "level": Level,
            "union": int | str,
            "url": AnyUrl,
        }
    )
    assert {field.name: (field.kind, field.labels) for field in schema.fields} == {
        "choice": ("category", ("a", "b")),
        "numbers": ("category", (1, 2, 0.5)),
        "mixed": ("category", ("a", 1)),
        "flag": ("category", (True, False)),
        "int": ("int", ()),
        "float": ("float", ()),
        "either": ("float", ()),
        "bool": ("bool", ()),
        "str": ("str", ()),
        "day": ("datetime", ()),
        "moment": ("datetime", ()),
        "list": ("object", ()),
        "choices": ("object", ()),
        "objects": ("object", ()),
        "maybe": ("object", ()),
        "nested": ("object", ()),
        "model": ("object", ()),
        "level": ("category", (1, 2)),
        "union": ("object", ()),
        "url": ("str", ()),
    }
    nullable = [field.name for field in schema.fields if field.nullable]
    assert nullable == ["choice", "bool", "moment", "maybe", "model"]
    assert schema.record["properties"]["int"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 5,
        "description": "How strong.",
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"type": ["news", "blog"], "properties": [str]},
        {"type": str},
        {"type": ["string", "number"]},
        {"type": ["string"], "enum": ["a"]},
        {"properties": {"price": float}},
        {"properties": {"kind": ["house", "flat"]}},
        {"properties": {"a": {"type": "string"}}, "year": int},
        {"enum": ["a", "b"]},
        {"name": str, "schema": {"a": int}},
        {"description": str, "title": str, "required": bool, "items": [str]},
        {"anyOf": ["a", "b"], "oneOf": [{"a": int}]},
        {"input_ids": str, "_x": int, "a b": int, "model_x": int, "copy": int, "é": int},
    ],
)
def test_fields_with_the_names_of_keywords(spec):
    assert [field.name for field in compile_schema(spec).fields] == list(spec)


def test_a_json_schema_within_a_shorthand():
    schema = compile_schema(
        {
            "tone": {"enum": ["a", "b"], "description": "The tone."},
            "const": {"const": 3},
            "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "object": {"properties": {"q": {"type": "number"}}, "required": ["q"]},
        }
    )
    assert schema.record["properties"]["tone"]["description"] == "The tone."
    assert [field.kind for field in schema.fields] == ["category", "category", "str", "object"]
    assert schema.validate({"tone": "a", "const": 3, "object": {"q": "1"}}) == {
        "tone": "a",
        "const": 3,
        "any": None,
        "object": {"q": 1.0},
    }


def test_references_unions_and_older_drafts():
    schema = compile_schema(
        {
            "definitions": {"T": {"enum": ["a"]}, "a/b": {"type": "integer", "nullable": True}},
            "type": "object",
            "properties": {
                "t": {"$ref": "#/definitions/T", "description": "Said here."},
                "u": {"allOf": [{"$ref": "#/definitions/T"}], "default": "a"},
                "v": {"$ref": "#/definitions/a~1b"},
                "w": {"oneOf": [{"const": "x", "description": "The x."}, {"const": "y"}]},
                "x": {"type": ["string", "integer", "null"], "enum": ["a", 1, None]},
                "y": {"anyOf": [{"type": ["integer", "null"]}, {"type": "string"}]},
                "z": {"const": None},
                "n": {"anyOf": [{"type": "null"}, {"const": None}]},
                "f": {"type": "integer", "enum": [1.0, 2]},
            },
            "required": ["t", "v", "w", "x", "y", "z", "n", "f"],
            "x-order": ["t"],
        }
    )
    assert [(field.kind, field.nullable) for field in schema.fields] == [
        ("category", False),
        ("category", False),
        ("int", True),
        ("category", False),
        ("category", True),
        ("object", True),
        ("object", True),
        ("object", True),
        ("category", False),
    ]
    assert schema.fields[3].labels == ("x", "y")
    assert schema.record["properties"]["t"]["description"] == "Said here."
    assert schema.validate({"t": "a", "w": "y", "y": "s", "f": 1}) == {
        "t": "a",
        "u": "a",
        "v": None,
        "w": "y",
        "x": None,
        "y": "s",
        "z": None,
        "n": None,
        "f": 1,
    }
    with pytest.raises(ValueError, match="'x' or 'y'"):
        schema.validate({"t": "a", "w": "z"})
