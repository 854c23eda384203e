"""The bounds of a schema in words, for a model that does not read them as keywords."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pandas_genai.task.schema.nodes import Node, children, cut

__all__ = ["WORDS", "limits_of"]

WORDS: dict[str, Callable[[Any], str]] = {
    "minimum": lambda value: f"at least {value}",
    "maximum": lambda value: f"at most {value}",
    "exclusiveMinimum": lambda value: f"more than {value}",
    "exclusiveMaximum": lambda value: f"less than {value}",
    "multipleOf": lambda value: f"a multiple of {value}",
    "minLength": lambda value: f"at least {_counted(value, 'character')}",
    "maxLength": lambda value: f"at most {_counted(value, 'character')}",
    "minItems": lambda value: f"at least {_counted(value, 'item')}",
    "maxItems": lambda value: f"at most {_counted(value, 'item')}",
    "uniqueItems": lambda value: "no item twice",
    "pattern": lambda value: f"matching the regular expression {value}",
    "format": lambda value: f"in the format {value}",
    "examples": lambda value: f"for example {_listed(value)}",
}
"""What each keyword says."""

_LIMITS = [name for name in WORDS if name not in ("format", "examples")]


def limits_of(record: Node) -> str:
    """Say the bounds of a record's fields in words, or nothing where there are none.

    A grammar ends a text at its bound, in the middle of a word: a model that does not read the
    schema has to be asked for a short text in words.
    """
    return "; ".join(_limits(record, ""))


def _limits(node: Node, path: str) -> Iterator[str]:
    words = [WORDS[name](node[name]) for name in _LIMITS if name in node]
    if words:
        yield f'"{path.removeprefix(".")}" {", ".join(words)}'
    for step, child in children({**node, "$defs": {}}):
        yield from _limits(child, path + step)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(values: Any) -> str:
    return ", ".join(map(cut, values)) if isinstance(values, list) else cut(values)
