"""Units that were coded alike, counted: all that agreement looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.runs.report import label_text
from pandas_genai.validity.levels import Distance, Level, Numbers, distance_at

__all__ = ["CodeCounts", "Patterns", "named_coders"]

_LARGEST = 1e100
"""A number whose square, and the sum of many such, is a number too."""

Coders = Sequence["pd.Series[Any]"] | Mapping[str, "pd.Series[Any]"]


class CodeCounts:
    """How often each category was given, for any weights of the patterns.

    Parameters
    ----------
    codes : ndarray of shape (patterns, coders)
        Categories by their numbers; -1 is none.
    categories : int
        How many there are.
    """

    def __init__(self, codes: npt.NDArray[np.int64], categories: int) -> None:
        rows, columns = np.nonzero(codes >= 0)
        given = codes[rows, columns]
        order = np.argsort(given, kind="stable")
        self._rows: npt.NDArray[np.int64] = rows[order]
        self._given, self._starts = np.unique(given[order], return_index=True)
        self._categories: int = categories

    def __call__(self, weights: Numbers) -> Numbers:
        """Return the weighted counts, of shape (samples, categories)."""
        counts = np.zeros((len(weights), self._categories))
        if len(self._rows):
            sums = np.add.reduceat(weights[:, self._rows], self._starts, axis=1)
            counts[:, self._given] = sums
        return counts


@dataclass(frozen=True)
class Patterns:
    """Each way in which units were coded, and how many units were coded so.

    Attributes
    ----------
    names : list of str
        The coders.
    codes : ndarray of shape (patterns, coders)
        Categories by their numbers, in their order; -1 is none.
    counts : ndarray of shape (patterns,)
        Units of each pattern; units that nobody coded are left out.
    values : ndarray of shape (categories,)
        What each category is worth: its number, or its place.
    labels : list
        The categories.
    distance : Distance
        How far apart codes are.
    """

    names: list[str]
    codes: npt.NDArray[np.int64]
    counts: Numbers
    values: Numbers
    labels: list[Any]
    distance: Distance

    @classmethod
    def of(cls, coders: Mapping[str, pd.Series[Any]], level: Level) -> Patterns:
        """Count the patterns of aligned codes.

        Raises
        ------
        UsageError
            If the codes cannot be compared, or not at this level.
        """
        given = {name: _factorised(name, series) for name, series in coders.items()}
        labels = _categories(coders, given, level)
        index = _units(coders)
        key = np.zeros(len(index), dtype=np.int64)
        columns = []
        for name, (codes, distinct) in given.items():
            place = np.append(labels.get_indexer(distinct), -1)
            column = place[codes]
            if not coders[name].index.equals(index):
                row = coders[name].index.get_indexer(index)
                column = np.append(column, -1)[row]
            columns.append(column)
            key = pd.factorize(key * (len(labels) + 1) + column + 1)[0].astype(np.int64)
        first, counts = _firsts(key)
        patterns = np.column_stack([column[first] for column in columns]).astype(np.int64)
        order = np.lexsort(patterns.T)  # so that the order of the units changes nothing
        coded = order[(patterns[order] >= 0).any(axis=1)]
        numbers = level in {"interval", "ratio"}
        values = labels.to_numpy(dtype=np.float64) if numbers else np.arange(float(len(labels)))
        return cls(
            list(coders), patterns[coded], counts[coded], values, list(labels), distance_at(level)
        )

    def check(self) -> None:
        """Refuse codes of which nothing can be said."""
        if not (self.given >= 2).any():
            raise UsageError(
                f"No unit was coded by two of the {len(self.names)} coders: no label of their "
                "indexes has a code of both."
            )
        given = np.unique(self.codes[self.codes >= 0])
        if len(given) == 1:
            raise UsageError(
                f"All coders gave {self.labels[given[0]]!r} to every unit: how far they agree "
                "beyond chance cannot be said where nothing varies."
            )

    @cached_property
    def given(self) -> npt.NDArray[np.int64]:
        """How many coders coded the units of each pattern."""
        found: npt.NDArray[np.int64] = np.count_nonzero(self.codes >= 0, axis=1)
        return found

    @cached_property
    def code_counts(self) -> CodeCounts:
        """Counts categories over all coders."""
        return CodeCounts(self.codes, len(self.values))

    @cached_property
    def code_counts_by_coder(self) -> list[CodeCounts]:
        """Count categories of each coder."""
        return [
            CodeCounts(self.codes[:, [one]], len(self.values)) for one in range(len(self.names))
        ]

    @cached_property
    def apart(self) -> Numbers:
        """How far apart two codes of a unit are on average; 0 where there are no two."""
        return self.mean_over_pairs(self.distance)

    def mean_over_pairs(self, distance: Distance) -> Numbers:
        """Return the mean distance between the codes of the units of each pattern."""
        total = np.zeros(len(self.codes))
        for one, other in combinations(range(len(self.names)), 2):
            total += self.between(one, other, distance)
        return total / np.maximum(self.given * (self.given - 1) / 2, 1)

    def between(self, one: int, other: int, distance: Distance) -> Numbers:
        """Return how far apart two coders are; 0 where they did not both code."""
        ours, theirs = self.codes[:, one], self.codes[:, other]
        apart = distance.between(self.values[ours], self.values[theirs])
        return np.where((ours >= 0) & (theirs >= 0), apart, 0.0)

    def mean_over_codes(self, of_category: Numbers) -> Numbers:
        """Return, for the units of each pattern, the mean of a figure that each category has.

        Parameters
        ----------
        of_category : ndarray of shape (samples, categories)
            The figure.
        """
        none = np.zeros((len(of_category), 1))
        total: Numbers = np.concatenate([of_category, none], axis=1)[:, self.codes].sum(axis=2)
        return np.divide(total, self.given)


def named_coders(coders: Any) -> dict[str, pd.Series[Any]]:
    """Check what was given as coders, and name each.

    Raises
    ------
    UsageError
        If it is no list of at least two Series, each with a unique index and some codes.
    """
    if isinstance(coders, (pd.DataFrame, pd.Series)) or not isinstance(coders, (Sequence, Mapping)):
        raise UsageError(
            f"agreement takes a list of Series, one for each coder, not a {type(coders).__name__}: "
            "agreement([ann['label'], ben['label']])."
        )
    several = list(coders.values()) if isinstance(coders, Mapping) else list(coders)
    if len(several) < 2:
        raise UsageError(f"Agreement needs two coders or more, and there is {len(several)}.")
    for place, one in enumerate(several, 1):
        if not isinstance(one, pd.Series):
            raise UsageError(
                f"Coder {place} is a {type(one).__name__}, not a Series of codes: take one "
                "column, as in labels['label']."
            )
    given = list(coders) if isinstance(coders, Mapping) else [one.name for one in several]
    names = [str(name) for name in given]
    if None in given or len(set(names)) < len(names):
        names = [str(place) for place in range(1, len(several) + 1)]
    named = dict(zip(names, map(_named_intervals, several), strict=True))
    for name, one in named.items():
        _check_coder(name, one)
    _check_together(named)
    return named


def _named_intervals(codes: pd.Series[Any]) -> pd.Series[Any]:
    """Return intervals, as ``pandas.cut`` makes them, by their names."""
    kind = codes.dtype
    if isinstance(kind, pd.CategoricalDtype) and isinstance(kind.categories, pd.IntervalIndex):
        named: pd.Series[Any] = codes.cat.rename_categories(list(map(str, kind.categories)))
        return named
    return codes


def _check_together(coders: Mapping[str, pd.Series[Any]]) -> None:
    """Refuse coders whose units, or whose codes, can never be the same."""
    (first, one), *others = coders.items()
    for name, other in others:
        if other.index.nlevels != one.index.nlevels:
            raise UsageError(
                f"The index of {first!r} has {counted(one.index.nlevels, 'level')} and that of "
                f"{name!r} {other.index.nlevels}: units are found by it, so that it must be alike."
            )
    texts = {name: _all_text(codes) for name, codes in coders.items()}
    if len(set(texts.values()) - {None}) > 1:
        text = next(name for name, is_text in texts.items() if is_text)
        number = next(name for name, is_text in texts.items() if is_text is False)
        raise UsageError(
            f"The codes of {text!r} are text and those of {number!r} are numbers or truth values, "
            "so that none are equal: write all alike."
        )


def _all_text(codes: pd.Series[Any]) -> bool | None:
    """Whether all codes are text; False where all are numbers, None for others."""
    given = codes.astype(object).dropna()
    kind = pd.api.types.infer_dtype(given)
    if kind == "string":
        return True
    return False if kind in {"boolean", "integer", "floating", "mixed-integer-float"} else None


def _check_coder(name: str, codes: pd.Series[Any]) -> None:
    if not codes.index.is_unique:
        twice = codes.index[codes.index.duplicated()][0]
        raise UsageError(
            f"The index of coder {name!r} has {label_text(twice)!r} more than once, so that nobody "
            "can tell which codes are of the same unit."
        )
    if codes.isna().all():
        raise UsageError(
            f"Coder {name!r} coded nothing: all {counted(len(codes), 'value')} are missing."
        )


def _units(coders: Mapping[str, pd.Series[Any]]) -> pd.Index:
    """Return the units that anybody coded."""
    first, *others = (series.index for series in coders.values())
    for other in others:
        if not first.equals(other):
            first = first.union(other, sort=False)
    return first


def _firsts(key: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return where each key stands first, and how often it stands."""
    counts = np.bincount(key)
    first = np.zeros(len(counts), dtype=np.int64)
    first[key[::-1]] = np.arange(len(key))[::-1]
    return first, counts.astype(np.float64)


