"""Whether answers depend on what else is in a request, and on where in it a row stands."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import counted
from pandas_genai.validity.compare import Comparison, equal
from pandas_genai.validity.intervals import t_quantile, wilson

__all__ = ["AGAIN", "ALONE", "MOVED", "PACKED", "WHAT", "PackingCheck", "check_packing", "moved"]

ALONE, AGAIN, PACKED, MOVED = "alone", "alone again", "packed", "moved"
"""The four ways of asking: each row alone, and once more; several in a request; those same
requests with every row in another place."""

_PAIRS = ((ALONE, AGAIN), (ALONE, PACKED), (PACKED, MOVED))
WHAT = {AGAIN: "asked twice", PACKED: "packing", MOVED: "position"}
_MARGIN = 0.05
"""Answers are alike where at most so much more of them differ than do when asked twice."""


@dataclass(frozen=True, repr=False)
class PackingCheck:
    """How alike answers are when rows share a request, and in another place of it.

    Attributes
    ----------
    agreement : DataFrame
        For each field (``field``) and comparison (``comparison``: ``asked twice``, each row alone
        two times; ``packing``, alone and packed; ``position``, packed and in another place of the
        same request) the share of rows with equal answers, ``value``, with its 95 % interval,
        ``low`` and ``high``, and the rows that have both answers, ``n``; and how much less alike
        answers are than when each row is asked twice alone, ``loss``, with ``loss_low`` and
        ``loss_high``. Rows of one request are no independent cases: intervals count requests.
    sentence : str
        What to choose.
    chunk_size : int
        Rows that shared a request.
    comparison : Comparison
        The four results side by side, as ``pandas_genai.compare`` has them.
    """

    agreement: pd.DataFrame
    sentence: str
    chunk_size: int
    comparison: Comparison = field(repr=False)

    def changed(self, first: str = ALONE, second: str = PACKED) -> pd.DataFrame:
        """List the rows that two ways of asking answer differently, with their texts.

        Parameters
        ----------
        first, second : {"alone", "alone again", "packed", "moved"}
            The two ways.
        """
        return self.comparison.changed(first, second)


def moved(count: int, size: int) -> npt.NDArray[np.int64]:
    """Return an order in which all rows of a request of so many stand in another place of it.

    Examples
    --------
    >>> moved(7, 3).tolist()
    [1, 2, 0, 4, 5, 3, 6]
    """
    places = np.arange(count)
    return np.concatenate([np.roll(places[at : at + size], -1) for at in range(0, count, size)])


def check_packing(comparison: Comparison, chunk_size: int) -> PackingCheck:
    """Compare the four ways of asking.

    Parameters
    ----------
    comparison : Comparison
        Of the four results, rows that shared a request one after the other.
    chunk_size : int
        Rows a request.
    """
    rows = []
    for name in comparison.fields:
        twice: dict[str, Any] = {}
        for first, second in _PAIRS:
            row = _share(comparison, name, first, second, chunk_size)
            if second == AGAIN:
                twice = row
            else:
                row |= _loss(twice, row)
            rows.append({"field": name, "comparison": WHAT[second], **row})
    table = pd.DataFrame(rows)
    return PackingCheck(table, _sentence(table, chunk_size), chunk_size, comparison)


def _share(
    comparison: Comparison, name: Hashable, first: str, second: str, chunk_size: int
) -> dict[str, Any]:
    """Return the share of equal answers among rows that have both, with its interval."""
    one, other = comparison.frames[first][name], comparison.frames[second][name]
    both = (one.notna() & other.notna()).to_numpy()
    found = equal(one, other)[both].astype(float)
    n = len(found)
    if not n:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    requests = np.arange(len(both))[both]
    if second != AGAIN:
        requests = requests // chunk_size
    value = float(found.mean())
    sums = pd.Series(found - value).groupby(requests).sum().to_numpy()
    groups = len(sums)
    se = float(np.sqrt(groups / max(groups - 1, 1) * (sums**2).sum())) / n
    # Rows of one request that differ less than chance would have it are no better evidence.
    se = max(se, float(np.sqrt(value * (1 - value) / n)))
    low, high = wilson(value, se, n, t_quantile(groups - 1))
    return {"value": value, "low": low, "high": high, "n": n}


def _loss(twice: dict[str, Any], row: dict[str, Any]) -> dict[str, float]:
    """Return how much less alike answers are, with Newcombe's interval of a difference."""
    below = np.hypot(twice["value"] - twice["low"], row["high"] - row["value"])
    above = np.hypot(twice["high"] - twice["value"], row["value"] - row["low"])
    loss = twice["value"] - row["value"]
    return {"loss": loss, "loss_low": loss - below, "loss_high": loss + above}


def _sentence(table: pd.DataFrame, chunk_size: int) -> str:
    """Say what to choose."""
    rows = table.to_dict("records")
    alone = {row["field"]: row for row in rows if row["comparison"] == WHAT[AGAIN]}
    compared = [row for row in rows if np.isfinite(row["loss"])]
    if not compared:
        return "No row has answers of all ways of asking, so that nothing can be said."
    changed = [row for row in compared if row["loss_low"] > 0]
    if changed:
        worst = max(changed, key=lambda row: row["loss"])
        fields = ", ".join(dict.fromkeys(str(row["field"]) for row in changed))
        return (
            f"Use chunk_size=1: {worst['comparison']} changes answers ({fields}). Of "
            f"{worst['field']} {worst['value']:.0%} are alike [{worst['low']:.0%}, "
            f"{worst['high']:.0%}], where {alone[worst['field']]['value']:.0%} are if each row is "
            "asked twice alone."
        )
    worst = max(compared, key=lambda row: row["loss_high"])
    points = f"{100 * worst['loss_high']:.1f} percentage points"
    if worst["loss_high"] <= _MARGIN:
        return (
            f"Keep chunk_size={chunk_size}: with {chunk_size} rows in a request, and in another "
            "place of it, answers are as alike as if each row is asked twice alone, or at most "
            f"{points} less."
        )
    return (
        f"{counted(worst['n'], 'row')} do not tell: answers to {worst['field']} may be up to "
        f"{points} less alike with {chunk_size} rows in a request than if each is asked twice "
        "alone. Take a larger n=, or chunk_size=1 to be safe."
    )
