"""How far coders agree beyond chance: coders may be people, models or runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar, get_args

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.arguments import generator_of, whole_numbers
from pandas_genai.validity.coefficients import COEFFICIENTS, Estimate, cohen, percent
from pandas_genai.validity.intervals import Error, bca, t_quantile, wilson
from pandas_genai.validity.levels import Level, Numbers
from pandas_genai.validity.patterns import Coders, Patterns, named_coders

__all__ = ["Agreement", "agreement", "coefficients"]

_BLOCK = 4_000_000
_DRAWN = 1_000
_CHEAP = 300_000


class Agreement(pd.DataFrame):
    """Coefficients of agreement, one a row.

    Attributes
    ----------
    pairs : DataFrame
        Percent agreement and Cohen's kappa of each pair of coders.
    """

    _metadata: ClassVar[list[str]] = ["pairs"]

    def __init__(self, *args: Any, pairs: pd.DataFrame | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pairs = pairs

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame


def agreement(
    coders: Coders,
    *,
    level: Level = "nominal",
    bootstrap: int | None = None,
    rng: int | np.random.Generator = 0,
    population: int | None = None,
) -> Agreement:
    """Say how far coders agree, beyond chance too.

    Coders are people, models or runs. Units are found by their index labels; a unit need not be
    coded by all.

    Parameters
    ----------
    coders : list of Series, or mapping of names to Series
        What each coder gave, missing where one did not code: labels, truth values or numbers.
    level : {"nominal", "ordinal", "interval", "ratio"}, default "nominal"
        How far apart two different codes are: all alike; by their order (numbers, or an ordered
        Categorical); by their squared difference; by their difference relative to their sum.
    bootstrap : int, optional
        Resamples of the units. By default 1,000, or none where so many units are coded differently
        that it would take minutes.
    rng : int or numpy.random.Generator, default 0
        By which resamples are drawn.
    population : int, optional
        Units that the sample was drawn from; ``se``, ``low`` and ``high`` then have the finite
        population correction.

    Returns
    -------
    DataFrame
        Indexed by coefficient: ``alpha`` (Krippendorff's), ``ac1`` (Gwet's; at other levels than
        nominal his AC2), ``fleiss_kappa``, ``cohen_kappa`` (the mean over pairs of coders) and
        ``percent`` (pairs of equal codes, at every level). ``value``; ``se``, the standard error
        for these coders (Gwet 2014); ``low`` and ``high``, the 95 % interval; ``n``, the units that
        count; ``bootstrap_low`` and ``bootstrap_high``. Its ``.pairs`` has percent agreement and
        Cohen's kappa of each pair.

    Raises
    ------
    UsageError
        If there are fewer than two coders, one of them coded nothing, an index is not unique, no
        unit was coded twice, all codes are equal, or a code has no place at this level.

    Notes
    -----
    Kappas and AC2 weigh disagreements with the weights of Gwet (2014): ordinal, quadratic, ratio.
    Alpha's ordinal distance is Krippendorff's, of middle ranks. Categories that a Categorical
    declares count for AC1 and AC2 also where nobody gave them.

    Standard errors are for these coders, and for units like these. A unit that one coder alone
    coded tells AC1 and Fleiss' kappa how often categories are given. Gwet's standard errors, which
    ``se`` has, take the share of such units as fixed, and are too large where there are many;
    ``low`` and ``high`` do not. These are Wilson's, on the scale of observed agreement, so that
    they are not symmetric and never above 1, and do not shrink to nothing where all codes agree.

    Examples
    --------
    >>> import pandas as pd
    >>> anna = pd.Series(["yes", "yes", "no", "no", "no", "yes", "no", "no"])
    >>> ben = pd.Series(["yes", "yes", "no", "no", "yes", "yes", "no", None])
    >>> found = agreement([anna, ben])
    >>> found["value"].round(3).to_dict()
    {'alpha': 0.735, 'ac1': 0.719, 'fleiss_kappa': 0.71, 'cohen_kappa': 0.72, 'percent': 0.857}
    """
    if level not in get_args(Level):
        raise UsageError(f"level= is one of {', '.join(get_args(Level))}, not {level!r}.")
    generator = generator_of(rng)
    if bootstrap is not None:
        (bootstrap,) = whole_numbers("bootstrap", [bootstrap], 0, "resamples")
    if population is not None:
        (population,) = whole_numbers("population", [population], 1, "units")
    patterns = Patterns.of(named_coders(coders), level)
    patterns.check()
    if population is not None and population < patterns.counts.sum():
        raise UsageError(
            f"population={population:,} is less than the {patterns.counts.sum():,.0f} units coded."
        )
    fraction = 0.0 if population is None else patterns.counts.sum() / population
    drawn = _drawn(patterns, bootstrap, generator)
    found = coefficients(patterns, level, fraction, drawn)
    return Agreement(found, pairs=_pairs(patterns, level, fraction))


def coefficients(
    patterns: Patterns,
    level: Level,
    fraction: float = 0.0,
    drawn: Mapping[str, Numbers] | None = None,
) -> pd.DataFrame:
    """Return all coefficients, missing where nothing varies.

    Parameters
    ----------
    patterns : Patterns
        The codes, of which some units have two.
    level : str
        Of measurement.
    fraction : float, default 0
        The share of the population that was sampled.
    drawn : mapping, optional
        Each coefficient in resamples.
    """
    sample = patterns.counts[None]
    rows = {}
    for name, coefficient in COEFFICIENTS.items():
        at = "nominal" if name == "percent" else level
        some = (drawn or {}).get(name)
        rows[name] = _row(patterns, coefficient(patterns, sample), at, fraction, some)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("coefficient")


def _drawn(
    patterns: Patterns, bootstrap: int | None, rng: np.random.Generator
) -> dict[str, Numbers]:
    """Return each coefficient in resamples of the units, drawn as counts of their patterns."""
    cheap = patterns.codes.size <= _CHEAP
    times = (_DRAWN if cheap else 0) if bootstrap is None else bootstrap
    units = int(patterns.counts.sum())
    block = max(1, _BLOCK // patterns.codes.size)
    found: dict[str, list[Numbers]] = {}
    for start in range(0, times, block):
        some = min(block, times - start)
        weights = rng.multinomial(units, patterns.counts / units, size=some).astype(np.float64)
        for name, coefficient in COEFFICIENTS.items():
            found.setdefault(name, []).append(coefficient(patterns, weights).value)
    return {name: np.concatenate(values) for name, values in found.items()}


def _row(
    patterns: Patterns,
    estimate: Estimate,
    level: Level,
    fraction: float = 0.0,
    drawn: Numbers | None = None,
) -> dict[str, float]:
    """Return a coefficient with its standard error and its intervals."""
    value, chance = float(estimate.value[0]), float(estimate.chance[0])
    counts = np.where(estimate.counted, patterns.counts, 0.0)
    kept = math.sqrt(max(0.0, 1 - fraction))
    error = Error.of(estimate.linear()[0], counts)
    published = error if estimate.published is None else Error.of(estimate.published()[0], counts)
    quantile = t_quantile(error.units - 1 if level == "nominal" else error.freedom)
    low, high = wilson(value, error.se * kept, error.units, quantile, floor=_floor(chance))
    # A mean over pairs of coders that share few units may lie below what chance allows all of them.
    low, high = min(low, value), max(high, value)
    row = {"value": value, "se": published.se * kept, "low": low, "high": high}
    row["n"] = int(error.units)
    if drawn is not None:
        row["bootstrap_low"], row["bootstrap_high"] = bca(value, drawn, error)
    return row


def _floor(chance: float) -> float:
    """Return what a coefficient is where no two codes agree; missing where nothing varies."""
    return -chance / (1 - chance) if chance < 1 else math.nan


def _pairs(patterns: Patterns, level: Level, fraction: float) -> pd.DataFrame:
    """Return percent agreement and Cohen's kappa of each pair of coders."""
    rows = []
    sample = patterns.counts[None]
    for one, other in combinations(range(len(patterns.names)), 2):
        pair = cohen(patterns, sample, one, other)
        if pair.counted.any():
            equal = percent(patterns, sample, (one, other))
            names = {"coder": patterns.names[one], "other": patterns.names[other]}
            rows += [
                names | {"coefficient": "cohen_kappa"} | _row(patterns, pair, level, fraction),
                names | {"coefficient": "percent"} | _row(patterns, equal, "nominal", fraction),
            ]
    return pd.DataFrame(rows).set_index(["coder", "other", "coefficient"])
