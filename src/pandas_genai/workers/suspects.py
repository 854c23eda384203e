"""Rows that failed in an earlier run: asked last, and where they failed a whole request, alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pandas_genai.task.chunks import Chunk, plan_chunks
from pandas_genai.task.inputs import Inputs, Value
from pandas_genai.task.rows import Rows

__all__ = ["ALONE", "TOGETHER", "remembered", "suspect_chunks"]

ALONE = frozenset(
    {
        "bad request",
        "connection",
        "content filter",
        "invalid reply",
        "refusal",
        "reply too large",
        "request too large",
        "server error",
        "timeout",
        "truncated",
    }
)
"""Reasons for which a request fails as a whole: such a row takes its neighbours along."""

TOGETHER = frozenset({"doubled in reply", "invalid answer", "missing in reply"})
"""Reasons that are one row's own, whoever else is in the request."""


def remembered(rows: Rows, wanted: Sequence[int], failed: Mapping[str, str]) -> dict[int, str]:
    """Return which wanted rows failed before for a reason of their own, and for which.

    Parameters
    ----------
    rows : Rows
        The distinct inputs of the frame.
    wanted : sequence of int
        Which of them are asked, as places in ``rows.keys``.
    failed : mapping
        From row key to the latest reason.
    """
    if not failed:
        return {}
    own = {key: reason for key, reason in failed.items() if reason in ALONE | TOGETHER}
    keys = zip(wanted, rows.keys.take(wanted), strict=True)
    return {place: own[key] for place, key in keys if key in own}


def suspect_chunks(
    rows: Rows,
    suspects: Mapping[int, str],
    inputs: Inputs | Sequence[Value],
    chunk_size: int,
    *,
    first: int = 0,
    most_bytes: float | None = None,
) -> Iterator[Chunk]:
    """Cut rows that failed before into chunks; see ``plan_chunks``."""
    for reasons, size in ((TOGETHER, chunk_size), (ALONE, 1)):
        places = [place for place, reason in suspects.items() if reason in reasons]
        if places:
            for chunk in plan_chunks(
                rows, places, inputs, size, first=first, most_bytes=most_bytes
            ):
                yield replace(chunk, suspect=True)
