"""Estimates from coded rows that were drawn by a design, or as if at random where there is none.

Every figure is a smooth function of totals. It is linearised (Taylor), so that its error is that of
a total: the sum over strata of their variances, with the finite population correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.validity.design import Design
from pandas_genai.validity.intervals import t_quantile, wilson

__all__ = ["Interval", "Mask", "Numbers", "Sample", "Unseen"]

Numbers: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Interval: TypeAlias = tuple[float, float]

_ADDED = 1.0


@dataclass(frozen=True)
class Unseen:
    """An outcome of which strata may have more rows than the sample shows.

    A stratum in which no error was seen may have some, and a row of it may stand for hundreds.
    Where the variance is estimated, one such row is added, shared out among the strata by how
    much a row of each stands for.

    Attributes
    ----------
    score : float
        What a row with this outcome adds to the figure, linearised.
    possible : ndarray
        How likely it is that a row like each of the sample had this outcome and counted.
    """

    score: float
    possible: Numbers


@dataclass(frozen=True)
class Sample:
    """The coded rows.

    Attributes
    ----------
    weights : ndarray
        Rows of the population that each stands for, or 1.
    strata : ndarray of int
        The stratum of each.
    kept : ndarray
        For each stratum one minus the share of its rows that was coded.
    """

    weights: Numbers
    strata: npt.NDArray[np.int64]
    kept: Numbers

    @classmethod
    def of(cls, index: pd.Index, design: Design | None) -> Sample:
        """Take the rows that were coded, by their index labels.

        Rows of a stratum that were drawn and not coded are as if they had not been drawn.
        """
        if design is None:
            rows = np.ones(len(index))
            return cls(rows, np.zeros(len(index), dtype=np.int64), np.ones(1))
        strata = design.stratum(index).cat.codes.to_numpy(dtype=np.int64)
        present, strata = np.unique(strata, return_inverse=True)
        population = np.array([design.strata[place].population for place in present], dtype=float)
        coded = np.bincount(strata, minlength=len(present))
        return cls((population / coded)[strata], strata, 1 - coded / population)

    @property
    def quantile(self) -> float:
        """Student's quantile for as many rows and strata."""
        return t_quantile(max(1, len(self.weights) - len(self.kept)))

    def total(self, values: Any) -> float:
        """Return the weighted sum of a value that each row has."""
        return float(np.asarray(values, dtype=np.float64) @ self.weights)

    def se(self, scores: Numbers, unseen: Sequence[Unseen] = ()) -> float:
        """Return the standard error of the weighted sum of scores.

        Parameters
        ----------
        scores : ndarray
            What each row adds to the figure, linearised; 0 for a row that does not count.
        unseen : sequence of Unseen
            Outcomes of which there may be more. They are left out where one stratum alone has
            them: there Wilson's interval takes care of it.
        """
        rows = self._by_stratum(np.ones(len(scores)))
        first, second = self._by_stratum(scores), self._by_stratum(scores**2)
        weight, size = self._by_stratum(self.weights) / rows, rows.copy()
        shares = [self._by_stratum(outcome.possible) / rows for outcome in unseen]
        if np.count_nonzero(np.sum(shares, axis=0)) > 1:
            for outcome, share in zip(unseen, shares, strict=True):
                added = _ADDED * share * weight / weight.sum()
                size += added
                first += added * outcome.score
                second += added * outcome.score**2
        # The scores of all rows add up to 0, so that a row alone in its stratum is held against 0.
        spread = np.where(size > 1, second - first**2 / size, second) / np.maximum(size - 1, 1)
        variance = self.kept * rows * weight**2 * np.maximum(spread, 0)
        return math.sqrt(float(variance.sum()))

    def _by_stratum(self, values: Numbers) -> Numbers:
        """Return the sum of a value over the rows of each stratum."""
        sums: Numbers = np.bincount(self.strata, values, minlength=len(self.kept)).astype(float)
        return sums

    def worth(self, counted: Mask) -> float:
        """Return how many rows drawn at random as many rows with these weights are worth."""
        weights = self.weights[counted]
        kept = float(self.kept[self.strata][counted] @ weights)
        if not len(weights) or kept <= 0:
            return math.inf if len(weights) else 0.0
        return float(weights.sum()) ** 3 / float(weights @ weights) / kept

    def share(
        self, over: Numbers, under: Numbers, success: Numbers, failure: Numbers
    ) -> tuple[float, Interval]:
        """Return a ratio of totals that lies between 0 and 1, with its interval.

        Parameters
        ----------
        over, under : ndarray
            What each row adds to the numerator and the denominator.
        success, failure : ndarray
            How likely it is that a row like each counts and is one: 0 where its label rules it out.
        """
        whole = self.total(under)
        if whole <= 0:
            return math.nan, (math.nan, math.nan)
        value = self.total(over) / whole
        unseen = Unseen((1 - value) / whole, success), Unseen(-value / whole, failure)
        se = self.se((over - value * under) / whole, unseen)
        return value, self.between(value, se, under > 0)

    def between(self, value: float, se: float, counted: Mask, *, floor: float = 0.0) -> Interval:
        """Return Wilson's interval for what is a share from ``floor`` to 1."""
        return wilson(value, se, self.worth(counted), self.quantile, floor=floor)
