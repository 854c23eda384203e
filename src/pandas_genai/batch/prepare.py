"""From a question and its rows to a job on disk, before anything is sent."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.batch.allowance import Allowance
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.journal import Journal, Part
from pandas_genai.batch.names import default_name
from pandas_genai.batch.reasons import in_flight
from pandas_genai.batch.requests import Template, write_requests
from pandas_genai.batch.rowfile import level_dtypes, save_rows
from pandas_genai.batch.site import Means, custom_ids, key_check, limits_of
from pandas_genai.batch.texts import LazyTexts, Said
from pandas_genai.errors import UsageError
from pandas_genai.providers.batches import Limits
from pandas_genai.providers.caller import support_of
from pandas_genai.providers.resolve import Question, Resolved
from pandas_genai.report.book import save_task
from pandas_genai.report.report import label_text
from pandas_genai.settings import CHUNK_SIZE, Default, load_settings, whole_number
from pandas_genai.storage import SqliteCache
from pandas_genai.task.chunks import Row, plan_chunks
from pandas_genai.task.rows import Rows, distinct_rows

__all__ = ["Order", "prepare"]

_BLOCK = 9_000


@dataclass(frozen=True)
class Order:
    """What is to be submitted.

    Parameters
    ----------
    question : Question
        What is asked and where.
    data : DataFrame or Series
        The rows.
    text : Said
        What is sent of each of them.
    cache : SqliteCache
        What is answered already.
    index : Index, optional
        What names the rows, instead of the index of ``data``.
    chunk_size : int
        Rows a request.
    name : str, optional
        The job's name.
    fresh : bool
        Whether to submit what the cache has.
    most_requests : int, optional
        Of one file, where that is less than the vendor's limit.
    allowance : Allowance
        What the job may cost.
    """

    question: Question
    data: pd.DataFrame | pd.Series[Any]
    text: Said
    cache: SqliteCache
    index: pd.Index | None = None
    chunk_size: int = CHUNK_SIZE
    name: str | None = None
    fresh: bool = False
    most_requests: int | None = None
    allowance: Allowance = field(default_factory=Allowance)

    @property
    def labels(self) -> pd.Index:
        """What names the rows."""
        return self.data.index if self.index is None else self.index


def prepare(jobs: JobsFolder, order: Order, means: Means) -> JobFolder:
    """Write the requests of a job, or find the job that was written before.

    Everything that can be wrong with the question is found here, before a file is written.

    Parameters
    ----------
    jobs : JobsFolder
        Where jobs lie.
    order : Order
        What is to be submitted.
    means : Means
        Clock and endpoints.

    Returns
    -------
    JobFolder
        Its journal is ready; its parts may have been sent already.

    Raises
    ------
    UsageError, SchemaError, CredentialsError
        Nothing was written.
    """
    if order.question.is_local:
        raise UsageError("model='local' has no batch API: use extract(), which is free there.")
    if order.cache.path is None:
        raise UsageError("cache= must be a file: an overnight job is collected in a later kernel.")
    resolved = order.question.resolve()
    order.allowance.check(resolved)
    client, ours = resolved.open(1)  # without a key nothing could be sent
    if ours:
        client.close()
    chunk_size = whole_number("chunk_size", order.chunk_size)
    if isinstance(chunk_size, Default):
        chunk_size = load_settings().chunk_size
    if order.name is not None:
        jobs.job(order.name)
    texts = LazyTexts(order.data, order.text)
    rows = distinct_rows(texts)
    jobs.make()
    with jobs.lock(means.tell):
        jobs.describe()
        job, journal = _claimed(jobs, order, resolved, rows, chunk_size, means)
        if journal is None:
            order.allowance.keep(job.journal(), resolved, rows, texts, order.cache)
        else:
            elsewhere = set() if order.fresh else _in_flight(jobs, journal)
            _write(job, journal, _Work(order, resolved, rows, texts, elsewhere, means))
    return job


def _claimed(
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
        key_check=key_check(endpoint.api_key, uid),
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


def _in_flight(jobs: JobsFolder, mine: Journal) -> set[str]:
    """Return the row keys that other jobs of the same task have submitted and not collected."""
    found: set[str] = set()
    for job in jobs.jobs():
        journal = job.journal()
        if journal.prompt_hash == mine.prompt_hash and job.name != mine.name:
            found.update(key for _, key in in_flight(job, journal))
    return found


@dataclass(frozen=True)
class _Work:
    order: Order
    resolved: Resolved
    rows: Rows
    texts: LazyTexts
    elsewhere: set[str]
    means: Means

    def wanted(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the places of the texts to submit, and how many are answered already."""
        rows, cache = self.rows, self.order.cache
        ask = np.ones(len(rows.keys), dtype=bool)
        cached = 0
        for start in range(0, len(rows.keys), _BLOCK):
            keys = rows.keys[start : start + _BLOCK]
            known = (
                set() if self.order.fresh else cache.present(self.resolved.task.prompt_hash, keys)
            )
            cached += len(known)
            known |= self.elsewhere.intersection(keys)
            if known:
                ask[start : start + len(keys)] = [key not in known for key in keys]
        return np.flatnonzero(ask), cached


def _naming(labels: pd.Index) -> Callable[[Sequence[Row]], list[str | None]]:
    """Return what names rows by their labels; whole numbers are read without pandas, for speed."""
    if isinstance(labels.dtype, np.dtype) and labels.dtype.kind in "iu":
        label_at: Callable[[int], object] = labels.to_numpy().item
    else:
        label_at = labels.__getitem__
    return lambda rows: [label_text(label_at(row.position)) for row in rows]


def _write(job: JobFolder, journal: Journal, work: _Work) -> None:
    """Write everything that the job needs, and last that it is all there."""
    task, endpoint = work.resolved.task, work.resolved.endpoint
    save_task(work.order.cache, task)
    save_rows(job, work.order.labels, work.rows)
    wanted, journal.cached = work.wanted()
    journal.elsewhere = len(work.elsewhere)
    support = support_of(task, endpoint, work.means.endpoints)
    limits: Limits = limits_of(task.backend)
    if work.order.most_requests is not None:
        fewer = min(limits.requests, whole_number("max_requests", work.order.most_requests))
        limits = Limits(fewer, limits.bytes)
    journal.parts = write_requests(
        job,
        task,
        plan_chunks(work.rows, wanted, work.texts, journal.chunk_size),
        Template(task, endpoint, support),
        limits,
        custom_ids(journal),
        lambda number: Part(number, rung=support.rung, dropped=sorted(support.dropped)),
        _naming(work.order.labels),
    )
    journal.sent = len(wanted)
    # Refused, the job stays as if its files were not written: the next call writes them again.
    work.order.allowance.keep(journal, work.resolved, work.rows, work.texts, work.order.cache)
    journal.ready = True
    job.save(journal)
