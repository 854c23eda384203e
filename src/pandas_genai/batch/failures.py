"""Why rows of a job have no answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.ingest import keys_of, lost_of
from pandas_genai.batch.manifest import Manifest, Part
from pandas_genai.errors import JobError
from pandas_genai.runs.failures import IN_PROGRESS, NOT_SUBMITTED
from pandas_genai.task.chunks import Row
from pandas_genai.task.inputs import NO_INPUT
from pandas_genai.task.reply import Failure, Refusal

__all__ = ["forgotten", "in_flight", "reasons", "under_way"]

_BATCH = "The row's batch has not ended yet."
_QUOTA = "The row's batch waits for quota: it is sent again when others have ended."
_NEVER = (
    "The row was not in the job when it was submitted: df.genai.extract() asks it now, or "
    "batch_submit() sends it in a batch."
)


def in_flight(job: JobFolder, manifest: Manifest) -> Iterator[tuple[Part, str]]:
    """Return the texts whose results are not there yet, with the part that they are in."""
    for part in manifest.parts:
        if not part.finished:
            for sent in keys_of(job, part).values():
                for key in sent.keys:
                    yield part, key


def under_way(
    jobs: JobsFolder, prompt_hash: str, but: str | None = None, *, strict: bool = True
) -> Iterator[tuple[str, str]]:
    """Return the texts that the jobs of a task have submitted and not collected.

    Parameters
    ----------
    jobs : JobsFolder
        Where jobs lie.
    prompt_hash : str
        The task.
    but : str, optional
        The name of a job that does not count.
    strict : bool, default True
        Whether a job of the task whose files are damaged is an error; otherwise it is passed over.

    Yields
    ------
    name, key : str
        Of the job, and of the row.
    """
    sound, _ = jobs.jobs()
    for job, manifest in sound:
        if manifest.prompt_hash == prompt_hash and job.name != but:
            try:
                for _, key in in_flight(job, manifest):
                    yield job.name, key
            except JobError:
                if strict:
                    raise


def reasons(job: JobFolder, manifest: Manifest, missing: set[str]) -> list[Failure]:
    """Say of each text without an answer why it has none.

    Parameters
    ----------
    job : JobFolder
        The job.
    manifest : Manifest
        Its manifest.
    missing : set of str
        Row keys that the cache has no answer for.
    """
    found: dict[str, Failure] = {}
    rest_is = Refusal(NOT_SUBMITTED, _NEVER)
    for work in (_given_up, _waited_for):
        for part in manifest.parts:
            try:
                found |= {one.row.key: one for one in work(job, part) if one.row.key in missing}
            except JobError as error:  # the rows of the part are not known, those of others are
                rest_is = Refusal("damaged job", str(error))
    rest = missing - found.keys()
    if rest:
        found |= _elsewhere(job, manifest, rest)
    return [found.get(key) or _failure(key, rest_is, 0) for key in missing]


def _given_up(job: JobFolder, part: Part) -> Iterator[Failure]:
    if part.finished:
        for lost in lost_of(job, part):
            refusal = Refusal(lost.reason, lost.message)
            yield _failure(lost.key, refusal, part.round + 1, lost.request_id)


def _waited_for(job: JobFolder, part: Part) -> Iterator[Failure]:
    message = _QUOTA if part.stage == "waiting" else _BATCH
    if part.trouble:
        message = f"{message} The last time: {part.trouble}"
    refusal = Refusal(IN_PROGRESS, message)
    if not part.finished:
        for sent in keys_of(job, part).values():
            for key in sent.keys:
                yield _failure(key, refusal, part.round + 1)


def _elsewhere(job: JobFolder, manifest: Manifest, missing: set[str]) -> dict[str, Failure]:
    """Find what another job of the same task has submitted."""
    found: dict[str, Failure] = {}
    jobs = JobsFolder(job.path.parent)
    for other, key in under_way(jobs, manifest.prompt_hash, but=job.name, strict=False):
        if key in missing:
            message = f"The row is in the job {other!r}: collect that one, too."
            found[key] = _failure(key, Refusal(IN_PROGRESS, message), 1)
    return found


def forgotten(job: JobFolder, manifest: Manifest, missing: Iterable[str]) -> set[int]:
    """Return the parts whose results were taken into a cache that does not have them any more."""
    wanted = set(missing)
    found = set()
    for part in manifest.parts:
        if part.finished and part.answered:
            with suppress(JobError):  # its rows are reported as those of a damaged job
                lost = {one.key for one in lost_of(job, part)}
                keys = (key for sent in keys_of(job, part).values() for key in sent.keys)
                if any(key in wanted and key not in lost for key in keys):
                    found.add(part.number)
    return found


def _failure(key: str, refusal: Refusal, attempts: int, request_id: str | None = None) -> Failure:
    return Failure(Row(key, "", NO_INPUT, -1), refusal, attempts, request_id)
