"""What the vendors cannot enforce, refused in one sentence before any call."""

from __future__ import annotations

from collections.abc import Iterator

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import NULL, Node, children, is_anything

__all__ = ["check_limits", "check_record"]

# OpenAI's structured outputs, as its documentation has them.
_MOST_PROPERTIES = 5_000
_MOST_LEVELS = 10
_MOST_LABELS = 1_000
_MOST_CHARACTERS = 120_000
# Anthropic's structured outputs.
_MOST_OPTIONAL = 24
_MOST_NULLABLE = 16


def check_record(record: Node, backend: str) -> None:
    """Refuse fields whose shape no vendor can enforce.

    Raises
    ------
    SchemaError
        Naming the field.
    """
    if backend == "anthropic" and "$defs" in record:
        name = next(iter(record["$defs"]))
        raise SchemaError(
            f'The schema refers to itself ("{name}"), which Anthropic cannot enforce: write out '
            "as many levels as you need, or use backend='openai'."
        )
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


def check_limits(sent: Node, backend: str) -> None:
    """Hold the schema of a reply against the limits of a vendor.

    Raises
    ------
    SchemaError
        Naming the limit.
    """
    nodes = [node for _, node in _walk(sent, "")]
    if backend == "anthropic":
        _check_anthropic(nodes)
    else:
        _check_openai(nodes)
        levels = _levels(sent)
        if levels > _MOST_LEVELS:
            _too_many(
                levels, "levels of nested objects", _MOST_LEVELS, "OpenAI", "nest less deeply"
            )


def _check_openai(nodes: list[Node]) -> None:
    names = [name for node in nodes for name in node.get("properties", ())]
    names += [name for node in nodes for name in node.get("$defs", ())]
    labels = [label for node in nodes for label in node.get("enum", ())]
    characters = sum(map(len, names)) + sum(len(str(label)) for label in labels)
    for found, what, most, advice in (
        (len(names), "properties", _MOST_PROPERTIES, "ask for fewer fields"),
        (len(labels), "labels in all its choices", _MOST_LABELS, "use str instead of a choice"),
        (characters, "characters in its names and labels", _MOST_CHARACTERS, "shorten them"),
    ):
        if found > most:
            _too_many(found, what, most, "OpenAI", advice)


def _check_anthropic(nodes: list[Node]) -> None:
    optional = sum(
        len(node["properties"]) - len(node["required"]) for node in nodes if "properties" in node
    )
    nullable = sum(NULL in node.get("anyOf", ()) for node in nodes)
    if optional > _MOST_OPTIONAL:
        advice = "make more fields required (not `| None`), or split the question into two"
        _too_many(optional, "optional or nullable fields", _MOST_OPTIONAL, "Anthropic", advice)
    if nullable > _MOST_NULLABLE:
        advice = "leave `| None` out of the items of its lists"
        _too_many(nullable, "nullable values inside lists", _MOST_NULLABLE, "Anthropic", advice)


def _too_many(found: int, what: str, most: int, vendor: str, advice: str) -> None:
    raise SchemaError(
        f"The schema has {found:,} {what}, and {vendor} takes at most {most:,}: {advice}."
    )


def _levels(node: Node) -> int:
    below = max((_levels(child) for _, child in children(node)), default=0)
    return below + ("properties" in node)


def _walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for step, child in children(node):
        yield from _walk(child, path + step)
