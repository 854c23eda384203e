"""How labels compare with hand codes: figures with their intervals, for each kind of field."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pandas_genai.validity.sampled import Interval, Mask, Numbers, Sample, Unseen

__all__ = ["Figure", "label_figures", "list_figures", "number_figures", "text_figures"]

_NOWHERE = (math.nan, math.nan)
_RARE = 0.5
"""How likely it is, before any was seen, that the model missed a class in a row of another one."""
_EDGES = " \t\n.,;:!?\"'()[]"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes
    ----------
    metric : str
        What it is.
    value : float
        Missing where it is not defined.
    interval : pair of float
        95 %.
    n : int
        The coded rows that it rests on.
    label : optional
        The class that it is about.
    """

    metric: str
    value: float
    interval: Interval
    n: int
    label: Hashable = None


def _share(
    sample: Sample,
    metric: str,
    over: Numbers,
    under: Numbers,
    possible: tuple[Numbers, Numbers],
    label: Hashable = None,
) -> Figure:
    value, interval = sample.share(over, under, *possible)
    return Figure(metric, value, interval, int((under > 0).sum()), label)


def label_figures(
    sample: Sample, kept: Mask, gold: Any, given: Any, classes: Sequence[Hashable]
) -> Iterator[Figure]:
    """Compare labels or truth values.

    Parameters
    ----------
    sample : Sample
        All coded rows.
    kept : ndarray of bool
        Those that are compared.
    gold, given : ndarray of int
        The class of each row by its place in ``classes``, by hand and by the model.
    classes : sequence
        The classes.
    """
    inside = kept.astype(np.float64)
    right = inside * (gold == given)
    yield _share(sample, "accuracy", right, inside, (inside, inside))
    f1: list[tuple[float, Numbers]] = []
    for place, label in enumerate(classes):
        theirs, ours = inside * (gold == place), inside * (given == place)
        both = theirs * ours
        missed = _RARE * (inside - ours)
        yield _share(sample, "precision", both, ours, (ours, ours), label)
        yield _share(sample, "recall", both, theirs, (ours, missed), label)
        figure = _share(sample, "f1", 2 * both, ours + theirs, (ours, ours + missed), label)
        yield figure
        if figure.n:
            under = ours + theirs
            scores = (2 * both - figure.value * under) / sample.total(under)
            f1.append((figure.value, scores))
    yield _macro(sample, kept, f1, right)
    yield _kappa(sample, kept, gold, given, len(classes), right)


def _macro(sample: Sample, kept: Mask, f1: list[tuple[float, Numbers]], right: Numbers) -> Figure:
    """Return the mean F1 of the classes that occur."""
    if not f1:
        return Figure("macro_f1", math.nan, _NOWHERE, 0)
    value = float(np.mean([one for one, _ in f1]))
    scores = np.mean([scores for _, scores in f1], axis=0)
    se = sample.se(scores, _typical(sample, scores, kept, right))
    return Figure("macro_f1", value, sample.between(value, se, kept), int(kept.sum()))


def _typical(sample: Sample, scores: Numbers, kept: Mask, right: Numbers) -> list[Unseen]:
    """Return rows that are right and rows that are wrong, with their mean scores."""
    return [
        Unseen(float(np.average(scores[some], weights=sample.weights[some])), kept.astype(float))
        for some in (kept & (right > 0), kept & (right == 0))
        if some.any()
    ]


