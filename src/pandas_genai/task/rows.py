"""The distinct texts of an input: equal texts are one question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pandas_genai.task.fingerprint import text_hash

__all__ = ["Rows", "distinct_rows"]

_NEVER_SENT = -1


@dataclass(frozen=True)
class Rows:
    """Which rows of the input ask the same.

    Parameters
    ----------
    keys : list of str
        The hash of each distinct text, in order of first appearance.
    first : list of int
        The first row that has the text; as long as ``keys``.
    copies : ndarray of int
        How many rows have it; as long as ``keys``.
    codes : ndarray of int
        For each row of the input its place in ``keys``; -1 where nothing is sent.
    empty, unsendable : list of int
        The rows without text, and those whose text no request can carry.
    """

    keys: list[str]
    first: list[int]
    copies: npt.NDArray[Any]
    codes: npt.NDArray[np.int64]
    empty: list[int]
    unsendable: list[int]

    def __len__(self) -> int:
        return len(self.codes)


def distinct_rows(texts: Sequence[str | None]) -> Rows:
    """Find the distinct texts among the texts of all rows; None is no text."""
    codes = np.full(len(texts), _NEVER_SENT, dtype=np.int64)
    place: dict[str, int] = {}
    first: list[int] = []
    empty: list[int] = []
    unsendable: list[int] = []
    for position, text in enumerate(texts):
        if text is None:
            empty.append(position)
            continue
        try:
            key = text_hash(text)
        except UnicodeEncodeError:
            unsendable.append(position)
            continue
        found = place.setdefault(key, len(first))
        if found == len(first):
            first.append(position)
        codes[position] = found
    copies = np.bincount(codes[codes >= 0], minlength=len(first))
    return Rows(list(place), first, copies, codes, empty, unsendable)
