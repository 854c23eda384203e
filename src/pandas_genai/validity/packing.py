"""Whether answers depend on what else is in a request, and on where in it a row stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import counted
from pandas_genai.validity.compare import Comparison, equal
from pandas_genai.validity.intervals import t_quantile, wilson

__all__ = ["AGAIN", "ALONE", "MOVED", "PACKED", "REPACKED", "PackingCheck", "check_packing"]
__all__ += ["moved"]

ALONE, AGAIN, PACKED, REPACKED, MOVED = "alone", "alone again", "packed", "packed again", "moved"
"""The ways of asking: each row alone, and once more; several in a request, and once more; those
same requests with every row in another place."""

_PAIRS = {
    "asked twice": (ALONE, AGAIN),
    "packing": (ALONE, PACKED),
    "position": (PACKED, MOVED),
    "packed twice": (PACKED, REPACKED),
}
_EFFECTS = {
    "packing": (
        ((ALONE, AGAIN), (PACKED, REPACKED)),
        ((ALONE, PACKED), (ALONE, REPACKED), (AGAIN, PACKED), (AGAIN, REPACKED)),
    ),
    "position": (((PACKED, REPACKED),), ((PACKED, MOVED), (REPACKED, MOVED))),
}
"""Of each effect the pairs of answers to the same request, and those across what is compared."""
_Answers: TypeAlias = Mapping[str, "pd.Series[Any]"]
_Pairs: TypeAlias = Sequence[tuple[str, str]]

_MARGIN = 0.05
"""Answers are alike where at most so much more of them differ than do to the same request."""


@dataclass(frozen=True, repr=False)
class PackingCheck:
    """How alike answers are when rows share a request, and in another place of it.

    Attributes
    ----------
    agreement : DataFrame
        For each field (``field``) and comparison (``comparison``: ``asked twice``, each row alone
        two times; ``packing``, alone and packed; ``position``, packed and in another place of the
        same request; ``packed twice``) the share of rows with equal answers, ``value``, with its
        95 % interval, ``low`` and ``high``, and the rows that have both answers, ``n``; and how
        much less alike answers are than those to the same request, ``loss``, with ``loss_low`` and
        ``loss_high``. It is 0 on average where packing, or the position, changes no row's chances
        of an answer, otherwise above. Rows of one request are no independent cases: intervals
        count requests.
    sentence : str
        What to choose.
    chunk_size : int
        Rows that shared a request.
    comparison : Comparison
        The five results side by side, as ``pandas_genai.compare`` has them.
    """

    agreement: pd.DataFrame
    sentence: str
    chunk_size: int
    comparison: Comparison = field(repr=False)

    def changed(self, first: str = ALONE, second: str = PACKED) -> pd.DataFrame:
        """List the rows that two ways of asking answer differently, with their texts.

        Parameters
        ----------
        first, second : {"alone", "alone again", "packed", "packed again", "moved"}
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
    """Compare the ways of asking.

    Parameters
    ----------
    comparison : Comparison
        Of the five results, rows that shared a request one after the other.
    chunk_size : int
        Rows a request.
    """
    rows = []
    for name in comparison.fields:
        answers = {way: frame[name] for way, frame in comparison.frames.items()}
        for what, (first, second) in _PAIRS.items():
            requests = np.arange(len(answers[first])) // (1 if second == AGAIN else chunk_size)
            share = _Share.of(answers, [(first, second)], requests)
            row = {"field": name, "comparison": what, **share.row()}
            if what in _EFFECTS:
                row |= _loss(answers, *_EFFECTS[what], requests)
            rows.append(row)
    table = pd.DataFrame(rows)
    return PackingCheck(table, _sentence(table, chunk_size), chunk_size, comparison)


@dataclass(frozen=True)
class _Share:
    """The share of rows with equal answers, and by how much each request deviates from it."""

    value: float
    n: int
    variance: float
    sums: npt.NDArray[np.float64]

    @classmethod
    def of(cls, answers: _Answers, pairs: _Pairs, requests: npt.NDArray[np.int64]) -> _Share:
        """Take the mean over pairs of ways, of the rows that have answers of all of them."""
        ways = {way for pair in pairs for way in pair}
        both = np.logical_and.reduce([answers[way].notna().to_numpy() for way in ways])
        alike = [equal(answers[one], answers[other])[both] for one, other in pairs]
        found = np.mean(np.array(alike, dtype=np.float64), axis=0)
        value = float(found.mean()) if len(found) else np.nan
        sums = np.bincount(pd.factorize(requests[both])[0], weights=found - value)
        variance = float(found.var()) if len(found) else np.nan
        return cls(value, len(found), variance, np.asarray(sums, dtype=np.float64))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, for which a request is one case."""
        if not self.n:
            return np.nan, np.nan
        groups = len(self.sums)
        se = float(np.sqrt(groups / max(groups - 1, 1) * (self.sums**2).sum())) / self.n
        # Rows of one request that differ less than chance would have it are no better evidence.
        se = max(se, float(np.sqrt(self.variance / self.n)))
        return wilson(self.value, se, self.n, t_quantile(groups - 1))

    def row(self) -> dict[str, Any]:
        """Return it with its interval."""
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high, "n": self.n}


def _loss(
    answers: _Answers, same: _Pairs, across: _Pairs, requests: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Return how much less alike answers are than those to the same request.

    Of chances p and q of a row's answers it estimates half the squared distance between them,
    which noise alone does not move from 0. The interval is made of those of both shares and of
    their correlation (Zou 2007).
    """
    ways = {way for pair in (*same, *across) for way in pair}
    missing = np.logical_or.reduce([answers[way].isna().to_numpy() for way in ways])
    given = {way: answers[way].mask(missing) for way in ways}
    twice, other = _Share.of(given, same, requests), _Share.of(given, across, requests)
    (low, high), (least, most) = twice.interval, other.interval
    spread = np.sqrt((twice.sums @ twice.sums) * (other.sums @ other.sums))
    correlation = float(twice.sums @ other.sums / spread) if spread > 0 else 0.0

    def joined(one: float, another: float) -> float:
        return float(np.sqrt(max(one**2 + another**2 - 2 * correlation * one * another, 0.0)))

    loss = twice.value - other.value
    below = joined(twice.value - low, most - other.value)
    above = joined(high - twice.value, other.value - least)
    return {"loss": loss, "loss_low": loss - below, "loss_high": loss + above}


def _sentence(table: pd.DataFrame, chunk_size: int) -> str:
    """Say what to choose."""
    rows = table.to_dict("records")
    twice = {(row["field"], row["comparison"]): row["value"] for row in rows}
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
            f"{worst['high']:.0%}], where {twice[worst['field'], 'asked twice']:.0%} are if each "
            f"row is asked twice alone, and {twice[worst['field'], 'packed twice']:.0%} if packed "
            "requests are made twice."
        )
    worst = max(compared, key=lambda row: row["loss_high"])
    points = f"{100 * worst['loss_high']:.1f} percentage points"
    if worst["loss_high"] <= _MARGIN:
        return (
            f"Keep chunk_size={chunk_size}: with {chunk_size} rows in a request, and in another "
            "place of it, answers are as alike as if each request is made twice, or at most "
            f"{points} less."
        )
    return (
        f"{counted(worst['n'], 'row')} do not tell: answers to {worst['field']} may be up to "
        f"{points} less alike with {chunk_size} rows in a request than if each request is made "
        "twice. Take a larger n=, or chunk_size=1 to be safe."
    )
