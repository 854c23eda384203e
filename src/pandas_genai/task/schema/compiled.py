"""The compiled schema: what a record looks like, and the check of what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import ValidationError

from pandas_genai.task.schema.guard import BadAnswerError
from pandas_genai.task.schema.limits import check_limits, check_record
from pandas_genai.task.schema.nodes import (
    Kind,
    Node,
    canonical_text,
    cut,
    kind_of,
    labels_of,
    takes_null,
)
from pandas_genai.task.schema.typed import Typing
from pandas_genai.task.schema.vendors import Bounds, limits_of, reply_schema

__all__ = ["Field", "Schema", "fields_of"]

_INT64 = 2**63
_MESSAGE = 160


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
    typing : Typing, optional
        How a record is validated; None when ``free``.
    """

    fields: tuple[Field, ...] = ()
    record: Node | None = None
    many: bool = False
    typing: Typing | None = field(default=None, repr=False)

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
        said: Node = self.record
        names = [field.name for field in self.fields]
        if names != list(self.record["properties"]):
            said = {**said, "x-columns": names}
        return canonical_text({"type": "array", "items": said} if self.many else said)

    @cached_property
    def _sent(self) -> dict[tuple[str, bool, Bounds], Node]:
        return {}

    @cached_property
    def limits(self) -> str:
        """The bounds of the fields in words, for a model that does not read the schema."""
        return "" if self.record is None else limits_of(self.record)

    def reply_schema(
        self,
        backend: Literal["openai", "anthropic"],
        *,
        strict: bool = True,
        bounds: Bounds = "dialect",
    ) -> Node | None:
        """Return the JSON schema of a whole reply, as a vendor takes it.

        Parameters
        ----------
        backend : {"openai", "anthropic"}
            The vendor's dialect.
        strict : bool, default True
            For OpenAI: whether lengths of texts move into descriptions.
        bounds : {"dialect", "grammar", "described"}
            Where bounds stand: as the vendor itself takes them; in the schema and in
            descriptions, for servers that make a grammar of it; in descriptions alone.

        Returns
        -------
        dict or None
            The same dict at each call, not to be changed; None when ``free``.
        """
        if self.record is None:
            return None
        key = (backend, strict, bounds)
        if key not in self._sent:
            self._sent[key] = reply_schema(
                self.record, backend, many=self.many, strict=strict, bounds=bounds
            )
        return self._sent[key]

    def check(self, backend: Literal["openai", "anthropic"]) -> None:
        """Refuse what a vendor cannot enforce.

        Raises
        ------
        SchemaError
            Naming the field, or the limit and what to do about it.
        """
        if self.record is None:
            return
        check_record(self.record, backend)
        sent = self.reply_schema(backend)
        assert sent is not None
        check_limits(sent, backend)

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
            Plain JSON values: one record, or those of ``records`` when ``many``.

        Raises
        ------
        ValueError
            One sentence that names the field.
        """
        if self.typing is None:
            return _checked_free(entry)
        if not self.many:
            return self._one(self.typing, entry, "")
        records = entry.get("records")
        if not isinstance(records, list):
            raise BadAnswerError(f'The entry\'s "records" is {cut(records)}: it must be a list.')
        return [
            self._one(self.typing, record, f"records[{place}].")
            for place, record in enumerate(records)
        ]

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
        if self.typing is None or self.record is None:
            return result
        records: list[Any] = result if isinstance(result, list) else [result]
        try:
            again = self.validate({"records": result} if self.many else records[0])
            known = self.record["properties"].keys()
            if again == result and all(record.keys() <= known for record in records):
                return result
        except ValueError:
            pass
        ready = list(map(self.typing.guard, entry["records"] if self.many else [entry]))
        return ready if self.many else ready[0]

    def _one(self, typing: Typing, entry: object, where: str) -> dict[str, Any]:
        if not isinstance(entry, Mapping):
            raise BadAnswerError(f'"{where.rstrip(".")}" is {cut(entry)}: it must be an object.')
        try:
            ready = typing.guard(entry)
            result = typing.plain(typing.validated(ready))
        except BadAnswerError as bad:
            raise ValueError(f'Field "{where}{_path(bad.path)}" {bad.problem}.') from None
        except ValidationError as error:
            raise ValueError(_sentence(error, ready, where)) from None
        # The validators of a user's own model may raise anything; it must not end the run.
        except Exception as error:
            raise ValueError(f"The answer was refused: {cut_message(repr(error))}.") from error
        if not isinstance(result, dict):
            raise BadAnswerError(f"The answer became {cut(result)}: it must be an object.")
        for name in self._integers:
            value = result.get(name)
            if isinstance(value, int) and not -_INT64 <= value < _INT64:
                raise ValueError(f'Field "{where}{name}" is {cut(value)}: it must fit 64 bits.')
        return result

    @cached_property
    def _integers(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.kind == "int")


def fields_of(record: Node) -> tuple[Field, ...]:
    """Return the columns of a record, given its schema in normal form."""
    found = []
    for name, node in record["properties"].items():
        labels = labels_of(node) or ()
        optional = name not in record["required"] and "default" not in node
        found.append(Field(name, kind_of(node), labels, takes_null(node) or optional))
    return tuple(found)


def cut_message(text: str) -> str:
    """Shorten a message to one line."""
    text = " ".join(text.split())
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"


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


def _sentence(error: ValidationError, ready: Any, where: str) -> str:
    """Say what pydantic found first, in one sentence."""
    found = error.errors(include_url=False, include_context=False)
    # Of a union's variants, those that were not meant complain of their label or a missing field.
    meant = (one for one in found if one["type"] not in ("literal_error", "missing"))
    first = next(meant, found[0])
    path: list[str | int] = []
    value = ready
    for step in first["loc"]:
        # pydantic puts the names of a union's variants between the steps.
        size = len(value) if isinstance(value, list) and isinstance(step, int) else 0
        if (isinstance(value, Mapping) and step in value) or (size and int(step) < size):
            value = value[step]
            path.append(step)
    if first["type"] == "missing":
        name = _path([*path, first["loc"][-1]])
        return f'Field "{where}{name}" is missing or null.'
    message: str = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = cut_message(message).rstrip(".")
    message = message[:1].lower() + message[1:]
    if not path:
        return f"The answer is not valid: {message}."
    return f'Field "{where}{_path(path)}" is {cut(value)}: {message}.'


def _path(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return " ".join(text.removeprefix(".").split())
