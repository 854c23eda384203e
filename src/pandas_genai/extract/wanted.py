"""Which texts a run asks: those that have no answer yet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pandas_genai.task.rows import Positions, Rows

__all__ = ["Wanted"]


class Wanted:
    """The texts to be asked, as places in ``rows.keys``, found while answers are read.

    Of a large frame the first are handed out before all answers are read: the rest is found by
    whoever takes blocks, while those before are asked.

    Parameters
    ----------
    rows : Rows
        The distinct inputs of the frame.
    blocks : iterator of pairs of ndarray
        Some places each time, and which of them have no answer.
    at_once : bool
        Whether all are found now.

    Attributes
    ----------
    first : ndarray of int
        Those that were found now; none only where there is nothing to ask.
    at_most : int
        How many there can be.
    asked : int
        Rows of the frame that have no answer, as far as answers were read.
    """

    def __init__(
        self, rows: Rows, blocks: Iterator[tuple[Positions, Positions]], *, at_once: bool
    ) -> None:
        self._rows = rows
        self._blocks = blocks
        self.asked = rows.sent
        found = [np.empty(0, dtype=np.int64)]
        for missing in self._rest():
            found.append(missing)
            if not at_once:
                break
        self.first = np.sort(np.concatenate(found))
        self.at_most = len(self.first) if at_once else len(rows.keys)

    def _rest(self) -> Iterator[Positions]:
        copies = self._rows.copies
        for looked, missing in self._blocks:
            self.asked -= int(copies[looked].sum() - copies[missing].sum())
            if len(missing):
                yield missing

    def blocks(self, multiple: int) -> Iterator[Positions]:
        """Return them a block at a time, each but the last a multiple of so many."""
        waiting = self.first
        for missing in self._rest():
            whole = len(waiting) // multiple * multiple
            if whole:
                yield waiting[:whole]
            waiting = np.concatenate([waiting[whole:], missing])
        if len(waiting):
            yield waiting
