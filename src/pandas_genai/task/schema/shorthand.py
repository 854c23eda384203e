"""Turns a shorthand dict into a type that pydantic understands."""

from __future__ import annotations

import copy
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import typing_extensions
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.core import core_of
from pandas_genai.task.schema.forms import is_json_schema
from pandas_genai.task.schema.labels import checked_labels
from pandas_genai.task.schema.nodes import Node, add_null
from pandas_genai.task.schema.normal import normalise

__all__ = ["annotation_of", "choice_of", "record_type"]

_INSTEAD = (
    "write a type such as str, float or int | None, a list of labels, a dict of fields, or "
    'Annotated[int, Field(description="...")]'
)
_NO_TYPES = (
    str, bytes, int, float, complex, set, frozenset, range, FieldInfo, BaseModel,
    types.EllipsisType, types.FunctionType, types.BuiltinFunctionType, types.ModuleType,
)  # fmt: skip

_NUMPY: tuple[tuple[type[np.generic], type], ...] = (
    (np.bool_, bool),
    (np.integer, int),
    (np.floating, float),
    (np.str_, str),
    (np.datetime64, datetime),
)


class Fragment:
    """A JSON schema as part of a type: pydantic asks it for both of its schemas."""

    def __init__(self, record: Node) -> None:
        self.record = record

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_of(self.record)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: Any) -> Node:
        return copy.deepcopy(self.record)


def record_type(fields: Mapping[Any, object], where: str = "") -> Any:
    """Return a TypedDict of a shorthand dict.

    Raises
    ------
    SchemaError
        If a name or a value cannot be one.
    """
    place = _place(where)
    if not fields:
        raise SchemaError(f"{place} is an empty dict: name at least one field.")
    for name in fields:
        if not isinstance(name, str) or not name.strip():
            raise SchemaError(f"{place} has the field name {name!r}: a name is a text, not blank.")
    annotations = {
        name: annotation_of(value, f"{where}.{name}" if where else name)
        for name, value in fields.items()
    }
    return _made("Record", annotations)


def annotation_of(value: object, where: str) -> Any:
    """Return the type that one value of a shorthand dict stands for."""
    if isinstance(value, Mapping):
        return _fragment(value, where) if is_json_schema(value) else record_type(value, where)
    if isinstance(value, list | tuple):
        return _listed(value, where)
    if isinstance(value, set | frozenset):
        raise SchemaError(f"{_place(where)} is a set, which has no order: write a list of labels.")
    if isinstance(value, type) and issubclass(value, np.generic):
        return _numpy(value, where)
    instance = is_dataclass(value) and not isinstance(value, type)
    if value is None or isinstance(value, _NO_TYPES) or instance:
        raise SchemaError(f"{_place(where)} is {_shown(value)}, not a type: {_INSTEAD}.")
    if isinstance(value, type) and _is_old_typeddict(value):
        return _typeddict(value, where)
    return _generic(value, where)


def _numpy(value: type[np.generic], where: str) -> type:
    """Return the type that numpy's scalar stands for."""
    for theirs, plain in _NUMPY:
        if issubclass(value, theirs):
            return plain
    raise SchemaError(f"{_place(where)} is numpy's {value.__name__}, not a type: {_INSTEAD}.")


def _generic(value: Any, where: str) -> Any:
    """Rebuild a type around what only a shorthand may hold, such as ``list[{"a": int}]``."""
    origin, arguments = get_origin(value), get_args(value)
    if origin is list and len(arguments) == 1:
        return list[annotation_of(arguments[0], where)]  # type: ignore[misc]  # built at run time
    if origin is Annotated:
        return Annotated[(annotation_of(arguments[0], where), *arguments[1:])]
    if origin in (Union, types.UnionType):
        none = type(None)
        parts = [one if one is none else annotation_of(one, where) for one in arguments]
        return Union[tuple(parts)]  # noqa: UP007 - built at run time, perhaps of parts without |
    return value


def _place(where: str) -> str:
    return f'Field "{where}"' if where else "schema="


def choice_of(labels: list[Any] | tuple[Any, ...], where: str) -> Any:
    """Return the type of one of several labels; None among them makes it nullable."""
    node: Node = {"enum": checked_labels(labels, where)}
    node = normalise(node)
    return Annotated[Any, Fragment(add_null(node) if None in labels else node)]


def _listed(value: list[Any] | tuple[Any, ...], where: str) -> Any:
    place = _place(where)
    literal = [item is None or isinstance(item, str | int | float) for item in value]
    if all(literal):
        return choice_of(value, place)
    if len(value) == 1:
        return list[annotation_of(value[0], where)]  # type: ignore[misc]  # built at run time
    if not any(literal):
        raise SchemaError(
            f"{place} is a list of {len(value)} types: a list has one, such as [str] or "
            "[str | int]."
        )
    return choice_of(value, place)


def _fragment(value: Mapping[str, Any], where: str) -> Any:
    try:
        record = normalise(value)
    except SchemaError as error:
        raise SchemaError(f'In the JSON schema of field "{where}": {error}') from None
    if "$defs" in record:
        raise SchemaError(
            f'Field "{where}" has a JSON schema that refers to itself: give the whole schema as '
            "JSON schema, or a pydantic model."
        )
    return Annotated[Any, Fragment(record)]


def _is_old_typeddict(value: type) -> bool:
    # pydantic refuses typing.TypedDict below Python 3.12, which forgets what is not required.
    old = sys.version_info < (3, 12) and type(value).__module__ == "typing"
    return old and typing.is_typeddict(value)


def _typeddict(value: type, where: str) -> Any:
    try:
        hints = get_type_hints(value, include_extras=True)
    except NameError as error:
        raise SchemaError(f"{value.__name__} cannot be read: {error}.") from None
    annotations = {}
    for name, hint in hints.items():
        wrapped = get_origin(hint) in (typing.Required, typing.NotRequired)
        inner = get_args(hint)[0] if wrapped else hint
        try:
            inner = annotation_of(inner, f"{where}.{name}" if where else name)
        except RecursionError:
            raise SchemaError(
                f"{value.__name__} refers to itself: write it as a pydantic model."
            ) from None
        required = name in value.__required_keys__  # type: ignore[attr-defined]  # a TypedDict has it
        annotations[name] = inner if required else typing.NotRequired[inner]
    record = _made(value.__name__, annotations)
    record.__doc__ = value.__doc__
    return record


def _made(name: str, annotations: dict[str, Any]) -> Any:
    make: Any = typing_extensions.TypedDict
    try:
        record = make(name, annotations)
    except TypeError as error:
        raise SchemaError(
            f"schema= has a value that is not a type ({error}): {_INSTEAD}."
        ) from None
    record.__pydantic_config__ = ConfigDict(allow_inf_nan=False)
    return record


def _shown(value: object) -> str:
    shown = value is None or isinstance(value, str | int | float)
    return repr(value)[:60] if shown else f"an instance of {type(value).__name__}"
