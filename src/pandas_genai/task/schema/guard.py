"""Prepares an answer for pydantic, which takes more than an answer should get away with.

Absent optional fields are filled; a truth value for a number, a number that JSON does not know
and a number for a date (pydantic would read 2024 as seconds since 1970) are refused.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pandas_genai.task.schema.labels import label_type
from pandas_genai.task.schema.nodes import (
    MOMENTS,
    Node,
    cut,
    is_anything,
    split_null,
    takes_null,
)

__all__ = ["BadAnswerError", "Check", "guard_of"]

Check: TypeAlias = Callable[[Any], Any]

_ABSENT = object()
_NUMERAL = re.compile(r"\s*[-+]?[\d.]+\s*")


class BadAnswerError(ValueError):
    """A value that is refused, and where it stands.

    Parameters
    ----------
    problem : str
        What is wrong with the value, to follow the field's name.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str | int] = []


def guard_of(record: Node, *, fill: bool) -> Check:
    """Return the function that prepares one record.

    Parameters
    ----------
    record : dict
        The record's schema in normal form.
    fill : bool
        Whether an absent optional field gets its default, or None where it has none. Otherwise
        it stays absent, and pydantic knows its default.
    """
    check = _Guard(record, fill).check
    assert check is not None, "a record has fields"
    return check


class _Guard:
    def __init__(self, record: Node, fill: bool) -> None:
        self._fill = fill
        self._defs: dict[str, Node] = record.get("$defs", {})
        self._made: dict[str, Check | None] = {}
        self.check = self._of(record)
        for name, node in self._defs.items():
            self._made[name] = self._of(node)

    def _of(self, node: Node) -> Check | None:
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

    def _later(self, name: str) -> Check:
        def check(value: Any) -> Any:
            made = self._made[name]
            return value if made is None else made(value)

        return check

    def _shape(self, node: Node) -> Node:
        return self._defs[node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node

    def _object(self, node: Node) -> Check:
        rows = []
        for name, child in node["properties"].items():
            absent = _ABSENT
            if takes_null(child):
                absent = None
            elif self._fill and name not in node["required"]:
                absent = child.get("default")
            rows.append((name, self._of(child), absent))

        def check(value: Any) -> Any:
            if not isinstance(value, Mapping):
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
            except BadAnswerError as bad:
                bad.path.insert(0, name)
                raise
            return ready

        return check

    def _array(self, items: Node) -> Check | None:
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
            except BadAnswerError as bad:
                bad.path.insert(0, len(ready))
                raise
            return ready

        return check

    def _union(self, variants: list[Node]) -> Check | None:
        scalars = [_json_types(variant) for variant in variants]
        allowed = set().union(*scalars)
        numbers = bool(allowed & {"integer", "number"})
        arrays = [self._of(variant) for variant in variants if variant.get("type") == "array"]
        shapes = [(self._shape(variant), self._of(variant)) for variant in variants]
        objects = [(shape, check) for shape, check in shapes if check and "properties" in shape]

        def check(value: Any) -> Any:
            if isinstance(value, bool) and numbers and "boolean" not in allowed:
                raise BadAnswerError(f"is {cut(value)}, not one of the values that are allowed")
            _text(value)
            if isinstance(value, float) and not math.isfinite(value):
                raise BadAnswerError(f"is {value}, which is not a number")
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


def _scalar(node: Node) -> Check | None:
    if "enum" in node:
        return _choice(node["enum"])
    if node.get("format") in MOMENTS:
        return _moment(node["format"])
    return {"integer": _integer, "number": _number, "string": _text}.get(node.get("type", ""))


def _choice(labels: list[Any]) -> Check | None:
    booleans = {label for label in labels if isinstance(label, bool)}
    if not any(isinstance(label, int | float) for label in labels):
        return None

    def check(value: Any) -> Any:
        # To Python 1 == True: only JSON's own distinction keeps them apart.
        if isinstance(value, int | float) and value in labels:
            if isinstance(value, bool) != (value in booleans):
                raise BadAnswerError(f"is {cut(value)}, which is not one of its labels")
            return labels[labels.index(value)]
        return value

    return check


def _text(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadAnswerError(f"is {cut(value)}, which has half of a surrogate pair") from None
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, bool):
        raise BadAnswerError(f"is {cut(value)}: it must be a whole number")
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
        raise BadAnswerError(f"is {cut(value)}: it must be a number")
    return value


def _moment(form: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or _NUMERAL.fullmatch(value):
            raise BadAnswerError(
                f"is {cut(value)}: it must be a {form} such as {cut(MOMENTS[form])}"
            )
        return value

    return check
