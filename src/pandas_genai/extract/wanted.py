"""Which texts a run asks: those that have no answer yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from pandas_genai.runs.answers import answered
from pandas_genai.runs.failures import NOT_ASKED, NOT_TRIED
from pandas_genai.store import AnswerStore
from pandas_genai.task.chunks import Row
from pandas_genai.task.inputs import NO_INPUT
from pandas_genai.task.reply import Failure, Refusal
from pandas_genai.task.rows import Keys, Positions, Rows

__all__ = ["Leave", "Wanted", "all_of", "failed_before"]

Leave: TypeAlias = Callable[[Rows, Positions], dict[int, Refusal]]
"""Returns which of some texts without an answer are not asked either, and why."""


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
    leave : callable, optional
        What of them is not asked.

    Attributes
    ----------
    first : ndarray of int
        Those that were found now; none only where there is nothing to ask.
    at_most : int
        How many there can be.
    asked : int
        Rows of the frame that are to be asked, as far as answers were read; with repeats, answers.
    left : int
        Those that have no answer and are not asked.
    """

    def __init__(
        self,
        rows: Rows,
        blocks: Iterator[tuple[Positions, Positions]],
        *,
        at_once: bool,
        leave: Leave | None = None,
    ) -> None:
        self._rows = rows
        self._blocks = blocks
        self._at_once = at_once
        self._leave = leave
        self._refusals: dict[int, Refusal] = {}
        self.asked = rows.sent * rows.repeats
        self.left = 0
        self._touched: list[Positions] = []
        found = [np.empty(0, dtype=np.int64)]
        for missing in self._rest():
            found.append(missing)
            if not at_once:
                break
        self.first = np.sort(np.concatenate(found))
        self.at_most = len(self.first) if at_once else len(rows.keys)

    def _rest(self) -> Iterator[Positions]:
        copies = self._rows.copies
        for looked, found in self._blocks:
            missing = found
            if self._leave is not None:
                left = self._leave(self._rows, found)
                self._refusals |= left
                missing = found[~np.isin(found, list(left))]
                self.left += int(copies[found].sum() - copies[missing].sum())
            self.asked -= int(copies[looked].sum() - copies[missing].sum())
            if self._rows.repeats > 1:
                self._touched.append(found)
            if len(missing):
                yield missing

    @property
    def known(self) -> int:
        """How many rows of the frame have all their answers, as far as answers were read."""
        if self._rows.repeats == 1:
            return self._rows.sent - self.asked - self.left
        return self._rows.sent - self._rows.rows_of(np.concatenate([np.empty(0), *self._touched]))

    def blocks(self, multiple: int) -> Iterator[Positions]:
        """Return them a block at a time, each but the last a multiple of so many."""
        waiting = self.first
        if not self._at_once and len(waiting) >= multiple:
            whole = len(waiting) // multiple * multiple
            yield waiting[:whole]  # before others are looked for
            waiting = waiting[whole:]
        for missing in self._rest():
            whole = len(waiting) // multiple * multiple
            if whole:
                yield waiting[:whole]
            waiting = np.concatenate([waiting[whole:], missing])
        if len(waiting):
            yield waiting

    def failures(self) -> list[Failure]:
        """Return the texts that have no answer and are not asked."""
        keys = self._rows.keys.take(list(self._refusals))
        return [
            Failure(Row(key, "", NO_INPUT, 0), refusal, 0)
            for key, refusal in zip(keys, self._refusals.values(), strict=True)
        ]


def all_of(_: Rows, places: Positions) -> dict[int, Refusal]:
    """Leave everything: nothing is asked offline."""
    message = "The cache has no answer, and offline=True asks nothing."
    return dict.fromkeys(places.tolist(), Refusal(NOT_ASKED, message))


def failed_before(cache: AnswerStore, prompt_hash: str) -> Leave:
    """Leave what failed in an earlier run.

    Where each row is asked several times, that is a single answer that failed; and each answer to a
    row that failed when it was asked less often and has no answer at all.

    Parameters
    ----------
    cache : AnswerStore
        What remembers it.
    prompt_hash : str
        The task.
    """
    reasons = cache.failed(prompt_hash)
    since = cache.present(prompt_hash, list(reasons))
    failed = {
        key: reason
        for key, reason in reasons.items()
        if reason not in NOT_TRIED and key not in since
    }
    message = "It failed in an earlier run; retry_failed=True asks it again."

    def leave(rows: Rows, places: Positions) -> dict[int, Refusal]:
        own = map(failed.get, rows.keys.take(places))
        left = {place: reason for place, reason in zip(places.tolist(), own, strict=True) if reason}
        if rows.repeats > 1 and failed:
            rest = np.setdiff1d(places, list(left))
            left |= _of_failed_rows(cache, prompt_hash, failed, rows, rest)
        return {place: Refusal(reason, message) for place, reason in left.items()}

    return leave


def _of_failed_rows(
    cache: AnswerStore, prompt_hash: str, failed: Mapping[str, str], rows: Rows, places: Positions
) -> dict[int, str]:
    """Return which answers are to rows that failed and have no answer at all, and why those did."""
    firsts = rows.keys.take(places % rows.inputs)
    places = places[np.array([key in failed for key in firsts], dtype=bool)]
    every = places % rows.inputs + np.arange(rows.repeats)[:, None] * rows.inputs
    there = answered(cache, prompt_hash, Keys(rows.keys.at(every.ravel())))
    places = places[~there.reshape(every.shape).any(axis=0)]
    firsts = rows.keys.take(places % rows.inputs)
    return dict(zip(places.tolist(), map(failed.__getitem__, firsts), strict=True))
