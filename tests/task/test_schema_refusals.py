"""The sentences for what cannot be a schema."""

import dataclasses
import enum
import itertools
import sys
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, RootModel, create_model
from pydantic import Field as PydanticField

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema import compile_schema

LIST = list  # linters take the texts in list[{"a": int}] for names of types


class Tone(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Review(BaseModel):
    """What a review says."""

    tone: Tone
    year: int | None = None


class OldRecursive(typing.TypedDict):
    kids: "list[OldRecursive]"


class OldUndefined(typing.TypedDict):
    kids: "list[Nowhere]"  # noqa: F821 - the name is missing on purpose


@dataclasses.dataclass
class Data:
    tone: Literal["good", "bad"]
    year: int | None = None


class Named(NamedTuple):
    tone: str


class Undefined(BaseModel):
    x: "Nowhere"  # noqa: F821 - the name is missing on purpose


class Whole(BaseModel):
    class Row(BaseModel):
        input_id: str
        tone: Tone

    all_results: list[Row]


def self_containing():
    spec = {}
    spec["a"] = spec
    return spec


def json_field(node):
    return {"type": "object", "properties": {"f": node}, "required": ["f"]}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "empty dict"),
        ([], "empty list of labels"),
        ([None], "empty list of labels"),
        (["a", "a"], '"a" twice'),
        ([1, True], "true twice"),
        ([1, 1.0], "1.0 twice"),
        ([["a"], ["b"]], "a list: a label must be"),
        ([{"a": int}, {"b": int}], "list of 2 schemas"),
        ([float("nan")], "JSON cannot carry"),
        ({"a", "b"}, "a set, which has no order"),
        ({"": int}, "''"),
        ({" ": int}, "not blank"),
        ({1: int}, "name 1"),
        ({"a": None}, '"a" is None, not a type: write a type'),
        ({"a": "int"}, "\"a\" is 'int', not a type"),
        ({"a": 5}, '"a" is 5'),
        ({"a": {}}, 'Field "a" is an empty dict'),
        ({"a": {"b": {}}}, 'Field "a.b"'),
        ({"a": []}, 'Field "a" has an empty list'),
        ({"a": [str, int]}, r"list of 2 types.*\[str \| int\]"),
        ({"a": [str, "x"]}, "a label must be"),
        ({"a": {1, 2}}, "is a set, which has no order"),
        ({"a": range(3)}, "instance of range"),
        ({"a": ...}, "instance of ellipsis"),
        ({"a": len}, "instance of builtin"),
        ({"a": PydanticField(ge=1)}, "instance of FieldInfo"),
        ({"a": typing.Final[int]}, "not a type"),
        ({"a": tuple[int, str]}, "prefixItems"),
        ({"a": typing.Callable}, "cannot be read"),
        ({"a": type}, "cannot be read"),
        ({"a": object()}, "cannot be read"),
        ({"title": "the title"}, "'the title', not a type"),
        ({"type": "news"}, "'news', not a type"),
        ({"input_id": str}, '"input_id", a name that the package needs'),
        ({"x": {"type": "sting"}, "y": int}, "sting"),
        ({"x": {"type": "string", "enum": []}}, 'In the JSON schema of field "x"'),
        ({"x": {"$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}}, "itself"),
        (self_containing(), "contains itself"),
        (["a", "\ud800"], "surrogate"),
        ({"\ud800": int}, "surrogate"),
        (Undefined, "cannot be read"),
        (OldUndefined, "Nowhere|not fully defined"),
        (Named, "prefixItems"),
        (Data("good"), "instance of Data"),
        (Review(tone="good"), "instance of Review"),
        (Review | None, "no object with fields"),
        (Whole, "model of one row"),
        (RootModel[list[Review]], r"list\[Model\]"),
        (create_model("Empty"), "no fields"),
        (create_model("Id", input_id=(str, ...)), "input_id"),
        (dict[str, int], "no fields"),
        (5, "schema= is 5"),
        (b"x", "instance of bytes"),
        (lambda text: text, "instance of function"),
        (list, "list without fields"),
        (list[None], "list without fields"),
        (LIST[LIST[{"a": int}]], "list of lists"),
        ("nope.json", "cannot be read.*No such file"),
        (Path("nope.json"), "cannot be read"),
        ("a\0b", "cannot be read"),
        ({"type": "object"}, "no fields"),
        ({"type": "string"}, 'not "string"'),
        ({"anyOf": [{"type": "object"}, {"type": "string"}]}, 'not "anyOf"'),
        ({"type": "array", "items": {"type": "string"}}, 'not "string"'),
        ({"type": "object", "properties": {"input_id": {"type": "string"}}}, "no fields"),
        ({"type": "object", "year": list[int]}, '"year"'),
    ],
    ids=map(str, itertools.count()),
)
def test_refusals(spec, says):
    with pytest.raises(SchemaError, match=says) as caught:
        compile_schema(spec)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_typed_dict_that_contains_itself():
    """Before Python 3.12, typing's own cannot be resolved."""
    if sys.version_info >= (3, 12):
        schema = compile_schema(OldRecursive)
        assert schema.validate({"kids": [{"kids": []}]}) == {"kids": [{"kids": []}]}
    else:
        with pytest.raises(SchemaError, match="write it as a pydantic model"):
            compile_schema(OldRecursive)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"not": {}}, '"not"'),
        ({"type": "array", "prefixItems": []}, "prefixItems"),
        ({"type": "object", "dependentRequired": {}}, "dependentRequired"),
        ({"type": "sting"}, "sting"),
        ({"type": []}, "type"),
        ({"allOf": [{"type": "string"}, {}]}, "write them as one"),
        ({"allOf": [{"minLength": 1}], "minLength": 2, "type": "string"}, "says .minLength. twice"),
        ({"anyOf": []}, "anyOf"),
        ({"anyOf": [{}], "oneOf": [{}]}, "both anyOf and oneOf"),
        ({"anyOf": [{"type": "string"}], "minLength": 3}, "beside anyOf"),
        ({"$ref": "http://example.org/x"}, "only #"),
        ({"$ref": 5}, "only #"),
        ({"$ref": "#/$defs/no"}, "does not exist"),
        ({"$ref": "#/properties/f"}, "without end"),
        ({"$ref": "#/$defs/no", "minLength": 3}, "beside \\$ref"),
        ({"enum": []}, "empty list"),
        ({"enum": "ab"}, "not a list"),
        ({"enum": [{}]}, "label"),
        ({"enum": ["a", "a"]}, "twice"),
        ({"type": "integer", "enum": ["a"]}, "not of its type"),
        ({"type": "string", "description": 5}, "description"),
        ({"type": "string", "pattern": "("}, "pattern"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "string", "pattern": 5}, "pattern"),
        ({"type": "string", "minLength": -1}, "minLength"),
        ({"type": "integer", "minimum": "0"}, "minimum"),
        ({"type": "integer", "minimum": float("nan")}, "minimum"),
        ({"type": "integer", "exclusiveMinimum": True}, "exclusiveMinimum"),
        ({"type": "number", "multipleOf": 0}, "above 0"),
        ({"type": "integer", "default": "x"}, "default"),
        ({"type": "array", "items": 5}, "5, but a JSON schema is a dict"),
        ({"type": "object", "properties": []}, "properties"),
        ({"type": "object", "properties": {}, "required": "a"}, "required"),
        ({"type": "object", "properties": {}, "required": ["q"]}, '"q"'),
        ({"type": "object", "properties": {"": {}}}, "not blank"),
        (False, "false"),
    ],
    ids=map(str, itertools.count()),
)
def test_json_schemas_that_are_refused(node, says):
    with pytest.raises(SchemaError, match=says) as caught:
        compile_schema(json_field(node))
    assert '"f' in str(caught.value) or "pattern" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_schema_that_grows_without_bound_is_refused():
    defs = {"d0": {"type": "integer"}}
    for level in range(1, 40):
        child = {"$ref": f"#/$defs/d{level - 1}"}
        defs[f"d{level}"] = {"type": "object", "properties": {"a": child, "b": child}}
    with pytest.raises(SchemaError, match="too large"):
        compile_schema({"$defs": defs, "$ref": "#/$defs/d39"})
    node: Any = {"type": "integer"}
    for _ in range(3000):
        node = {"type": "array", "items": node}
    with pytest.raises(SchemaError, match="too deeply"):
        compile_schema(json_field(node))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"{", "not valid JSON"), (b"\xff\xfe\xff", "cannot be read"), (b"5", "no JSON object")],
)
def test_files_that_hold_no_schema(tmp_path, content, says):
    (tmp_path / "schema.json").write_bytes(content)
    with pytest.raises(SchemaError, match=says):
        compile_schema("schema.json")
