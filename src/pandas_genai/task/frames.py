"""Builds the result: a frame with the input's index and a real dtype for every field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic_core import from_json

from pandas_genai.task.schema import Schema
from pandas_genai.task.schema.nodes import Kind

__all__ = ["FrameBuilder", "build_frame"]

_TEXT = pd.StringDtype(na_value=np.nan)
"""What pandas 3 calls ``str``; pandas 2.3 has it too, but does not infer it."""
_BLOCK = 50_000
_AT_ONCE = 1_000
_MOST_FREE = 200
_OVERFLOW = "more"

Positions = npt.NDArray[np.int64]


def build_frame(
    schema: Schema, index: pd.Index, codes: npt.NDArray[Any], results: Iterable[str | None]
) -> pd.DataFrame:
    """Build the frame of all answers.

    Parameters
    ----------
    schema : Schema
        What the answers look like; its fields are the columns, followed by those of the words
        that they rest on, where these were asked for. When ``free``, the columns are
        the names that came back, in order of first appearance, at most 200 of them; what a model
        answered under still other names is kept in a last column ``more``, a dict a row.
    index : Index
        The input's index.
    codes : ndarray of int
        For each row of the input the position of its answer in ``results``; -1 where nothing was
        sent.
    results : iterable of str or None
        The answers as JSON text, each as ``Schema.validate`` returned it; None where it failed.
        They are read one by one and never held together.

    Returns
    -------
    DataFrame
        One row a row, in the input's order, NA where there is no answer. When the schema says
        many: one row a record, the index repeated; a row without records is absent, a failed
        one is there once, NA. Dates and times are ``datetime64[us]``, those with a zone in UTC.

    Examples
    --------
    >>> from pandas_genai.task.schema import compile_schema
    >>> schema = compile_schema({"tone": ["good", "bad"], "year": int | None})
    >>> answers = ['{"tone": "bad", "year": 2001}', None]
    >>> build_frame(schema, pd.Index([7, 8, 9]), np.array([1, 0, -1]), answers)
       tone  year
    7   NaN  <NA>
    8   bad  2001
    9   NaN  <NA>
    """
    builder = FrameBuilder(schema)
    waiting = iter(results)
    while block := list(islice(waiting, _AT_ONCE)):
        builder.add(block)
    return builder.frame(index, codes)


class FrameBuilder:
    """Takes answers, packed into columns as they come, and builds the frame of them.

    Parameters
    ----------
    schema : Schema
        What the answers look like; see ``build_frame``.
    """

    def __init__(self, schema: Schema) -> None:
        self._many = schema.many
        self._table = _FreeTable() if schema.free else None
        self._columns = (
            []
            if schema.free
            else [_Column(field.name, field.kind, field.labels) for field in schema.columns]
        )
        self._counts: list[int] = []

    def add(self, texts: Sequence[str | None]) -> None:
        """Take the next answers as JSON text; None is a failure."""
        if self._table is not None:
            for text in texts:
                self._table.add(text)
            return
        for start in range(0, len(texts), _AT_ONCE):
            block = texts[start : start + _AT_ONCE]
            answers = [None if text is None else from_json(text) for text in block]
            if self._many:
                self._counts += [-1 if answer is None else len(answer) for answer in answers]
                records = [record for answer in answers for record in answer or ()]
            else:
                records = [answer or {} for answer in answers]
            for column in self._columns:
                column.extend([record.get(column.name) for record in records])

    def frame(self, index: pd.Index, codes: npt.NDArray[Any]) -> pd.DataFrame:
        """Build the frame; nothing can be added any more.

        Parameters
        ----------
        index : Index
            The input's index.
        codes : ndarray of int
            For each row of the input which of the added answers is its own; -1 for none.
        """
        if self._table is not None:
            return _aligned(self._table.columns(), index, codes)
        data = {column.name: column.done() for column in self._columns}
        if not self._many:
            return _aligned(data, index, codes)
        rows, positions = _spread(np.array(self._counts, dtype=np.int64), codes)
        return _aligned(data, index.take(rows), positions)


def _aligned(columns: Mapping[str, Any], index: pd.Index, positions: Positions) -> pd.DataFrame:
    """Put the distinct answers onto the rows of the input; -1 is NA."""
    in_place = np.array_equal(positions, np.arange(len(positions)))
    data = {}
    for name, values in columns.items():
        ready = in_place and len(values) == len(positions)
        taken = values if ready else _taken(values, positions)
        # A frame would infer the dtype of bare objects, so that texts alone would not stay objects.
        bare = taken.dtype == object
        data[name] = pd.Series(taken, index=index, dtype=object) if bare else taken
    return pd.DataFrame(data, index=index, copy=False)


def _taken(values: Any, positions: Positions) -> Any:
    if values.dtype != object:
        return pd.api.extensions.take(values, positions, allow_fill=True)
    out = np.empty(len(positions), dtype=object)
    sent = positions >= 0
    out[sent] = values[positions[sent]]
    return out


def _spread(counts: Positions, codes: npt.NDArray[Any]) -> tuple[Positions, Positions]:
    """Return which row each record belongs to, and which record it is; -1 for a failed row."""
    kept = np.maximum(counts, 0)
    starts = np.cumsum(kept) - kept
    answered = codes >= 0
    answered[answered] = counts[codes[answered]] >= 0
    sizes = np.ones(len(codes), dtype=np.int64)
    sizes[answered] = kept[codes[answered]]
    first = np.full(len(codes), -1, dtype=np.int64)
    first[answered] = starts[codes[answered]]
    rows = np.repeat(np.arange(len(codes)), sizes)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rows, first[rows] + within


class _Column:
    """Collects the values of one column, packing a block at a time into its dtype."""

    def __init__(self, name: str, kind: Kind, labels: tuple[Any, ...] = ()) -> None:
        self.name = name
        self._kind = kind
        self._labels = labels
        self._values: list[Any] = []
        self._blocks: list[Any] = []

    def extend(self, values: list[Any]) -> None:
        self._values += values
        if len(self._values) >= _BLOCK:
            self._pack()

    def done(self) -> Any:
        """Return all values as one array."""
        if self._values or not self._blocks:
            self._pack()
        if len(self._blocks) == 1:
            return self._blocks[0]
        if all(isinstance(block, np.ndarray) for block in self._blocks):
            return np.concatenate(self._blocks)
        return pd.concat([pd.Series(block) for block in self._blocks], ignore_index=True).array

    def _pack(self) -> None:
        values, self._values = self._values, []
        try:
            block = _packed(values, self._kind, self._labels)
        except (TypeError, ValueError, OverflowError, KeyError):
            # A user's own model may answer what its schema does not say: then nothing is lost.
            self._kind = "object"
            self._blocks = [np.asarray(block, dtype=object) for block in self._blocks]
            block = _objects(values)
        self._blocks.append(block)


class _FreeTable:
    """Collects answers whose fields are not known before they come."""

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}
        self._more: dict[int, dict[str, Any]] = {}
        self._size = 0

    def add(self, text: str | None) -> None:
        record = {} if text is None else from_json(text)
        for name, value in record.items():
            values = self._values.get(name)
            if values is None:
                if len(self._values) >= _MOST_FREE:
                    self._more.setdefault(self._size, {})[name] = value
                    continue
                values = self._values[name] = []
            values.extend([None] * (self._size - len(values)))
            values.append(value)
        self._size += 1

    def columns(self) -> dict[str, Any]:
        """Return an array for each name, its dtype inferred from all its values."""
        if self._more:
            name = _OVERFLOW
            while name in self._values:
                name += "_"
            self._values[name] = [self._more.get(place) for place in range(self._size)]
        done = {}
        for name, values in self._values.items():
            values.extend([None] * (self._size - len(values)))
            column = _Column(name, _inferred(values))
            column.extend(values)
            done[name] = column.done()
            values.clear()
        return done


def _inferred(values: list[Any]) -> Kind:
    found = set(map(type, values)) - {type(None)}
    if found == {int, float}:
        return "float"
    kinds: dict[type, Kind] = {int: "int", float: "float", bool: "bool", str: "str"}
    return kinds.get(found.pop(), "object") if len(found) == 1 else "object"


def _packed(values: list[Any], kind: Kind, labels: tuple[Any, ...]) -> Any:
    """Return values of one kind as an array of its dtype; None becomes NA.

    Raises
    ------
    TypeError, ValueError, OverflowError, KeyError
        If a value is not of the kind.
    """
    if kind == "object":
        return _objects(values)
    if kind == "datetime":
        return _moments(values)
    if kind == "category":
        place = {None: -1, **{label: code for code, label in enumerate(labels)}}
        codes = [place[value] for value in values]
        return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(labels)))
    if not set(map(type, values)) <= {*_TAKEN[kind], type(None)}:
        raise TypeError(f"not every value is of the kind {kind}")
    if kind == "str":
        return pd.array(values, dtype=_TEXT)
    return _masked(values, kind)


def _masked(values: list[Any], kind: Kind) -> Any:
    mask = np.fromiter((value is None for value in values), dtype=bool, count=len(values))
    filled = [0 if value is None else value for value in values]
    if kind == "bool":
        return pd.arrays.BooleanArray(np.array(filled, dtype=np.bool_), mask)
    if kind == "int":
        return pd.arrays.IntegerArray(np.array(filled, dtype=np.int64), mask)
    return pd.arrays.FloatingArray(np.array(filled, dtype=np.float64), mask)


_TAKEN: dict[Kind, tuple[type, ...]] = {
    "int": (int,),
    # A Decimal is a text in JSON.
    "float": (float, int, str),
    "bool": (bool,),
    "str": (str,),
}


def _moments(values: list[Any]) -> npt.NDArray[np.datetime64]:
    if any(value is not None and _has_zone(value) for value in values):
        values = [value and _in_utc(value) for value in values]
    texts = ["NaT" if value is None else value for value in values]
    return np.array(texts, dtype="datetime64[us]")


def _has_zone(text: str) -> bool:
    return text[-1] == "Z" or "+" in text or text.count("-") > 2


def _in_utc(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


def _objects(values: list[Any]) -> npt.NDArray[Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
