"""What a coder decides of each text: fields, their labels, and what a written code means."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.task.frames import build_frame
from pandas_genai.task.schema import Field, Schema, compile_schema
from pandas_genai.task.schema.nodes import Node, cut, labels_of, split_null

__all__ = ["Codebook", "CodedField", "codebook_of", "codebook_of_schema", "viewable", "written"]

_YES, _NO = "yes", "no"
_TRUE = frozenset({_YES, "true", "1", "wahr", "vrai", "verdadero", "vero"})
_FALSE = frozenset({_NO, "false", "0", "falsch", "faux", "falso"})
_DERIVED = ("_quote", "_start", "_end", "_grounded", "_column", "_share")
_LARGEST = 2**53
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class CodedField:
    """One field that is coded.

    Parameters
    ----------
    column : Field
        Its name, kind and labels.
    node : dict
        Its JSON schema.
    schema : Schema
        That of a record of this field alone.
    """

    column: Field
    node: Node
    schema: Schema

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def description(self) -> str:
        """What the schema says about it; empty where it says nothing."""
        inner, _ = split_null(self.node)
        return str(self.node.get("description") or inner.get("description") or "")

    @property
    def is_list(self) -> bool:
        """Whether several values may be given."""
        return bool(split_null(self.node)[0].get("type") == "array")

    @property
    def labels(self) -> tuple[Any, ...]:
        """The values to choose from, also those of a list's items; empty where any will do."""
        if self.column.kind == "bool":
            return (True, False)
        node, _ = split_null(self.node)
        return labels_of(node["items"] if self.is_list and "items" in node else node) or ()

    @property
    def kind_text(self) -> str:
        """What is written into a cell, for a person."""
        if self.is_list:
            return "none or several, with ; between them ([] for none)"
        if self.labels:
            return "one of the labels"
        kinds = {"int": "a whole number", "float": "a number", "datetime": "a date", "str": "text"}
        return kinds.get(self.column.kind, "JSON")

    def value(self, cell: object) -> Any:
        """Return the value that a cell or an entry stands for, as plain JSON.

        Parameters
        ----------
        cell : object
            Text as a person wrote it, or a number, truth value, date or list.

        Raises
        ------
        ValueError
            One sentence without its end, that says what is wrong with the cell.
        """
        inner, _ = split_null(self.node)
        if self.is_list:
            items = CodedField(self.column, inner.get("items", {}), self.schema)
            entry: Any = [items.entry(one) for one in _listed(cell)]
        else:
            entry = self.entry(cell)
        try:
            record = self.schema.validate({self.name: entry})
        except ValueError as error:
            raise ValueError(self._problem(cell, str(error))) from None
        assert isinstance(record, dict)
        return record[self.name]

    def entry(self, cell: object) -> Any:
        """Return what a single value is before it is validated."""
        inner, _ = split_null(self.node)
        labels = labels_of(inner)
        text = written(cell)
        if labels is not None:
            # A spreadsheet takes the labels "true" and "false" for truth values, and writes TRUE.
            plain = str(cell).strip().lower()
            texts = {text, plain} if plain in {"true", "false"} else {text}
            return next((label for label in labels if texts & _spellings(label)), text)
        kind = inner.get("type")
        if kind == "boolean":
            return _truth(text)
        if kind == "string":
            return _moment(cell, inner.get("format")) or text
        if kind in {"integer", "number"}:
            return _number(text)
        return _json(text) if isinstance(cell, str) else cell

    def _problem(self, cell: object, message: str) -> str:
        """Say what is wrong with a cell."""
        shown = cut(cell if isinstance(cell, (str, list)) else written(cell))
        if not self.labels:
            return f"{shown} is no value of the field {self.name!r} ({message.rstrip('.')})"
        allowed = [written(label) for label in self.labels]
        bad = next((one for one in _listed(cell) if written(one) not in allowed), shown)
        near = get_close_matches(written(bad).lower(), [one.lower() for one in allowed], n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        some = ", ".join(map(repr, allowed[:12])) + (", ..." if len(allowed) > 12 else "")
        return f"{shown} is no label of the field {self.name!r} ({meant}allowed: {some})"


@dataclass(frozen=True, eq=False)
class Codebook:
    """What is coded.

    Parameters
    ----------
    fields : tuple of CodedField
        In this order.
    instructions : str
        The question that the model was asked; empty where it is not known.
    """

    fields: tuple[CodedField, ...]
    instructions: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codebook) and self.schema == other.schema

    def __hash__(self) -> int:
        return hash(self.schema)

    @property
    def names(self) -> list[str]:
        """The names of the fields."""
        return [field.name for field in self.fields]

    @cached_property
    def schema(self) -> Schema:
        """The schema of a record of all fields."""
        return compile_schema(_record({field.name: field.node for field in self.fields}))

    def frame(self, index: pd.Index, records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Build the frame of codes, typed as the labels are.

        Parameters
        ----------
        index : Index
            One label a record.
        records : iterable of mapping
            The values by field; a field that is not coded is left out.
        """
        texts = [json.dumps(dict(record), ensure_ascii=False) for record in records]
        return build_frame(self.schema, index, np.arange(len(texts)), texts)

    def to_dict(self) -> dict[str, Any]:
        """Return the codebook as plain JSON values."""
        nodes = {field.name: field.node for field in self.fields}
        return {"fields": nodes, "instructions": self.instructions}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Codebook:
        """Read a codebook that ``to_dict`` wrote."""
        return cls(tuple(_fields(known["fields"])), known["instructions"])


def codebook_of(
    labels: pd.DataFrame,
    answers: Sequence[Any],
    schema: Schema | None,
    names: Sequence[str] | None = None,
    instructions: str = "",
) -> Codebook:
    """Make the codebook for a frame of labels.

    Parameters
    ----------
    labels : DataFrame
        The labels, or a frame that they were joined to.
    answers : sequence of columns
        Which columns are labels.
    schema : Schema, optional
        What the model was asked for; where it is not known, the dtypes say what is allowed.
    names : sequence of str, optional
        The fields to code; all by default.
    instructions : str
        The question.

    Raises
    ------
    UsageError
        If there is no such field, or a row may have several records.
    """
    if schema is not None and schema.many:
        raise UsageError(
            "These labels have several records a row, which cannot be coded one row a text: ask "
            "for one record a row with a list in it, or check the records with show()."
        )
    known = {} if schema is None or schema.record is None else _nodes(schema.record)
    found = {str(name): known.get(str(name)) or _node(labels[name]) for name in answers}
    derived = {f"{name}{end}" for name in found for end in _DERIVED} - known.keys()
    usable = [name for name in found if name not in derived]
    for name in names or ():
        if not pd.api.types.is_hashable(name) or name not in found:
            raise UsageError(
                f"fields={name!r} is no field of these labels: they have "
                f"{', '.join(map(repr, usable))}."
            )
    chosen = usable if names is None else list(dict.fromkeys(names))
    if not chosen:
        raise UsageError("There is no field to code: fields= names none.")
    return Codebook(tuple(_fields({name: found[name] for name in chosen})), instructions)


def codebook_of_schema(schema: Schema, instructions: str) -> Codebook:
    """Make the codebook of everything that a model was asked for."""
    nodes = {} if schema.record is None else _nodes(schema.record)
    return Codebook(tuple(_fields(nodes)), instructions)


def _nodes(record: Node) -> dict[str, Node]:
    """Return the schema of each field, definitions that it may refer to included."""
    shared = {"$defs": record["$defs"]} if "$defs" in record else {}
    return {name: {**node, **shared} for name, node in record["properties"].items()}


def _record(nodes: Mapping[str, Node]) -> Node:
    shared: Node = {}
    for node in nodes.values():
        shared |= node.get("$defs", {})
    plain = {name: {k: v for k, v in node.items() if k != "$defs"} for name, node in nodes.items()}
    record: Node = {"type": "object", "properties": plain, "required": list(plain)}
    return record | ({"$defs": shared} if shared else {})


def _fields(nodes: Mapping[str, Node]) -> Iterable[CodedField]:
    for name, node in nodes.items():
        schema = compile_schema(_record({name: node}))
        yield CodedField(schema.fields[0], node, schema)


def _node(column: pd.Series[Any]) -> Node:
    """Return the schema that a column's dtype stands for."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {
            "enum": [
                getattr(label, "item", lambda label=label: label)() for label in dtype.categories
            ]
        }
    kinds = (
        (pd.api.types.is_bool_dtype, {"type": "boolean"}),
        (pd.api.types.is_integer_dtype, {"type": "integer"}),
        (pd.api.types.is_float_dtype, {"type": "number"}),
        (pd.api.types.is_datetime64_any_dtype, {"type": "string", "format": "date-time"}),
    )
    for is_kind, node in kinds:
        if is_kind(dtype):
            return node
    values = column.dropna()
    if len(values) and all(isinstance(value, (list, tuple)) for value in values):
        return {"type": "array", "items": {"type": "string"}}
    texts = all(isinstance(value, str) for value in values)
    return {"type": "string"} if texts else {}


