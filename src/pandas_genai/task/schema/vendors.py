"""The JSON schema of a whole reply, in the dialect of each vendor.

OpenAI's strict mode wants every property required and no additional ones; Anthropic takes
optional properties but few nullable ones, and no bounds. What a vendor does not enforce moves into
the description, where the model may still read it. A server that turns the schema into a grammar
enforces every bound, and shows the model none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pandas_genai.task.schema.nodes import Node, add_null, children, cut, split_null, takes_null

__all__ = ["Bounds", "limits_of", "reply_schema"]

Bounds = Literal["dialect", "grammar", "described"]
"""Where bounds stand: as the vendor takes them; in the schema and in descriptions, for a server
that enforces them; in descriptions alone, for one that refuses them."""

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


_SAID_AS_LIMITS = [name for name in _WORDS if name not in ("format", "examples")]


def reply_schema(
    record: Node,
    backend: Literal["openai", "anthropic"],
    *,
    many: bool,
    strict: bool,
    bounds: Bounds = "dialect",
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
    bounds : {"dialect", "grammar", "described"}
        Where bounds stand.
    """
    dialect = _Dialect(backend, strict, bounds)
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


def limits_of(record: Node) -> str:
    """Say the bounds of a record's fields in words, or nothing where there are none.

    A grammar ends a text at its bound, in the middle of a word: a model that does not read the
    schema has to be asked for a short text in words.
    """
    return "; ".join(_limits(record, ""))


def _limits(node: Node, path: str) -> Iterator[str]:
    words = [_WORDS[name](node[name]) for name in _SAID_AS_LIMITS if name in node]
    if words:
        yield f'"{path.removeprefix(".")}" {", ".join(words)}'
    for step, child in children({**node, "$defs": {}}):
        yield from _limits(child, path + step)


class _Dialect:
    def __init__(self, backend: str, strict: bool, bounds: Bounds) -> None:
        self._all_required = backend == "openai"
        self._formats = _FORMATS[backend]
        self._enforced = set() if bounds == "described" else set(_ENFORCED[backend])
        if bounds == "grammar" or (bounds == "dialect" and self._all_required and not strict):
            self._enforced |= set(_LENGTHS)
        self._told_too = self._enforced if bounds == "grammar" else set()

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
                if name in self._told_too:
                    told.append(_WORDS[name](value))
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
