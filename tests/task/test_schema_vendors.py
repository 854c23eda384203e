"""What each vendor is sent, and what it could not enforce."""

import functools
import json
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import AnyUrl, BaseModel, ConfigDict, Field

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema import compile_schema

BACKENDS = ("openai", "anthropic")


class Node(BaseModel):
    name: str
    kids: list["Node"] = []


class Part(BaseModel):
    """A part."""

    size: int
    colour: str | None = None


class Thing(BaseModel):
    """A thing."""

    model_config = ConfigDict(extra="allow")
    kind: Literal["thing"]
    year: int | None
    count: int = 3
    part: Part | None = Field(default=None, description="Its part.")
    parts: set[int] = {1}
    url: AnyUrl | None = None
    scores: list[int | None]
    day: date


def entry_of(schema, backend, **options):
    reply = schema.reply_schema(backend, **options)
    assert list(reply["properties"]) == ["all_results"]
    Draft202012Validator.check_schema(reply)
    return reply["properties"]["all_results"]["items"]


def objects_in(node):
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for child in node.values():
            yield from objects_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects_in(child)


def test_openai_wants_everything_required():
    entry = entry_of(compile_schema(Thing), "openai")
    assert list(entry["properties"])[:3] == ["input_id", "kind", "year"]
    assert entry["description"] == "A thing."
    for node in objects_in(entry):
        assert node["required"] == list(node["properties"])
        assert node["additionalProperties"] is False
    assert entry["properties"]["year"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert entry["properties"]["count"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert entry["properties"]["kind"] == {"type": "string", "enum": ["thing"]}
    assert entry["properties"]["part"]["description"] == "Its part."
    assert entry["properties"]["parts"]["anyOf"][0]["description"] == "No item twice."
    assert entry["properties"]["url"]["anyOf"][0] == {
        "type": "string",
        "description": "In the format uri; at least 1 character.",
    }
    assert entry["properties"]["day"] == {"type": "string", "format": "date"}
    assert '"default"' not in json.dumps(entry)


def test_anthropic_wants_optional_fields_left_out():
    entry = entry_of(compile_schema(Thing), "anthropic")
    assert entry["required"] == ["input_id", "kind", "scores", "day"]
    assert entry["properties"]["year"] == {"type": "integer"}
    assert entry["properties"]["part"] == {
        "type": "object",
        "description": "Its part.",
        "properties": {"size": {"type": "integer"}, "colour": {"type": "string"}},
        "required": ["size"],
        "additionalProperties": False,
    }
    assert entry["properties"]["scores"]["items"] == {
        "anyOf": [{"type": "integer"}, {"type": "null"}]
    }
    assert entry["properties"]["url"]["format"] == "uri"
    assert '"default"' not in json.dumps(entry)


BOUNDED = {
    "score": Annotated[int, Field(ge=0, le=5, description="How strong.")],
    "share": Annotated[float, Field(gt=0, lt=1, multiple_of=0.25)],
    "code": Annotated[str, Field(min_length=2, max_length=9, pattern="^[a-z]+$")],
    "one": Annotated[list[str], Field(min_length=1, max_length=3)],
    "two": Annotated[list[str], Field(min_length=2)],
    "quoted": Annotated[str, Field(examples=["x", "y"])],
}


def test_bounds():
    schema = compile_schema(BOUNDED)
    openai = entry_of(schema, "openai")["properties"]
    assert openai["score"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 5,
        "description": "How strong.",
    }
    assert openai["code"] == {
        "type": "string",
        "pattern": "^[a-z]+$",
        "description": "At least 2 characters; at most 9 characters.",
    }
    assert (openai["two"]["minItems"], openai["one"]["maxItems"]) == (2, 3)
    assert openai["quoted"]["description"] == 'For example "x", "y".'
    loose = entry_of(schema, "openai", strict=False)["properties"]
    assert (loose["code"]["minLength"], loose["code"]["maxLength"]) == (2, 9)
    assert {**loose, "code": 0} == {**openai, "code": 0}
    anthropic = entry_of(schema, "anthropic")["properties"]
    assert anthropic["score"] == {
        "type": "integer",
        "description": "How strong. (at least 0; at most 5)",
    }
    assert anthropic["share"]["description"] == "More than 0; less than 1; a multiple of 0.25."
    assert anthropic["code"]["description"].startswith("Matching the regular expression ^[a-z]+$;")
    assert anthropic["one"]["minItems"] == 1
    assert anthropic["one"]["description"] == "At most 3 items."
    assert "minItems" not in anthropic["two"]


def test_many_records_stand_in_a_list():
    schema = compile_schema([Part])
    for backend in BACKENDS:
        entry = entry_of(schema, backend)
        assert entry["required"] == ["input_id", "records"]
        record = entry["properties"]["records"]["items"]
        assert record["description"] == "A part."
        assert list(record["properties"]) == ["size", "colour"]


def test_the_same_dict_each_time():
    schema = compile_schema(Thing)
    for backend in BACKENDS:
        assert schema.reply_schema(backend) is schema.reply_schema(backend)
        again = compile_schema(Thing).reply_schema(backend)
        assert json.dumps(again) == json.dumps(schema.reply_schema(backend))


def test_recursion_is_for_openai():
    named = {"type": "object", "properties": {"n": {"$ref": "#", "description": "The next."}}}
    for spec in (Node, Node.model_json_schema(), named, list[Node]):
        schema = compile_schema(spec)
        schema.check("openai")
        (name,) = schema.reply_schema("openai")["$defs"]
        entry = json.dumps(entry_of(schema, "openai"))
        assert f'{{"$ref": "#/$defs/{name}"}}' in entry
        with pytest.raises(SchemaError, match="refers to itself"):
            schema.check("anthropic")
    both = {
        "$defs": {
            "A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}},
            "B": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
            "x-A": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}},
        },
        "definitions": {"A": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}}},
        "properties": {name: {"$ref": f"#/$defs/{name}"} for name in ("A", "B", "x-A")},
        "type": "object",
    }
    schema = compile_schema(both)
    assert set(schema.reply_schema("openai")["$defs"]) == {"A", "B", "A_"}
    assert schema.validate({"A": {"b": {"a": {}}}})["A"] == {"b": {"a": {"b": None}}}


