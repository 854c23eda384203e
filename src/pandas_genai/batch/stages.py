"""The stages of a job's part as one table: what is done next in each, and where it may lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pandas_genai.errors import JobError

__all__ = ["ENDED", "FIRST", "NO_BATCH", "STAGES", "STORED", "UNSENT", "Action", "Stage"]
__all__ += ["StageRow", "check_move", "job_stage"]

Stage = Literal[
    "written",
    "uploading",
    "uploaded",
    "creating",
    "waiting",
    "created",
    "ended",
    "stored",
    "cached",
    "lost",
]
"""How far a part has come. The words stand in manifests."""

Action = Literal["upload", "create", "wait", "ask", "store", "ingest", "none"]
"""What is done next with a part: its request file is uploaded, its batch is created, it waits until
the provider has quota for it, the provider is asked about the batch, the results are stored as they
come, they are read into the store of answers."""


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Parameters
    ----------
    description : str
        What is true of a part in this stage, in a few words.
    action : Action
        What is done with it next.
    leads_to : tuple of Stage
        The stages that it may be in afterwards, other than this one.
    batch : {"none", "perhaps", "running", "ended"}
        The part's batch at the provider. A part that was cancelled before it was sent has none,
        and counts as ended from then on.
    job : str
        What is shown as the job's stage while this is its least advanced part.
    """

    description: str
    action: Action
    leads_to: tuple[Stage, ...]
    batch: Literal["none", "perhaps", "running", "ended"]
    job: str

    @property
    def finished(self) -> bool:
        """Whether there is nothing to wait for: the answers are stored, or lost."""
        return self.job == "collected"

    @property
    def names_batch(self) -> bool:
        """Whether a part in this stage must name its batch."""
        return self.action in ("ask", "store")


FIRST: Stage = "written"

STAGES: Mapping[Stage, StageRow] = MappingProxyType(
    {
        "written": StageRow(
            "request file on disk",
            "upload",
            ("uploading", "uploaded", "stored"),
            batch="none",
            job="submitting",
        ),
        "uploading": StageRow(
            "about to be uploaded, perhaps done",
            "upload",
            ("uploaded", "stored"),
            batch="none",
            job="submitting",
        ),
        "uploaded": StageRow(
            "ready to become a batch",
            "create",
            ("creating", "stored"),
            batch="none",
            job="submitting",
        ),
        "creating": StageRow(
            "batch about to be created, perhaps done",
            "create",
            ("created", "uploaded"),
            batch="perhaps",
            job="submitting",
        ),
        "waiting": StageRow(
            "refused for want of quota",
            "wait",
            ("uploaded", "stored"),
            batch="none",
            job="waiting for quota",
        ),
        "created": StageRow(
            "the provider works on it",
            "ask",
            ("ended", "waiting", "lost"),
            batch="running",
            job="in progress",
        ),
        # A batch that turns out to be another part's leads back: to the next candidate, or to a
        # batch of its own.
        "ended": StageRow(
            "results at the provider",
            "store",
            ("stored", "lost", "created", "creating"),
            batch="ended",
            job="ended",
        ),
        "stored": StageRow(
            "results on disk as they came",
            "ingest",
            ("cached",),
            batch="ended",
            job="ended",
        ),
        "cached": StageRow("answers in the store", "none", (), batch="ended", job="collected"),
        # The provider is asked again each time, until the rows are sent again.
        "lost": StageRow(
            "the provider has no results any more",
            "ask",
            ("ended", "waiting", "cached"),
            batch="ended",
            job="collected",
        ),
    }
)
"""Every stage, from the least advanced to the most."""


def _stages(holds: Callable[[StageRow], bool]) -> frozenset[Stage]:
    return frozenset(stage for stage, row in STAGES.items() if holds(row))


UNSENT = _stages(lambda row: row.action in ("upload", "create"))
"""The part is to be sent; of one that is being created, the batch may exist already."""

NO_BATCH = _stages(lambda row: row.batch == "none")
"""Certainly nothing of the part is being worked on: it can be cancelled here."""

ENDED = _stages(lambda row: row.batch == "ended")
"""The provider works on the part no more."""

STORED = _stages(lambda row: row.batch == "ended" and row.action != "store")
"""Nothing is to be fetched for the part: its results are on disk, or lost."""


def check_move(before: Stage, after: Stage) -> None:
    """Refuse to move a part where the table has no way.

    Raises
    ------
    JobError
        Nothing was written.
    """
    if after != before and after not in STAGES[before].leads_to:
        raise JobError(
            f"A part of a job cannot go from stage {before!r} to {after!r}: its manifest or its "
            "provider contradicts what was done before. Nothing was changed."
        )


def job_stage(stages: frozenset[Stage]) -> str:
    """Return a job's stage from those of its parts: that of the least advanced one.

    Examples
    --------
    >>> job_stage(frozenset({"cached", "created"}))
    'in progress'
    """
    return next((row.job for stage, row in STAGES.items() if stage in stages), "collected")
