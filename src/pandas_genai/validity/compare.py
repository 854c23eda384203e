"""Several results for the same rows side by side: other prompts, other models."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.runs.report import Report, label_text
from pandas_genai.validity.agreement import coefficients
from pandas_genai.validity.evaluate import evaluate
from pandas_genai.validity.levels import Level
from pandas_genai.validity.patterns import Patterns

__all__ = ["Comparison", "compare", "equal"]

_MANY = 20


@dataclass(frozen=True, repr=False)
class Comparison:
    """Results for the same rows, compared.

    Attributes
    ----------
    agreement : DataFrame
        For each field and pair of results the coefficients of ``pandas_genai.agreement`` with
        their intervals: ``field``, ``first``, ``second``, ``coefficient``, ``value``, ``se``,
        ``low``, ``high``, ``n``. Of lists and free texts the share of equal ones, ``percent``,
        alone.
    runs : DataFrame
        For each result the model, rows, answered and failed rows, calls, cost in US dollars and
        seconds, as its report tells them.
    gold : DataFrame or None
        Each result against the hand codes, as ``labels.genai.evaluate`` compares them, under
        ``run``.
    fields : list
        The columns that all results have.
    """

    agreement: pd.DataFrame
    runs: pd.DataFrame
    gold: pd.DataFrame | None
    fields: list[Hashable]
    frames: Mapping[str, pd.DataFrame] = field(repr=False)
    texts: pd.Series[Any] | None = field(repr=False, default=None)

    def changed(self, first: str, second: str) -> pd.DataFrame:
        """List the rows that two results answer differently.

        Parameters
        ----------
        first, second : str
            Their names.

        Returns
        -------
        DataFrame
            Under the index labels of the rows: ``text``, where it is known, and for each field that
            differs somewhere one column for either result. A row that one of them has no answer
            for differs.

        Raises
        ------
        UsageError
            If there is no such result.
        """
        ours, theirs = self._named(first), self._named(second)
        differs = {name: ~equal(ours[name], theirs[name]) for name in self.fields}
        rows = np.logical_or.reduce(list(differs.values()))
        found = pd.DataFrame(index=ours.index[rows])
        if self.texts is not None:
            found["text"] = self.texts[rows]
        for name in self.fields:
            if differs[name].any():
                found[f"{name} ({first})"] = ours[name][rows]
                found[f"{name} ({second})"] = theirs[name][rows]
        return found

    def confusion(self, first: str, second: str) -> dict[Hashable, pd.DataFrame]:
        """Return, for each field with labels, how often each label of one met each of the other.

        Parameters
        ----------
        first, second : str
            Names of results; the first stands in the rows.
        """
        ours, theirs = self._named(first), self._named(second)
        found = {}
        for name in self.fields:
            classes = _classes(ours[name], theirs[name])
            if not classes:
                continue
            table = pd.crosstab(ours[name].astype(object), theirs[name].astype(object))
            table = table.reindex(index=classes, columns=classes, fill_value=0)
            found[name] = table.rename_axis(index=first, columns=second)
        return found

    def _named(self, name: str) -> pd.DataFrame:
        if name in self.frames:
            return self.frames[name]
        raise UsageError(
            f"There is no result {name!r} in this comparison: it has "
            f"{', '.join(map(repr, self.frames))}."
        )


def compare(
    frames: Mapping[str, pd.DataFrame],
    reports: Mapping[str, Report | None],
    texts: pd.Series[Any] | None = None,
    gold: Any = None,
) -> Comparison:
    """Compare results; ``pandas_genai.compare`` says how.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        The columns that are answers, of each result.
    reports : mapping of str to Report
        Of the runs; None where it is not known.
    texts : Series, optional
        The texts.
    gold : DataFrame or Series, optional
        Hand codes.
    """
    aligned = _aligned(frames)
    first = next(iter(aligned.values()))
    fields: list[Hashable] = [
        name for name in first.columns if all(name in one for one in aligned.values())
    ]
    if not fields:
        raise UsageError(
            "These results have no column in common: "
            + "; ".join(f"{name!r} has {_listed(one.columns)}" for name, one in aligned.items())
            + "."
        )
    found = {
        (name, one, other): _agreement(aligned[one][name], aligned[other][name])
        for name in fields
        for one, other in combinations(aligned, 2)
    }
    table = pd.concat(found, names=["field", "first", "second"]).reset_index()
    against = None
    if gold is not None:
        each = {name: pd.DataFrame(evaluate(one, fields, gold)) for name, one in aligned.items()}
        against = pd.concat(each, names=["run"]).reset_index("run").reset_index(drop=True)
    runs = pd.DataFrame.from_dict(
        {name: _run(one, reports[name], fields) for name, one in aligned.items()}, orient="index"
    )
    ordered = None if texts is None else texts.reindex(first.index)
    return Comparison(table, runs, against, fields, aligned, ordered)


def _aligned(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the results in the order of the first one's rows."""
    if len(frames) < 2:
        raise UsageError(f"compare needs two results or more, and there is {len(frames)}.")
    (first, frame), *_ = frames.items()
    aligned = {}
    for name, other in frames.items():
        if not other.index.is_unique:
            twice = label_text(other.index[other.index.duplicated()][0])
            raise UsageError(
                f"The index of {name!r} has {twice!r} more than once, so that nobody can tell "
                "which answers are of the same row."
            )
        if other.index.nlevels != frame.index.nlevels:
            raise UsageError(
                f"The index of {first!r} has {counted(frame.index.nlevels, 'level')} and that of "
                f"{name!r} {other.index.nlevels}: rows are found by it, so that it must be alike."
            )
        if not other.columns.is_unique:
            same = other.columns[other.columns.duplicated()][0]
            raise UsageError(f"{name!r} has two columns {same!r}: rename one.")
        apart = frame.index.symmetric_difference(other.index)
        if len(apart):
            where = first if apart[0] in frame.index else name
            raise UsageError(
                f"{first!r} and {name!r} are not about the same rows: {label_text(apart[0])!r} is "
                f"only in {where!r} ({len(apart):,} such in all)."
            )
        aligned[name] = other if other.index.equals(frame.index) else other.loc[frame.index]
    return aligned


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _run(frame: pd.DataFrame, report: Report | None, fields: Sequence[Hashable]) -> dict[str, Any]:
    answered = int(frame[list(fields)].notna().any(axis=1).sum())
    known = {"rows": len(frame), "answered": answered}
    if report is None:
        without = {"failed": len(frame) - answered, "calls": None, "cost": None, "seconds": None}
        return {"model": None, **known, **without}
    return {
        "model": ", ".join(report.models),
        **known,
        "failed": report.failed,
        "calls": report.calls,
        "cost": report.cost,
        "seconds": report.seconds,
    }


