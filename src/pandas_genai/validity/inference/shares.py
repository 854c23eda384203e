"""Shares and means by group, corrected like a regression."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.arguments import generator_of
from pandas_genai.validity.inference.calibration import check_calibrator
from pandas_genai.validity.inference.checks import check_frame, check_installed, row_values
from pandas_genai.validity.inference.columns import kind_of, numbers_of, plain
from pandas_genai.validity.inference.estimators import Corrections, Estimate, naive
from pandas_genai.validity.inference.labels import labelled_variable
from pandas_genai.validity.inference.problem import (
    Array,
    Indices,
    Labelled,
    Layout,
    Piece,
    Problem,
    Sample,
)
from pandas_genai.validity.inference.sampled import Drawn, coded_rows, codes_of, sample_of
from pandas_genai.validity.intervals import wilson

__all__ = ["Shares", "shares"]

_FEW = 5
_NOTHING = 1e-12


class Shares(pd.DataFrame):
    """Shares of classes, or means of a number, by group: a frame that can be compared.

    A row a group and class. Columns: ``estimate``, ``se``, ``low``, ``high`` (corrected, 95 %),
    ``naive``, ``naive_se``, ``gold_only``, ``gold_only_se``, ``n`` (rows) and ``coded`` (by hand).
    A group with fewer than five rows coded by hand has no corrected estimate. Where all rows coded
    by hand and all labels agree that a class has no row or every row, the interval is Wilson's.
    The shares of two classes sum to one; those of more classes are each corrected for itself, and
    sum to about one.
    """

    _metadata = ("covariances", "df_resid")

    covariances: Mapping[Any, Array]
    """Of the corrected estimates of the groups, by class."""
    df_resid: float
    """Degrees of freedom of their t distribution."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame  # a part of the rows has no covariances

    def differences(self, reference: Any = None) -> pd.DataFrame:
        """Compare each group with another one.

        Parameters
        ----------
        reference : group, optional
            The first group by default.

        Returns
        -------
        DataFrame
            ``estimate``, ``se``, ``p``, ``low``, ``high``: a row a group and class.

        Raises
        ------
        UsageError
            If there is no such group.
        """
        groups = self.index.unique(0).tolist()
        first = groups[0] if reference is None else reference
        if first not in groups:
            raise UsageError(f"{first!r} is no group: {groups[:20]}.")
        base = groups.index(first)
        found = {}
        for group, label in self.index:
            if group != first:
                weights = np.zeros(len(groups))
                weights[groups.index(group)], weights[base] = 1.0, -1.0
                found[group, label] = self._combined(label, weights)
        return _tidy(found, list(self.index.names))

    def trend(self) -> pd.DataFrame:
        """Return the slope of a line through the groups, where these are numbers such as years.

        Each group with an estimate counts alike.

        Returns
        -------
        DataFrame
            ``estimate`` (change for one more of the group), ``se``, ``p``, ``low``, ``high``: a
            row a class.

        Raises
        ------
        UsageError
            If groups are not numbers, or fewer than two have hand codes.
        """
        groups = self.index.unique(0)
        if kind_of(plain(groups.to_series())) != "numbers":
            raise UsageError("A trend needs groups that are numbers, such as years.")
        found = {}
        for label, covariance in self.covariances.items():
            known = np.isfinite(np.diag(covariance))
            if np.count_nonzero(known) < 2:
                raise UsageError("A trend needs at least two groups with hand codes.")
            at = groups.to_numpy(dtype=float)
            centred = np.where(known, at - at[known].mean(), 0.0)
            found[label] = self._combined(label, centred / (centred @ centred))
        return _tidy(found, [self.index.names[1]])

    def _combined(self, label: Any, weights: Array) -> list[float]:
        """Return a weighted sum of the groups' estimates with its error."""
        from scipy import stats

        used = weights != 0
        values = self["estimate"].xs(label, level=1).to_numpy(dtype=float)
        weights = weights[used]
        found = float(weights @ values[used])
        error = float(np.sqrt(weights @ self.covariances[label][np.ix_(used, used)] @ weights))
        half = float(stats.t.ppf(0.975, self.df_resid)) * error
        p = 2 * float(stats.t.sf(abs(found) / error, self.df_resid)) if error > 0 else np.nan
        return [found, error, p, found - half, found + half]


