"""How far a job is, in numbers and in one line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from pandas_genai.batch.manifest import Manifest, Part
from pandas_genai.batch.stages import ENDED, job_stage
from pandas_genai.costs.prices import known_cost
from pandas_genai.errors import counted, printable
from pandas_genai.task.reply import Usage

__all__ = ["JobState", "moment"]


@dataclass(frozen=True, repr=False)
class JobState:
    """How far a job was when its provider was asked last.

    Parameters
    ----------
    name : str
        The job.
    stage : str
        ``not submitted``, ``submitting``, ``waiting for quota``, ``in progress``, ``ended`` (there
        are results to collect), ``collected``.
    rows : int
        Texts that were submitted, each counted once.
    answered, failed, expired : int
        Of them: in the cache; given up for now; among those, for want of time.
    worked_on : int
        Of the rest, as far as the provider says, already done there.
    batches, ended, waiting : int
        Batches; those that have ended; those that wait for quota.
    submitted, ends_by : datetime or None
        In UTC: the first batch's creation, the last one's end at the latest.
    usage : Usage
        Tokens of everything collected.
    cost : float or None
        Of it, in US dollars; None where the price is unknown.
    statuses : tuple of str
        The provider's word for each batch.
    odd_lines : dict
        What was odd about the results: ``unknown``, ``doubled`` and ``missing`` custom ids, and
        ``unreadable`` lines.
    lost : int
        Of the failed: those whose results the provider does not have any more.
    """

    name: str
    stage: str
    rows: int
    answered: int
    failed: int
    expired: int
    worked_on: int
    batches: int
    ended: int
    waiting: int
    submitted: datetime | None
    ends_by: datetime | None
    usage: Usage
    cost: float | None
    statuses: tuple[str, ...]
    odd_lines: dict[str, int]
    lost: int = 0

    @classmethod
    def of(cls, manifest: Manifest) -> JobState:
        """Count what the manifest says."""
        parts = manifest.parts
        again = sum(part.rows for part in parts if part.round)
        expired_again = sum(part.rows for part in parts if part.round and not part.finished)
        costs = [part.cost for part in parts]
        usage = sum((part.usage for part in parts), Usage())
        ends = [part.ends_by for part in parts if part.ends_by and part.in_flight]
        return cls(
            name=manifest.name,
            stage=_stage(manifest),
            rows=manifest.sent,
            answered=sum(part.answered for part in parts),
            failed=sum(part.refused for part in parts) - again,
            expired=max(0, sum(part.expired for part in parts) - expired_again),
            worked_on=sum(_worked_on(part) for part in parts),
            batches=len(parts),
            ended=sum(part.stage in ENDED for part in parts),
            waiting=sum(part.stage == "waiting" for part in parts),
            submitted=moment(
                min((part.submitted for part in parts if part.submitted), default=None)
            ),
            ends_by=moment(max(ends, default=None)),
            usage=usage,
            cost=known_cost(usage, None if None in costs else sum(cost or 0.0 for cost in costs)),
            statuses=tuple(printable(part.status) for part in parts),
            odd_lines=dict(sum((Counter(part.strange) for part in parts), Counter())),
            lost=sum(part.rows for part in parts if part.stage == "lost"),
        )

    @property
    def strange(self) -> dict[str, int]:
        """``odd_lines``, as version 0.1 named them."""
        return self.odd_lines

    def __repr__(self) -> str:
        rows = counted(self.rows, "row")
        line = f"Job {self.name!r}: {self.stage}; {self.answered:,} of {rows} collected"
        if self.failed:
            line += f", {self.failed:,} failed"
        if self.lost:
            line += (
                f" (of {self.lost:,} the provider has lost the results, which were paid for: "
                "resubmit_failed(lost=True) pays for them again)"
            )
        if self.stage != "collected":
            verb = "has" if self.batches == 1 else "have"
            line += f"; {self.ended} of {counted(self.batches, 'batch', 'batches')} {verb} ended"
            if self.worked_on:
                line += f", about {counted(self.worked_on, 'more row')} done there"
            if self.waiting:
                line += f", {self.waiting} wait for quota until others have"
        if self.odd_lines:
            odd = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.odd_lines.items()))
            line += f"; odd lines in the results: {odd}"
        if self.ends_by is not None:
            line += f"; the end is due by {self.ends_by:%Y-%m-%d %H:%M} UTC"
        return printable(f"{line}.")


def moment(seconds: float | None) -> datetime | None:
    """Return epoch seconds as a time in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _worked_on(part: Part) -> int:
    if not part.in_flight or not part.requests:
        return 0
    return min(part.rows, round((part.done + part.failed) * part.rows / part.requests))


def _stage(manifest: Manifest) -> str:
    if not manifest.ready:
        return "not submitted"
    return job_stage(frozenset(part.stage for part in manifest.parts))
