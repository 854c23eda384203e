"""Rows of a job are leased in the cache, so that a job in another folder does not pay for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pandas_genai.batch.folder import JobFolder
from pandas_genai.batch.journal import Journal
from pandas_genai.errors import JobError
from pandas_genai.store import AnswerStore

__all__ = ["lease_rows"]

_WRITING_S = 3_600.0
"""So long a job may take to write its requests; one that takes longer was interrupted."""


def lease_rows(
    cache: AnswerStore, job: JobFolder, journal: Journal, keys: Sequence[str], now: float
) -> set[str]:
    """Lease the rows that a job is about to send.

    Parameters
    ----------
    cache : AnswerStore
        What the job was submitted with.
    job : JobFolder
        Where it lies.
    journal : Journal
        The job.
    keys : sequence of str
        Row keys.
    now : float
        Epoch seconds.

    Returns
    -------
    set of str
        Rows among them that another job has under way; they are not leased.
    """
    for uid, place in cache.leasing_jobs(journal.prompt_hash).items():
        if uid != journal.uid and not _is_under_way(Path(place), uid, now):
            cache.end_job(uid)
    return cache.lease_job(journal.prompt_hash, journal.uid, str(job.path), keys)


def _is_under_way(place: Path, uid: str, now: float) -> bool:
    """Whether a job has not ended, as its directory says."""
    for job in JobFolder.found_in(place):
        try:
            journal = job.journal()
        except JobError:
            return True  # damaged, and perhaps paid for
        if journal.uid == uid:
            written = journal.ready or now - journal.created < _WRITING_S
            return written and not journal.finished
    return False
