"""Which rows are drawn for coding by hand: the same for the same call, and kept when n grows.

Every row has a permanent random number, made of its index label and the seed. Of each stratum the
rows with the smallest numbers are drawn, so that neither the order of the frame nor the version of
any package matters. Rows are allotted to strata one by one, in a sequence that does not depend on
how many there will be: a larger sample holds every row of a smaller one.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError, counted, printable
from pandas_genai.runs.report import label_json
from pandas_genai.validity.design import Design, Stratum, population_id, row_hashes, row_ids

__all__ = ["Allocation", "draw", "failed_rows", "strata_of", "ungrounded_rows"]

Allocation: TypeAlias = Literal["equal", "proportional"]
Positions: TypeAlias = npt.NDArray[np.int64]

_ALL = "all"
_MISSING = "(missing)"
_GROUNDED = "_grounded"
_UNGROUNDED = ("not found", "ambiguous")
_EACH = 2
"""Rows of a stratum without which there is no standard error."""
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def strata_of(sources: Sequence[pd.Series[Any]], length: int) -> list[str]:
    """Return the name of each row's stratum: the values of its sources, crossed.

    Parameters
    ----------
    sources : sequence of Series
        One for each column that makes strata; none: one stratum of all rows.
    length : int
        Rows.
    """
    if not sources:
        return [_ALL] * length
    columns = [[_name(value) for value in source.tolist()] for source in sources]
    return [" / ".join(names) for names in zip(*columns, strict=True)]


def _name(value: Any) -> str:
    missing = pd.api.types.is_scalar(value) and bool(pd.isna(value))
    return _MISSING if missing else printable(value)


def failed_rows(answers: pd.DataFrame) -> pd.Series[Any]:
    """Return for each row whether it is ``failed``, without any answer, or ``answered``."""
    failed = answers.isna().all(axis="columns")
    return failed.map({True: "failed", False: "answered"})


def ungrounded_rows(labels: pd.DataFrame) -> pd.Series[Any]:
    """Return for each row whether it is ``ungrounded``: a quote is not found, or is ambiguous.

    Raises
    ------
    UsageError
        If no evidence was asked for.
    """
    columns = [name for name in labels.columns if str(name).endswith(_GROUNDED)]
    if not columns:
        raise UsageError(
            "stratify='ungrounded' needs labels with quotes: ask with extract(..., evidence=True)."
        )
    ungrounded = labels[columns].map(_is_ungrounded).any(axis="columns")
    return ungrounded.map({True: "ungrounded", False: "grounded"})


def _is_ungrounded(grounded: object) -> bool:
    """Whether a quote, or one of those of a list, has no place that it must be."""
    several = grounded if isinstance(grounded, list) else [grounded]
    return any(one in _UNGROUNDED for one in several)


def draw(
    index: pd.Index,
    strata: Sequence[str],
    n: int,
    *,
    seed: int,
    has_text: npt.NDArray[np.bool_],
    allocation: Allocation = "equal",
    stratified_by: Sequence[str] = (),
    run_id: str = "",
    prompt_hash: str = "",
) -> tuple[Positions, Design]:
    """Draw rows without replacement.

    Parameters
    ----------
    index : Index
        Of the frame of labels.
    strata : sequence of str
        The stratum of each row.
    n : int
        How many rows are drawn.
    seed : int
        Other rows are drawn with another one.
    has_text : ndarray of bool
        Whether there is something to read; other rows are not drawn.
    allocation : {"equal", "proportional"}
        ``equal``: as many rows of each stratum, and all of one that is smaller. ``proportional``:
        two rows of each, as far as there are two, then by size.
    stratified_by : sequence of str
        What makes the strata, for the design.
    run_id, prompt_hash : str
        Of the labels, for the design.

    Returns
    -------
    positions : ndarray of int
        Where the rows drawn stand, in random order.
    design : Design

    Raises
    ------
    UsageError
        If the labels of the index are not unique, or n is too large or too small.
    """
    _check_unique(index)
    places = np.flatnonzero(has_text)
    codes, names = pd.factorize(np.asarray(strata, dtype=object)[places], sort=True)
    sizes = np.bincount(codes, minlength=len(names)).tolist()
    _check_size(n, sizes, len(index))
    drawn = _allotted(sizes, n, allocation)
    order = np.argsort(_numbers(index[places], seed), kind="stable")
    rank = np.empty(len(places), dtype=np.int64)
    seen = codes[order]
    for stratum in range(len(names)):
        mine = order[seen == stratum]
        rank[mine] = np.arange(len(mine))
    chosen = order[rank[order] < np.asarray(drawn)[seen]]
    positions = places[chosen]
    rows = dict(zip(row_ids(index[positions]), codes[chosen].tolist(), strict=True))
    design = Design(
        tuple(map(Stratum, map(str, names), sizes, drawn)),
        rows,
        seed,
        population_id(index),
        tuple(stratified_by),
        allocation,
        len(index) - len(places),
        run_id,
        prompt_hash,
    )
    return positions, design


def _check_unique(index: pd.Index) -> None:
    if index.is_unique:
        return
    label = printable(label_json(index[index.duplicated()][0]), 60)
    raise UsageError(
        f"The index has the label {label} more than once, and hand codes are put beside their rows "
        "by it: write df = df.reset_index(drop=True) and ask again (what is in the cache costs "
        "nothing)."
    )


def _check_size(n: int, sizes: Sequence[int], rows: int) -> None:
    population = sum(sizes)
    if not population:
        raise UsageError("There is nothing to code: no row of this frame has a text.")
    if n > population:
        without = (
            f" ({counted(rows - population, 'row')} without text)" if rows > population else ""
        )
        raise UsageError(
            f"n={n:,} is more than the {counted(population, 'row')} that can be drawn{without}: "
            f"n={population} draws all of them."
        )
    if n < len(sizes):
        raise UsageError(
            f"n={n} is too small for {len(sizes):,} strata: a row of each has to be drawn to stand "
            f"for the others. Draw at least {len(sizes):,}, better {_EACH * len(sizes):,}, or "
            "stratify by what has fewer values."
        )


def _allotted(sizes: Sequence[int], n: int, allocation: Allocation) -> list[int]:
    """Return how many rows each stratum gets, as the first n of a sequence without end."""
    drawn = [0] * len(sizes)
    queue = [(_turn(0, size, allocation), place) for place, size in enumerate(sizes)]
    heapq.heapify(queue)
    for _ in range(n):
        _, place = heapq.heappop(queue)
        drawn[place] += 1
        if drawn[place] < sizes[place]:
            heapq.heappush(queue, (_turn(drawn[place], sizes[place], allocation), place))
    return drawn


def _turn(drawn: int, size: int, allocation: Allocation) -> tuple[float, float]:
    """Return when a stratum gets its next row; the smaller, the sooner.

    In proportion it is the divisor method of Sainte-Lague, which never takes a seat away from
    anybody when there are more of them.
    """
    if allocation == "equal" or drawn < _EACH:
        return drawn - _EACH, -size
    return (2 * drawn + 1) / size, -size


def _numbers(index: pd.Index, seed: int) -> npt.NDArray[np.uint64]:
    """Return the permanent random number of each row, 64 bits each."""
    return _mixed(row_hashes(index) ^ _mixed(np.array([seed % 2**64], dtype=np.uint64)))


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix the bits of numbers, as the generator SplitMix64 does."""
    values = values + np.uint64(_GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))