def _factorised(name: str, codes: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], pd.Index]:
    """Return the distinct values of a coder, and where each unit's stands among them."""
    try:
        place, distinct = pd.factorize(codes)
    except TypeError:
        kind = type(codes.dropna().iloc[0]).__name__
        raise UsageError(
            f"Coder {name!r} has values of the type {kind}: agreement takes labels, truth values "
            "and numbers."
        ) from None
    return place.astype(np.int64), pd.Index(distinct, dtype=object)


def _categories(
    coders: Mapping[str, pd.Series[Any]],
    given: Mapping[str, tuple[npt.NDArray[np.int64], pd.Index]],
    level: Level,
) -> pd.Index:
    """Return all categories in their order: those that a dtype declares, and those found."""
    found = pd.Index(
        pd.unique(np.concatenate([distinct for _, distinct in given.values()])), dtype=object
    )
    declared: pd.Index = pd.Index([], dtype=object)
    for name, codes in coders.items():
        if not isinstance(codes.dtype, pd.CategoricalDtype):
            continue
        theirs = pd.Index(codes.dtype.categories, dtype=object)
        if level == "ordinal" and codes.dtype.ordered:
            if len(declared) and not declared.equals(theirs):
                raise UsageError(f"The categories of coder {name!r} have another order.")
            declared = theirs
        elif level == "nominal":
            declared = declared.append(theirs[~theirs.isin(declared)])
    if level != "nominal" and not len(declared) and all(isinstance(one, Real) for one in found):
        return _numbers(found, level)
    others = found[~found.isin(declared)]
    if level == "nominal":  # they have no order, so that none may decide what resamples are drawn
        every: list[Any] = sorted(declared.append(others), key=_written)
        in_order: pd.Index = pd.Index(every, dtype=object)
        return in_order
    if len(declared) and not len(others):
        return declared
    raise UsageError(_no_order(level, declared, others))


def _written(label: object) -> tuple[str, str]:
    return str(label), type(label).__name__


def _numbers(found: pd.Index, level: Level) -> pd.Index:
    values = np.sort(found.to_numpy(dtype=np.float64))
    if not np.isfinite(values).all():
        raise UsageError(f"The level {level} takes finite numbers, and one is infinite.")
    if len(values) and np.abs(values).max() > _LARGEST:
        raise UsageError(f"A code is too large to compute with: {values[0]:g} to {values[-1]:g}.")
    if level == "ratio" and values[0] < 0:
        raise UsageError(f"The level ratio takes no number below 0, and one is {values[0]:g}.")
    return pd.Index(values, dtype=object)


def _no_order(level: Level, declared: pd.Index, others: pd.Index) -> str:
    if len(declared):
        return f"{others[0]!r} is none of the ordered categories {list(declared)!r}."
    if level == "ordinal":
        return (
            f"The level ordinal needs an order, and labels like {others[0]!r} have none: make them "
            "an ordered Categorical, codes.astype(pd.CategoricalDtype([...], ordered=True))."
        )
    return f"The level {level} takes numbers, and one code is {others[0]!r}."
