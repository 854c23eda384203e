"""The distinct inputs of a large frame before there are keys: those take longer than all else."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from itertools import islice
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.task.inputs import Inputs, digests
from pandas_genai.task.rows import Keys, Positions, Rows, distinct_rows, firsts

__all__ = ["LaterKeys", "large_rows"]

_BLOCK = 10_000
_WIDTH = 16


class LaterKeys(Keys):
    """Keys that are made when they are asked for, by whichever thread asks.

    Parameters
    ----------
    inputs : Inputs
        The inputs of all rows of the frame.
    first : ndarray of int
        A row that has the input of each key.
    """

    made_later = True

    def __init__(self, inputs: Inputs, first: Positions) -> None:
        super().__init__(np.zeros((len(first), _WIDTH), dtype=np.uint8))
        self._inputs = inputs
        self._first = first
        self._made = np.zeros(len(first), dtype=bool)
        self._lock = threading.Lock()

    @property
    def table(self) -> npt.NDArray[np.uint8]:
        """Sixteen bytes a key, in rows."""
        self._make(np.arange(len(self)))
        return self._table

    def at(self, places: Any) -> npt.NDArray[np.uint8]:
        """Return the bytes of the keys at these places, in rows."""
        if isinstance(places, slice):
            places = np.arange(*places.indices(len(self)))
        self._make(np.atleast_1d(np.asarray(places, dtype=np.int64)))
        return super().at(places)

    def _make(self, places: Positions) -> None:
        missing = places[~self._made[places]]
        for start in range(0, len(missing), _BLOCK):
            block = missing[start : start + _BLOCK]
            with self._lock:  # let go after each block: others may need only a few
                block = block[~self._made[block]]
                self._table[block] = _digests(self._inputs, self._first[block])
                self._made[block] = True


def large_rows(inputs: Inputs, hashed: Callable[[str], int] = hash) -> Rows:
    """Find the distinct inputs as ``distinct_rows`` does, and make keys of few of them.

    Texts that have another number are others. Where several rows have one number, their keys are
    made now, and must be equal. Where inputs are no texts, or many are equal, all keys are.

    Parameters
    ----------
    inputs : Inputs
        The inputs of all rows of the frame.
    hashed : callable, default ``hash``
        Returns the number of a text, of 64 bits.
    """
    found = _hashed(inputs, hashed)
    if found is None:
        return distinct_rows(inputs)
    hashes, sizes, empty = found
    sent = np.ones(len(hashes) + len(empty), dtype=bool)
    sent[empty] = False
    positions = np.flatnonzero(sent)
    places, distinct = pd.factorize(hashes)
    first = firsts(places, len(distinct))
    keys = LaterKeys(inputs, positions[first])
    again = np.ones(len(places), dtype=bool)
    again[first] = False
    others = np.flatnonzero(again)
    if len(others) > len(first) or not _are_equal(inputs, keys, positions, places, others):
        return distinct_rows(inputs)
    codes = np.full(len(sent), -1, dtype=np.int64)
    codes[positions] = places
    copies = np.bincount(places, minlength=len(first))
    return Rows(keys, positions[first], copies, codes, empty, [], sizes[first])


def _hashed(
    inputs: Inputs, hashed: Callable[[str], int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[int]] | None:
    """Return number and size of each text, and the rows without one; None if some are no texts."""
    hashes, sizes, empty = array("q"), array("q"), list[int]()
    waiting, total = iter(inputs), 0
    while block := list(islice(waiting, _BLOCK)):
        kinds = set(map(type, block))
        if not kinds <= {str, NoneType}:
            return None
        texts: list[Any] = block
        if NoneType in kinds:
            empty += [total + place for place, text in enumerate(block) if text is None]
            texts = [text for text in block if text is not None]
        try:
            sizes.extend([len(text) if text.isascii() else len(text.encode()) for text in texts])
        except UnicodeEncodeError:  # no request can carry it
            return None
        hashes.extend(map(hashed, texts))
        total += len(block)
    return np.frombuffer(hashes, np.int64), np.frombuffer(sizes, np.int64), empty


def _are_equal(
    inputs: Inputs, keys: Keys, positions: Positions, places: Positions, others: Positions
) -> bool:
    """Whether rows that have the hash of one before have its input, too."""
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        theirs = _digests(inputs, positions[block])
        if (theirs != keys.at(places[block])).any():
            return False
    return True


def _digests(inputs: Inputs, positions: Positions) -> npt.NDArray[np.uint8]:
    found = digests(inputs.values(positions.tolist()), array("q")).table
    if len(found) != len(positions):
        raise UsageError("The frame was changed while its rows were asked: run the cell again.")
    return found
