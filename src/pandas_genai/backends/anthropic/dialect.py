"""Anthropic's dialect of JSON schema, and its limits.

It takes optional properties but few nullable ones, no bounds, and no schema that refers to itself.
"""

from __future__ import annotations

from pandas_genai.backends.dialect import Dialect, check_most, nodes_of
from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import NULL, Node

__all__ = ["DIALECT", "check_limits"]

DIALECT = Dialect(
    frozenset(
        {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6"}
        | {"uuid"}
    )
)

# As the documentation of structured outputs has them.
_MOST_OPTIONAL = 24
_MOST_NULLABLE = 16
_NAME = "Anthropic"


def check_limits(record: Node, sent: Node) -> None:
    """Hold a record's schema, and that of the reply, against Anthropic's limits.

    Raises
    ------
    SchemaError
        Naming the limit.
    """
    if "$defs" in record:
        name = next(iter(record["$defs"]))
        raise SchemaError(
            f'The schema refers to itself ("{name}"), which Anthropic cannot enforce: write out '
            "as many levels as you need, or use backend='openai'."
        )
    nodes = list(nodes_of(sent))
    optional = sum(
        len(node["properties"]) - len(node["required"]) for node in nodes if "properties" in node
    )
    nullable = sum(NULL in node.get("anyOf", ()) for node in nodes)
    for found, what, most, advice in (
        (
            optional,
            "optional or nullable fields",
            _MOST_OPTIONAL,
            "make more fields required (not `| None`), or split the question into two",
        ),
        (
            nullable,
            "nullable values inside lists",
            _MOST_NULLABLE,
            "leave `| None` out of the items of its lists",
        ),
    ):
        check_most(found, what, most, _NAME, advice)
