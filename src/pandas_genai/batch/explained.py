"""What ends work on a job from outside, as one sentence: the file system, or Stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.state import JobState
from pandas_genai.errors import JobError, Stopped

__all__ = ["explained"]


@contextmanager
def explained(place: JobFolder | JobsFolder) -> Iterator[None]:
    """Turn what the file system refuses, and Stop, into a sentence.

    Parameters
    ----------
    place : JobFolder or JobsFolder
        The job that is worked on, or the folder before one is chosen.

    Raises
    ------
    JobError
        Of a full disk, or a directory without rights. What is on disk is whole: every file of a
        job is written whole or not at all.
    Stopped
        What the provider has is known, or found by the next call.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or place.path
        raise JobError(
            f"{where} cannot be written or read ({error.strerror or error}): mend that and run the "
            "cell again. Nothing is lost: what was done stands in the job's files."
        ) from error
    except Stopped:
        raise
    except KeyboardInterrupt:
        raise Stopped(_stopped(place)) from None


def _stopped(place: JobFolder | JobsFolder) -> str:
    if isinstance(place, JobsFolder):
        return "Stopped. Run the cell again to go on: nothing is sent twice."
    try:
        state = str(JobState.of(place.read_manifest()))
    except JobError as error:
        state = str(error)
    return f"Stopped. {state} Nothing is lost: run the cell again to go on."
