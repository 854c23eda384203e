"""What the vendors demand of a JSON schema that they enforce."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["anthropic_fault", "openai_fault"]

_MOST_PROPERTIES = 5_000
_MOST_LEVELS = 10
_MOST_ENUM = 1_000
_MOST_CHARACTERS = 120_000
_MOST_NULLABLE = 16
_MOST_OPTIONAL = 24

_COMMON = frozenset(
    [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "$ref",
        "$defs",
        "definitions",
        "description",
        "title",
        "format",
    ]
)
_OPENAI = _COMMON | frozenset(
    [
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
    ]
)
_ANTHROPIC = _COMMON | {"allOf", "default", "minItems", "pattern"}

Path = tuple[str, ...]


def _nodes(schema: object, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every schema inside a schema, with the way to it."""
    if not isinstance(schema, Mapping):
        return
    yield path, schema
    for word in ("properties", "$defs", "definitions"):
        for name, inner in (schema.get(word) or {}).items():
            yield from _nodes(inner, (*path, word, name))
    if "items" in schema:
        yield from _nodes(schema["items"], (*path, "items"))
    for word in ("anyOf", "allOf"):
        for number, inner in enumerate(schema.get(word) or ()):
            yield from _nodes(inner, (*path, word, str(number)))


def _is_object(node: Mapping[str, Any]) -> bool:
    kind = node.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


@functools.lru_cache(maxsize=100)
def _first_fault(faults: Callable[[Any], Iterator[str]], schema: str) -> str:
    """Look at a schema once: the requests of a batch all have the same."""
    return next(faults(json.loads(schema)), "")


def openai_fault(schema: object) -> str:
    """Say what breaks the rules of a strict schema at OpenAI, or "".

    The root is an object without ``anyOf``; every object forbids other keys and requires all of
    its own; of the keywords only some are known; 5,000 properties, 10 levels, 1,000 values of
    enums, 120,000 characters of names and values.
    """
    return _first_fault(_openai_faults, json.dumps(schema))


def _openai_faults(schema: object) -> Iterator[str]:
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or "anyOf" in schema:
        yield "schema must be a JSON Schema of 'type: \"object\"', without anyOf at its root."
    properties = values = characters = 0
    for path, node in _nodes(schema):
        where = f"In context={path!r}"
        unknown = node.keys() - _OPENAI
        if unknown:
            yield f"{where}, '{min(unknown)}' is not permitted."
        if _is_object(node):
            yield from _closed(node, where)
        names = node.get("properties") or {}
        enum = [str(value) for value in node.get("enum") or ()]
        properties += len(names)
        values += len(enum)
        characters += sum(map(len, names)) + sum(map(len, enum))
        if sum(word in ("properties", "items") for word in path) > _MOST_LEVELS:
            yield f"{where}, schema exceeds the maximum of {_MOST_LEVELS} levels of nesting."
    if properties > _MOST_PROPERTIES or values > _MOST_ENUM or characters > _MOST_CHARACTERS:
        yield "schema exceeds the limits of properties, enum values or characters."


def _closed(node: Mapping[str, Any], where: str) -> Iterator[str]:
    if node.get("additionalProperties") is not False:
        yield f"{where}, 'additionalProperties' is required to be supplied and to be false."
    missing = (node.get("properties") or {}).keys() - set(node.get("required") or ())
    if missing:
        yield (
            f"{where}, 'required' is required to be supplied and to be an array including every "
            f"key in properties. Missing '{min(missing)}'."
        )


def anthropic_fault(schema: object) -> str:
    """Say what breaks the rules of ``output_config`` at Anthropic, or "".

    Every object forbids other keys; bounds are not known; ``minItems`` is 0 or 1; nothing refers
    back to itself; at most 24 optional and 16 nullable fields.
    """
    if not isinstance(schema, Mapping):
        return "Input should be an object."
    return _first_fault(_anthropic_faults, json.dumps(schema))


def _anthropic_faults(schema: Mapping[str, Any]) -> Iterator[str]:
    optional = nullable = 0
    for path, node in _nodes(schema):
        where = ".".join(path) or "root"
        unknown = node.keys() - _ANTHROPIC
        if unknown:
            yield f"{where}: '{min(unknown)}' is not supported."
        if _is_object(node) and node.get("additionalProperties") is not False:
            yield f"{where}: 'additionalProperties' must be explicitly set to false."
        if node.get("minItems", 0) not in (0, 1):
            yield f"{where}: 'minItems' must be 0 or 1."
        names = (node.get("properties") or {}).keys()
        optional += len(names - set(node.get("required") or ()))
        nullable += _is_nullable(node)
    if _recursive(schema):
        yield "circular references are not supported."
    if optional > _MOST_OPTIONAL:
        yield f"schema has {optional} optional fields, the most is {_MOST_OPTIONAL}."
    if nullable > _MOST_NULLABLE:
        yield f"schema has {nullable} nullable fields, the most is {_MOST_NULLABLE}."


def _is_nullable(node: Mapping[str, Any]) -> bool:
    kind = node.get("type")
    branches = node.get("anyOf") or ()
    return (isinstance(kind, list) and "null" in kind) or any(
        isinstance(branch, Mapping) and branch.get("type") == "null" for branch in branches
    )


def _recursive(schema: Mapping[str, Any]) -> bool:
    """Whether a definition reaches itself, or anything refers to the root."""
    reaches: dict[str, set[str]] = {}
    for path, node in _nodes(schema):
        if "$ref" in node:
            inside = f"#/{'/'.join(path[:2])}" if path[:1] in (("$defs",), ("definitions",)) else ""
            reaches.setdefault(inside, set()).add(str(node["$ref"]))
    for start, first in reaches.items():
        todo, seen = set(first), set[str]()
        while todo:
            name = todo.pop()
            if name in ("#", start):
                return True
            if name not in seen:
                seen.add(name)
                todo |= reaches.get(name, set())
    return False
