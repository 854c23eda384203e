"""Which job an order belongs to: one that lies in the folder, or a new one."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pandas_genai.backends.resolve import Resolved
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.journal import Journal
from pandas_genai.batch.names import default_name
from pandas_genai.batch.order import Order
from pandas_genai.batch.rowfile import level_dtypes
from pandas_genai.batch.site import Means, key_check
from pandas_genai.errors import UsageError
from pandas_genai.task.rows import Rows

__all__ = ["claimed"]


def claimed(
    jobs: JobsFolder,
    order: Order,
    resolved: Resolved,
    rows: Rows,
    chunk_size: int,
    means: Means,
) -> tuple[JobFolder, Journal | None]:
    """Return the job, and its new journal where its requests are still to be written."""
    fingerprint = _fingerprint(resolved.task.prompt_hash, rows)
    job = _same(jobs, order.name, fingerprint)
    if job is not None and _is_laid(job.journal()):
        return job, None
    job = job or jobs.job(order.name or _free_name(jobs, order.question.prompt, means))
    job.make()
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
        text=order.text,
        chunk_size=chunk_size,
        fingerprint=fingerprint,
        created=means.clock.now(),
        version=version("pandas-genai"),
        cache=_beside(order.cache.path, job.path),
        rows=len(rows),
        empty=len(rows.empty) + len(rows.unsendable),
        twins=int((rows.codes >= 0).sum()) - len(rows.keys),
        index_names=[name if name is None else str(name) for name in order.labels.names],
        index_dtypes=level_dtypes(order.labels),
        prices=dict(order.allowance.prices) if order.allowance.prices else None,
    )
    job.save(journal)
    return job, journal


def _same(jobs: JobsFolder, name: str | None, fingerprint: str) -> JobFolder | None:
    """Return the job that asks the same of the same rows, if there is one.

    Raises
    ------
    UsageError
        If the name belongs to another job.
    """
    if name is not None:
        named = jobs.job(name)
        if not named.exists:
            return None
        journal = named.journal()
        if journal.fingerprint != fingerprint and _is_laid(journal):
            raise UsageError(
                f"There is a job {name!r} in {jobs.path} already, with another task or other rows: "
                "choose another name, or collect that one first."
            )
        return named
    found = [job for job in jobs.jobs() if job.journal().fingerprint == fingerprint]
    open_ones = [job for job in found if not job.journal().finished]
    return next(reversed(open_ones or found), None)


def _is_laid(journal: Journal) -> bool:
    """Whether requests lie ready or were sent; a job that had none to send may be written anew."""
    return journal.ready and bool(journal.parts)


def _free_name(jobs: JobsFolder, prompt: str, means: Means) -> str:
    today = datetime.fromtimestamp(means.clock.now(), UTC).astimezone().date()
    name = default_name(prompt, today)
    number = 2
    while jobs.job(name).exists:
        name = f"{default_name(prompt, today)}-{number}"
        number += 1
    return name


def _fingerprint(prompt_hash: str, rows: Rows) -> str:
    """Hash task and texts: the same whatever their order, and whatever is answered already."""
    table = np.sort(rows.keys.table.view("S16").ravel())
    return hashlib.sha256(prompt_hash.encode() + table.tobytes()).hexdigest()[:32]


def _beside(cache: Path | None, folder: Path) -> str | None:
    """Return a path relative to the job, so that a project may be moved as a whole."""
    if cache is None:
        return None
    try:
        return os.path.relpath(cache, folder)
    except ValueError:  # on another drive
        return str(cache)
