"""Intervals for shares and agreement, and the quantiles that they need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from pandas_genai.errors import UsageError

__all__ = ["Z95", "Error", "bca", "t_quantile", "wilson"]

Z95 = NormalDist().inv_cdf(0.975)
"""The normal quantile of a 95 % interval."""

_NORMAL = NormalDist()
_FEWEST = 5


@dataclass(frozen=True)
class Error:
    """How far an estimate may be off, as the contributions of its units tell.

    Attributes
    ----------
    units : float
        How many count.
    moved : ndarray
        What each kind of unit adds to the estimate beyond the mean.
    counts : ndarray
        Units of each kind.
    """

    units: float
    moved: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]

    @classmethod
    def of(cls, linear: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> Error:
        """Take what each kind of unit contributes, and how many units there are of it."""
        units = float(counts.sum())
        known = np.where(counts > 0, linear, 0.0)
        mean = float(known @ counts) / units
        return cls(units, np.where(counts > 0, known - mean, 0.0), counts)

    def moment(self, power: int) -> float:
        """Return the sum of a power of what units add."""
        return float(self.moved**power @ self.counts)

    @property
    def se(self) -> float:
        """The standard error; missing for one unit."""
        if self.units < 2:
            return math.nan
        return math.sqrt(self.moment(2) / (self.units * (self.units - 1)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom: fewer where a few units make most of the variance.

        By their kurtosis, as Satterthwaite's: ``2 n / (kurtosis - 1)``, at least 5.
        """
        second = self.moment(2)
        if second <= 0:
            return self.units - 1
        excess = self.units * self.moment(4) / second**2 - 1
        return min(self.units - 1, max(_FEWEST, 2 * self.units / max(excess, 1e-9)))


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
        raise UsageError("Intervals need scipy: pip install 'pandas-genai[validity]'.") from error
    return float(stdtrit(freedom, 0.975))


def wilson(
    value: float, se: float, n: float, quantile: float, *, floor: float = 0.0
) -> tuple[float, float]:
    """Return Wilson's interval for a share, or for what is a share from ``floor`` to 1.

    The standard error says how many independent units the sample is worth: that number takes the
    place of ``n`` in Wilson's formula. Where the sample shows no error (a share of 0 or 1), it
    is worth its own ``n``.

    Parameters
    ----------
    value : float
        The share, or a coefficient of agreement, which is one of what chance leaves.
    se : float
        Its standard error.
    n : float
        Units.
    quantile : float
        Of the normal or of Student's distribution.
    floor : float, default 0
        The least that the value can be.
    """
    if not all(map(math.isfinite, (value, se, quantile, floor))) or n <= 0:
        return math.nan, math.nan
    width = 1 - floor
    share = (value - floor) / width
    spread = max(share * (1 - share), 0.0)
    worth = spread / (se / width) ** 2 if se > 0 and spread > 0 else n
    pull = quantile**2 / worth
    centre = (share + pull / 2) / (1 + pull)
    half = math.sqrt(spread * pull + pull**2 / 4) / (1 + pull)
    return floor + width * (centre - half), floor + width * (centre + half)


def bca(value: float, drawn: npt.NDArray[np.float64], error: Error) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval (Efron 1987).

    Parameters
    ----------
    value : float
        The estimate.
    drawn : ndarray
        What it is in each resample; undefined ones are left out.
    error : Error
        What units contribute to the estimate, whose skewness accelerates.
    """
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or len(drawn) < 2:
        return math.nan, math.nan
    below = float(np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    edge = 0.5 / len(drawn)
    shift = _NORMAL.inv_cdf(min(max(below, edge), 1 - edge))
    second = error.moment(2)
    skew = error.moment(3) / (6 * second**1.5) if second > 0 else 0.0
    ends = []
    for tail in (-Z95, Z95):
        moved = shift + (shift + tail) / (1 - skew * (shift + tail))
        ends.append(float(np.quantile(drawn, _NORMAL.cdf(moved))))
    return ends[0], ends[1]
