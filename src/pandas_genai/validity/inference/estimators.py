"""The three estimates: labels as they are, hand-coded rows only, and both together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.calibration import calibrated
from pandas_genai.validity.inference.effects import Effects, check_within
from pandas_genai.validity.inference.models import (
    MODELS,
    Model,
    Part,
    contributions,
    inverted,
    solve,
)
from pandas_genai.validity.inference.problem import Array, Indices, Layout, Problem, Sample

__all__ = ["Corrections", "Estimate", "naive"]

SPLITS = 5


@dataclass(frozen=True)
class Estimate:
    """Coefficients with their covariance.

    Parameters
    ----------
    params : ndarray
        The coefficients; NaN where they cannot be estimated.
    cov : ndarray
        Their covariance.
    df : float
        Degrees of freedom of their t distribution.
    nobs : int
        Rows that they rest on.
    weights : ndarray, optional
        Of the labels in each coefficient: 0 for hand codes alone, 1 for the full correction.
    reason : str
        Why there are no coefficients.
    """

    params: Array
    cov: Array
    df: float
    nobs: int
    weights: Array | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Solution:
    """A solved estimating equation, as contributions of its rows.

    The contribution of a row is ``base``, and in a coded row ``difference / probability`` more.
    """

    params: Array
    base: Array | None
    difference: Array | None
    scale: float


@dataclass(frozen=True)
class _Split:
    """The full correction under one draw of the folds: how it varies, and with the hand codes."""

    solution: _Solution
    full: Array
    both: Array | None

    @property
    def params(self) -> Array:
        return self.solution.params


def naive(problem: Problem, model: str) -> Estimate:
    """Take the labels as they are: a regression on the rows that have them."""
    rows: Any = problem.labelled_rows
    rows = slice(None) if rows.all() else np.flatnonzero(rows)
    wide = problem.predicted[rows]
    ones = np.ones(len(wide))
    clusters = problem.sample.clusters
    clusters = None if clusters is None else np.unique(clusters[rows], return_inverse=True)[1]
    effects = problem.absorbed
    if effects is not None and len(wide) < len(problem.predicted):
        effects = Effects([codes[rows] for codes in problem.effects])
    layout, kept = _estimable(problem.layout, wide, model)
    size = _size(problem.layout, model)
    reason = _not_naive(layout, wide, model)
    if reason:
        return _nothing(size, len(wide), reason)
    try:
        solution = _solved(MODELS[model], layout, [Part(wide, ones)], effects, None)
    except UsageError as error:
        return _nothing(size, len(wide), str(error))
    groups = 0 if clusters is None else int(clusters.max()) + 1
    count = len(solution.params) + (0 if effects is None else effects.count(clusters))
    scale = _correction(model, len(wide), count, groups)
    assert solution.base is not None
    influence = _grouped(solution.base, clusters, groups) * scale**0.5
    params, cov = np.full(size, np.nan), np.full((size, size), np.nan)
    params[kept] = solution.params
    cov[np.ix_(kept, kept)] = influence.T @ influence
    return Estimate(params, cov, _freedom(len(wide), count, groups), len(wide))


def _not_naive(layout: Layout, wide: Array, model: str) -> str:
    """Say why labels as they are give no estimate; empty where they may."""
    if not len(layout.regressors) or not len(layout.outcome):
        return "No label names a category that could be estimated."
    outcome = wide[:, layout.outcome]
    if model == "logit" and ((outcome < 0) | (outcome > 1)).any():
        return "Labels of the outcome are neither 0 and 1 nor probabilities."
    return ""


class Corrections:
    """The hand-coded rows alone, and together with the labels under several draws of the folds.

    Parameters
    ----------
    problem : Problem
        The data.
    model : str
        A key of ``MODELS``.
    rng : Generator
        Draws the folds.
    calibrator : scikit-learn estimator, optional
        As ``calibrated`` takes it.
    splits : int, default 5
        How often the folds are drawn.

    Raises
    ------
    UsageError
        If nothing can be estimated.
    """

    def __init__(
        self,
        problem: Problem,
        model: str,
        rng: np.random.Generator,
        calibrator: Any = None,
        splits: int = SPLITS,
    ) -> None:
        self._problem, self._model = problem, model
        self._df = _freedom_by_hand(problem, model)
        sample, coded = problem.sample, len(problem.sample.coded)
        self._gold: _Solution | None = None
        alone = None
        try:
            self._gold = _gold(problem, model)
            alone = _influence(self._gold, sample)
            self._hand = alone.T @ alone
            self.gold_only = Estimate(self._gold.params, self._hand, self._df, coded)
        except UsageError as error:
            if not problem.only_outcome:
                raise
            self.gold_only = _nothing(_size(problem.layout, model), coded, str(error))
        self._splits: list[_Split] = []
        start = None if self._gold is None else self._gold.params
        for _ in range(1 if coded == len(problem.predicted) else splits):
            solution = _full(problem, model, calibrated(problem, rng, calibrator), start)
            start = solution.params
            influence = _influence(solution, sample)
            both = None if alone is None else alone.T @ influence
            kept = replace(solution, base=None)  # as large as the data
            self._splits.append(_Split(kept, influence.T @ influence, both))
            del solution, influence

    def estimate(self, *, power_tuning: bool = True) -> Estimate:
        """Return the corrected estimate: medians over the splits, widened by their spread.

        Parameters
        ----------
        power_tuning : bool, default True
            Weigh the labels in each coefficient by what they are worth.
        """
        found, covs, weights = [], [], []
        for split in self._splits:
            share, params, cov = np.ones(len(split.params)), split.params, split.full
            if power_tuning and self._gold is not None and split.both is not None:
                share, cov = _tuned(self._hand, split.both, split.full)
                params = self._gold.params + share * (split.params - self._gold.params)
            found.append(params)
            covs.append(cov)
            weights.append(share)
        params, cov = _median(np.array(found), np.array(covs))
        rows = len(self._problem.predicted)
        return Estimate(params, cov, self._df, rows, np.median(weights, axis=0))

    def foreseen(self, size: int) -> tuple[Array, Array]:
        """Return the standard errors with another number of rows coded by hand, drawn alike.

        The variance has two parts: that of the rows, which stays, and that of the draw, which
        falls with the probabilities.

        Parameters
        ----------
        size : int
            Rows coded by hand.

        Returns
        -------
        hand, corrected : ndarray
            Standard errors of the hand-coded rows alone and of the (weighted) correction.
        """
        sample, split = self._problem.sample, self._splits[0]
        if self._gold is None or split.both is None:
            raise UsageError(self.gold_only.reason)
        ratio = size / len(sample.coded)
        probability = np.minimum(sample.probability * ratio, 1.0)
        now = sample.weight * (sample.weight - 1)
        then = sample.weight * (1 / probability - 1)
        hand, full = (_centred(one, sample) for one in (self._gold, split.solution))
        count = len(self._gold.params)
        grown = size / max(size - count, 1) * (len(sample.coded) - count) / len(sample.coded)

        def moved(known: Array, one: Array, other: Array) -> Array:
            drawn = (one * now[:, None]).T @ other
            rest = known - drawn
            return np.asarray((rest + (one * then[:, None]).T @ other) * grown)

        alone = moved(self._hand, hand, hand)
        both, corrected = moved(split.both, hand, full), moved(split.full, full, full)
        _, tuned = _tuned(alone, both, corrected)
        return _errors(alone), _errors(tuned)


def _gold(problem: Problem, model: str) -> _Solution:
    sample = problem.sample
    part = Part(problem.gold, sample.weight)
    effects = problem.absorbed_by_hand
    solution = _solved(MODELS[model], problem.layout, [], effects, part)
    clusters = None if sample.clusters is None else sample.clusters[sample.coded]
    count = len(solution.params) + (0 if effects is None else effects.count(clusters))
    scale = _correction(model, len(sample.coded), count, sample.coded_groups)
    return replace(solution, scale=scale)


def _full(problem: Problem, model: str, wide: Array, start: Array | None) -> _Solution:
    sample = problem.sample
    rest = np.ones(len(wide))
    rest[sample.coded] -= sample.weight
    parts = [Part(wide, rest)]
    gold = Part(problem.gold, sample.weight)
    solution = _solved(
        MODELS[model], problem.layout, parts, problem.absorbed, gold, sample.coded, start
    )
    rows = len(wide) if problem.only_outcome else len(sample.coded)
    effects = problem.absorbed
    count = len(solution.params) + (0 if effects is None else effects.count(sample.clusters))
    return replace(solution, scale=_correction(model, rows, count, sample.groups))


def _solved(
    model: Model,
    layout: Layout,
    parts: list[Part],
    effects: Effects | None,
    gold: Part | None,
    coded: Indices | None = None,
    start: Array | None = None,
) -> _Solution:
    """Solve one estimating equation over predicted values and hand codes."""
    if effects is not None:
        return _within(layout, parts, effects, gold, coded)
    every = parts if gold is None else [*parts, gold]
    params, bread, model = solve(model, layout, every, start)
    base = None
    if parts:
        base = contributions(model, layout, parts[0].wide, params, bread)
    difference = None
    if gold is not None:
        difference = contributions(model, layout, gold.wide, params, bread)
        if base is not None:
            difference -= base[coded]
    return _Solution(params, base, difference, 1.0)


def _within(
    layout: Layout, parts: list[Part], effects: Effects, gold: Part | None, coded: Indices | None
) -> _Solution:
    """Solve least squares with fixed effects.

    Cross moments within levels are those of all pairs of rows, so that the noise of a corrected
    row never multiplies itself: with few hand codes a level it would bias the estimate.
    """
    y, left = layout.outcome, layout.regressors
    if not parts:  # hand codes alone: a weighted regression
        assert gold is not None
        return _weighted_within(layout, gold, effects)
    wide, weight = parts[0].wide, parts[0].weight
    mixed = wide * weight[:, None]
    squares = mixed.T @ wide
    if gold is not None and coded is not None:
        weighted = gold.wide * gold.weight[:, None]
        mixed[coded] += weighted
        squares = squares + weighted.T @ gold.wide
    fitted = effects.project(mixed)
    leverage = effects.leverage()
    scaled = mixed * leverage[:, None]
    twice = scaled.T @ mixed - (wide * (weight * leverage)[:, None]).T @ wide
    if gold is not None and coded is not None:
        twice -= (weighted * leverage[coded][:, None]).T @ gold.wide
    moments = squares - fitted.T @ mixed + twice
    check_within(layout.names, left, np.diag(squares), np.diag(moments))
    bread = inverted(moments[np.ix_(left, left)])
    params = bread @ moments[np.ix_(left, y)][:, 0]
    plain = mixed[:, y[0]] - mixed[:, left] @ params
    level = fitted[:, y[0]] - fitted[:, left] @ params

    def contributions(x: Array, outcome: Array, rows: Any) -> Array:
        rest = outcome - x @ params - level[rows]
        ours: Array = (x - fitted[rows][:, left]) * rest[:, None]
        return ours

    base = contributions(wide[:, left], wide[:, y[0]], slice(None))
    extra = mixed[:, left] * plain[:, None]
    extra -= wide[:, left] * (weight * (wide[:, y[0]] - wide[:, left] @ params))[:, None]
    difference = None
    if gold is not None and coded is not None:
        x, outcome = gold.wide[:, left], gold.wide[:, y[0]]
        extra[coded] -= x * (gold.weight * (outcome - x @ params))[:, None]
        difference = (contributions(x, outcome, coded) - base[coded]) @ bread.T
    base = (base + extra * leverage[:, None]) @ bread.T
    return _Solution(params, base, difference, 1.0)


def _weighted_within(layout: Layout, gold: Part, effects: Effects) -> _Solution:
    left = layout.regressors
    both = np.concatenate([layout.outcome, left])
    wide = gold.wide[:, both] - effects.project(gold.wide[:, both])
    x = wide[:, 1:]
    weighted = x * gold.weight[:, None]
    squares, inside = np.zeros((2, len(layout.names)))
    squares[left] = gold.weight @ gold.wide[:, left] ** 2
    inside[left] = np.einsum("ij,ij->j", weighted, x)
    check_within(layout.names, left, squares, inside)
    bread = inverted(weighted.T @ x)
    params = bread @ (weighted.T @ wide[:, 0])
    return _Solution(params, None, (x * (wide[:, 0] - x @ params)[:, None]) @ bread.T, 1.0)


def _influence(solution: _Solution, sample: Sample) -> Array:
    """Return what each row, or each cluster, adds to the error of the estimate; takes the base.

    Where a fixed number of rows was drawn in a stratum, the stratum's mean difference is not
    random: it moves from the coded rows to all rows of the stratum.
    """
    strata = sample.strata
    centres = _centres(solution, sample)
    influence = np.zeros((len(strata), len(centres.T))) if solution.base is None else solution.base
    if centres.any():
        influence += centres[0] if strata.max() == strata.min() == 0 else centres[strata]
    influence[sample.coded] += _centred(solution, sample) * sample.weight[:, None]
    grouped = _grouped(influence, sample.clusters, sample.groups)
    grouped *= solution.scale**0.5
    return grouped


def _centres(solution: _Solution, sample: Sample) -> Array:
    """Return the mean difference of each stratum; the last is that of rows of unknown strata."""
    difference, size = solution.difference, len(sample.sizes_by_hand)
    assert difference is not None
    inside, counts = sample.strata[sample.coded], sample.sizes_by_hand
    centres = np.zeros((size + 1, difference.shape[1]))
    for at, column in enumerate(difference.T):
        sums = np.bincount(inside + 1, column, size + 1)[1:]
        centres[:size, at] = np.where(counts > 1, sums / np.maximum(counts, 1), 0.0)
    unknown = sample.strata < 0
    if sample.sizes is not None and unknown.any():
        left = sample.sizes - np.bincount(sample.strata + 1, minlength=size + 1)[1:]
        centres[size] = left @ centres[:size] / np.count_nonzero(unknown)
    return centres


def _centred(solution: _Solution, sample: Sample) -> Array:
    """Return the coded rows' differences from the mean of their strata."""
    assert solution.difference is not None
    inside, counts = sample.strata[sample.coded], sample.sizes_by_hand
    centres = _centres(solution, sample)
    centres[len(counts)] = 0.0
    found: Array = solution.difference - centres[inside]
    if len(counts) > 1:  # one degree of freedom a stratum; the model's own are in the scale
        free = np.maximum(np.append(counts, 2) - 1, 1)[inside]
        fixed = (inside >= 0) & (counts[inside] > 1)
        found *= np.sqrt(1 + np.where(fixed, (1 - 1 / sample.weight) / free, 0.0))[:, None]
    return found


