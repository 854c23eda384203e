"""The normal form of a JSON schema, and questions about it.

A node is one of ``{"enum": [...]}``, ``{"type": T, ...}``, ``{"anyOf": [...]}``,
``{"$ref": "#/$defs/..."}`` (recursion only) or ``{}`` (anything), with annotations beside it. Null
is allowed only by an ``anyOf`` that has ``{"type": "null"}`` as its last variant, or by ``{}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from pandas_genai.errors import SchemaError

__all__ = [
    "MOMENTS",
    "NULL",
    "TYPES",
    "Kind",
    "Node",
    "add_null",
    "canonical_text",
    "checked_labels",
    "children",
    "cut",
    "is_anything",
    "kind_of",
    "label_type",
    "labels_of",
    "split_null",
    "takes_null",
]

Node: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["category", "int", "float", "bool", "str", "datetime", "object"]

NULL: Node = {"type": "null"}
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
MOMENTS = {"date": "2024-01-31", "date-time": "2024-01-31T12:00:00", "time": "12:00:00"}
"""The formats that are validated, each with an example."""

_KINDS: dict[str, Kind] = {"integer": "int", "number": "float", "boolean": "bool", "string": "str"}
_SHOWN = 60


def cut(value: object) -> str:
    """Render a value as JSON, at most 60 characters of it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__} that cannot be shown"
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def split_null(node: Node) -> tuple[Node, bool]:
    """Return the node without null, and whether null was allowed beside it."""
    variants = node.get("anyOf", ())
    rest = [variant for variant in variants if variant != NULL]
    if len(rest) == len(variants):
        return node, False
    outer = {name: value for name, value in node.items() if name != "anyOf"}
    return ({**rest[0], **outer} if len(rest) == 1 else {"anyOf": rest, **outer}), True


def add_null(node: Node) -> Node:
    """Return the node with null allowed beside it; what describes it stays outside."""
    if takes_null(node):
        return node
    notes = ("title", "description", "default")
    outer: Node = {name: node[name] for name in notes if name in node}
    inner = {name: value for name, value in node.items() if name not in outer}
    variants = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    return {"anyOf": [*variants, dict(NULL)], **outer}


def is_anything(node: Node) -> bool:
    """Whether every value is valid."""
    return node.keys() <= {"title", "description", "default", "examples"}


def takes_null(node: Node) -> bool:
    """Whether null is a valid value; a reference never is null by itself."""
    return is_anything(node) or node.get("type") == "null" or NULL in node.get("anyOf", ())


def labels_of(node: Node) -> tuple[Any, ...] | None:
    """Return the labels of a choice, null left out; None where the node is no choice."""
    node, _ = split_null(node)
    if "enum" in node:
        return tuple(node["enum"])
    variants = node.get("anyOf", ())
    if not variants or any("enum" not in variant for variant in variants):
        return None
    return tuple(dict.fromkeys(label for variant in variants for label in variant["enum"]))


def label_type(label: object) -> str:
    """Return the JSON type of a label."""
    if isinstance(label, bool):
        return "boolean"
    if isinstance(label, int):
        return "integer"
    return "number" if isinstance(label, float) else "string"


def checked_labels(labels: Sequence[object], where: str) -> list[Any]:
    """Return the labels of a choice, null left out, if no two of them are equal.

    Raises
    ------
    SchemaError
        If there is none, or one is no plain value or there twice.
    """
    kept = [label for label in labels if label is not None]
    if not kept:
        raise SchemaError(f"{where} has an empty list of labels: give at least one label.")
    for label in kept:
        if not isinstance(label, str | int | float):
            raise SchemaError(
                f"{where} has the label {cut(label)}, a {type(label).__name__}: a label must be a "
                "text, a number or a truth value."
            )
        if isinstance(label, float) and not math.isfinite(label):
            raise SchemaError(f"{where} has the label {label}, which JSON cannot carry.")
    for place, label in enumerate(kept):
        if label in kept[:place]:
            raise SchemaError(
                f"{where} has the label {cut(label)} twice (1, 1.0 and true count as equal): "
                "remove one."
            )
    return kept


def kind_of(node: Node) -> Kind:
    """Return what kind of column holds the values of a node."""
    if labels_of(node) is not None:
        return "category"
    node, _ = split_null(node)
    types = {variant.get("type") for variant in node.get("anyOf", [node])}
    if types == {"integer", "number"}:
        return "float"
    if "anyOf" in node or not isinstance(node.get("type"), str):
        return "object"
    if node.get("format") in ("date", "date-time"):
        return "datetime"
    return _KINDS.get(node["type"], "object")


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the nodes directly below a node, each with its step in a field's path."""
    for name, child in node.get("properties", {}).items():
        yield f".{name}", child
    if "items" in node:
        yield "[]", node["items"]
    for variant in node.get("anyOf", ()):
        yield "", variant
    for name, child in node.get("$defs", {}).items():
        yield f".{name}", child


def canonical_text(value: object) -> str:
    """Render a record for hashing: keywords sorted, properties and labels in the given order."""
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"))


def _sorted(value: object, *, names: bool = False) -> object:
    if isinstance(value, Mapping):
        items = value.items() if names else sorted(value.items())
        return {
            key: sorted(inner)
            if key == "required" and isinstance(inner, list)
            # A property may itself be called "properties": there its value is a node again.
            else _sorted(inner, names=key == "properties" and not names)
            for key, inner in items
        }
    if isinstance(value, list):
        return [_sorted(inner) for inner in value]
    return value
