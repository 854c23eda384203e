"""The three estimates: labels as they are, hand-coded rows only, and both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.calibration import calibrated
from pandas_genai.validity.inference.effects import Effects
from pandas_genai.validity.inference.models import MODELS, Model, Part, inverted, solve
from pandas_genai.validity.inference.problem import Array, Indices, Layout, Problem, Sample

__all__ = ["Estimate", "corrected", "gold_only", "naive"]

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


def naive(problem: Problem, model: str) -> Estimate:
    """Take the labels as they are: a regression on the rows that have them."""
    rows = np.flatnonzero(problem.labelled_rows)
    wide = problem.predicted[rows]
    ones = np.ones(len(rows))
    clusters = problem.sample.clusters
    clusters = None if clusters is None else np.unique(clusters[rows], return_inverse=True)[1]
    effects = [codes[rows] for codes in problem.effects]
    layout, kept = _estimable(problem.layout, wide, model)
    size = _size(problem.layout, model)
    try:
        solution = _solved(MODELS[model], layout, [Part(wide, ones)], effects, None)
    except UsageError as error:
        return _nothing(size, len(rows), str(error))
    groups = 0 if clusters is None else int(clusters.max()) + 1
    count = len(solution.params) + _levels(effects, clusters)
    scale = _correction(model, len(rows), count, groups)
    assert solution.base is not None
    influence = _grouped(solution.base, clusters, groups) * scale**0.5
    params, cov = np.full(size, np.nan), np.full((size, size), np.nan)
    params[kept] = solution.params
    cov[np.ix_(kept, kept)] = influence.T @ influence
    return Estimate(params, cov, _freedom(len(rows), count, groups), len(rows))


def gold_only(problem: Problem, model: str) -> Estimate:
    """Take the hand-coded rows alone, weighted by how they were drawn."""
    sample = problem.sample
    try:
        solution = _gold(problem, model)
    except UsageError as error:
        return _nothing(_size(problem.layout, model), len(sample.coded), str(error))
    influence = _influence(solution, sample)
    df = _gold_freedom(problem, model)
    return Estimate(solution.params, influence.T @ influence, df, len(sample.coded))


def corrected(
    problem: Problem,
    model: str,
    rng: np.random.Generator,
    *,
    power_tuning: bool = True,
    calibrator: Any = None,
    splits: int = SPLITS,
) -> Estimate:
    """Combine labels and hand codes so that errors of the labels do not bias the estimate.

    Parameters
    ----------
    problem : Problem
        The data.
    model : str
        A key of ``MODELS``.
    rng : Generator
        Draws the folds.
    power_tuning : bool, default True
        Weigh the labels in each coefficient by what they are worth.
    calibrator : scikit-learn estimator, optional
        As ``calibrated`` takes it.
    splits : int, default 5
        How often the folds are drawn.

    Returns
    -------
    Estimate
        Medians over the splits; the covariance holds the spread between them.
    """
    sample = problem.sample
    try:
        gold = _gold(problem, model)
        alone = _influence(gold, sample)
    except UsageError:
        if not problem.only_outcome:
            raise
        gold, alone = None, None
    start = None if gold is None or problem.effects else gold.params
    found, covs, weights = [], [], []
    for _ in range(1 if len(sample.coded) == len(problem.predicted) else splits):
        wide = calibrated(problem, rng, calibrator)
        solution = _full(problem, model, wide, start)
        start = None if problem.effects else solution.params
        influence = _influence(solution, sample)
        del wide
        share = np.ones(len(solution.params))
        if power_tuning and gold is not None and alone is not None:
            share = _tuned(alone, influence)
            params = gold.params + share * (solution.params - gold.params)
            influence *= share
            influence += (1 - share) * alone
        else:
            params = solution.params
        found.append(params)
        covs.append(influence.T @ influence)
        weights.append(share)
    params, cov = _median(np.array(found), np.array(covs))
    df = _gold_freedom(problem, model)
    return Estimate(params, cov, df, len(problem.predicted), np.median(weights, axis=0))


def _gold(problem: Problem, model: str) -> _Solution:
    sample = problem.sample
    part = Part(problem.gold, sample.weight)
    effects = [codes[sample.coded] for codes in problem.effects]
    solution = _solved(MODELS[model], problem.layout, [], effects, part)
    count = len(solution.params)
    clusters = None if sample.clusters is None else sample.clusters[sample.coded]
    count += _levels(effects, clusters)
    scale = _correction(model, len(sample.coded), count, sample.coded_groups)
    return replace(solution, scale=scale)


def _full(problem: Problem, model: str, wide: Array, start: Array | None) -> _Solution:
    sample = problem.sample
    rest = np.ones(len(wide))
    rest[sample.coded] -= sample.weight
    parts = [Part(wide, rest)]
    gold = Part(problem.gold, sample.weight)
    solution = _solved(
        MODELS[model], problem.layout, parts, problem.effects, gold, sample.coded, start
    )
    rows = len(wide) if problem.only_outcome else len(sample.coded)
    count = len(solution.params) + _levels(problem.effects, sample.clusters)
    return replace(solution, scale=_correction(model, rows, count, sample.groups))


def _solved(
    model: Model,
    layout: Layout,
    parts: list[Part],
    effects: Sequence[Indices],
    gold: Part | None,
    coded: Indices | None = None,
    start: Array | None = None,
) -> _Solution:
    """Solve one estimating equation over predicted values and hand codes."""
    if effects:
        weight = None if parts or gold is None else gold.weight
        return _within(layout, parts, Effects(effects, weight), gold, coded)
    every = parts if gold is None else [*parts, gold]
    params, bread, model = solve(model, layout, every, start)
    base = None
    if parts:
        base = model.scores(layout, parts[0].wide, params) @ bread.T
    difference = None
    if gold is not None:
        difference = model.scores(layout, gold.wide, params) @ bread.T
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
    both = np.concatenate([layout.outcome, layout.regressors])
    wide = gold.wide[:, both] - effects.project(gold.wide[:, both])
    x = wide[:, 1:]
    weighted = x * gold.weight[:, None]
    bread = inverted(weighted.T @ x)
    params = bread @ (weighted.T @ wide[:, 0])
    return _Solution(params, None, (x * (wide[:, 0] - x @ params)[:, None]) @ bread.T, 1.0)


def _influence(solution: _Solution, sample: Sample) -> Array:
    """Return what each row, or each cluster, adds to the error of the estimate.

    Where a fixed number of rows was drawn in a stratum, the stratum's mean difference is not
    random: it moves from the coded rows to all rows of the stratum.
    """
    difference, strata = solution.difference, sample.strata
    assert difference is not None
    size = int(strata.max()) + 1
    inside = strata[sample.coded]
    counts = np.bincount(inside + 1, minlength=size + 1)[1:]
    centres = np.zeros((size + 1, difference.shape[1]))  # the last one is for -1
    for at, column in enumerate(difference.T):
        sums = np.bincount(inside + 1, column, size + 1)[1:]
        centres[:size, at] = np.where(counts > 1, sums / np.maximum(counts, 1), 0.0)
    if sample.sizes is not None and np.any(strata < 0):
        left = sample.sizes - np.bincount(strata + 1, minlength=size + 1)[1:]
        centres[size] = left @ centres[:size] / np.count_nonzero(strata < 0)
    influence: Array = centres[strata]
    if solution.base is not None:
        influence += solution.base
    rest = (difference - centres[inside]) * sample.weight[:, None]
    if size > 1:  # one degree of freedom a stratum; the model's own are in the scale
        free = np.maximum(np.append(counts, 2) - 1, 1)[inside]
        centred = (inside >= 0) & (counts[inside] > 1)
        more = np.where(centred, (1 - 1 / sample.weight) / free, 0.0)
        rest *= np.sqrt(1 + more)[:, None]
    influence[sample.coded] += rest
    grouped: Array = _grouped(influence, sample.clusters, sample.groups) * solution.scale**0.5
    return grouped


def _grouped(influence: Array, clusters: Indices | None, groups: int) -> Array:
    if clusters is None:
        return influence
    summed: Array = np.column_stack([np.bincount(clusters, one, groups) for one in influence.T])
    return summed


def _tuned(alone: Array, influence: Array) -> Array:
    """Return for each coefficient the weight of the labels at which its variance is least."""
    own = np.einsum("np,np->p", alone, alone)
    both = np.einsum("np,np->p", alone, influence)
    spread = own - 2 * both + np.einsum("np,np->p", influence, influence)
    share = np.divide(own - both, spread, out=np.ones_like(own), where=spread > 1e-12 * own)
    clipped: Array = np.clip(share, 0.0, 1.0)
    return clipped


def _median(params: Array, covs: Array) -> tuple[Array, Array]:
    """Return the median over splits, its covariance widened by the spread between them."""
    middle = np.median(params, axis=0)
    variances = np.einsum("spp->sp", covs)
    errors = np.sqrt(np.median(variances + (params - middle) ** 2, axis=0))
    sizes = np.sqrt(variances)
    correlation = (covs / (sizes[:, :, None] * sizes[:, None, :])).mean(axis=0)
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


def _gold_freedom(problem: Problem, model: str) -> float:
    sample = problem.sample
    count = _size(problem.layout, model)
    if problem.effects and not problem.only_outcome:
        count += Effects([codes[sample.coded] for codes in problem.effects]).rank
    return _freedom(len(sample.coded), count, sample.coded_groups)


def _levels(effects: Sequence[Indices], clusters: Indices | None) -> int:
    """Count the levels of fixed effects, but not of those nested in clusters."""
    if not effects:
        return 0
    nested = 0
    for codes in effects:
        if clusters is None:
            break
        pairs = np.unique(np.stack([codes, clusters]), axis=1).shape[1]
        if pairs == len(np.unique(codes)):
            nested += pairs
    return max(Effects(effects).rank - nested, 0)


def _size(layout: Layout, model: str) -> int:
    return len(layout.regressors) * (len(layout.outcome) if model == "multinomial" else 1)


def _nothing(size: int, rows: int, reason: str) -> Estimate:
    return Estimate(np.full(size, np.nan), np.full((size, size), np.nan), 1.0, rows, None, reason)


def _estimable(layout: Layout, wide: Array, model: str) -> tuple[Layout, Indices]:
    """Leave out categories that no label names, and say which coefficients stay."""
    some = wide[:, layout.regressors].any(axis=0)
    classes = np.array([True])
    outcome = layout.outcome
    if model == "multinomial":
        classes = np.any(wide[:, outcome], axis=0)
        outcome = outcome[classes]
    same = layout.instruments is layout.regressors
    regressors = layout.regressors[some]
    instruments = layout.instruments[wide[:, layout.instruments].any(axis=0)]
    found = Layout(layout.names, outcome, regressors, regressors if same else instruments)
    return found, np.flatnonzero(np.outer(classes, some).ravel())
