"""How deep JSON may be nested: one bound for what is accepted and for what is read back."""

from __future__ import annotations

__all__ = ["MAX_DEPTH", "is_too_deep"]

MAX_DEPTH = 64
"""The most lists and objects within each other. Far from what readers of JSON, and Python's own
recursion, can follow (pydantic 200, SQLite and the standard library 1,000), so that whatever was
accepted can be read by all of them; and far above what a question about a text needs."""


def is_too_deep(value: object, bound: int = MAX_DEPTH) -> bool:
    """Whether parsed JSON is nested deeper than the bound; without recursion, level by level.

    Examples
    --------
    >>> is_too_deep([{"a": [1]}], 3), is_too_deep([{"a": [1]}], 2)
    (False, True)
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(bound):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return bool(level)