def _kappa(
    sample: Sample, kept: Mask, gold: Any, given: Any, classes: int, right: Numbers
) -> Figure:
    """Return Cohen's kappa."""
    n, whole = int(kept.sum()), sample.total(kept)
    if not whole:
        return Figure("cohen_kappa", math.nan, _NOWHERE, n)
    theirs, ours = (
        np.bincount(some[kept], sample.weights[kept], minlength=classes) / whole
        for some in (gold, given)
    )
    agreed, chance = sample.total(right) / whole, float(theirs @ ours)
    if chance >= 1 - 1e-12:
        return Figure("cohen_kappa", math.nan, _NOWHERE, n)
    beyond_chance = 1 - chance
    value = (agreed - chance) / beyond_chance
    drift = np.zeros(len(kept))
    drift[kept] = ours[gold[kept]] + theirs[given[kept]] - 2 * chance
    scores = kept * (right - agreed - (1 - value) * drift) / beyond_chance / whole
    se = sample.se(scores, _typical(sample, scores, kept, right))
    low, high = sample.between(value, se, kept, floor=-chance / beyond_chance)
    if not agreed:  # the least that kappa can be is itself uncertain
        low = value - sample.quantile * se
    return Figure("cohen_kappa", value, (low, high), n)


def number_figures(sample: Sample, kept: Mask, gold: Numbers, given: Numbers) -> Iterator[Figure]:
    """Compare numbers: errors are what the model answered beyond what was coded."""
    error = np.where(kept, given - gold, 0.0)
    yield _size(sample, "mae", np.abs(error), kept, 1)
    yield _size(sample, "rmse", error**2, kept, 2)
    value, se = _mean(sample, error, kept)
    half = sample.quantile * se
    yield Figure("bias", value, (value - half, value + half), int(kept.sum()))
    x, y = np.where(kept, gold, 0.0), np.where(kept, given, 0.0)
    yield _correlation(sample, "pearson", kept, *_pearson(sample, kept, x, y))
    yield _correlation(sample, "spearman", kept, *_spearman(sample, kept, x, y))
    yield _correlation(sample, "icc", kept, *_icc(sample, kept, x, y))


def _mean(sample: Sample, values: Numbers, kept: Mask) -> tuple[float, float]:
    """Return a mean, and its standard error."""
    whole = sample.total(kept)
    value = sample.total(values * kept) / whole
    return value, sample.se(kept * (values - value) / whole)


def _size(sample: Sample, metric: str, values: Numbers, kept: Mask, root: int) -> Figure:
    """Return a root of the mean of what is never negative, with an interval on the log scale."""
    value, se = _mean(sample, values, kept)
    wide = math.exp(sample.quantile * se / value) if value else 1.0
    low, high = ((end) ** (1 / root) for end in (value / wide, value * wide))
    return Figure(metric, value ** (1 / root), (low, high), int(kept.sum()))


def _correlation(sample: Sample, metric: str, kept: Mask, value: float, scores: Numbers) -> Figure:
    """Return a correlation with the interval of Fisher's transformation."""
    n = int(kept.sum())
    if not math.isfinite(value):
        return Figure(metric, math.nan, _NOWHERE, n)
    if abs(value) >= 1 - 1e-12:
        return Figure(metric, value, (value, value), n)
    half = sample.quantile * sample.se(scores) / (1 - value**2)
    centre = math.atanh(value)
    return Figure(metric, value, (math.tanh(centre - half), math.tanh(centre + half)), n)


def _standard(sample: Sample, kept: Mask, values: Numbers) -> tuple[Numbers, float]:
    """Return values with the mean 0 and the variance 1, and their standard deviation before."""
    whole = sample.total(kept)
    away = kept * (values - sample.total(kept * values) / whole)
    deviation = math.sqrt(sample.total(away**2) / whole)
    scale = float(np.abs(values[kept]).max()) if kept.any() else 0.0
    if deviation <= 1e-12 * max(scale, 1e-300):
        return away, 0.0
    return away / deviation, deviation


def _pearson(sample: Sample, kept: Mask, x: Numbers, y: Numbers) -> tuple[float, Numbers]:
    (x, wide), (y, high) = _standard(sample, kept, x), _standard(sample, kept, y)
    if not (wide and high):
        return math.nan, x
    whole = sample.total(kept)
    value = sample.total(x * y) / whole
    return value, (x * y - value * (x**2 + y**2) / 2) / whole


