"""Intervals for shares and agreement, and the quantiles that they need."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from pandas_genai.errors import UsageError

__all__ = ["Z95", "bca", "t_quantile", "wilson"]

Z95 = NormalDist().inv_cdf(0.975)
"""The normal quantile of a 95 % interval."""

_NORMAL = NormalDist()


def t_quantile(freedom: float) -> float:
    """Return the quantile of Student's t for a 95 % interval.

    Parameters
    ----------
    freedom : float
        Degrees of freedom; below 1 there is no interval, and the quantile is infinite.
    """
    if freedom < 1:
        return math.inf
    try:
        from scipy.special import stdtrit
    except ImportError as error:
        raise UsageError(
            "Intervals need scipy: pip install 'pandas-genai[validity]'."
        ) from error
    return float(stdtrit(freedom, 0.975))


def wilson(share: float, se: float, n: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval for a share whose standard error is known.

    The standard error says how many independent units the sample is worth: that number takes the
    place of ``n`` in Wilson's formula. Where the sample shows no error (a share of 0 or 1), it
    is worth its own ``n``.

    Parameters
    ----------
    share : float
        Between 0 and 1.
    se : float
        Its standard error.
    n : float
        Units.
    quantile : float
        Of the normal or of Student's distribution.
    """
    if not (math.isfinite(share) and math.isfinite(quantile)) or n <= 0:
        return math.nan, math.nan
    spread = share * (1 - share)
    worth = spread / se**2 if se > 0 and spread > 0 else n
    pull = quantile**2 / worth
    centre = (share + pull / 2) / (1 + pull)
    half = math.sqrt(max(spread, 0) * pull + pull**2 / 4) / (1 + pull)
    return centre - half, centre + half


def bca(
    value: float, drawn: npt.NDArray[np.float64], influence: npt.NDArray[np.float64], weights: Any
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval (Efron 1987).

    Parameters
    ----------
    value : float
        The estimate.
    drawn : ndarray
        What it is in each resample; undefined ones are left out.
    influence : ndarray
        Of each unit, or of each kind of unit, on the estimate.
    weights : ndarray
        Units of each kind.
    """
    drawn = np.sort(drawn[np.isfinite(drawn)])
    if not math.isfinite(value) or len(drawn) < 2:
        return math.nan, math.nan
    below = (np.sum(drawn < value) + np.sum(drawn <= value)) / (2 * len(drawn))
    below = min(max(below, 0.5 / len(drawn)), 1 - 0.5 / len(drawn))
    shift = _NORMAL.inv_cdf(float(below))
    second = float(np.sum(weights * influence**2))
    skew = float(np.sum(weights * influence**3)) / (6 * second**1.5) if second > 0 else 0.0
    ends = []
    for tail in (-Z95, Z95):
        moved = shift + (shift + tail) / (1 - skew * (shift + tail))
        ends.append(float(np.quantile(drawn, _NORMAL.cdf(moved))))
    return ends[0], ends[1]
