"""What the vendors demand of a schema that they enforce."""

from __future__ import annotations

import pytest

from pandas_genai.testing.schemas import anthropic_fault, openai_fault


def obj(properties, required=None, **more):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
        **more,
    }


def nested(levels):
    return obj({"x": nested(levels - 1)}) if levels else {"type": "string"}


TEXT = {"type": "string"}
FINE = obj(
    {
        "a": {"type": ["string", "null"], "description": "x"},
        "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "c": {"type": "array", "items": obj({"d": {"enum": ["x", "y"]}})},
        "e": {"$ref": "#/$defs/e"},
        "g": True,
    },
    **{"$defs": {"e": obj({"f": {"const": 1}})}},
)


def test_a_schema_that_both_take():
    assert openai_fault(FINE) == ""
    assert anthropic_fault(FINE) == ""


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (None, "'type: \"object\"'"),
        ({"type": "array"}, "'type: \"object\"'"),
        (obj({}, anyOf=[]), "without anyOf at its root"),
        ({"type": "object", "properties": {}}, "'additionalProperties' is required"),
        (obj({"a": {"type": ["object", "null"]}}), "'additionalProperties' is required"),
        (obj({"a": TEXT, "b": TEXT}, required=["a"]), "Missing 'b'"),
        (obj({"a": {**TEXT, "maxLength": 5}}), "'maxLength' is not permitted"),
        (obj({"a": {"oneOf": [TEXT]}}), "'oneOf' is not permitted"),
        (obj({"a": {"allOf": [TEXT]}}), "'allOf' is not permitted"),
        (obj({"a": {"type": "array", "items": {"not": {}}}}), "'not' is not permitted"),
        (obj({"a": {"anyOf": [{"default": 3}]}}), "'default' is not permitted"),
        (nested(12), "levels of nesting"),
        (obj({"a": {"enum": list(range(1001))}}), "limits"),
        (obj({f"p{n}": TEXT for n in range(5001)}), "limits"),
        (obj({"a": {"enum": ["x" * 120_000]}}), "limits"),
    ],
)
def test_what_openai_refuses(schema, words):
    assert words in openai_fault(schema)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (3, "Input should be an object"),
        ({"type": "object"}, "'additionalProperties'"),
        (obj({"a": {"type": "integer", "minimum": 1}}), "properties.a: 'minimum'"),
        (obj({"a": {"type": "array", "items": TEXT, "minItems": 2}}), "'minItems' must be 0 or 1"),
        (obj({f"p{n}": TEXT for n in range(25)}, required=[]), "25 optional fields"),
        (obj({f"p{n}": {"type": ["string", "null"]} for n in range(17)}), "17 nullable fields"),
        (obj({"a": {"$ref": "#"}}), "circular"),
        (
            obj(
                {"a": {"$ref": "#/$defs/a"}},
                **{
                    "$defs": {
                        "a": obj({"b": {"$ref": "#/$defs/b"}}),
                        "b": obj({"a": {"$ref": "#/$defs/a"}}),
                    }
                },
            ),
            "circular",
        ),
    ],
)
def test_what_anthropic_refuses(schema, words):
    assert words in anthropic_fault(schema)
