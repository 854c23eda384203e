"""Parts of a run: what several workers ask at the same time, counted into one record."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pandas_genai.store.readable import mapping_of, moment_of, texts_of
from pandas_genai.store.records import RunRecord, named

__all__ = [
    "BLOCKS",
    "POSITIONS",
    "STOP",
    "SUPERSEDED",
    "Attempt",
    "Counted",
    "PartRecord",
    "counted",
]

POSITIONS = 1 << 32
"""Failures of a part stand at positions from its number times this on."""

BLOCKS = 1 << 10
"""Blocks of row keys of a part have numbers from its number times this on."""

SUPERSEDED = "superseded"
"""The status of an attempt after which another began."""

STOP = "Stopped by the user."
"""The message of a run that no part may begin in until somebody computes it again."""

_TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
_SPENT = ("calls", "retries", "unknown_calls", *_TOKENS)
_ROWS = ("rows", "ok", "failed", "cached", "empty", "twins")
_HOLDS = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What one attempt at a part of a run has done so far.

    Parameters
    ----------
    part : int
        Its number, in the order of the input.
    attempt : str
        Identity of the attempt: a worker that dies leaves the part to another.
    counts : RunRecord
        The counts of this attempt alone, under the run's id.
    """

    part: int
    attempt: str
    counts: RunRecord


class Attempt(NamedTuple):
    """An attempt at a part as a store keeps it: its counts are a JSON object."""

    attempt: str
    status: str
    counts: str


class Counted(NamedTuple):
    """What a store writes down when an attempt has counted.

    Parameters
    ----------
    run : RunRecord
        The run, all its parts together.
    attempt : Attempt
        The attempt.
    is_new : bool
        Whether it is the first word of it: what the part's attempts before it left is forgotten.
    """

    run: RunRecord
    attempt: Attempt
    is_new: bool


def counted(
    run: RunRecord | None, attempts: Sequence[Attempt], others: Collection[str], record: PartRecord
) -> Counted:
    """Count what an attempt says of itself into the record of its run.

    Rows are those of the latest attempt at each part; calls, tokens and cost are those of all
    attempts. A run that an error ended (``failed``), or its user (``STOP``), goes on when a part
    begins that had ended before, because then somebody computes it again, or a while later.

    Parameters
    ----------
    run : RunRecord or None
        The run so far; None before the first part.
    attempts : sequence of Attempt
        At the same part, the oldest first.
    others : collection of str
        The statuses of the latest attempts at other parts.
    record : PartRecord
        What is new; again and again it changes nothing.
    """
    counts = record.counts
    mine = next((one for one in attempts if one.attempt == record.attempt), None)
    before: Mapping[str, Any] = {} if mine is None else mapping_of(mine.counts)
    latest: Mapping[str, Any] = mapping_of(attempts[-1].counts) if attempts else {}
    if run is None:
        nothing: dict[str, Any] = dict.fromkeys((*_SPENT, *_ROWS), 0)
        run = replace(counts, **nothing, cost=None, models="[]")
    run = _with_spent(run, before, counts)
    if mine is not None and mine.status == SUPERSEDED:
        return Counted(run, mine._replace(counts=_written(counts)), is_new=False)
    rows = {
        name: getattr(run, name) + getattr(counts, name) - latest.get(name, 0) for name in _ROWS
    }
    run = _with_status(replace(run, **rows), counts, attempts, others, is_new=mine is None)
    attempt = Attempt(record.attempt, counts.status, _written(counts))
    return Counted(run, attempt, is_new=mine is None)


def _written(counts: RunRecord) -> str:
    return json.dumps(named(counts))


def _with_spent(run: RunRecord, before: Mapping[str, Any], counts: RunRecord) -> RunRecord:
    """Add what an attempt has used since it last counted."""
    spent = {
        name: getattr(run, name) + getattr(counts, name) - before.get(name, 0) for name in _SPENT
    }
    cost = run.cost
    if counts.cost is not None:
        cost = (run.cost or 0.0) + counts.cost - (before.get("cost") or 0.0)
    models = dict.fromkeys([*texts_of(run.models), *texts_of(counts.models)])
    return replace(
        run,
        **spent,
        cost=cost,
        models=json.dumps(list(models)),
        params_sent=_together(run.params_sent, counts.params_sent),
        params_dropped=_together(run.params_dropped, counts.params_dropped),
    )


def _together(run: str | None, part: str | None) -> str | None:
    """Return parameters of calls; those that were not the same in all have a list of values."""
    if run is None or part is None or run == part:
        return part if run is None else run
    known, new = mapping_of(run), mapping_of(part)
    for name in known.keys() | new.keys():
        old, value = known.get(name), new.get(name)
        values = old if isinstance(old, list) else [old]
        if value != old:
            more = value if isinstance(value, list) else [value]
            known[name] = [*values, *(one for one in more if one not in values)]
    return json.dumps(known, sort_keys=True)


def _with_status(
    run: RunRecord,
    counts: RunRecord,
    attempts: Sequence[Attempt],
    others: Collection[str],
    *,
    is_new: bool,
) -> RunRecord:
    if counts.status == "failed":
        return replace(run, status="failed", ended=counts.ended, message=counts.message)
    if counts.status == "running":
        # What was stopped may begin once more in the same computation, where tasks go in batches.
        again = run.message != STOP and any(
            one.status not in {"running", SUPERSEDED} for one in attempts
        )
        held = run.status == "failed" or run.message == STOP
        if is_new and (not held or again or _is_over(run.ended)):
            return replace(run, status="running", ended=None, message=None)
        return run
    if run.status != "running":
        return run
    found = {counts.status, *others}
    if "running" in found:
        return replace(run, message=counts.message or run.message)
    status = "stopped" if "stopped" in found else "completed"
    return replace(run, status=status, ended=counts.ended, message=counts.message or run.message)


def _is_over(ended: str | None) -> bool:
    """Whether a run ended so long ago that whoever begins a part computes it anew."""
    when = moment_of(ended)
    return when is None or datetime.now(UTC) - when > _HOLDS
