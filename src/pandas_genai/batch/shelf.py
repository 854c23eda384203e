"""Finds jobs: by name, by the rows of a frame, all of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.journal import Part
from pandas_genai.batch.rowfile import row_keys
from pandas_genai.batch.state import JobState, moment
from pandas_genai.batch.texts import LazyTexts
from pandas_genai.errors import JobError, UsageError, counted
from pandas_genai.task.rows import Rows, distinct_rows, rows_of_keys

__all__ = ["existing", "fitting_job", "jobs_frame"]

_LEAST_SHARE = 0.5
_COLUMNS = ["name", "backend", "model", "rows", "stage", "done", "failed", "expired"]
_COLUMNS += ["submitted", "ends_by", "cost"]


def fitting_job(
    jobs: JobsFolder, name: str | None, data: pd.DataFrame | pd.Series[Any]
) -> tuple[JobFolder, Rows]:
    """Find the job for the rows of a frame.

    Parameters
    ----------
    jobs : JobsFolder
        Where jobs lie.
    name : str, optional
        Which one; otherwise the only one whose rows are, for the larger part, these.
    data : DataFrame or Series
        The rows.

    Returns
    -------
    job : JobFolder
        The job.
    rows : Rows
        The rows of the frame, their texts rendered as the job's were.

    Raises
    ------
    JobError
        If there is no such job, or several fit.
    """
    if name is not None:
        folder = existing(jobs, name)
        return folder, distinct_rows(LazyTexts(data, folder.journal().text))
    everything = jobs.jobs()
    if not everything:
        raise nothing_there(jobs)
    found = [(job, rows) for job in everything if (rows := _fit(job, data)) is not None]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(f"  {_said(job)}" for job in ([job for job, _ in found] or everything))
    which = "Several jobs fit these rows" if found else "No job fits these rows"
    raise JobError(f"{which}: pass name= of one of those in {jobs.path}:\n{listed}")


def _fit(job: JobFolder, data: pd.DataFrame | pd.Series[Any]) -> Rows | None:
    """Return the rows of the frame if the job is about most of them, or most of it about them."""
    try:
        rows = distinct_rows(LazyTexts(data, job.journal().text))
    except UsageError:
        return None
    theirs = rows_of_keys(row_keys(job)).keys
    fewer = min(len(rows.keys), len(theirs))
    common = len(set(rows.keys).intersection(theirs))
    return rows if fewer and common >= _LEAST_SHARE * fewer else None


def _said(job: JobFolder) -> str:
    journal = job.journal()
    prompt = " ".join(journal.prompt.split())
    short = prompt if len(prompt) <= 60 else f"{prompt[:59]}…"
    return f"{job.name!r}: {counted(journal.rows, 'row')}, {journal.model}, {short!r}"


def existing(jobs: JobsFolder, name: str) -> JobFolder:
    """Return the job of a name.

    Raises
    ------
    JobError
        If there is none.
    """
    folder = jobs.job(name)
    if folder.exists:
        return folder
    everything = jobs.jobs()
    if not everything:
        raise nothing_there(jobs)
    names = ", ".join(repr(job.name) for job in everything)
    raise JobError(f"There is no job {name!r} in {jobs.path}: there are {names}.")


def nothing_there(jobs: JobsFolder) -> JobError:
    """Return the error of a folder without jobs."""
    return JobError(
        f"There is no job in {jobs.path}: run df.genai.batch_submit() first, or pass folder= if it "
        "was run in another directory."
    )


def jobs_frame(jobs: JobsFolder) -> pd.DataFrame:
    """List the jobs of a folder; ``pandas_genai.jobs`` says how."""
    records = []
    for job in jobs.jobs():
        journal = job.journal()
        state = JobState.of(journal)
        done, failed = state.answered, state.failed
        said = [job.name, journal.backend, journal.model, journal.rows, state.stage, done, failed]
        submitted = state.submitted or datetime.fromtimestamp(journal.created, UTC)
        records.append([*said, state.expired, submitted, _due(journal.parts), state.cost])
    frame = pd.DataFrame(records, columns=_COLUMNS)
    for column in ("submitted", "ends_by"):
        frame[column] = pd.to_datetime(frame[column], utc=True).dt.floor("s")
    return frame.astype({"cost": "Float64"}).set_index("name")


def _due(parts: Iterable[Part]) -> datetime | None:
    return moment(max((part.ends_by for part in parts if part.ends_by), default=None))
