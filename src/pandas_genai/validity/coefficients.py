"""The coefficients of agreement, for any weights of the patterns of codes.

Each is written with distances, ``1 - observed / expected``. Patterns are weighted by how many units
they have, or by how many a resample has: one row of ``weights`` is one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from pandas_genai.validity.levels import Numbers, distance_at, midranks
from pandas_genai.validity.patterns import Patterns

__all__ = ["COEFFICIENTS", "Estimate", "cohen"]

_NOTHING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A coefficient in each of some samples.

    Attributes
    ----------
    value : ndarray of shape (samples,)
        The coefficient; missing where nothing varies.
    chance : ndarray of shape (samples,)
        The agreement that is expected by chance.
    linear : callable
        Returns what each pattern contributes, of shape (samples, patterns): the variance of its
        mean over units is that of the value.
    counted : ndarray of shape (patterns,)
        Whether the units of a pattern count.
    published : callable, optional
        The same by the formula of Gwet (2014, chapter 5), where it differs: there the share of
        units that two coders coded is a constant.
    """

    value: Numbers
    chance: Numbers
    linear: Callable[[], Numbers]
    counted: Any
    published: Callable[[], Numbers] | None = None


def _ratio(over: Numbers, under: Numbers) -> Numbers:
    """Divide; what is divided by nothing is missing."""
    shape = np.broadcast_shapes(np.shape(over), np.shape(under))
    quotient: Numbers = np.full(shape, np.nan)
    np.divide(over, under, out=quotient, where=np.abs(under) > _NOTHING)
    return quotient


def _largest(patterns: Patterns) -> float:
    ends = patterns.values[[0, -1]]
    return float(patterns.distance.between(ends[:1], ends[1:])[0]) or 1.0


def _paired(patterns: Patterns, weights: Numbers, apart: Numbers) -> tuple[Numbers, Numbers]:
    """Return the mean distance between two codes of a unit, and how many units each such one is."""
    two = weights * (patterns.given >= 2)
    units = two.sum(axis=1)
    return _ratio(two @ apart, units), _ratio(weights.sum(axis=1), units)


def _shares(patterns: Patterns, weights: Numbers) -> Numbers:
    """Return how often each category was given, each unit counting once."""
    counts = patterns.code_counts(weights / patterns.given)
    shares: Numbers = counts / weights.sum(axis=1, keepdims=True)
    return shares


def percent(patterns: Patterns, weights: Numbers, pair: tuple[int, int] | None = None) -> Estimate:
    """Return the share of pairs of codes that are equal, whatever the level.

    Parameters
    ----------
    pair : pair of int, optional
        Two coders; left out: all.
    """
    counted: Any
    if pair is None:
        apart, counted = patterns.mean_over_pairs(distance_at("nominal")), patterns.given >= 2
    else:
        apart = patterns.between(*pair, distance_at("nominal"))
        counted = (patterns.codes[:, pair] >= 0).all(axis=1)
    two = weights * counted
    observed = _ratio(two @ apart, two.sum(axis=1))
    ones = np.ones((len(weights), 1))
    return Estimate(1 - observed, np.zeros(len(weights)), lambda: ones * (1 - apart), counted)


def gwet(patterns: Patterns, weights: Numbers) -> Estimate:
    """Return Gwet's AC1, at other levels than nominal AC2 (Gwet 2014, chapters 4 and 5)."""
    categories, largest = len(patterns.values), _largest(patterns)
    even = np.full((1, categories), 1 / categories)
    mean_weight = (
        1 - float((patterns.distance.expected(patterns.values, even) @ even.T)[0, 0]) / largest
    )
    scale = mean_weight * categories / max(categories - 1, 1)
    shares = _shares(patterns, weights)
    chance = scale * (shares * (1 - shares)).sum(axis=1)
    apart, blown = _paired(patterns, weights, patterns.apart / largest)
    beyond_chance = np.where(categories > 1, 1 - chance, 0.0)
    value = 1 - _ratio(apart, beyond_chance)

    def drift() -> Numbers:
        by_unit = scale * patterns.mean_over_codes(1 - shares)
        return _per(by_unit - chance[:, None], beyond_chance)

    own = _per(patterns.apart[None] / largest, beyond_chance)
    return _corrected(patterns, value, chance, 1 - own, drift, blown)


