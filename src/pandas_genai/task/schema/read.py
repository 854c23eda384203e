"""Reads every form in which a user may write a schema."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import SchemaError as CoreError
from pydantic_core import SchemaSerializer, SchemaValidator

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.compiled import Schema, cut_message, fields_of
from pandas_genai.task.schema.core import core_of
from pandas_genai.task.schema.forms import is_json_schema, row_of_reply, unwrapped
from pandas_genai.task.schema.guard import guard_of
from pandas_genai.task.schema.nodes import Node, cut, labels_of
from pandas_genai.task.schema.normal import normalise
from pandas_genai.task.schema.shorthand import annotation_of, choice_of, record_type
from pandas_genai.task.schema.typed import Typing

__all__ = ["compile_schema"]

_FORMS = (
    'a dict such as {"tone": ["positive", "negative"], "year": int | None}, a list of labels, a '
    "pydantic model, a TypedDict, a dataclass or a JSON schema"
)
_LABEL = "label"
_PLAIN = (bool, int, float, str)


def compile_schema(spec: object) -> Schema:
    """Compile a schema, whatever its form.

    Parameters
    ----------
    spec : object
        ``None`` (the prompt says what to return); a shorthand dict; a list of labels (one column,
        ``label``); a pydantic model, TypedDict or dataclass; a JSON schema as a dict or as the
        path to one, of one row or of the whole reply, plain or in OpenAI's wrapper. ``list[...]``
        of any of them, ``[Model]`` or ``[{...}]`` means several records a row.

    Returns
    -------
    Schema

    Raises
    ------
    SchemaError
        If it cannot be read; one sentence says where and what to write instead.

    Examples
    --------
    >>> schema = compile_schema({"tone": ["positive", "negative"], "year": int | None})
    >>> schema.validate({"tone": "positive"})
    {'tone': 'positive', 'year': None}
    """
    try:
        return _compiled(spec)
    except UnicodeEncodeError:
        raise SchemaError(
            "schema= has a name, label or description with half of a surrogate pair, which no "
            "request can carry."
        ) from None
    except RecursionError:
        raise SchemaError(
            "schema= is nested too deeply, or contains itself: write a recursive one as a pydantic "
            "model."
        ) from None


def _compiled(spec: object) -> Schema:
    if isinstance(spec, Schema):
        return spec
    if spec is None:
        return Schema()
    if isinstance(spec, str | os.PathLike):
        spec = _loaded(spec)
    if isinstance(spec, Mapping):
        return _from_dict(spec)
    if spec is list or get_origin(spec) is list:
        return _many(get_args(spec))
    if isinstance(spec, list | tuple):
        return _listed(spec)
    return _from_type(_typed(spec))


def _typed(spec: object) -> Any:
    if isinstance(spec, set | frozenset):
        raise SchemaError("schema= is a set, which has no order: write its labels as a list.")
    if isinstance(spec, type) and issubclass(spec, (*_PLAIN, np.generic)):
        return record_type({_LABEL: spec})
    return annotation_of(spec, "")


def _from_dict(spec: Mapping[Any, Any]) -> Schema:
    inner = unwrapped(spec)
    if is_json_schema(inner, root=True):
        return _from_json(inner)
    return _from_type(record_type(inner))


def _loaded(path: str | os.PathLike[str]) -> object:
    try:
        loaded = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        what = "is not valid JSON" if isinstance(error, json.JSONDecodeError) else "cannot be read"
        raise SchemaError(
            f"schema= is the path {cut(os.fspath(path))}, but that file {what} "
            f"({cut_message(said)}): give the path of a JSON-schema file, or {_FORMS}."
        ) from None
    if not isinstance(loaded, dict | list):
        raise SchemaError(f"The schema file {cut(os.fspath(path))} holds no JSON object.")
    return loaded


def _many(arguments: tuple[object, ...]) -> Schema:
    if not arguments or arguments[0] is None or arguments[0] is type(None):
        raise SchemaError(
            "schema= is a list without fields: write list[...] of one schema, such as "
            'list[{"name": str}].'
        )
    # Python hands list[("a", "b")] over as list["a", "b"].
    inner = _compiled(arguments[0] if len(arguments) == 1 else list(arguments))
    if inner.many:
        raise SchemaError("schema= is a list of lists: one list[...] means several records a row.")
    return replace(inner, many=True)


def _listed(spec: list[Any] | tuple[Any, ...]) -> Schema:
    literal = [item is None or isinstance(item, str | int | float) for item in spec]
    if len(spec) == 1 and not literal[0] and not isinstance(spec[0], list | tuple | set):
        return _many((spec[0],))
    if spec and not any(literal) and all(isinstance(item, type | Mapping) for item in spec):
        raise SchemaError(
            f"schema= is a list of {len(spec)} schemas: give one, [Model] or list[...], for "
            "several records a row."
        )
    return _from_type(record_type({_LABEL: choice_of(list(spec), "schema=")}))


def _from_json(document: Mapping[str, Any]) -> Schema:
    node = normalise(document)
    row = row_of_reply(node)
    many = row is None and node.get("type") == "array"
    record: Node = node["items"] if many else row or node
    record = {**record, **({"$defs": node["$defs"]} if "$defs" in node else {})}
    if record.get("type") != "object":
        raise SchemaError(
            "The JSON schema must be an object with properties (or an array of such objects), "
            f"not {cut(record.get('type') or next(iter(record), 'anything'))}."
        )
    record["properties"] = {
        name: child for name, child in record["properties"].items() if name != "input_id"
    }
    record["required"] = [name for name in record["required"] if name != "input_id"]
    _check_fields(record)
    core = core_of(record)
    _check_defaults(record)
    return Schema(
        fields_of(record),
        record,
        many,
        Typing.of(guard_of(record, fill=True), SchemaValidator(core), SchemaSerializer(core), core),
    )


def _check_fields(record: Node) -> None:
    if not record["properties"]:
        raise SchemaError("The schema has no fields: name at least one beside input_id.")


def _check_defaults(record: Node) -> None:
    for name, node in record["properties"].items():
        if node.get("default") is None:
            continue
        alone: Node = {"type": "object", "properties": {name: node}, "required": [name]}
        alone |= {"$defs": record["$defs"]} if "$defs" in record else {}
        try:
            SchemaValidator(core_of(alone)).validate_python({name: node["default"]})
        except ValueError:
            raise SchemaError(
                f'Field "{name}" has the default {cut(node["default"])}, which its own schema '
                "does not allow."
            ) from None


class _Plain(GenerateJsonSchema):
    """pydantic's JSON schema without the titles that it makes up."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - as pydantic calls it
        return False

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ARG002 - as pydantic calls it
        return {"type": "number"}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: what cannot be shown to a model is a default, and pydantic applies it."""


def _from_type(annotation: Any) -> Schema:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        record = normalise(_json_schema(adapter, "validation"))
        columns = _returned(adapter) or record
    except (PydanticUserError, PydanticUndefinedAnnotation, NameError, CoreError) as error:
        problem = str(error).split("\n\nFor further information", maxsplit=1)[0]
        problem = problem.split(". Set `arbitrary_types_allowed", maxsplit=1)[0]
        raise SchemaError(
            f"schema= cannot be read ({cut_message(problem).rstrip('.')}): give {_FORMS}."
        ) from None
    if record.get("type") == "array":
        raise SchemaError("schema= is a model of a list: write list[Model] of its items instead.")
    if labels_of(record) is not None:
        return _from_type(record_type({_LABEL: annotation}))
    if record.get("type") != "object":
        raise SchemaError(f"schema= describes no object with fields: give {_FORMS}.")
    if row_of_reply(record) is not None:
        raise SchemaError("schema= is the model of a whole reply: give the model of one row.")
    if "input_id" in record["properties"]:
        raise SchemaError(
            'schema= has a field "input_id", a name that the package needs: name it otherwise.'
        )
    _check_fields(record)
    guard = guard_of(record, fill=False)
    return Schema(
        fields_of(columns),
        record,
        False,
        Typing.of(guard, adapter.validator, adapter.serializer, adapter.core_schema),
    )


def _returned(adapter: TypeAdapter[Any]) -> Node | None:
    """What a validated record holds, computed fields included, if it can be said."""
    try:
        returned = normalise(_json_schema(adapter, "serialization"))
    except SchemaError:
        return None
    return returned if returned.get("properties") else None


def _json_schema(adapter: TypeAdapter[Any], mode: JsonSchemaMode) -> JsonSchemaValue:
    document = adapter.json_schema(schema_generator=_Plain, mode=mode)
    document.pop("title", None)
    for definition in document.get("$defs", {}).values():
        definition.pop("title", None)
    return document