def test_a_reference_has_nothing_beside_it():
    kids = {"type": "array", "items": {"$ref": "#", "description": "A kid."}}
    schema = compile_schema({"type": "object", "properties": {"kids": kids}, "required": ["kids"]})
    assert entry_of(schema, "openai")["properties"]["kids"]["items"] == {
        "anyOf": [{"$ref": "#/$defs/record"}],
        "description": "A kid.",
    }


def nested(levels):
    return functools.reduce(lambda inner, _: {"n": inner}, range(levels), int)


@pytest.mark.parametrize(
    ("spec", "backends", "says"),
    [
        ({"a": dict[str, int]}, BACKENDS, 'Field "a" is a dict with any keys'),
        ({"a": {"b": [{"c": dict}]}}, BACKENDS, r'Field "a\.b\[\]\.c" is a dict'),
        ({"a": dict[Literal["x"], int]}, BACKENDS, "dict with any keys"),
        ({"a": Any}, BACKENDS, 'Field "a" may be anything'),
        (
            {"type": "object", "properties": {"a": {"anyOf": [{}, {"type": "string"}]}}},
            BACKENDS,
            'Field "a" may be anything',
        ),
        ({"a": list}, BACKENDS, r'Field "a\[\]" may be anything'),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": {"type": "string"},
            },
            BACKENDS,
            "The schema is a dict with any keys",
        ),
        (
            {
                "properties": {"a": {"type": "object", "additionalProperties": False}},
                "type": "object",
            },
            BACKENDS,
            "object without fields",
        ),
        (nested(10), ("openai",), "11 levels of nested objects.*at most 10"),
        ({f"f{n}": int for n in range(4_999)}, ("openai",), "5,001 properties.*5,000"),
        ([f"l{n}" for n in range(1_001)], ("openai",), "1,001 labels.*1,000"),
        (["x" * 120_000], ("openai",), "characters in its names and labels"),
        ({f"f{n}": int | None for n in range(25)}, ("anthropic",), "25 optional.*at most 24"),
        (
            {
                "type": "object",
                "properties": {f"f{n}": {"type": "integer"} for n in range(25)},
                "required": [],
            },
            ("anthropic",),
            "25 optional",
        ),
        ({f"f{n}": list[int | None] for n in range(17)}, ("anthropic",), "17 nullable.*at most 16"),
    ],
    ids=[f"limit{n}" for n in range(15)],
)
def test_what_a_vendor_cannot_enforce(spec, backends, says):
    schema = compile_schema(spec)
    for backend in BACKENDS:
        if backend in backends:
            with pytest.raises(SchemaError, match=says) as caught:
                schema.check(backend)
            assert "\n" not in str(caught.value)
        else:
            schema.check(backend)


@pytest.mark.parametrize(
    "spec",
    [
        nested(9),
        {f"f{n}": int for n in range(4_998)},
        [f"l{n}" for n in range(1_000)],
        {f"f{n}": int | None for n in range(24)},
        {f"f{n}": list[int | None] for n in range(16)},
    ],
    ids=[f"limit{n}" for n in range(5)],
)
def test_at_the_limit(spec):
    for backend in BACKENDS:
        compile_schema(spec).check(backend)