def _corrected(
    patterns: Patterns,
    value: Numbers,
    chance: Numbers,
    own: Numbers,
    drift: Callable[[], Numbers],
    blown: Numbers,
) -> Estimate:
    """Return a coefficient of the mean agreement in a unit, corrected by that of random codes.

    Parameters
    ----------
    own, drift : ndarray, callable
        The agreement within units, and what they add to that of random codes.
    blown : ndarray of shape (samples,)
        Units for each that two coders coded.
    """
    two = np.where(patterns.given >= 2, blown[:, None], 0.0)
    level = value[:, None]
    return Estimate(
        value,
        chance,
        lambda: level + two * (own - level) - 2 * (1 - level) * drift(),
        patterns.given >= 1,
        lambda: two * own - 2 * (1 - level) * drift(),
    )


def _per(figures: Numbers, sample: Numbers) -> Numbers:
    """Divide figures of patterns by one of each sample."""
    return _ratio(figures, sample[:, None])


def fleiss(patterns: Patterns, weights: Numbers) -> Estimate:
    """Return Fleiss' kappa, weighted at other levels than nominal."""
    shares = _shares(patterns, weights)
    by_category = patterns.distance.expected(patterns.values, shares)
    expected = (shares * by_category).sum(axis=1)
    apart, blown = _paired(patterns, weights, patterns.apart)
    value = 1 - _ratio(apart, expected)

    def drift() -> Numbers:
        return 1 - _per(patterns.mean_over_codes(by_category), expected)

    own = 1 - _per(patterns.apart[None], expected)
    return _corrected(patterns, value, 1 - expected / _largest(patterns), own, drift, blown)


def krippendorff(patterns: Patterns, weights: Numbers) -> Estimate:
    """Return Krippendorff's alpha (Krippendorff 2018, chapter 12), with the error of Gwet (2014).

    Units that one coder alone coded do not count. The ordinal distance is that of middle ranks,
    which depend on how often each category was given: their part of the error counts too.
    """
    two = weights * (patterns.given >= 2)
    codes = two * patterns.given
    total = codes.sum(axis=1)
    counts = patterns.code_counts(two)
    shares = _per(counts, total)
    ordinal = patterns.distance is distance_at("ordinal")
    distance = distance_at("interval") if ordinal else patterns.distance
    values = midranks(counts) if ordinal else patterns.values
    apart = _apart_in_ranks(patterns, values) if ordinal else patterns.apart[None]
    by_category = distance.expected(values, shares)
    expected = (shares * by_category).sum(axis=1)
    observed = _ratio((codes * apart).sum(axis=1), total)
    kept = 1 - _ratio(np.ones(len(total)), total)
    gap = _ratio(observed, expected)

    def linear() -> Numbers:
        heavy = patterns.given * _ratio(two.sum(axis=1), total)[:, None]
        own = 1 - _per(heavy * apart - (kept * observed)[:, None] * (heavy - 1), expected)
        drift = heavy * (1 - _per(patterns.mean_over_codes(by_category), expected))
        moved = own - 2 * gap[:, None] * drift
        if ordinal:
            moved -= kept[:, None] * _drift_of_ranks(patterns, two, values, shares, gap, expected)
        return moved

    largest = (values[..., -1] - values[..., 0]) ** 2 if ordinal else _largest(patterns)
    chance = 1 - expected / np.where(np.asarray(largest) > 0, largest, 1.0)
    return Estimate(1 - kept * gap, chance, linear, patterns.given >= 2)


