"""The check of one record, whatever form its schema came in.

A record is prepared by its normal form, validated by pydantic's type, and written back as JSON.
pydantic takes more than an answer should get away with: preparing fills absent optional fields and
refuses a truth value for a number, a number that JSON does not know and a number for a date
(pydantic would read 2024 as seconds since 1970).
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from pandas_genai.task.schema.nodes import (
    MOMENTS,
    Node,
    cut,
    is_anything,
    label_type,
    split_null,
    takes_null,
)

__all__ = ["Validator", "cut_message"]

_Check: TypeAlias = Callable[[Any], Any]

_ABSENT = object()
_INT64 = 2**63
_MESSAGE = 160
_NUMERAL = re.compile(r"\s*[-+]?[\d.]+\s*")


class Validator:
    """Validates one record.

    Parameters
    ----------
    record : dict
        The record's schema in normal form.
    adapter : TypeAdapter
        The adapter of its type.
    integers : sequence of str
        The columns whose values have to fit 64 bits.
    fill : bool
        Whether an absent optional field gets its default, or None where it has none. Otherwise
        it stays absent, and pydantic knows its default.
    writes : bool
        Whether what pydantic returns has to be written as JSON.
    """

    def __init__(
        self,
        record: Node,
        adapter: TypeAdapter[Any],
        *,
        integers: Sequence[str],
        fill: bool,
        writes: bool,
    ) -> None:
        prepare = _Preparation(record, fill=fill).check
        assert prepare is not None, "a record has fields"
        self.prepare: _Check = prepare
        self._typed: _Check = adapter.validator.validate_python
        self._typed_json: _Check = adapter.validator.validate_json
        self._write: Callable[..., Any] | None = adapter.serializer.to_python if writes else None
        self._integers = tuple(integers)

    def __call__(self, entry: object, where: str = "") -> dict[str, Any]:
        """Return a record as plain JSON values.

        Parameters
        ----------
        entry : object
            The record as a reply has it.
        where : str, default ""
            What stands before a field's name in a message.

        Raises
        ------
        ValueError
            One sentence that names the field.
        """
        if not isinstance(entry, (dict, Mapping)):
            message = f'"{where.rstrip(".")}" is {cut(entry)}: it must be an object.'
            raise ValueError(message)  # noqa: TRY004 - the answer is wrong, not the call
        try:
            ready = self.prepare(entry)
            result = self._valid(ready)
        except _BadAnswerError as bad:
            raise ValueError(f'Field "{where}{_path(bad.path)}" {bad.problem}.') from None
        except ValidationError as error:
            raise ValueError(_sentence(error, ready, where)) from None
        # The validators of a user's own model may raise anything; it must not end the run.
        except Exception as error:
            raise ValueError(f"The answer was refused: {cut_message(repr(error))}.") from error
        if not isinstance(result, dict):
            raise ValueError(f"The answer became {cut(result)}: it must be an object.")  # noqa: TRY004 - the answer is wrong, not the call
        for name in self._integers:
            value = result.get(name)
            if isinstance(value, int) and not -_INT64 <= value < _INT64:
                raise ValueError(f'Field "{where}{name}" is {cut(value)}: it must fit 64 bits.')
        return result

    def _valid(self, ready: Any) -> Any:
        try:
            valid = self._typed(ready)
        except ValidationError:
            # A strict model takes a date's text, an enum's value or a list as a set only from JSON.
            valid = self._typed_json(json.dumps(ready))
        if self._write is None:
            return valid
        return self._write(valid, mode="json", by_alias=True, warnings=False)


def cut_message(text: str) -> str:
    """Shorten a message to one line."""
    text = " ".join(text.split())
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"


def _sentence(error: ValidationError, ready: Any, where: str) -> str:
    """Say what pydantic found first, in one sentence."""
    found = error.errors(include_url=False, include_context=False)
    # Of a union's variants, those of another shape complain of their label or a missing field.
    fitting = (one for one in found if one["type"] not in ("literal_error", "missing"))
    first = next(fitting, found[0])
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


class _BadAnswerError(ValueError):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str | int] = []


class _Preparation:
    """Makes the function that prepares the values of a node; None where there is nothing to do."""

    def __init__(self, record: Node, *, fill: bool) -> None:
        self._fill = fill
        self._defs: dict[str, Node] = record.get("$defs", {})
        self._made: dict[str, _Check | None] = {}
        self.check = self._of(record)
        for name, node in self._defs.items():
            self._made[name] = self._of(node)

    def _of(self, node: Node) -> _Check | None:
        if "$ref" in node:
            return self._later(node["$ref"].rsplit("/", 1)[-1])
        bare, nullable = split_null(node)
        if nullable:
            check = self._of(bare)
            return check and (lambda value: None if value is None else check(value))
        if "anyOf" in node:
            return self._union(node["anyOf"])
        if node.get("type") == "array":
            return self._array(node["items"])
        return self._object(node) if node.get("properties") else _scalar(node)

    def _later(self, name: str) -> _Check:
        def check(value: Any) -> Any:
            made = self._made[name]
            return value if made is None else made(value)

        return check

    def _shape(self, node: Node) -> Node:
        return self._defs[node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node

    def _object(self, node: Node) -> _Check:
        rows = []
        for name, child in node["properties"].items():
            absent = _ABSENT
            if takes_null(child):
                absent = None
            elif self._fill and name not in node["required"]:
                absent = child.get("default")
            rows.append((name, self._of(child), absent))

        def check(value: Any) -> Any:
            if not isinstance(value, (dict, Mapping)):  # a dict first: it is found much faster
                return value
            ready = {}
            name: str = ""
            try:
                for name, prepare, absent in rows:
                    found = value.get(name)
                    if found is None:
                        if absent is not _ABSENT:
                            ready[name] = absent if absent is None else copy.deepcopy(absent)
                    else:
                        ready[name] = found if prepare is None else prepare(found)
            except _BadAnswerError as bad:
                bad.path.insert(0, name)
                raise
            return ready

        return check

    def _array(self, items: Node) -> _Check | None:
        prepare = self._of(items)
        if prepare is None:
            return None

        def check(value: Any) -> Any:
            if not isinstance(value, list):
                return value
            ready: list[Any] = []
            try:
                for item in value:
                    ready.append(prepare(item))  # noqa: PERF401 - its length is the place of the error
            except _BadAnswerError as bad:
                bad.path.insert(0, len(ready))
                raise
            return ready

        return check

    def _union(self, variants: list[Node]) -> _Check | None:
        scalars = [_json_types(variant) for variant in variants]
        allowed = set().union(*scalars)
        numbers = bool(allowed & {"integer", "number"})
        arrays = [self._of(variant) for variant in variants if variant.get("type") == "array"]
        shapes = [(self._shape(variant), self._of(variant)) for variant in variants]
        objects = [(shape, check) for shape, check in shapes if check and "properties" in shape]

        def check(value: Any) -> Any:
            if isinstance(value, bool) and numbers and "boolean" not in allowed:
                raise _BadAnswerError(f"is {cut(value)}, not one of the values that are allowed")
            _text(value)
            if isinstance(value, float) and not math.isfinite(value):
                raise _BadAnswerError(f"is {value}, which is not a number")
            if isinstance(value, list) and len(arrays) == 1 and arrays[0] is not None:
                return arrays[0](value)
            if isinstance(value, Mapping):
                fitting = [pair for pair in objects if _fits(value, pair[0])]
                if fitting:
                    # The others would lose what they have no field for.
                    _, prepare = max(fitting, key=lambda pair: _common(value, pair[0]))
                    return prepare(value)
            return value

        return check


def _common(value: Mapping[str, Any], node: Node) -> int:
    return len(value.keys() & node["properties"].keys())


def _fits(value: Mapping[str, Any], node: Node) -> bool:
    """Whether a variant of a union is the one that an object was meant for."""
    for name, child in node["properties"].items():
        found = value.get(name)
        if found is None:
            if name in node["required"] and not takes_null(child):
                return False
        elif "enum" in child and found not in child["enum"]:
            return False
    return True


def _json_types(node: Node) -> set[str]:
    if "enum" in node:
        return {label_type(label) for label in node["enum"]}
    if is_anything(node) or "$ref" in node:
        return {"boolean"}
    return {node["type"]} if "type" in node else set().union(*map(_json_types, node["anyOf"]))


def _scalar(node: Node) -> _Check | None:
    if "enum" in node:
        return _choice(node["enum"])
    if node.get("format") in MOMENTS:
        return _moment(node["format"])
    return {"integer": _integer, "number": _number, "string": _text}.get(node.get("type", ""))


def _choice(labels: list[Any]) -> _Check | None:
    booleans = {label for label in labels if isinstance(label, bool)}
    if not any(isinstance(label, int | float) for label in labels):
        return None

    def check(value: Any) -> Any:
        # To Python 1 == True: only JSON's own distinction keeps them apart.
        if isinstance(value, int | float) and value in labels:
            if isinstance(value, bool) != (value in booleans):
                raise _BadAnswerError(f"is {cut(value)}, which is not one of its labels")
            return labels[labels.index(value)]
        return value

    return check


def _text(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _BadAnswerError(f"is {cut(value)}, which has half of a surrogate pair") from None
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, bool):
        raise _BadAnswerError(f"is {cut(value)}: it must be a whole number")
    return value


def _number(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        finite = math.isfinite(value)
    elif kind is str:
        try:
            finite = math.isfinite(float(value))
        except ValueError:
            return value
    else:
        finite = kind is not bool
    if not finite:
        raise _BadAnswerError(f"is {cut(value)}: it must be a number")
    return value


def _moment(form: str) -> _Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or _NUMERAL.fullmatch(value):
            raise _BadAnswerError(
                f"is {cut(value)}: it must be a {form} such as {cut(MOMENTS[form])}"
            )
        return value

    return check