def _spearman(sample: Sample, kept: Mask, x: Numbers, y: Numbers) -> tuple[float, Numbers]:
    """Return the correlation of ranks; a row also moves the ranks of all others."""
    ranks = [_ranks(sample, kept, values) for values in (x, y)]
    value, scores = _pearson(sample, kept, *ranks)
    if not math.isfinite(value):
        return value, scores
    (own, wide), (other, high) = (_standard(sample, kept, rank) for rank in ranks)
    whole = sample.total(kept)
    for values, mine, theirs, deviation in ((x, own, other, wide), (y, other, own, high)):
        pull = kept * (theirs - value * mine) * sample.weights
        above = _above(values, pull)
        moved = np.where(kept, above / whole / deviation, 0.0)
        scores = scores + kept * (moved - sample.total(moved) / whole) / whole
    return value, scores


def _ranks(sample: Sample, kept: Mask, values: Numbers) -> Numbers:
    """Return the middle rank of each value, as a share of the rows."""
    weights = kept * sample.weights
    ranks: Numbers = kept * (weights.sum() - _above(values, weights)) / weights.sum()
    return ranks


def _above(values: Numbers, amounts: Numbers) -> Numbers:
    """Return the sum of the amounts of larger values, those of equal ones counting half."""
    _, place = np.unique(values, return_inverse=True)
    sums = np.bincount(place, amounts)
    later = np.cumsum(sums[::-1])[::-1] - sums / 2
    return later[place]


def _icc(sample: Sample, kept: Mask, x: Numbers, y: Numbers) -> tuple[float, Numbers]:
    """Return ICC(2,1): absolute agreement of single measures, rows and raters random."""
    n, whole = int(kept.sum()), sample.total(kept)
    if n < 2:
        return math.nan, x
    x_mean, y_mean = sample.total(kept * x) / whole, sample.total(kept * y) / whole
    away_x, away_y = kept * (x - x_mean), kept * (y - y_mean)
    shift = x_mean - y_mean
    more = n / (n - 1)
    covariance = more * sample.total(away_x * away_y) / whole
    both = more * sample.total(away_x**2 + away_y**2) / whole
    apart = more * sample.total((away_x - away_y) ** 2) / whole
    under = both + shift**2 - apart / n
    if under <= 1e-12 * max(1.0, x_mean**2):
        return math.nan, x
    value = 2 * covariance / under
    over = 2 * away_x * away_y - 2 * covariance
    scores = over - value * (away_x**2 + away_y**2 - both + 2 * shift * (away_x - away_y))
    return value, kept * scores / under / whole


def list_figures(sample: Sample, kept: Mask, gold: Any, given: Any) -> Iterator[Figure]:
    """Compare lists as sets: items of all rows taken together."""
    theirs, ours, both = (np.zeros(len(kept)) for _ in range(3))
    for place in np.flatnonzero(kept):
        mine, hand = _items(given[place]), _items(gold[place])
        theirs[place], ours[place], both[place] = len(hand), len(mine), len(mine & hand)
    equal = kept * (theirs == both) * (ours == both)
    inside = kept.astype(np.float64)
    possible = (inside, inside)
    yield _share(sample, "exact_match", equal.astype(np.float64), inside, possible)
    yield _share(sample, "precision", both, ours, possible)
    yield _share(sample, "recall", both, theirs, possible)
    yield _share(sample, "f1", 2 * both, ours + theirs, possible)


def _items(values: Any) -> set[Any]:
    return {value if isinstance(value, Hashable) else repr(value) for value in values}


def text_figures(sample: Sample, kept: Mask, gold: Any, given: Any) -> Iterator[Figure]:
    """Compare texts: as they are, and without regard to case, white space and outer punctuation."""
    inside = kept.astype(np.float64)
    for metric, form in (("exact_match", str), ("normalised_match", _normalised)):
        equal = [form(mine) == form(hand) for mine, hand in zip(given, gold, strict=True)]
        over = inside * np.array(equal, dtype=np.float64)
        yield _share(sample, metric, over, inside, (inside, inside))


def _normalised(text: object) -> str:
    folded = unicodedata.normalize("NFKC", str(text)).casefold()
    return re.sub(r"\s+", " ", folded).strip(_EDGES)