def _grouped(influence: Array, clusters: Indices | None, groups: int) -> Array:
    if clusters is None:
        return influence
    summed: Array = np.column_stack([np.bincount(clusters, one, groups) for one in influence.T])
    return summed


def _tuned(hand: Array, both: Array, full: Array) -> tuple[Array, Array]:
    """Return for each coefficient the weight of the labels at which its variance is least.

    Parameters
    ----------
    hand, full : ndarray
        Covariances of the estimate from hand codes alone and of the full correction.
    both : ndarray
        Their covariance with each other.

    Returns
    -------
    share : ndarray
        From 0 to 1.
    cov : ndarray
        The covariance of the weighted estimate.
    """
    own, joint = np.diag(hand), np.diag(both)
    spread = own - 2 * joint + np.diag(full)
    share = np.divide(own - joint, spread, out=np.ones(len(own)), where=spread > 1e-12 * own)
    share = np.clip(share, 0.0, 1.0)
    rest = 1 - share
    mixed = both * np.outer(rest, share)
    cov = hand * np.outer(rest, rest) + full * np.outer(share, share) + mixed + mixed.T
    return share, cov


def _errors(cov: Array) -> Array:
    found: Array = np.sqrt(np.maximum(np.diag(cov), 0))
    return found


def _median(params: Array, covs: Array) -> tuple[Array, Array]:
    """Return the median over splits, its covariance widened by the spread between them."""
    middle = np.median(params, axis=0)
    variances = np.einsum("spp->sp", covs)
    errors = np.sqrt(np.median(variances + (params - middle) ** 2, axis=0))
    sizes = np.sqrt(variances)
    scale = sizes[:, :, None] * sizes[:, None, :]
    correlation = np.divide(covs, scale, out=np.zeros_like(covs), where=scale > 0).mean(axis=0)
    return middle, correlation * np.outer(errors, errors)