def _tidy(found: dict[Any, list[float]], names: list[Hashable]) -> pd.DataFrame:
    labels = [label if isinstance(label, tuple) else (label,) for label in found]
    index = pd.MultiIndex.from_tuples(labels, names=names)
    columns = pd.Index(["estimate", "se", "p", "low", "high"])
    return pd.DataFrame(
        list(found.values()), index if len(names) > 1 else index.get_level_values(0), columns
    )


def shares(
    variable: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Any],
    probability: Any = None,
    *,
    by: Any = None,
    cluster: Any = None,
    rng: int | np.random.Generator = 0,
    power_tuning: bool = True,
    calibrator: Any = None,
    drawn: Drawn | None = None,
) -> Shares:
    """Estimate shares of classes, or means of a number. ``pandas_genai.shares`` documents it."""
    check_installed()
    generator = generator_of(rng)
    check_calibrator(calibrator)
    check_frame(data)
    if not isinstance(predicted, Mapping):
        raise UsageError("predicted= is a mapping: {'variable': 'column of its labels'}.")
    if variable not in list(predicted):
        raise UsageError(f"predicted= names no labels of {variable!r}: {list(predicted)}.")
    coded = coded_rows(data, [variable])
    sample = sample_of(data, probability, coded, cluster, drawn)
    labels = row_values(data, predicted[variable], f"predicted[{variable!r}]")
    labelled = labelled_variable(variable, data[variable].iloc[coded], labels, category=False)
    codes, names = _groups(data, by, variable)
    outcomes: list[Any] = ["mean"] if labelled.classes is None else list(labelled.classes)
    folds = generator.integers(1 << 63)  # the same for each class
    frames: list[pd.DataFrame] = []
    covariances, df = {}, 1.0
    for at, outcome in enumerate(outcomes):
        problem, kept = _problem(labelled, at, codes, len(names), sample)
        corrections = Corrections(problem, "linear", np.random.default_rng(folds), calibrator)
        both = corrections.estimate(power_tuning=power_tuning)
        every = [naive(problem, "linear"), corrections.gold_only, both]
        frame, covariance = _table(every, kept, len(names), share=labelled.classes is not None)
        frame["n"] = np.bincount(codes, minlength=len(names))
        frame["coded"] = np.bincount(codes[coded], minlength=len(names))
        if labelled.classes is not None:
            _widen_unseen(frame, both.df)
        frame.index = pd.Index(names)
        frames.append(frame)
        covariances[outcome], df = covariance, both.df
    name = by if isinstance(by, str) else "group"
    table = pd.concat(frames, keys=outcomes, names=[variable, name]).swaplevel()
    order = pd.MultiIndex.from_product([names, outcomes], names=[name, variable])
    found = Shares(table.reindex(order))
    found.covariances, found.df_resid = covariances, df
    return found


def _groups(data: pd.DataFrame, by: Any, variable: str) -> tuple[Indices, pd.Index]:
    """Return the group of each row, and the groups in their order."""
    groups = pd.Series("all", index=data.index) if by is None else row_values(data, by, "by=")
    if isinstance(by, str) and by == variable:
        raise UsageError(
            f"by= names {variable!r}, whose shares are asked for: name another column."
        )
    codes, groups = codes_of(groups, "by="), plain(groups)
    if pd.api.types.is_complex_dtype(groups.dtype):
        raise UsageError("by= has complex numbers, which make no groups.")
    if kind_of(groups) == "numbers" and not np.isfinite(numbers_of(groups)).all():
        raise UsageError("by= has infinite values.")
    try:
        codes, names = pd.factorize(groups, sort=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in groups.unique()})
        raise UsageError(
            f"by= has values of the types {' and '.join(kinds)}, which have no order: use one type."
        ) from error
    return codes.astype(np.intp), pd.Index(names)


