"""Turns the normal form of a JSON schema into a pydantic validator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema
from pydantic_core import SchemaError as CoreError

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import Node, add_null, labels_of, split_null, takes_null

__all__ = ["core_of"]


def core_of(record: Node) -> CoreSchema:
    """Return the pydantic-core schema of a record.

    Unknown fields are ignored; a field that is not required may be null or absent.

    Raises
    ------
    SchemaError
        If pydantic has no validator for it: a pattern that its engine cannot read.
    """
    core = _core(record)
    if "$defs" in record:
        definitions = [_named(_core(node), name) for name, node in record["$defs"].items()]
        core = core_schema.definitions_schema(core, definitions)
    try:
        SchemaValidator(core)
    except CoreError as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SchemaError(
            f"The schema cannot be validated ({said[-1]}): write its pattern without look-around "
            "and back-references, or leave it out."
        ) from None
    return core


def _named(core: CoreSchema, name: str) -> CoreSchema:
    named: Any = {**core, "ref": name}
    return named  # type: ignore[no-any-return]  # a union of TypedDicts cannot be rebuilt


def _core(node: Node) -> CoreSchema:
    if "$ref" in node:
        return core_schema.definition_reference_schema(node["$ref"].rsplit("/", 1)[-1])
    bare, nullable = split_null(node)
    if nullable:
        return core_schema.nullable_schema(_core(bare))
    labels = labels_of(node)
    if labels is not None:
        return core_schema.literal_schema(list(labels))
    if "anyOf" in node:
        return core_schema.union_schema([_core(variant) for variant in node["anyOf"]])
    return _BY_TYPE[node["type"]](node) if "type" in node else core_schema.any_schema()


def _object(node: Node) -> CoreSchema:
    if not node["properties"]:
        return core_schema.dict_schema(core_schema.str_schema())
    fields = {}
    for name, child in node["properties"].items():
        required = name in node["required"]
        open_to_null = required or takes_null(child) or "default" in child
        core = _core(child if open_to_null else add_null(child))
        fields[name] = core_schema.typed_dict_field(core, required=required)
    return core_schema.typed_dict_schema(fields, extra_behavior="ignore")


def _array(node: Node) -> CoreSchema:
    core = core_schema.list_schema(
        _core(node["items"]), min_length=node.get("minItems"), max_length=node.get("maxItems")
    )
    if node.get("uniqueItems"):
        return core_schema.no_info_after_validator_function(_distinct, core)
    return core


def _distinct(values: list[Any]) -> list[Any]:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise PydanticCustomError("unique_items", "input should have no item twice")
    return values


def _string(node: Node) -> CoreSchema:
    moment = _MOMENTS.get(node.get("format", ""))
    if moment is not None:
        return moment()
    return core_schema.str_schema(
        pattern=node.get("pattern"),
        min_length=node.get("minLength"),
        max_length=node.get("maxLength"),
    )


def _integer(node: Node) -> CoreSchema:
    step = node.get("multipleOf")
    whole = None if step is None or not float(step).is_integer() else int(step)
    core = core_schema.int_schema(
        ge=_rounded(math.ceil, node.get("minimum")),
        le=_rounded(math.floor, node.get("maximum")),
        gt=_rounded(math.floor, node.get("exclusiveMinimum")),
        lt=_rounded(math.ceil, node.get("exclusiveMaximum")),
        multiple_of=whole,
    )
    if step is None or whole is not None:
        return core
    return core_schema.chain_schema([core_schema.float_schema(multiple_of=step), core])


def _rounded(direction: Callable[[float], int], bound: float | None) -> int | None:
    return None if bound is None else direction(bound)


def _number(node: Node) -> CoreSchema:
    return core_schema.float_schema(
        allow_inf_nan=False,
        ge=node.get("minimum"),
        le=node.get("maximum"),
        gt=node.get("exclusiveMinimum"),
        lt=node.get("exclusiveMaximum"),
        multiple_of=node.get("multipleOf"),
    )


_BY_TYPE: dict[str, Callable[[Node], CoreSchema]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda node: core_schema.bool_schema(),
    "null": lambda node: core_schema.none_schema(),
}
_MOMENTS: dict[str, Callable[[], CoreSchema]] = {
    "date": core_schema.date_schema,
    "date-time": core_schema.datetime_schema,
    "time": core_schema.time_schema,
}
