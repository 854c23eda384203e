"""Tells the forms of a schema apart: a dict may be a shorthand, a JSON schema or a wrapper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from pandas_genai.task.schema.nodes import TYPES, Node

__all__ = ["is_json_schema", "row_of_reply", "unwrapped"]

_SHAPES = ("type", "enum", "properties", "items", "anyOf", "oneOf", "allOf")
_WRAPPED = {"name", "schema", "strict", "description", "type"}
_REPLY = ("all_results", "results")


def is_json_schema(value: object, *, root: bool = False) -> TypeGuard[Mapping[str, Any]]:
    """Whether a dict can only be a JSON schema.

    A shorthand may have fields named ``type``, ``properties`` or ``enum``: what decides is that
    their values are no types of a shorthand, and that no other value is a Python type.

    Parameters
    ----------
    value : object
        Perhaps a dict.
    root : bool, default False
        Whether it is the whole schema, which has to be an object: a dict that could only be the
        JSON schema of a scalar is a shorthand there.
    """
    if not isinstance(value, Mapping) or any(isinstance(one, type) for one in value.values()):
        return False
    kind = value.get("type")
    if isinstance(kind, str):
        return kind in TYPES
    return _is_noted(value) or _is_made_of_schemas(value) or (not root and _has_types(kind, value))


def _is_noted(value: Mapping[str, Any]) -> bool:
    """Whether a keyword has a text or number for a value, where a shorthand has a type."""
    shaped = any(name in value for name in _SHAPES)
    noted = any(isinstance(value.get(name), str) for name in ("description", "title"))
    return (
        (shaped and noted)
        or isinstance(value.get("const"), str | int | float)
        or isinstance(value.get("$ref", value.get("$schema")), str)
        or _defines(value.get("$defs"))
    )


def _defines(definitions: object) -> bool:
    """Whether it is a dict of JSON schemas by name; a field may be called ``$defs``."""
    return isinstance(definitions, Mapping) and all(map(is_json_schema, definitions.values()))


def _is_made_of_schemas(value: Mapping[str, Any]) -> bool:
    properties = value.get("properties")
    if isinstance(properties, Mapping) and properties:
        return all(map(is_json_schema, properties.values()))
    variants = [value[name] for name in ("anyOf", "oneOf", "allOf") if name in value]
    return bool(variants) and all(
        isinstance(listed, list) and bool(listed) and all(map(is_json_schema, listed))
        for listed in variants
    )


def _has_types(kind: object, value: Mapping[str, Any]) -> bool:
    several = isinstance(kind, list) and bool(kind) and all(one in TYPES for one in kind)
    return several and (len(value) == 1 or "enum" in value)


def unwrapped(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the schema inside OpenAI's wrapper, or the dict itself where there is none."""
    inner = value.get("json_schema")
    if value.get("type") == "json_schema" and isinstance(inner, Mapping):
        value = inner
    schema = value.get("schema")
    if not isinstance(schema, Mapping) or not set(value) <= _WRAPPED:
        return value
    named = isinstance(value.get("name"), str) or value.get("type") == "json_schema"
    return schema if named else value


def row_of_reply(node: Node) -> Node | None:
    """Return what a whole reply says of one row; None where the schema is not of a reply."""
    properties = node.get("properties", {})
    if len(properties) == 1:
        (name,) = properties
        node = properties[name] if name in _REPLY else node
    rows: Node = node.get("items", {}) if node.get("type") == "array" else {}
    return rows if "input_id" in rows.get("properties", {}) else None
