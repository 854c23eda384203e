"""Brings a JSON schema, from a user or of a type, into the normal form of ``nodes``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import unquote

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import (
    TYPES,
    Node,
    add_null,
    canonical_text,
    checked_labels,
    cut,
    is_anything,
    label_type,
    split_null,
)

__all__ = ["normalize", "normalized_type"]

_NOTES = ("title", "description", "default", "examples")
_IGNORED = {
    "$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "deprecated", "readOnly",
    "writeOnly", "discriminator", "contentEncoding", "contentMediaType", "propertyNames",
}  # fmt: skip
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_BY_TYPE = {
    "string": ("format", "pattern", "minLength", "maxLength"),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "boolean": (),
    "null": (),
}
_STRUCTURE = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "nullable"}
_KNOWN = {*_NOTES, *_IGNORED, *_STRUCTURE, *(name for names in _BY_TYPE.values() for name in names)}
_MOST_NODES = 50_000


def normalize(document: Mapping[str, Any]) -> Node:
    """Read a JSON schema: references resolved, unions as ``anyOf``, unknown keywords refused.

    Raises
    ------
    SchemaError
        If a keyword is not supported or does not make sense where it stands.
    UnicodeEncodeError
        If a text in it is one that no request can carry.
    """
    reader = _Reader(document)
    try:
        node = reader.read(document, "")
    except RecursionError:
        raise SchemaError("The JSON schema is nested too deeply to be read.") from None
    if reader.named:
        node["$defs"] = {name: reader.defs[name] for name in sorted(reader.named.values())}
    canonical_text(node).encode()
    return node


def normalized_type(adapter: TypeAdapter[Any], mode: JsonSchemaMode = "validation") -> Node:
    """Return the normal form of a type: of what it reads, or of what it writes.

    Raises
    ------
    SchemaError
        If its JSON schema has a keyword that is not supported.
    pydantic.PydanticUserError
        If it has no JSON schema.
    """
    document = adapter.json_schema(schema_generator=_Untitled, mode=mode)
    document.pop("title", None)
    for definition in document.get("$defs", {}).values():
        definition.pop("title", None)
    return normalize(document)


class _Untitled(GenerateJsonSchema):
    """pydantic's JSON schema without the titles that it makes up."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - as pydantic calls it
        return False

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ARG002 - as pydantic calls it
        return {"type": "number"}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Give no warning: only a default cannot be shown, and pydantic applies it."""


class _Reader:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.defs: dict[str, Node] = {}
        self.named: dict[str, str] = {}
        self._open: list[str] = ["#"]
        self._at: dict[str, str] = {"#": ""}
        self._count = 0

    def read(self, given: object, where: str) -> Node:
        self._count += 1
        if self._count > _MOST_NODES:
            raise SchemaError("The JSON schema is too large once its $refs are resolved.")
        if given is True:
            return {}
        if not isinstance(given, Mapping):
            self._refuse(where, f"is {cut(given)}, but a JSON schema is a dict")
        node = dict(given)
        self._known(node, where)
        nullable = node.pop("nullable", False) is True
        if "$ref" in node:
            read = self._referred(node, where)
        elif "allOf" in node:
            read = self._merged(node, where)
        else:
            read = self._plain(node, where)
        if self._open == ["#"] and where == "" and "#" in self.named:
            self.defs[self.named["#"]] = read
            read = dict(read)
        return add_null(read) if nullable else read

    def _plain(self, node: Node, where: str) -> Node:
        if "oneOf" in node and "anyOf" in node:
            self._refuse(where, "has both anyOf and oneOf: write one anyOf")
        notes = {name: node[name] for name in _NOTES if node.get(name) is not None}
        if not isinstance(notes.get("description", ""), str):
            self._refuse(where, "has a description that is no text")
        variants = node.get("anyOf", node.get("oneOf"))
        if variants is not None:
            read = self._union(node, variants, where)
        elif "enum" in node or "const" in node:
            read = self._choice(node, where)
        else:
            read = self._typed(node, where)
        return {**read, **notes}

    def _known(self, node: Node, where: str) -> None:
        for name in node:
            if name not in _KNOWN and not str(name).startswith("x-"):
                self._refuse(
                    where,
                    f"uses {cut(name)}, which is no JSON-schema keyword that can be enforced: use "
                    "plain types, lists and objects",
                )

    def _union(self, node: Node, variants: object, where: str) -> Node:
        if not isinstance(variants, list) or not variants:
            self._refuse(where, "has an anyOf that is not a list of schemas")
        others = _STRUCTURE - {"anyOf", "oneOf"} | {n for ns in _BY_TYPE.values() for n in ns}
        beside = [name for name in node if name in others]
        if beside:
            self._refuse(where, f"has {cut(beside[0])} beside anyOf: move it into the variants")
        return _union_of([self.read(variant, where) for variant in variants])

    def _choice(self, node: Node, where: str) -> Node:
        labels = [node["const"]] if "const" in node else node["enum"]
        if not isinstance(labels, list):
            self._refuse(where, f"has the enum {cut(labels)}, which is not a list")
        types = self._types(node, where) if "type" in node else list(TYPES)
        if labels == [None]:
            return {"type": "null"}
        kept = checked_labels(labels, _place(where))
        for label in kept:
            fits = {label_type(label)} | ({"number"} if label_type(label) == "integer" else set())
            if isinstance(label, float) and label.is_integer():
                fits.add("integer")
            if not fits & set(types):
                self._refuse(where, f"has the label {cut(label)}, which is not of its type")
        found = {label_type(label) for label in kept}
        read: Node = {"type": found.pop()} if len(found) == 1 else {}
        read["enum"] = kept
        return add_null(read) if None in labels and "null" in types else read

    def _types(self, node: Node, where: str) -> list[str]:
        types = node["type"]
        types = list(types) if isinstance(types, list) else [types]
        if not types or any(not isinstance(one, str) or one not in TYPES for one in types):
            self._refuse(where, f"has the type {cut(node['type'])}: use one of {', '.join(TYPES)}")
        return types

    def _typed(self, node: Node, where: str) -> Node:
        if "type" in node:
            types = self._types(node, where)
        else:
            types = [one for one in ("object", "array") if set(_BY_TYPE[one]) & node.keys()][:1]
        if not types:
            return {}
        return _union_of([self._one(node, one, where) for one in types])

    def _one(self, node: Node, kind: str, where: str) -> Node:
        read: Node = {"type": kind}
        if kind == "object":
            return read | self._object(node, where)
        for name in _BY_TYPE[kind]:
            if name not in node:
                continue
            value = node[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            number = number and math.isfinite(value)
            whole = number and value >= 0 and float(value).is_integer()
            if name == "items":
                value = self.read(value, f"{where}[]")
            elif name in ("format", "pattern") and not isinstance(value, str):
                self._refuse(where, f"has a {name} that is no text")
            elif (name in _NUMERIC and not number) or (name in _COUNTS and not whole):
                self._refuse(where, f"has {name} {cut(value)}, which is not a number that fits")
            elif name == "multipleOf" and value <= 0:
                self._refuse(where, f"has multipleOf {cut(value)}, which is not above 0")
            read[name] = int(value) if name in _COUNTS else value
        if kind == "array":
            read.setdefault("items", {})
        if not read.get("uniqueItems", True):
            del read["uniqueItems"]
        return read

    def _object(self, node: Node, where: str) -> Node:
        given, required = node.get("properties", {}), node.get("required", [])
        if not isinstance(given, Mapping):
            self._refuse(where, "has properties that are not a dict")
        if not isinstance(required, list) or any(not isinstance(one, str) for one in required):
            self._refuse(where, "has a required that is not a list of names")
        properties = {}
        for name, child in given.items():
            if not isinstance(name, str) or not name.strip():
                self._refuse(where, f"has the field name {cut(name)}: a name is a text, not blank")
            properties[name] = self.read(child, f"{where}.{name}" if where else name)
            # pydantic makes up such a title: it says nothing that the name does not.
            if properties[name].get("title") in (name, name.replace("_", " ").title()):
                del properties[name]["title"]
        for name in required:
            if name not in properties:
                self._refuse(where, f"requires {cut(name)}, which is not among its properties")
        read: Node = {"properties": properties}
        read["required"] = [name for name in properties if name in required]
        more = node.get("additionalProperties", not properties)
        if isinstance(more, Mapping) or (more and not properties) or "patternProperties" in node:
            read["additionalProperties"] = True
        return read

    def _merged(self, node: Node, where: str) -> Node:
        parts = node.pop("allOf")
        if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
            self._refuse(where, "uses allOf with more than one schema: write them as one")
        both = set(node) & set(parts[0]) - {*_NOTES, *_IGNORED}
        if both:
            self._refuse(where, f"says {cut(min(both))} twice: beside allOf and in it")
        return self.read({**parts[0], **node}, where)

    def _referred(self, node: Node, where: str) -> Node:
        pointer = node.pop("$ref")
        notes = {name: node.pop(name) for name in _NOTES if name in node}
        beside = set(node) - _IGNORED
        if beside:
            self._refuse(where, f"has {cut(min(beside))} beside $ref: move it into the definition")
        target = self._resolve(pointer, where)
        if self._at.get(pointer) == where:
            self._refuse(where, f"refers to {cut(pointer)}, which refers to itself without end")
        if pointer in self._open:
            name = self.named.setdefault(pointer, self._name(pointer))
            return {"$ref": f"#/$defs/{name}", **notes}
        self._open.append(pointer)
        self._at[pointer] = where
        read = self.read(target, where)
        self._open.pop()
        del self._at[pointer]
        if pointer in self.named:
            self.defs.setdefault(self.named[pointer], read)
        return {**read, **notes}

    def _resolve(self, pointer: object, where: str) -> object:
        found: Any = self.document
        if not isinstance(pointer, str) or not (pointer == "#" or pointer.startswith("#/")):
            self._refuse(where, f"refers to {cut(pointer)}: only #/$defs/... can be resolved")
        for part in pointer.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                self._refuse(where, f"refers to {cut(pointer)}, which does not exist")
            found = found[name]
        return found

    def _name(self, pointer: str) -> str:
        name = re.sub(r"\W+", "_", unquote(pointer).rsplit("/", 1)[-1]).strip("_") or "record"
        while name in self.named.values():
            name += "_"
        return name

    def _refuse(self, where: str, what: str) -> NoReturn:
        raise SchemaError(f"{_place(where)} {what}.")


def _union_of(variants: list[Node]) -> Node:
    """Join variants; null goes last, one variant alone is no union, anything swallows all."""
    rest: list[Node] = []
    nullable = False
    for variant in variants:
        node, with_null = split_null(variant)
        nullable = nullable or with_null or node.get("type") == "null"
        if is_anything(node):
            return {}
        if set(node) == {"anyOf"}:
            rest += node["anyOf"]
        elif node.get("type") != "null":
            rest.append(node)
    if not rest:
        return {"type": "null"}
    joined = rest[0] if len(rest) == 1 else {"anyOf": rest}
    return add_null(joined) if nullable else joined


def _place(where: str) -> str:
    return f'The schema\'s field "{where}"' if where else "The schema"