def written(value: object) -> str:
    """Return a value as a person writes it into a cell; ``str`` of a list is JSON."""
    if isinstance(value, bool | np.bool_):
        return _YES if value else _NO
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return str(int(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()


def viewable(text: str) -> str:
    """Return a text that every file can carry: forbidden signs become boxes."""
    return _NOT_IN_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _spellings(label: object) -> frozenset[str]:
    """Return the ways to write a label; a truth value has several."""
    if isinstance(label, bool):
        names = _TRUE if label else _FALSE
        return names | {name.upper() for name in names} | {name.title() for name in names}
    return frozenset({written(label)})


def _truth(text: str) -> bool | str:
    lower = text.lower()
    return True if lower in _TRUE else False if lower in _FALSE else text


def _moment(cell: object, form: str | None) -> str:
    """Return a date or time as a schema writes it, where a cell holds one."""
    if isinstance(cell, dt.datetime) and form == "date":
        return cell.date().isoformat()
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat()
    return ""


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    whole = text.lstrip("+-").isdigit() or (number.is_integer() and abs(number) < _LARGEST)
    return int(text) if text.lstrip("+-").isdigit() else int(number) if whole else number


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _listed(cell: object) -> list[Any]:
    """Return the items of a cell: a JSON list, or texts with a semicolon between them."""
    if isinstance(cell, list):
        return cell
    text = written(cell)
    found = _json(text) if text.startswith("[") else None
    if isinstance(found, list):
        return found
    return [part.strip() for part in text.split(";") if part.strip()]
