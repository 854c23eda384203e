"""How long an answer will be, guessed from its schema before any was seen."""

from __future__ import annotations

from pandas_genai.task.schema import Schema
from pandas_genai.task.schema.nodes import NULL, Node, kind_of, labels_of

__all__ = ["CALL_CHARACTERS", "answer_characters"]

CALL_CHARACTERS = len('{"all_results": []}')
"""Of a reply, around the answers of its rows."""

_ENTRY = len('{"input_id": "abcde", }, ')
_AROUND_KEY = len('"": , ')
_FREE = 100
_TEXT = 60
_ITEMS = 2
_DEEPEST = 5
_CHARACTERS: dict[str, int] = {"int": 3, "float": 4, "bool": 5, "datetime": 14, "object": 60}


def answer_characters(schema: Schema) -> int:
    """Guess how many characters of a reply answer one row.

    A choice is as long as its labels on average, a whole number has 3 digits, a number 4, a truth
    value 5 characters, a date 14, a text 60 (or its ``maxLength``, where that is less), a list
    two items (or its ``minItems``), a free answer 100. Keys and punctuation are added.

    Parameters
    ----------
    schema : Schema
        What an answer looks like.

    Examples
    --------
    >>> from pandas_genai.task.schema import compile_schema
    >>> answer_characters(compile_schema({"tone": ["good", "bad"], "year": int}))
    54
    """
    if schema.asked is None:
        return _ENTRY + _FREE
    record = _object(schema.asked, 0)
    if not schema.many:
        return _ENTRY + record
    return _ENTRY + _AROUND_KEY + len("records") + _ITEMS * (record + len("{}, "))


def _object(node: Node, depth: int) -> int:
    fields = node.get("properties", {}).items()
    return sum(len(name) + _AROUND_KEY + _value(child, depth + 1) for name, child in fields)


def _value(node: Node, depth: int) -> int:
    labels = labels_of(node)
    if labels:
        return round(sum(len(str(label)) + 2 for label in labels) / len(labels))
    kind = kind_of(node)
    if kind == "str":
        return min(_TEXT, _longest(node)) + 2
    if kind != "object" or depth > _DEEPEST:
        return _CHARACTERS.get(kind, _TEXT)
    variants = [variant for variant in node.get("anyOf", ()) if variant != NULL]
    if variants:
        return max(_value(variant, depth + 1) for variant in variants)
    if "items" in node:
        items: int = max(_ITEMS, node.get("minItems", 0))
        return 2 + items * (_value(node["items"], depth + 1) + 2)
    return 2 + _object(node, depth) if node.get("properties") else _CHARACTERS["object"]


def _longest(node: Node) -> int:
    """Return a text's ``maxLength``, which may stand beside null."""
    parts = (node, *node.get("anyOf", ()))
    bounds: list[int] = [part.get("maxLength", _TEXT) for part in parts]
    return min(bounds)