def _problem(
    labelled: Labelled, at: int, codes: Indices, size: int, sample: Sample
) -> tuple[Problem, Indices]:
    """Return the regression of one class's dummy, or of the number, on dummies of the groups."""
    counts = np.bincount(codes[sample.coded], minlength=size)
    kept = np.flatnonzero(counts >= _FEW)
    if not len(kept):
        raise UsageError(f"No group has {_FEW} rows coded by hand: use coarser groups.")
    place = np.full(size, -1)
    place[kept] = np.arange(len(kept))
    inside = place[codes]
    wide = np.zeros((len(codes), 1 + len(kept)))
    wide[inside >= 0, 1 + inside[inside >= 0]] = 1.0
    gold = wide[sample.coded]
    classes = labelled.classes
    if classes is None:
        wide[:, 0] = np.where(labelled.missing, labelled.gold.mean(), labelled.predicted)
        gold[:, 0] = labelled.gold
    else:
        wide[:, 0], gold[:, 0] = labelled.predicted == at, labelled.gold == at

    def values(given: dict[str, Any]) -> Array:
        value = given[labelled.name]
        if classes is None:
            return np.asarray(value)[:, None]
        return np.full((len(codes), 1), float(classes.index(value) == at))

    columns = np.arange(1, 1 + len(kept))
    layout = Layout(["", *map(str, kept)], np.array([0]), columns, columns)
    piece = Piece(np.array([0]), (labelled.name,), values)
    return Problem(layout, wide, gold, sample, {labelled.name: labelled}, [piece]), kept


def _table(
    every: list[Estimate], kept: Indices, size: int, *, share: bool
) -> tuple[pd.DataFrame, Array]:
    """Return the estimates of one class, and the covariance of the corrected ones."""
    columns: dict[str, Array] = {}
    for name, one in zip(("naive", "gold_only", "estimate"), every, strict=True):
        values, errors = np.full(size, np.nan), np.full(size, np.nan)
        values[kept], errors[kept] = one.params, np.sqrt(np.diag(one.cov))
        columns[name] = values
        columns["se" if name == "estimate" else f"{name}_se"] = errors
    columns["low"], columns["high"] = _interval(
        columns["estimate"], columns["se"], every[-1].df, share=share
    )
    covariance = np.full((size, size), np.nan)
    covariance[np.ix_(kept, kept)] = every[-1].cov
    order = ["estimate", "se", "low", "high", "naive", "naive_se", "gold_only", "gold_only_se"]
    return pd.DataFrame(columns)[order], covariance


def _widen_unseen(frame: pd.DataFrame, df: float) -> None:
    """Give an interval to shares without any error: of 0 or 1 among the rows coded by hand.

    That nobody coded a class does not show that it has no row: Wilson's interval of as many rows.
    """
    from scipy import stats

    quantile = float(stats.t.ppf(0.975, df))
    sure = (frame["se"] <= _NOTHING) & (frame["coded"] < frame["n"])
    shares, coded = (frame[name].to_numpy(dtype=float) for name in ("estimate", "coded"))
    low, high = (frame[name].to_numpy(dtype=float, copy=True) for name in ("low", "high"))
    for at in np.flatnonzero(sure.to_numpy()):
        share = float(shares[at])
        if min(share, 1 - share) <= _NOTHING:
            low[at], high[at] = wilson(round(share), 0.0, float(coded[at]), quantile)
    frame["low"], frame["high"] = low, high


def _interval(values: Array, errors: Array, df: float, *, share: bool) -> tuple[Array, Array]:
    """Return 95 % intervals; those of shares are symmetric on the logit scale, within 0 and 1."""
    from scipy import special, stats

    half = float(stats.t.ppf(0.975, df)) * errors
    low, high = values - half, values + half
    if share:
        inner = (values > 0) & (values < 1)
        middle = np.where(inner, values, 0.5)
        wide = half / (middle * (1 - middle))
        centre = special.logit(middle)
        low = np.where(inner, special.expit(centre - wide), np.clip(low, 0, 1))
        high = np.where(inner, special.expit(centre + wide), np.clip(high, 0, 1))
    return low, high
