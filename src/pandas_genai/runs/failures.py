"""The rows without an answer: collected once, shown, saved and warned of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pandas_genai.errors import counted, warn_user
from pandas_genai.runs.report import errors_frame, label_json
from pandas_genai.store import FailureRecord
from pandas_genai.store.parts import POSITIONS
from pandas_genai.task.reply import Failure
from pandas_genai.task.rows import Rows

__all__ = ["EMPTY_TEXT", "IN_PROGRESS", "NOT_ASKED", "NOT_FAILED", "NOT_REACHED", "NOT_SUBMITTED"]
__all__ += ["NOT_TRIED"]
__all__ += [
    "DuplicateIndexWarning",
    "FailedRow",
    "RowsFailedWarning",
    "answer_records",
    "as_frame",
    "as_records",
    "failed_rows",
    "reasons_text",
]
__all__ += ["warn_of"]

EMPTY_TEXT = "empty text"
"""The reason of a row that was never sent because there was nothing to send."""

IN_PROGRESS = "in progress"
"""The reason of a row whose batch has not ended yet."""

NOT_SUBMITTED = "not submitted"
"""The reason of a row that came into the frame after the job was submitted."""

NOT_REACHED = "not reached"
"""The reason of a row that the run ended before."""

NOT_ASKED = "not asked"
"""The reason of a row that has no answer in the cache, and nothing was to be asked."""

NOT_FAILED = frozenset({EMPTY_TEXT, IN_PROGRESS, NOT_ASKED, NOT_REACHED})
"""The reasons of rows that are not answered, and yet nothing went wrong."""

NOT_TRIED = NOT_FAILED | {NOT_SUBMITTED}
"""The reasons of rows that no request was made for, or whose request has not ended."""


class RowsFailedWarning(UserWarning):
    """Some rows of a run have no answer."""


class DuplicateIndexWarning(UserWarning):
    """What names the rows does so more than once: pandas' ``join`` and ``merge`` multiply rows."""


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row of the input without an answer."""

    position: int
    key: str | None
    reason: str
    message: str
    attempts: int = 0
    request_id: str | None = None


def failed_rows(rows: Rows, failures: Iterable[Failure]) -> list[FailedRow]:
    """List every row of the input that has no answer, in the input's order.

    With repeats that is a row none of whose questions was answered.
    """
    found = [
        FailedRow(position, None, EMPTY_TEXT, "There is no text to send.")
        for position in rows.empty
    ]
    found += [
        FailedRow(position, None, "unsendable text", "The text holds a half of a surrogate pair.")
        for position in rows.unsendable
    ]
    by_key = {failure.row.key: failure for failure in failures}
    if by_key:
        without = np.array([key in by_key for key in rows.keys], dtype=bool)
        places = np.flatnonzero(without.reshape(rows.repeats, -1).all(axis=0)).tolist()
        found += _by_position(rows, places, by_key)
    return sorted(found, key=lambda row: row.position)


def _by_position(
    rows: Rows, places: Sequence[int], by_key: dict[str, Failure]
) -> Iterator[FailedRow]:
    positions = np.flatnonzero(np.isin(rows.codes, places))
    keys = rows.keys.take(rows.codes[positions])
    for position, key in zip(positions.tolist(), keys, strict=True):
        failure = by_key[key]
        yield FailedRow(
            position,
            failure.row.key,
            failure.refusal.reason,
            failure.refusal.message,
            failure.attempts,
            failure.request_id,
        )


def as_frame(found: Sequence[FailedRow], index: pd.Index) -> pd.DataFrame:
    """Return the failed rows as a frame under the input's labels."""
    labels = index.take([row.position for row in found])
    cells = [(row.reason, row.message, row.attempts, row.request_id) for row in found]
    return errors_frame(labels, cells)


def as_records(
    found: Sequence[FailedRow], index: pd.Index, run_id: str, first: int = 0
) -> list[FailureRecord]:
    """Return the failed rows as records of the cache's table ``failures``, positions from first on.

    Rows in progress, or not asked, have none: each look at a job of a million rows would add a
    million.
    """
    return [
        FailureRecord(
            run_id=run_id,
            position=first + row.position,
            label=label_json(index[row.position]),
            text_hash=row.key,
            reason=row.reason,
            message=row.message,
            attempts=row.attempts,
            request_id=row.request_id,
        )
        for row in found
        if row.reason not in {IN_PROGRESS, NOT_ASKED}
    ]


def answer_records(
    rows: Rows, failures: Iterable[Failure], run_id: str, first: int = 0
) -> list[FailureRecord]:
    """Return the single answers that failed where each row was asked several times.

    They are records without a label at positions behind those of all rows, so that a later run can
    leave them alone; a row that has other answers has not failed.
    """
    failed = {one.row.key: one for one in failures if one.refusal.reason not in NOT_TRIED}
    if rows.repeats == 1 or not failed:
        return []
    return [
        FailureRecord(
            run_id=run_id,
            position=first + POSITIONS // 2 + place,
            label=None,
            text_hash=key,
            reason=failed[key].refusal.reason,
            message=failed[key].refusal.message,
            attempts=failed[key].attempts,
            request_id=failed[key].request_id,
        )
        for place, key in enumerate(rows.keys)
        if key in failed
    ]


def reasons_text(found: Sequence[FailedRow]) -> str:
    """Return the reasons with their counts, the most frequent first."""
    counts = Counter(row.reason for row in found)
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())


def warn_of(found: Sequence[FailedRow], total: int) -> None:
    """Say in one line how many rows have no answer, at the user's line of code."""
    found = [row for row in found if row.reason != IN_PROGRESS]
    if found:
        have = "has" if total == 1 else "have"
        warn_user(
            f"{len(found):,} of {counted(total, 'row')} {have} no answer "
            f"({reasons_text(found)}); see .genai.errors of the result.",
            RowsFailedWarning,
        )
