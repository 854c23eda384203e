"""How far coders agree beyond chance: coders may be people, models or runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any, ClassVar, get_args

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.coefficients import COEFFICIENTS, Estimate, cohen
from pandas_genai.validity.intervals import bca, t_quantile, wilson
from pandas_genai.validity.levels import Level, Numbers
from pandas_genai.validity.patterns import Coders, Patterns, named_coders

__all__ = ["Agreement", "agreement"]

_BLOCK = 4_000_000
_CHEAP = 300_000
_DRAWN = 1_000


class Agreement(pd.DataFrame):
    """Coefficients of agreement, a row each.

    Attributes
    ----------
    pairs : DataFrame
        Cohen's kappa and the percent agreement of each pair of coders.
    """

    _metadata: ClassVar[list[str]] = ["pairs"]
    pairs: pd.DataFrame

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
    """Say how far coders agree beyond chance.
    """
    if level not in get_args(Level):
        raise UsageError(f"level= is one of {', '.join(get_args(Level))}, not {level!r}.")
    patterns = Patterns.of(named_coders(coders), level)
    sample = patterns.counts[None]
    drawn = _drawn(patterns, _times(bootstrap, patterns), np.random.default_rng(rng))
    rows = {
        name: _row(patterns, of(patterns, sample), drawn.get(name), population)
        for name, of in COEFFICIENTS.items()
    }
    result = Agreement(pd.DataFrame.from_dict(rows, orient="index").rename_axis("coefficient"))
    return result


def _times(bootstrap: int | None, patterns: Patterns) -> int:
    if bootstrap is None:
        return _DRAWN if patterns.codes.size <= _CHEAP else 0
    return bootstrap


def _drawn(
    patterns: Patterns, times: int, rng: np.random.Generator
) -> dict[str, Numbers]:
    """Return each coefficient in resamples of the units, drawn as counts of their patterns."""
    units = int(patterns.counts.sum())
    block = max(1, _BLOCK // max(patterns.codes.size, 1))
    found: dict[str, list[Numbers]] = {name: [] for name in COEFFICIENTS}
    for start in range(0, times, block):
        some = min(block, times - start)
        weights = rng.multinomial(units, patterns.counts / units, size=some).astype(np.float64)
        for name, of in COEFFICIENTS.items():
            found[name].append(of(patterns, weights).value)
    return {name: np.concatenate(values) for name, values in found.items() if values}


def _row(
    patterns: Patterns, estimate: Estimate, drawn: Numbers | None, population: int | None
) -> dict[str, float]:
    value, chance = float(estimate.value[0]), float(estimate.chance[0])
    counts = np.where(estimate.counted, patterns.counts, 0.0)
    units = counts.sum()
    moved = estimate.linear()[0] - value
    frame = float(patterns.counts.sum())
    variance = float((np.where(counts > 0, moved, 0.0) ** 2 * counts).sum())
    se = math.sqrt(variance / (units * (units - 1)))
    low, high = _on_agreement(value, se, chance, units)
    row = {"value": value, "se": se, "low": low, "high": high, "n": int(units)}
    if drawn is not None:
        row["bootstrap_low"], row["bootstrap_high"] = bca(value, drawn, np.where(counts>0,moved,0.0), counts)
    return row


def _on_agreement(value: float, se: float, chance: float, units: float) -> tuple[float, float]:
    room = 1 - chance
    low, high = wilson(chance + room * value, room * se, units, t_quantile(units - 1))
    return (low - chance) / room, (high - chance) / room
