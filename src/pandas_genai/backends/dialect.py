"""The JSON schema of a whole reply in a vendor's dialect.

Vendors differ in the keywords that they enforce, and in what may be absent. What one does not
enforce moves into the description, where the model may still read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import Node, add_null, children, split_null, takes_null
from pandas_genai.task.schema.words import WORDS

__all__ = ["Dialect", "check_most", "nodes_of"]


@dataclass(frozen=True)
class Dialect:
    """How a vendor, or one of its output modes, takes a schema.

    Parameters
    ----------
    formats : frozenset of str
        Values of ``format`` that are enforced.
    enforced : frozenset of str
        Keywords that are enforced; ``minItems`` up to 1 always is.
    all_required : bool
        Whether every property must be required: what may be absent is then nullable instead.
        Otherwise a nullable property is one that may be absent.
    described : frozenset of str
        Enforced keywords that the description says, too.
    """

    formats: frozenset[str]
    enforced: frozenset[str] = frozenset()
    all_required: bool = False
    described: frozenset[str] = frozenset()

    def reply_schema(self, record: Node, *, many: bool) -> Node:
        """Return the schema of ``{"all_results": [{"input_id": ..., <fields>}]}``.

        Parameters
        ----------
        record : dict
            One record's schema in normal form.
        many : bool
            Whether the fields stand in a list ``records``.
        """
        entry = self.node({name: value for name, value in record.items() if name != "$defs"})
        if many:
            fields: Node = {"records": {"type": "array", "items": entry}}
            required = ["records"]
            entry = {"type": "object"}
        else:
            fields, required = entry["properties"], entry["required"]
        entry["properties"] = {"input_id": {"type": "string"}, **fields}
        entry["required"] = ["input_id", *required]
        entry["additionalProperties"] = False
        reply: Node = {
            "type": "object",
            "properties": {"all_results": {"type": "array", "items": entry}},
            "required": ["all_results"],
            "additionalProperties": False,
        }
        if "$defs" in record:
            reply["$defs"] = {name: self.node(node) for name, node in record["$defs"].items()}
        return reply

    def node(self, node: Node) -> Node:
        """Translate one node and all below it."""
        sent: Node = {}
        rules: list[str] = []
        for name, value in node.items():
            if name in ("type", "enum", "$ref", "title"):
                sent[name] = value
            elif name == "anyOf":
                sent[name] = [self.node(variant) for variant in value]
            elif name == "items":
                sent[name] = self.node(value)
            elif self._enforces(name, value):
                sent[name] = value
                if name in self.described:
                    rules.append(WORDS[name](value))
            elif name in WORDS:
                rules.append(WORDS[name](value))
        if node.get("type") == "object":
            sent |= self._object(node)
        return _described(sent, node.get("description"), rules)

    def _enforces(self, name: str, value: Any) -> bool:
        if name == "format":
            return value in self.formats
        return name in self.enforced or (name == "minItems" and value <= 1)

    def _object(self, node: Node) -> Node:
        properties = {}
        required = []
        for name, child in node["properties"].items():
            optional = name not in node["required"]
            if self.all_required:
                properties[name] = self.node(add_null(child) if optional else child)
                required.append(name)
                continue
            properties[name] = self.node(split_null(child)[0])
            if not (optional or takes_null(child)):
                required.append(name)
        return {"properties": properties, "required": required, "additionalProperties": False}


def _described(sent: Node, description: str | None, words: list[str]) -> Node:
    rules = "; ".join(words)
    if description and rules:
        description = f"{description} ({rules})"
    elif rules:
        description = f"{rules[0].upper()}{rules[1:]}."
    # A reference takes nothing beside it.
    if "$ref" in sent and (description or len(sent) > 1):
        sent = {"anyOf": [{"$ref": sent.pop("$ref")}], **sent}
    return {**sent, "description": description} if description else sent


def nodes_of(schema: Node) -> Iterator[Node]:
    """Yield a schema and everything in it."""
    yield schema
    for _, child in children(schema):
        yield from nodes_of(child)


def check_most(found: int, what: str, most: int, vendor: str, advice: str) -> None:
    """Hold a count of a schema against what a vendor takes.

    Raises
    ------
    SchemaError
        Naming the limit.
    """
    if found > most:
        raise SchemaError(
            f"The schema has {found:,} {what}, and {vendor} takes at most {most:,}: {advice}."
        )
