"""Which job an order belongs to: one that lies in the folder, or a new one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from pandas_genai.backends.resolve import Resolved
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.journal import Journal
from pandas_genai.batch.manifest import opened
from pandas_genai.batch.names import default_name
from pandas_genai.batch.order import Order
from pandas_genai.batch.rowfile import level_dtypes, row_keys
from pandas_genai.batch.site import Means, key_check
from pandas_genai.errors import JobError, UsageError
from pandas_genai.runs.report import label_text
from pandas_genai.store import relative_url
from pandas_genai.task.rows import Rows

__all__ = ["claimed", "fingerprint_of"]

_PROMPT_HASH = re.compile(rb'"prompt_hash"\s*:\s*"([0-9a-f]{16,})"')


def claimed(
    jobs: JobsFolder,
    order: Order,
    resolved: Resolved,
    rows: Rows,
    chunk_size: int,
    means: Means,
) -> tuple[JobFolder, Journal | None]:
    """Return the job, and its new journal where its requests are still to be written."""
    fingerprint = fingerprint_of(resolved.task.prompt_hash, rows)
    job = _same(jobs, order.name, fingerprint, resolved.task.prompt_hash, rows)
    if job is not None and _is_laid(job.journal()):
        return job, None
    job = job or jobs.job(order.name or _free_name(jobs, order.question.task.prompt, means))
    if not job.is_free and not job.exists:
        raise UsageError(
            f"{job.path} is there already and is no job: choose another name=, or another folder=."
        )
    job.make(ignored=jobs.is_ours)
    uid = secrets.token_hex(4)
    task, endpoint = resolved.task, resolved.endpoint
    journal = Journal(
        name=job.name,
        uid=uid,
        backend=task.backend,
        base_url=endpoint.base_url,
        model=task.model,
        key_check=key_check(endpoint.api_key, uid, endpoint.base_url),
        prompt_hash=task.prompt_hash,
        prompt=task.prompt,
        schema=json.loads(task.schema.canonical),
        params=dict(task.params),
        examples=list(task.examples),
        text=order.text,
        chunk_size=chunk_size,
        fingerprint=fingerprint,
        created=means.clock.now(),
        version=version("pandas-genai"),
        cache=relative_url(order.cache.url, job.path) if order.cache.url else None,
        rows=len(rows),
        empty=len(rows) - rows.sent,
        twins=rows.duplicates,
        index_names=[name if name is None else label_text(name) for name in order.labels.names],
        index_dtypes=level_dtypes(order.labels),
        prices=dict(order.allowance.prices) if order.allowance.prices else None,
    )
    job.save(journal)
    return job, journal


def _same(
    jobs: JobsFolder, name: str | None, fingerprint: str, prompt_hash: str, rows: Rows
) -> JobFolder | None:
    """Return the job that asks the same of the same rows, if there is one.

    Raises
    ------
    UsageError
        If the name belongs to another job.
    JobError
        If a damaged job may be the one.
    """
    if name is not None:
        named = jobs.job(name)
        if not named.exists:
            return None
        journal = named.journal()
        if journal.fingerprint != fingerprint and _is_laid(journal):
            raise UsageError(
                f"There is a job {name!r} in {jobs.path} already, with another task or other rows: "
                "choose another name."
            )
        return named
    sound, damaged = jobs.jobs()
    for job, error in damaged:
        if _may_be(job, prompt_hash, rows):
            raise error
    found = [(job, journal) for job, journal in sound if journal.fingerprint == fingerprint]
    open_ones = [job for job, journal in found if not journal.finished]
    return next(reversed(open_ones or [job for job, _ in found]), None)


def _may_be(job: JobFolder, prompt_hash: str, rows: Rows) -> bool:
    """Whether a damaged job may ask the same of some of these rows: they would be paid twice."""
    with contextlib.suppress(JobError), opened(job.handle) as file:
        named = _PROMPT_HASH.search(file.read())
        if named is not None and named.group(1) != prompt_hash.encode():
            return False
    try:
        return not set(rows.keys).isdisjoint(row_keys(job))
    except JobError:
        return False


def _is_laid(journal: Journal) -> bool:
    """Whether requests lie ready or were sent; a job that had none to send may be written anew."""
    return journal.ready and bool(journal.parts)


def _free_name(jobs: JobsFolder, prompt: str, means: Means) -> str:
    today = datetime.fromtimestamp(means.clock.now(), UTC).astimezone().date()
    name = default_name(prompt, today)
    number = 2
    while not jobs.job(name).is_free or jobs.job(name).exists:
        name = f"{default_name(prompt, today)}-{number}"
        number += 1
    return name


def fingerprint_of(prompt_hash: str, rows: Rows) -> str:
    """Hash task and texts: the same whatever their order, and whatever is answered already."""
    table = np.sort(rows.keys.table.view("S16").ravel())
    return hashlib.sha256(prompt_hash.encode() + table.tobytes()).hexdigest()[:32]