def _agreement(one: pd.Series[Any], other: pd.Series[Any]) -> pd.DataFrame:
    """Return the agreement of two results on a field."""
    level = _level(one, other)
    pair = {"one": one, "other": other}
    if level is None:
        pair = {name: values.map(_comparable) for name, values in pair.items()}
    patterns = Patterns.of(pair, level or "nominal")
    if not (patterns.given >= 2).any():
        nothing = {"value": np.nan, "se": np.nan, "low": np.nan, "high": np.nan, "n": 0}
        return pd.DataFrame([nothing], index=pd.Index(["percent"], name="coefficient"))
    found = coefficients(patterns, level or "nominal")
    return found.loc[["percent"]] if level is None else found


def _level(one: pd.Series[Any], other: pd.Series[Any]) -> Level | None:
    """Return the level of a field; None of lists and free texts."""
    if pd.api.types.is_bool_dtype(one.dtype) and pd.api.types.is_bool_dtype(other.dtype):
        return "nominal"
    if all(pd.api.types.is_numeric_dtype(each.dtype) for each in (one, other)):
        return "interval"
    if not _classes(one, other):
        return None
    kinds = [each.dtype for each in (one, other)]
    if kinds[0] == kinds[1] and isinstance(kinds[0], pd.CategoricalDtype) and kinds[0].ordered:
        return "ordinal"
    return "nominal"


def _classes(one: pd.Series[Any], other: pd.Series[Any]) -> list[Any]:
    """Return the labels of a field; empty where it has none."""
    both = [one, other]
    if any(isinstance(each.dtype, pd.CategoricalDtype) for each in both):
        declared = [
            label
            for each in both
            if isinstance(each.dtype, pd.CategoricalDtype)
            for label in each.dtype.categories
        ]
        found = [value for each in both for value in each.dropna().astype(object).unique()]
        return list(dict.fromkeys([*declared, *found]))
    if all(pd.api.types.is_bool_dtype(each.dtype) for each in both):
        return [False, True]
    values = [value for each in both for value in each.dropna().tolist()]
    if not values or not all(isinstance(value, str) for value in values):
        return []
    found = sorted(set(values))
    return found if len(found) <= _MANY and 4 * len(found) <= len(values) else []


def _comparable(value: Any) -> Any:
    """Return a value that can be told from others: of lists what they hold, whatever the order."""
    if isinstance(value, (list, tuple, set)):
        return json.dumps(sorted(json.dumps(item, default=str) for item in value))
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, default=str)
    return value


def equal(one: pd.Series[Any], other: pd.Series[Any]) -> Any:
    """Whether rows have the same value, or both none."""
    ours, theirs = (each.astype(object).map(_comparable) for each in (one, other))
    missing = one.isna().to_numpy(), other.isna().to_numpy()
    same = np.array([mine == hers for mine, hers in zip(ours, theirs, strict=True)], dtype=object)
    present = ~(missing[0] | missing[1])
    equal = missing[0] & missing[1]
    equal[present] = same[present].astype(bool)
    return equal
