"""The JSON schema of a whole reply, in the dialect of each vendor.

OpenAI's strict mode wants every property required and no additional ones; Anthropic takes
optional properties but few nullable ones, and no bounds. What a vendor does not enforce moves into
the description, where the model may still read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pandas_genai.task.schema.nodes import Node, add_null, cut, split_null, takes_null

__all__ = ["reply_schema"]

_FORMATS = {
    "openai": {
        "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
    },
    "anthropic": {
        "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
    },
}  # fmt: skip
_LENGTHS = ("minLength", "maxLength")
_ENFORCED = {
    "openai": {
        "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minItems", "maxItems",
    },
    "anthropic": set(),
}  # fmt: skip
_WORDS: dict[str, Callable[[Any], str]] = {
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


def reply_schema(
    record: Node, backend: Literal["openai", "anthropic"], *, many: bool, strict: bool
) -> Node:
    """Return the schema of ``{"all_results": [{"input_id": ..., <fields>}]}``.

    Parameters
    ----------
    record : dict
        One record's schema in normal form.
    backend : {"openai", "anthropic"}
        The dialect.
    many : bool
        Whether the fields stand in a list ``records``.
    strict : bool
        For OpenAI: whether lengths of texts move into descriptions.
    """
    dialect = _Dialect(backend, strict)
    entry = dialect.node({name: value for name, value in record.items() if name != "$defs"})
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
        reply["$defs"] = {name: dialect.node(node) for name, node in record["$defs"].items()}
    return reply


class _Dialect:
    def __init__(self, backend: str, strict: bool) -> None:
        self._all_required = backend == "openai"
        self._formats = _FORMATS[backend]
        self._enforced = set(_ENFORCED[backend])
        if self._all_required and not strict:
            self._enforced |= set(_LENGTHS)

    def node(self, node: Node) -> Node:
        """Translate one node and all below it."""
        sent: Node = {}
        told: list[str] = []
        for name, value in node.items():
            if name in ("type", "enum", "$ref", "title"):
                sent[name] = value
            elif name == "anyOf":
                sent[name] = [self.node(variant) for variant in value]
            elif name == "items":
                sent[name] = self.node(value)
            elif self._enforces(name, value):
                sent[name] = value
            elif name in _WORDS:
                told.append(_WORDS[name](value))
        if node.get("type") == "object":
            sent |= self._object(node)
        return _described(sent, node.get("description"), told)

    def _enforces(self, name: str, value: Any) -> bool:
        if name == "format":
            return value in self._formats
        return name in self._enforced or (name == "minItems" and value <= 1)

    def _object(self, node: Node) -> Node:
        properties = {}
        required = []
        for name, child in node["properties"].items():
            optional = name not in node["required"]
            if self._all_required:
                properties[name] = self.node(add_null(child) if optional else child)
                required.append(name)
                continue
            properties[name] = self.node(split_null(child)[0])
            if not (optional or takes_null(child)):
                required.append(name)
        return {"properties": properties, "required": required, "additionalProperties": False}


def _described(sent: Node, description: str | None, told: list[str]) -> Node:
    rules = "; ".join(told)
    if description and rules:
        description = f"{description} ({rules})"
    elif rules:
        description = f"{rules[0].upper()}{rules[1:]}."
    # A reference takes nothing beside it.
    if "$ref" in sent and (description or len(sent) > 1):
        sent = {"anyOf": [{"$ref": sent.pop("$ref")}], **sent}
    return {**sent, "description": description} if description else sent


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(values: Any) -> str:
    return ", ".join(map(cut, values)) if isinstance(values, list) else cut(values)
