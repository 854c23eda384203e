"""The compiled schema: read from whatever form, sent to the vendors, held against the answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic_core import SchemaError as PydanticSchemaError

from pandas_genai.errors import SchemaError
from pandas_genai.task.rules import Bounds, rules_of
from pandas_genai.task.schema.annotations import (
    adapter_of,
    annotation_of,
    choice_of,
    record_type,
    returns_json,
    type_of,
)
from pandas_genai.task.schema.detect import is_json_schema, row_of_reply, unwrapped
from pandas_genai.task.schema.evidence import (
    GROUNDED,
    KEYWORD,
    asked_record,
    checked_evidence,
    evidence_names,
    is_list,
    split_quotes,
    words_of,
)
from pandas_genai.task.schema.limits import check_record
from pandas_genai.task.schema.nodes import (
    Kind,
    Node,
    canonical_text,
    cut,
    kind_of,
    labels_of,
    takes_null,
)
from pandas_genai.task.schema.normalize import normalize, normalized_type
from pandas_genai.task.schema.validate import Validator, cut_message
from pandas_genai.task.schema.words import limits_of

__all__ = ["Field", "Schema", "compile_schema"]

_FORMS = (
    'a dict such as {"tone": ["positive", "negative"], "year": int | None}, a list of labels, a '
    "pydantic model, a TypedDict, a dataclass or a JSON schema"
)
_LABEL = "label"
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the result.

    Parameters
    ----------
    name : str
        The column's name.
    kind : {"category", "int", "float", "bool", "str", "datetime", "object"}
        What kind of values it holds.
    labels : tuple
        The categories in the given order; empty for every other kind.
    nullable : bool
        Whether a valid answer may leave it empty.
    """

    name: str
    kind: Kind
    labels: tuple[Any, ...] = ()
    nullable: bool = False


@dataclass(frozen=True, eq=False)
class Schema:
    """What an answer looks like. Immutable; made by ``compile_schema``.

    Parameters
    ----------
    fields : tuple of Field
        The columns; empty when ``free``.
    record : dict or None
        The JSON schema of one record, the same for every vendor; None when ``free``.
    many : bool
        Whether a row may have several records.
    validator : Validator, optional
        The check of one record; None when ``free``.
    evidence : tuple of str
        The fields for which the words that they rest on are asked for.
    """

    fields: tuple[Field, ...] = ()
    record: Node | None = None
    many: bool = False
    validator: Validator | None = field(default=None, repr=False)
    evidence: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    @property
    def free(self) -> bool:
        """Whether the prompt alone says what to return."""
        return self.record is None

    @cached_property
    def canonical(self) -> str:
        """The schema as JSON, for hashing and for people.

        Keywords are sorted; properties and labels keep their order, in which a model writes.
        """
        if self.record is None:
            return "null"
        record: Node = self.record
        names = [field.name for field in self.fields]
        if names != list(self.record["properties"]):
            record = {**record, "x-columns": names}
        whole: Node = {"type": "array", "items": record} if self.many else record
        return canonical_text({**whole, KEYWORD: list(self.evidence)} if self.evidence else whole)

    @cached_property
    def _sent(self) -> dict[tuple[str, bool, Bounds], Node]:
        return {}

    def with_evidence(self, evidence: bool | Sequence[str] | None) -> Schema:
        """Return the schema in which the words that fields rest on are asked for, too.

        Raises
        ------
        UsageError, SchemaError
            If a field is not there, or a name is taken.
        """
        names = [field.name for field in self.fields]
        return replace(self, evidence=checked_evidence(evidence, names, self.record))

    @cached_property
    def asked(self) -> Node | None:
        """The JSON schema of one record of a reply: with the quotes that are asked for."""
        if self.record is None or not self.evidence:
            return self.record
        return asked_record(self.record, self.evidence)

    @cached_property
    def evidence_words(self) -> str:
        """The instructions about quotes, for the model; empty where none are asked for."""
        if self.record is None or not self.evidence:
            return ""
        return words_of(self.record, self.evidence, many=self.many)

    def has_quotes(self, name: str) -> bool:
        """Whether a field is a list, so that it has a quote for each item."""
        return self.record is not None and is_list(self.record, name)

    @cached_property
    def columns(self) -> tuple[Field, ...]:
        """The columns of the result: the fields, and of each quote where it stands."""
        found = list(self.fields)
        for name in self.evidence:
            quote, start, end, grounded, _ = evidence_names(name)
            if self.has_quotes(name):
                found += [Field(one, "object") for one in (quote, start, end, grounded)]
            else:
                found += [Field(quote, "str"), Field(start, "int"), Field(end, "int")]
                found.append(Field(grounded, "category", GROUNDED))
        return tuple(found)

    @cached_property
    def limits(self) -> str:
        """The bounds of the fields in words, for a model that does not read the schema."""
        return "" if self.record is None else limits_of(self.record)

    def reply_schema(
        self,
        backend: str,
        *,
        strict: bool = True,
        bounds: Bounds = "dialect",
    ) -> Node | None:
        """Return the JSON schema of a whole reply, as a vendor takes it.

        Parameters
        ----------
        backend : str
            Whose dialect: ``"openai"``, ``"anthropic"`` or another registered name.
        strict : bool, default True
            Whether it is for a mode that enforces the schema to the letter; a dialect may take
            fewer keywords there.
        bounds : {"dialect", "grammar", "described"}
            Where bounds stand: as the vendor itself takes them; in the schema and in
            descriptions, for servers that make a grammar of it; in descriptions alone.

        Returns
        -------
        dict or None
            The same dict at each call, not to be changed; None when ``free``.
        """
        if self.asked is None:
            return None
        key = (backend, strict, bounds)
        if key not in self._sent:
            self._sent[key] = rules_of(backend).reply_schema(
                self.asked, many=self.many, strict=strict, bounds=bounds
            )
        return self._sent[key]

    def check(self, backend: str) -> None:
        """Refuse what a vendor cannot enforce.

        Raises
        ------
        SchemaError
            Naming the field, or the limit and what to do about it.
        """
        if self.asked is None:
            return
        check_record(self.asked)
        sent = self.reply_schema(backend)
        assert sent is not None
        rules_of(backend).check_schema(self.asked, sent)

    def validate(self, entry: Mapping[str, Any]) -> object:
        """Validate one entry of a reply.

        Parameters
        ----------
        entry : mapping
            The entry without its ``input_id``. Unknown fields are ignored, absent nullable
            fields become None.

        Returns
        -------
        dict or list of dict
            Plain JSON values: one record, or those of ``records`` when ``many``; the quotes of a
            record, as they were given, stand at its end.

        Raises
        ------
        ValueError
            One sentence that names the field.
        """
        if self.validator is None:
            return _checked_free(entry)
        if not self.many:
            return self._valid(entry) if self.evidence else self.validator(entry)
        records = entry.get("records")
        if not isinstance(records, list):
            raise ValueError(f'The entry\'s "records" is {cut(records)}: it must be a list.')  # noqa: TRY004 - the answer is wrong, not the call
        valid = self._valid if self.evidence else self.validator
        return [valid(record, f"records[{place}].") for place, record in enumerate(records)]

    def _valid(self, entry: object, where: str = "") -> dict[str, Any]:
        """Validate a record apart from its quotes, which the user's own model does not know."""
        assert self.validator is not None
        assert self.record is not None
        answer, quotes = split_quotes(entry, self.evidence, self.record)
        return self.validator(answer, where) | quotes

    def solved(self, entry: Mapping[str, Any]) -> object:
        """Validate an answer that is an example, and return it as a model is to write it.

        That is what ``validate`` returns, with defaults filled in, unless the user's own model
        writes a record otherwise than it reads one.

        Raises
        ------
        ValueError
            One sentence that names the field.
        """
        result = self.validate(entry)
        if self.validator is None or self.record is None:
            return result
        records: list[Any] = result if isinstance(result, list) else [result]
        try:
            again = self.validate({"records": result} if self.many else records[0])
            known = self.record["properties"].keys()
            if again == result and all(record.keys() <= known for record in records):
                return result
        except ValueError:
            pass
        ready = list(map(self.validator.prepare, entry["records"] if self.many else [entry]))
        return ready if self.many else ready[0]


