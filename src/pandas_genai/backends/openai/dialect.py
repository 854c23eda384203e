"""OpenAI's dialect of JSON schema, and its limits.

Strict mode wants every property required and no additional ones. A compatible server that turns
the schema into a grammar enforces every bound, and shows the model none of it.
"""

from __future__ import annotations

from functools import cache

from pandas_genai.backends.dialect import Dialect, check_most, nodes_of
from pandas_genai.task.rules import Bounds
from pandas_genai.task.schema.nodes import Node, children

__all__ = ["check_limits", "dialect_of"]

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_LENGTHS = frozenset({"minLength", "maxLength"})
_ENFORCED = frozenset(
    {"pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minItems", "maxItems"}
)

# As the documentation of structured outputs has them.
_MOST_PROPERTIES = 5_000
_MOST_LEVELS = 10
_MOST_LABELS = 1_000
_MOST_CHARACTERS = 120_000
_NAME = "OpenAI"


@cache
def dialect_of(*, strict: bool, bounds: Bounds) -> Dialect:
    """Return the dialect of an output mode: lengths of texts are no keywords of strict mode."""
    enforced = frozenset() if bounds == "described" else _ENFORCED
    if bounds == "grammar" or (bounds == "dialect" and not strict):
        enforced |= _LENGTHS
    described = enforced if bounds == "grammar" else frozenset()
    return Dialect(_FORMATS, enforced, all_required=True, described=described)


def check_limits(sent: Node) -> None:
    """Hold the schema of a reply against OpenAI's limits.

    Raises
    ------
    SchemaError
        Naming the limit.
    """
    nodes = list(nodes_of(sent))
    names = [name for node in nodes for name in node.get("properties", ())]
    names += [name for node in nodes for name in node.get("$defs", ())]
    labels = [label for node in nodes for label in node.get("enum", ())]
    characters = sum(map(len, names)) + sum(len(str(label)) for label in labels)
    for found, what, most, advice in (
        (len(names), "properties", _MOST_PROPERTIES, "ask for fewer fields"),
        (len(labels), "labels in all its choices", _MOST_LABELS, "use str instead of a choice"),
        (characters, "characters in its names and labels", _MOST_CHARACTERS, "shorten them"),
        (_levels(sent), "levels of nested objects", _MOST_LEVELS, "nest less deeply"),
    ):
        check_most(found, what, most, _NAME, advice)


def _levels(node: Node) -> int:
    below = max((_levels(child) for _, child in children(node)), default=0)
    return below + ("properties" in node)