def _correction(model: str, rows: int, count: int, groups: int) -> float:
    """Return statsmodels' small-sample factor: HC1 for least squares, or that for clusters."""
    if rows <= count:
        raise UsageError(
            f"{rows} rows are too few for {count} coefficients: leave some out, or have more rows "
            "coded by hand."
        )
    if groups:
        if groups < 2:
            raise UsageError("All rows coded by hand lie in one cluster: at least 2 are needed.")
        return groups / (groups - 1) * (rows - 1) / (rows - count)
    return rows / (rows - count) if model == "linear" else 1.0


def _freedom(rows: int, count: int, groups: int) -> float:
    return float(max(groups - 1 if groups else rows - count, 1))


def _freedom_by_hand(problem: Problem, model: str) -> float:
    sample = problem.sample
    count = _size(problem.layout, model)
    if problem.absorbed_by_hand is not None and not problem.only_outcome:
        count += problem.absorbed_by_hand.rank
    return _freedom(len(sample.coded), count, sample.coded_groups)


def _size(layout: Layout, model: str) -> int:
    return len(layout.regressors) * (len(layout.outcome) if model == "multinomial" else 1)


def _nothing(size: int, rows: int, reason: str) -> Estimate:
    return Estimate(np.full(size, np.nan), np.full((size, size), np.nan), 1.0, rows, None, reason)


def _estimable(layout: Layout, wide: Array, model: str) -> tuple[Layout, Indices]:
    """Leave out categories that no label names, and say which coefficients stay."""
    some = _any(wide, layout.regressors)
    classes = np.array([True])
    outcome = layout.outcome
    if model == "multinomial":
        classes = _any(wide, outcome)
        outcome = outcome[classes]
    same = layout.instruments is layout.regressors
    regressors = layout.regressors[some]
    instruments = layout.instruments[_any(wide, layout.instruments)]
    found = Layout(layout.names, outcome, regressors, regressors if same else instruments)
    return found, np.flatnonzero(np.outer(classes, some).ravel())


def _any(wide: Array, columns: Indices) -> npt.NDArray[np.bool_]:
    """Return which columns have a value other than 0; most show it in their first rows."""
    first = wide[:1000]
    return np.array([first[:, at].any() or wide[:, at].any() for at in columns], dtype=bool)