def fields_of(record: Node) -> tuple[Field, ...]:
    """Return the columns of a record, given its schema in normal form."""
    found = []
    for name, node in record["properties"].items():
        labels = labels_of(node) or ()
        optional = name not in record["required"] and "default" not in node
        found.append(Field(name, kind_of(node), labels, takes_null(node) or optional))
    return tuple(found)


def _checked_free(entry: Mapping[str, Any]) -> dict[str, Any]:
    if not entry:
        raise ValueError("The answer has no fields.")
    for name, value in entry.items():
        try:
            json.dumps({name: value}, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError):
            raise ValueError(
                f"Field {cut(name)} is {cut(value)}, which JSON cannot carry."
            ) from None
    return dict(entry)


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
        reason = getattr(error, "strerror", None) or str(error)
        what = "is not valid JSON" if isinstance(error, json.JSONDecodeError) else "cannot be read"
        raise SchemaError(
            f"schema= is the path {cut(os.fspath(path))}, but that file {what} "
            f"({cut_message(reason)}): give the path of a JSON-schema file, or {_FORMS}."
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
    node = normalize(document)
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
    annotation, definitions = type_of(record)
    adapter = adapter_of(annotation, definitions)
    _check_defaults(record)
    schema = _schema(record, record, annotation, adapter, many=many, fill=True)
    return schema.with_evidence(document.get(KEYWORD))


def _from_type(annotation: Any) -> Schema:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        record = normalized_type(adapter)
        columns = _written(adapter) or record
    except (
        PydanticUserError,
        PydanticUndefinedAnnotation,
        NameError,
        PydanticSchemaError,
    ) as error:
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
    return _schema(record, columns, annotation, adapter, many=False, fill=False)


def _written(adapter: TypeAdapter[Any]) -> Node | None:
    """Return the normal form of what a type writes, computed fields included, if it has one."""
    try:
        written = normalized_type(adapter, "serialization")
    except SchemaError:
        return None
    return written if written.get("properties") else None


def _schema(
    record: Node,
    columns: Node,
    annotation: Any,
    adapter: TypeAdapter[Any],
    *,
    many: bool,
    fill: bool,
) -> Schema:
    fields = fields_of(columns)
    integers = [field.name for field in fields if field.kind == "int"]
    writes = not returns_json(annotation)
    validator = Validator(record, adapter, integers=integers, fill=fill, writes=writes)
    return Schema(fields, record, many, validator)


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
            adapter_of(*type_of(alone)).validate_python({name: node["default"]})
        except ValueError:
            raise SchemaError(
                f'Field "{name}" has the default {cut(node["default"])}, which its own schema '
                "does not allow."
            ) from None
