"""Answers beside their texts: what is shown of a row, and which rows are gone through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError, printable
from pandas_genai.task.evidence import beside_answers, quoted_fields
from pandas_genai.task.quotes import find_quotes
from pandas_genai.task.repeats import share_name
from pandas_genai.task.schema.evidence import evidence_names

__all__ = ["ALL", "Browsing", "Segment", "beside_rows", "cut_at"]

Segment: TypeAlias = tuple[str, list[int]]
"""A piece of a text, and the fields whose words it is part of."""
Span: TypeAlias = tuple[int, int, int]
"""Start, end, and which field."""
Chosen: TypeAlias = npt.NDArray[np.bool_]

ALL = "all rows"

_MOST_TEXT = 200_000
_MOST_VALUE = 2_000
_MOST_LABEL = 80
_MOST_LABELS = 50
_UNGROUNDED = frozenset({"not found", "ambiguous"})


def cut_at(text: str, spans: Sequence[Span]) -> list[Segment]:
    """Cut a text where the words of a field begin or end.

    Examples
    --------
    >>> cut_at("Great people.", [(0, 5, 0), (0, 12, 1)])
    [('Great', [0, 1]), (' people', [1]), ('.', [])]
    """
    places = sorted({0, len(text), *(place for span in spans for place in span[:2])})
    return [
        (text[begin:end], sorted({at for start, stop, at in spans if start <= begin < stop}))
        for begin, end in pairwise(places)
    ]


def beside_rows(answers: pd.DataFrame, codes: Any, name: str) -> pd.DataFrame:
    """Return other values for the fields of answers, in the order of their rows.

    Parameters
    ----------
    answers : DataFrame
        The answers.
    codes : DataFrame or Series
        The values, with labels of the answers' index; a Series has those of one field.
    name : str
        The argument that they were given as.

    Raises
    ------
    UsageError
        If nobody can tell which value belongs where, or there are none.
    """
    if isinstance(codes, pd.Series):
        only = [field for field in answers.columns if str(field) == str(codes.name)]
        fields = only or list(answers.columns)[:1]
        codes = codes.to_frame(fields[0] if fields else None)
    if not isinstance(codes, pd.DataFrame):
        raise UsageError(
            f"{name}= must be a DataFrame with fields as columns, or a Series, not a "
            f"{type(codes).__name__}."
        )
    common = [field for field in answers.columns if field in codes.columns]
    beside = beside_answers(answers.columns) | {share_name(str(one)) for one in answers.columns}
    common = [field for field in common if field not in beside]
    if not common:
        raise UsageError(
            f"{name}= has none of the fields {', '.join(map(repr, answers.columns[:10]))}: its "
            "columns must be named as the fields are."
        )
    if codes.index.equals(answers.index):
        return codes[common]
    if not codes.index.is_unique:
        raise UsageError(f"{name}= has labels of its index more than once: keep one row for each.")
    if not answers.index.isin(codes.index).any():
        raise UsageError(f"{name}= has no label of the answers' index: it is of other rows.")
    return codes[common].reindex(answers.index)


class Browsing:
    """The rows of a result with their texts.

    Parameters
    ----------
    answers : DataFrame
        The answers, the columns of their words among them.
    texts : sequence of str or None
        The text of each row; None for none.
    gold, other : DataFrame, optional
        Hand codes, and the answers of another run, for the same rows in the same order.

    Attributes
    ----------
    fields : list of str
        The columns that are answers, without those of their words.
    quoted : list of str
        The fields that have words: evidence was asked for.
    """

    def __init__(
        self,
        answers: pd.DataFrame,
        texts: Sequence[str | None],
        *,
        gold: pd.DataFrame | None = None,
        other: pd.DataFrame | None = None,
    ) -> None:
        self._index, self._texts = answers.index, texts
        self._values = {str(name): answers[name].tolist() for name in answers.columns}
        self._answers, self._gold, self._other = answers, gold, other
        beside = beside_answers(self._values)
        self.fields = [name for name in self._values if name not in beside]
        self.quoted = quoted_fields(self._values)

    def __len__(self) -> int:
        return len(self._index)

    @cached_property
    def filters(self) -> dict[str, Chosen]:
        """Which rows each filter lets through, by what a person reads; those that let some."""
        everything = {ALL: np.ones(len(self), dtype=bool)}
        return everything | {name: rows for name, rows in self._filters() if rows.any()}

    def _filters(self) -> Iterator[tuple[str, Chosen]]:
        answers = self._answers[[name for name in self._answers if str(name) in self.fields]]
        yield "failed", answers.isna().all(axis="columns").to_numpy(dtype=bool)
        if self.quoted:
            grounded = [self._values[evidence_names(name)[3]] for name in self.quoted]
            rows = [any(map(_is_ungrounded, row)) for row in zip(*grounded, strict=True)]
            yield "not grounded", np.array(rows, dtype=bool)
        for name, beside in (("gold", self._gold), ("the other run", self._other)):
            if beside is not None:
                differs = [self._differing(at, beside) for at in range(len(self))]
                yield f"differs from {name}", np.array(list(map(bool, differs)), dtype=bool)
        for name in answers.columns:
            if isinstance(answers[name].dtype, (pd.CategoricalDtype, pd.BooleanDtype)):
                for label in answers[name].value_counts().index[:_MOST_LABELS]:
                    rows = (answers[name] == label).fillna(False).to_numpy(dtype=bool)
                    yield f"{name}: {label}", rows

    def _differing(self, at: int, beside: pd.DataFrame) -> list[str]:
        """Return the fields of a row that have another value beside it; missing ones are none."""
        both = ((name, self._values[name][at], beside[name].iloc[at]) for name in beside.columns)
        return [
            str(name)
            for name, ours, theirs in both
            if not (_is_missing(theirs) or _same(ours, theirs))
        ]

    @cached_property
    def _searched(self) -> list[str]:
        labels = map(str, self._index.tolist())
        both = zip(labels, self._texts, strict=True)
        return [f"{label}\n{text or ''}".casefold() for label, text in both]

    def places(self, chosen: str, words: str) -> npt.NDArray[np.int64]:
        """Return the rows that pass a filter and have some words in their text or label."""
        rows = np.flatnonzero(self.filters.get(chosen, self.filters[ALL]))
        wanted = words.casefold().strip()
        if not wanted:
            return rows
        found = [row for row in rows.tolist() if wanted in self._searched[row]]
        return np.array(found, dtype=np.int64)

    def row(self, at: int) -> dict[str, Any]:
        """Return what is shown of a row, as JSON has it.

        Its ``parts`` are the text, cut where words of fields begin or end: of several columns one
        part each, with its name.
        """
        gold, other = (
            None if beside is None else set(self._differing(at, beside))
            for beside in (self._gold, self._other)
        )
        fields = []
        for name in self.fields:
            shown: dict[str, Any] = {"name": name, "value": _shown(self._values[name][at])}
            for key, beside, differing in (
                ("gold", self._gold, gold),
                ("other", self._other, other),
            ):
                if beside is not None and name in beside.columns:
                    value = _shown(beside[name].iloc[at])
                    shown[key] = [value, name in (differing or ())]
            if name in self.quoted:
                shown["color"] = self.quoted.index(name)
                shown["quotes"] = self._quotes(name, at)
            fields.append(shown)
        parts = _parts(self._texts[at] or "", columns=self._has_columns)
        return {
            "label": printable(str(self._index[at]), _MOST_LABEL),
            "parts": [
                [name, cut_at(part[:_MOST_TEXT], self._spans(at, name, part[:_MOST_TEXT]))]
                for name, part in parts
            ],
            "fields": fields,
        }

    @property
    def _has_columns(self) -> bool:
        """Whether texts were made of several columns."""
        return any(evidence_names(name)[4] in self._values for name in self.quoted)

    def _quotes(self, field: str, at: int) -> list[list[str]]:
        """Return the words of a field that a person has to read: each and how it was found."""
        quotes, grounded = self._beside(field, at, 0), self._beside(field, at, 3)
        return [
            [quote or "", how]
            for quote, how in zip(quotes, grounded, strict=True)
            if how is not None
        ]

    def _beside(self, field: str, at: int, which: int) -> list[Any]:
        """Return a column beside a field as a list, whether or not the field is one."""
        value = self._values[evidence_names(field)[which]][at]
        several = value if isinstance(value, list) else [value]
        return [None if _is_missing(one) else one for one in several]

    def _spans(self, at: int, name: str, part: str) -> list[Span]:
        """Return where in a part of the text the words of fields stand."""
        spans = []
        for color, field in enumerate(self.quoted):
            columns = self._columns(field, at)
            quotes, starts, ends = (self._beside(field, at, which) for which in range(3))
            for quote, start, end, column in zip(quotes, starts, ends, columns, strict=True):
                if quote is None or start is None or (name and column not in ("", name)):
                    continue
                (found,) = find_quotes([part[start:end]], [quote])
                if (found.start, found.end) == (0, end - start):
                    spans.append((start, end, color))
                    continue
                (found,) = find_quotes([part], [quote])  # shown is another text than was asked
                if found.start is not None and found.end is not None:
                    spans.append((found.start, found.end, color))
        return spans

    def _columns(self, field: str, at: int) -> list[str]:
        """Return the column that the words of a field stand in; "" where there is but one."""
        if evidence_names(field)[4] not in self._values:
            return [""] * len(self._beside(field, at, 0))
        return [one or "" for one in self._beside(field, at, 4)]


def _parts(text: str, *, columns: bool) -> list[tuple[str, str]]:
    """Return a text that is several columns as one JSON object as these, another one as it is."""
    found: object = None
    if columns:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
    if not isinstance(found, dict):
        return [("", text)]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in found.items()
    ]


def _is_missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _same(ours: Any, theirs: Any) -> bool:
    return not _is_missing(ours) and bool(ours == theirs)


def _is_ungrounded(grounded: object) -> bool:
    several = grounded if isinstance(grounded, list) else [grounded]
    return not _UNGROUNDED.isdisjoint(several)


def _shown(value: Any) -> str | None:
    """Return a value for a person to read; None where it is missing."""
    if _is_missing(value):
        return None
    if isinstance(value, (list, dict)):
        return printable(json.dumps(value, ensure_ascii=False, default=str), _MOST_VALUE)
    return printable(str(value), _MOST_VALUE)
