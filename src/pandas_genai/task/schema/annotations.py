"""Types for pydantic: what a shorthand stands for, and what a normal form stands for.

Both end as an annotation of which pydantic's ``TypeAdapter`` makes the validator, so that every
form of a schema is validated in the same way.
"""

from __future__ import annotations

import copy
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import numpy as np
import typing_extensions
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError as PydanticSchemaError

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.detect import is_json_schema
from pandas_genai.task.schema.nodes import (
    Node,
    add_null,
    checked_labels,
    labels_of,
    split_null,
    takes_null,
)
from pandas_genai.task.schema.normalize import normalize

__all__ = [
    "adapter_of",
    "annotation_of",
    "choice_of",
    "record_type",
    "returns_json",
    "type_of",
]

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
_JSON_TYPES = (str, int, float, bool, types.NoneType)
_CONFIG = ConfigDict(allow_inf_nan=False)


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
    return _typed_dict("Record", annotations)


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
    if isinstance(value, type) and _is_old_typed_dict(value):
        return _rebuilt(value, where)
    return _generic(value, where)


def choice_of(labels: list[Any] | tuple[Any, ...], where: str) -> Any:
    """Return the type of one of several labels; None among them makes it nullable."""
    node = normalize({"enum": checked_labels(labels, where)})
    return _described(add_null(node) if None in labels else node)


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
        return list[annotation_of(arguments[0], where)]  # type: ignore[misc]  # made here
    if origin is Annotated:
        return Annotated[(annotation_of(arguments[0], where), *arguments[1:])]
    if origin in (Union, types.UnionType):
        none = types.NoneType
        return _union([one if one is none else annotation_of(one, where) for one in arguments])
    return value


def _place(where: str) -> str:
    return f'Field "{where}"' if where else "schema="


def _listed(value: list[Any] | tuple[Any, ...], where: str) -> Any:
    place = _place(where)
    literal = [item is None or isinstance(item, str | int | float) for item in value]
    if len(value) == 1 and not literal[0]:
        return list[annotation_of(value[0], where)]  # type: ignore[misc]  # made here
    if value and not any(literal):
        raise SchemaError(
            f"{place} is a list of {len(value)} types: a list has one, such as [str] or "
            "[str | int]."
        )
    return choice_of(value, place)


def _fragment(value: Mapping[str, Any], where: str) -> Any:
    try:
        node = normalize(value)
    except SchemaError as error:
        raise SchemaError(f'In the JSON schema of field "{where}": {error}') from None
    if "$defs" in node:
        raise SchemaError(
            f'Field "{where}" has a JSON schema that refers to itself: give the whole schema as '
            "JSON schema, or a pydantic model."
        )
    return _described(node)


def _described(node: Node) -> Any:
    """Return the type of a normal form that keeps it as its JSON schema."""
    return Annotated[_type_of(node, {}), WithJsonSchema(copy.deepcopy(node))]


def _is_old_typed_dict(value: type) -> bool:
    # pydantic refuses typing.TypedDict below Python 3.12, which forgets what is not required.
    old = sys.version_info < (3, 12) and type(value).__module__ == "typing"
    return old and typing.is_typeddict(value)


def _rebuilt(value: type, where: str) -> Any:
    try:
        hints = get_type_hints(value, include_extras=True)
    except NameError as error:
        raise SchemaError(f"{value.__name__} cannot be read: {error}.") from None
    annotations = {}
    for name, hint in hints.items():
        wrapped = get_origin(hint) in (typing.Required, NotRequired)
        inner = get_args(hint)[0] if wrapped else hint
        try:
            inner = annotation_of(inner, f"{where}.{name}" if where else name)
        except RecursionError:
            raise SchemaError(
                f"{value.__name__} refers to itself: write it as a pydantic model."
            ) from None
        required = name in value.__required_keys__  # type: ignore[attr-defined]  # a TypedDict has it
        annotations[name] = inner if required else NotRequired[inner]
    record = _typed_dict(value.__name__, annotations)
    record.__doc__ = value.__doc__
    return record


def _typed_dict(name: str, annotations: dict[str, Any]) -> Any:
    make: Any = typing_extensions.TypedDict
    try:
        record = make(name, annotations)
    except TypeError as error:
        raise SchemaError(
            f"schema= has a value that is not a type ({error}): {_INSTEAD}."
        ) from None
    record.__pydantic_config__ = _CONFIG
    return record


def _shown(value: object) -> str:
    shown = value is None or isinstance(value, str | int | float)
    return repr(value)[:60] if shown else f"an instance of {type(value).__name__}"


def _union(types_: list[Any]) -> Any:
    return Union[tuple(types_)]  # noqa: UP007 - built at run time, perhaps of parts without |


def type_of(record: Node) -> tuple[Any, dict[str, Any]]:
    """Return the type of a normal form, and the types of its definitions by the names in it.

    Unknown fields are ignored; a field that is not required may be null or absent.
    """
    defs = record.get("$defs", {})
    names = {name: f"Definition{number}" for number, name in enumerate(defs)}
    alias: Any = typing_extensions.TypeAliasType
    definitions = {
        names[name]: alias(names[name], _type_of(node, names)) for name, node in defs.items()
    }
    return _type_of(record, names), definitions


