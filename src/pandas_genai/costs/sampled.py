"""From the usage of some calls to that of all: the ratio to the forecast, with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pandas_genai.costs.plan import Interval
from pandas_genai.task.reply import Usage

__all__ = ["BilledCall", "Totals", "extrapolated", "interval_of"]

_DRAWS = 1_000
_SEED = 42
_LOW, _HIGH = 0.05, 0.95


@dataclass(frozen=True)
class BilledCall:
    """One call of the sample.

    Parameters
    ----------
    foreseen : float
        The input tokens that the forecast expected; 0 where the call asked rows again.
    rows : int
        The texts that it asked; 0 where it asked rows again.
    usage : Usage
        What it took.
    """

    foreseen: float
    rows: int
    usage: Usage


@dataclass(frozen=True)
class Totals:
    """The tokens of many calls, whole or fractional.

    Parameters
    ----------
    calls : int
        How many.
    sent, cached, written, answered : float
        As in ``Usage``.
    """

    calls: int
    sent: float
    cached: float
    written: float
    answered: float

    def cost(self, price: Callable[[Usage], float | None]) -> float | None:
        """Return the price of all: each call is priced as the average one."""
        if not self.calls:
            return 0.0
        tokens = (self.sent, self.cached, self.written, self.answered)
        each = price(Usage(*(round(count / self.calls) for count in tokens)))
        return None if each is None else each * self.calls


def extrapolated(sample: Sequence[BilledCall], foreseen: float, rows: int, calls: int) -> Totals:
    """Return what the calls that are left will take.

    Input grows with what the forecast says of it, output with the number of rows. Calls of the
    sample that asked rows again add to both.

    Parameters
    ----------
    sample : sequence of BilledCall
        At least one that asked rows for the first time.
    foreseen : float
        Input tokens of the calls that are left, by the forecast.
    rows, calls : int
        What is left.
    """
    return _scaled(_table(sample).sum(axis=0), foreseen, rows, calls)


def interval_of(
    sample: Sequence[BilledCall],
    foreseen: float,
    rows: int,
    calls: int,
    price: Callable[[Usage], float | None],
) -> Interval | None:
    """Return the 90 % interval of what the calls that are left will cost.

    A percentile bootstrap over the calls of the sample, 1,000 draws with a fixed seed, widened
    for a small sample and because the calls that are left differ among themselves. None for
    fewer than two calls, or where the price is unknown.
    """
    centre = extrapolated(sample, foreseen, rows, calls).cost(price)
    size = len(sample)
    if centre is None or size < 2:
        return None
    if not calls:
        return 0.0, 0.0
    table = _table(sample)
    drawn = np.random.default_rng(_SEED).integers(0, size, (_DRAWS, size))
    sums = [table[places].sum(axis=0) for places in drawn]
    costs = [
        _scaled(each, foreseen, rows, calls).cost(price) or 0.0 for each in sums if each[1] > 0
    ]
    low, high = np.quantile(costs, (_LOW, _HIGH)).tolist()
    wider = math.sqrt(size / (size - 1) * (1 + size / calls))
    return max(0.0, centre - (centre - low) * wider), centre + (high - centre) * wider


def _table(sample: Sequence[BilledCall]) -> npt.NDArray[np.float64]:
    return np.array(
        [
            (
                call.foreseen,
                call.rows,
                call.usage.input_tokens,
                call.usage.cached_tokens,
                call.usage.cache_write_tokens,
                call.usage.output_tokens,
            )
            for call in sample
        ],
        dtype=np.float64,
    )


def _scaled(sums: npt.NDArray[np.float64], foreseen: float, rows: int, calls: int) -> Totals:
    expected, asked, sent, cached, written, answered = sums.tolist()
    grown, more = foreseen / expected, rows / asked
    return Totals(calls, sent * grown, cached * grown, written * grown, answered * more)