def _apart_in_ranks(patterns: Patterns, ranks: Numbers) -> Numbers:
    """Return the mean squared difference of the ranks of a unit's codes: twice their variance."""
    mean = patterns.mean_over_codes(ranks)
    variance = patterns.mean_over_codes(ranks**2) - mean**2
    return 2 * variance * patterns.given / np.maximum(patterns.given - 1, 1)


def _drift_of_ranks(
    patterns: Patterns,
    two: Numbers,
    ranks: Numbers,
    shares: Numbers,
    gap: Numbers,
    expected: Numbers,
) -> Numbers:
    """Return what a unit does to the ratio of distances by moving the ranks of all categories."""
    given = patterns.given
    units, total = two.sum(axis=1, keepdims=True), (two * given).sum(axis=1, keepdims=True)
    share = two * given / np.maximum(given - 1, 1)
    mean = patterns.mean_over_codes(ranks)
    observed = (
        4 * (ranks * patterns.code_counts(share) - patterns.code_counts(share * mean)) / total
    )
    middle = (shares * ranks).sum(axis=1, keepdims=True)
    by_rank = _per(observed - gap[:, None] * 4 * shares * (ranks - middle), expected)
    later = np.cumsum(by_rank[:, ::-1], axis=1)[:, ::-1] - by_rank / 2
    drift: Numbers = units * given * patterns.mean_over_codes(later)
    return drift


def cohen(patterns: Patterns, weights: Numbers, one: int, other: int) -> Estimate:
    """Return Cohen's kappa of two coders, weighted at other levels than nominal.

    The units that both coded count.
    """
    ours, theirs = patterns.codes[:, one], patterns.codes[:, other]
    both = (ours >= 0) & (theirs >= 0)
    two = weights * both
    units = two.sum(axis=1, keepdims=True)
    own, other_shares = (
        _ratio(patterns.code_counts_by_coder[coder](two), units) for coder in (one, other)
    )
    to_own, to_other = (
        patterns.distance.expected(patterns.values, shares) for shares in (own, other_shares)
    )
    expected = (own * to_other).sum(axis=1)
    apart = patterns.between(one, other, patterns.distance)
    gap = _ratio(_ratio(two @ apart, units[:, 0]), expected)

    def linear() -> Numbers:
        by_unit = to_other[:, ours] + to_own[:, theirs] - 2 * expected[:, None]
        return 1 - _per(apart[None], expected) + gap[:, None] * _per(by_unit, expected)

    return Estimate(1 - gap, 1 - expected / _largest(patterns), linear, both)


def mean_cohen(patterns: Patterns, weights: Numbers) -> Estimate:
    """Return the mean of the kappas of all pairs of coders that coded units together."""
    pairs = [
        cohen(patterns, weights, *pair) for pair in combinations(range(len(patterns.names)), 2)
    ]
    pairs = [pair for pair in pairs if pair.counted.any()]
    values = np.array([pair.value for pair in pairs])
    defined = np.isfinite(values)
    value = _ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0))
    counted = np.any([pair.counted for pair in pairs], axis=0)

    def moved(pair: Estimate) -> Numbers:
        blown = _ratio((weights * counted).sum(axis=1), (weights * pair.counted).sum(axis=1))
        away = np.nan_to_num(pair.linear() - pair.value[:, None]) * blown[:, None]
        return np.where(pair.counted, away, 0.0)

    def linear() -> Numbers:
        total = np.sum([moved(pair) for pair in pairs], axis=0)
        return value[:, None] + _per(total, defined.sum(axis=0))

    return Estimate(value, np.mean([pair.chance for pair in pairs], axis=0), linear, counted)


COEFFICIENTS: dict[str, Callable[[Patterns, Numbers], Estimate]] = {
    "alpha": krippendorff,
    "ac1": gwet,
    "fleiss_kappa": fleiss,
    "cohen_kappa": mean_cohen,
    "percent": percent,
}