def adapter_of(annotation: Any, definitions: dict[str, Any] | None = None) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a type, whose names are looked up among the definitions.

    Raises
    ------
    SchemaError
        If pydantic has no validator for it: a pattern that its engine cannot read.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        if definitions:
            adapter.rebuild(force=True, _types_namespace=definitions)
    except PydanticSchemaError as error:
        reason = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        raise SchemaError(
            f"The schema cannot be validated ({reason}): write its pattern without look-around "
            "and back-references, or leave it out."
        ) from None
    return adapter


def _type_of(node: Node, names: Mapping[str, str]) -> Any:
    """Return the type of a normal form; a reference is the name of its definition."""
    if "$ref" in node:
        return typing.ForwardRef(names[node["$ref"].rsplit("/", 1)[-1]])
    bare, nullable = split_null(node)
    if nullable:
        return _union([_type_of(bare, names), types.NoneType])
    labels = labels_of(node)
    if labels is not None:
        # Union takes choices of the same labels in another order for one type, if they are bare.
        return Annotated[Literal[labels], Field()]
    if "anyOf" in node:
        # Union would dissolve a union within it: each chooses its variant by itself.
        return Annotated[_union([_type_of(one, names) for one in node["anyOf"]]), Field()]
    return _BY_TYPE[node["type"]](node, names) if "type" in node else Any


def _object(node: Node, names: Mapping[str, str]) -> Any:
    if not node["properties"]:
        return dict[str, Any]
    fields = {}
    for name, child in node["properties"].items():
        required = name in node["required"]
        nullable = required or takes_null(child) or "default" in child
        kind = _type_of(child if nullable else add_null(child), names)
        fields[name] = kind if required else NotRequired[kind]
    return _typed_dict("Record", fields)


def _array(node: Node, names: Mapping[str, str]) -> Any:
    items = _type_of(node["items"], names)
    distinct = [AfterValidator(_distinct)] if "uniqueItems" in node else []
    return Annotated[(list[items], _bounds(node), *distinct)]  # type: ignore[valid-type]  # made here


def _distinct(values: list[Any]) -> list[Any]:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError("input should have no item twice")
    return values


def _string(node: Node, _names: Mapping[str, str]) -> Any:
    return _MOMENTS.get(node.get("format", "")) or Annotated[str, _bounds(node)]


def _number(node: Node, _names: Mapping[str, str]) -> Any:
    return Annotated[float, _bounds(node), Field(allow_inf_nan=False)]


def _integer(node: Node, _names: Mapping[str, str]) -> Any:
    whole = {name: _ROUNDED[name](node[name]) for name in _ROUNDED if name in node}
    step = node.get("multipleOf", 1)
    if float(step).is_integer():
        return Annotated[int, _bounds({**whole, "multipleOf": int(step)})]
    # pydantic takes a fraction as the step of a number, not of an integer.
    return Annotated[int, _bounds(whole), BeforeValidator(_multiple_of(step))]


def _multiple_of(step: float) -> Callable[[Any], float]:
    validate = TypeAdapter(Annotated[float, Field(multiple_of=step)]).validate_python

    def check(value: Any) -> float:
        try:
            return validate(value)
        except ValidationError as error:
            raise ValueError(error.errors(include_url=False)[0]["msg"]) from None

    return check


def _bounds(node: Node) -> Any:
    """Return the bounds of a node as pydantic names them."""
    known: Any = {_BOUNDS[name]: bound for name, bound in node.items() if name in _BOUNDS}
    return Field(**known)


_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}
_ROUNDED: dict[str, Callable[[float], int]] = {
    "minimum": math.ceil,
    "maximum": math.floor,
    "exclusiveMinimum": math.floor,
    "exclusiveMaximum": math.ceil,
}
_MOMENTS = {"date": date, "date-time": datetime, "time": time}
_BY_TYPE: dict[str, Callable[[Node, Mapping[str, str]], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda *_: bool,
    "null": lambda *_: types.NoneType,
}


def returns_json(annotation: Any) -> bool:
    """Whether pydantic returns the values of a type as JSON has them, so that none is written.

    False where that cannot be seen: a user's own model, validator or serializer.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return returns_json(arguments[0]) and all(map(_only_describes, arguments[1:]))
    if origin is Literal:
        return all(type(label) in _JSON_TYPES for label in arguments)
    if origin in (list, Union, types.UnionType, NotRequired):
        return all(map(returns_json, arguments))
    if getattr(annotation, "__pydantic_config__", None) is _CONFIG:
        return all(map(returns_json, annotation.__annotations__.values()))
    return annotation in _JSON_TYPES


def _only_describes(metadata: object) -> bool:
    if isinstance(metadata, FieldInfo):
        return metadata.serialization_alias is None and metadata.exclude is None
    return isinstance(metadata, WithJsonSchema)
