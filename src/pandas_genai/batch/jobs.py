"""Finds jobs: by name, by the rows of a frame, all of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pandas as pd

from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.ingest import check_files
from pandas_genai.batch.manifest import Manifest, Part
from pandas_genai.batch.rowfile import row_keys
from pandas_genai.batch.state import JobState, moment
from pandas_genai.batch.texts import FrameInputs
from pandas_genai.errors import JobError, UsageError, counted, printable
from pandas_genai.task.rows import Rows, distinct_rows, rows_of_keys

__all__ = ["existing", "fitting_job", "jobs_frame"]

DAMAGED = "damaged"
"""The stage of a job whose files cannot be read."""

_LEAST_SHARE = 0.5
_COLUMNS = ["name", "backend", "model", "rows", "stage", "done", "failed", "expired"]
_COLUMNS += ["submitted", "ends_by", "cost", "reason"]
_COUNTS = ("rows", "done", "failed", "expired")


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
        return folder, _rows_of(data, folder.read_manifest())
    sound, damaged = jobs.jobs()
    if not sound and not damaged:
        raise nothing_there(jobs)
    found = [(pair, rows) for pair in sound if (rows := _fit(*pair, data)) is not None]
    if len(found) == 1:
        (job, _), rows = found[0]
        return job, rows
    lines = [_described(*pair) for pair in ([pair for pair, _ in found] or sound)]
    lines += [f"{job.name!r}: damaged; {error}" for job, error in damaged]
    listed = "\n".join(f"  {line}" for line in lines)
    which = "Several jobs fit these rows" if found else "No job fits these rows"
    raise JobError(f"{which}: pass name= of one of those in {jobs.path}:\n{listed}")


def _fit(job: JobFolder, manifest: Manifest, data: pd.DataFrame | pd.Series[Any]) -> Rows | None:
    """Return the rows of the frame if the job is about most of them, or most of it about them."""
    try:
        rows = _rows_of(data, manifest)
        theirs = rows_of_keys(row_keys(job)).keys
    except (UsageError, JobError):
        return None
    fewer = min(rows.inputs, len(theirs))
    common = len(set(rows.keys).intersection(theirs))
    return rows if fewer and common >= _LEAST_SHARE * fewer else None


def _rows_of(data: pd.DataFrame | pd.Series[Any], manifest: Manifest) -> Rows:
    """Return the rows of a frame as a job asks them."""
    return distinct_rows(FrameInputs(data, manifest.text)).repeated(manifest.repeats)


def _described(job: JobFolder, manifest: Manifest) -> str:
    prompt = " ".join(manifest.prompt.split())
    short = prompt if len(prompt) <= 60 else f"{prompt[:59]}…"
    asked = f", {manifest.repeats} answers each" if manifest.repeats > 1 else ""
    return f"{job.name!r}: {counted(manifest.rows, 'row')}{asked}, {manifest.model}, {short!r}"


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
    sound, damaged = jobs.jobs()
    if not sound and not damaged:
        raise nothing_there(jobs)
    names = ", ".join(repr(job.name) for job, _ in [*sound, *damaged])
    raise JobError(f"There is no job {name!r} in {jobs.path}: there are {names}.")


def nothing_there(jobs: JobsFolder) -> JobError:
    """Return the error of a folder without jobs."""
    return JobError(
        f"There is no job in {jobs.path}: run df.genai.batch_submit() first, or pass folder= if it "
        "was run in another directory."
    )


def jobs_frame(jobs: JobsFolder) -> pd.DataFrame:
    """List the jobs of a folder; ``pandas_genai.jobs`` says how."""
    sound, damaged = jobs.jobs()
    records = [_record(job, manifest) for job, manifest in sound]
    records += [_damaged(job, error) for job, error in damaged]
    frame = pd.DataFrame(records, columns=_COLUMNS)
    for column in ("submitted", "ends_by"):
        frame[column] = pd.to_datetime(frame[column], utc=True).dt.floor("s")
    types = {"cost": "Float64"}
    if (frame["stage"] == DAMAGED).any():
        types |= dict.fromkeys(_COUNTS, "Int64")
    else:
        frame = frame.drop(columns="reason")
    return frame.astype(types).set_index("name")


def _record(job: JobFolder, manifest: Manifest) -> list[object]:
    try:
        check_files(job, manifest)
    except JobError as error:
        return _damaged(job, error)
    state = JobState.of(manifest)
    counts = [manifest.rows, state.stage, state.answered, state.failed, state.expired]
    submitted = state.submitted or moment(manifest.created)
    who = [job.name, manifest.backend, printable(manifest.model)]
    return [*who, *counts, submitted, _due(manifest.parts), state.cost, ""]


def _damaged(job: JobFolder, error: JobError) -> list[object]:
    """List a job that cannot be worked on; what it holds is not known."""
    return [job.name, None, None, None, DAMAGED, *[None] * 6, str(error)]


def _due(parts: Iterable[Part]) -> datetime | None:
    return moment(max((part.ends_by for part in parts if part.ends_by), default=None))
