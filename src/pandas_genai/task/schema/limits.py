"""What no vendor can enforce, refused in one sentence before any call."""

from __future__ import annotations

from collections.abc import Iterator

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import Node, children, is_anything

__all__ = ["check_record"]


def check_record(record: Node) -> None:
    """Refuse fields whose shape no vendor can enforce.

    Raises
    ------
    SchemaError
        Naming the field.
    """
    for path, node in _walk(record, ""):
        place = f'Field "{path.removeprefix(".")}"' if path else "The schema"
        if node.get("additionalProperties"):
            raise SchemaError(
                f"{place} is a dict with any keys, which no vendor can enforce: name its fields, "
                "or use a list of objects with a key and a value."
            )
        if node.get("type") == "object" and not node["properties"]:
            raise SchemaError(f"{place} is an object without fields: name at least one.")
        if is_anything(node):
            raise SchemaError(
                f"{place} may be anything, which no vendor can enforce: give it a type, such as "
                "str or list[str]."
            )


def _walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for step, child in children(node):
        yield from _walk(child, path + step)
