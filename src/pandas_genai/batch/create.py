"""From a question and its rows to a job on disk, before anything is sent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.backends.batches import Limits
from pandas_genai.backends.caller import capabilities_of, system_sent
from pandas_genai.backends.endpoints import ENDPOINTS
from pandas_genai.backends.params import check_params
from pandas_genai.backends.resolve import Question, Resolved
from pandas_genai.batch.connection import ConnectionOptions, custom_ids, key_check, limits_of
from pandas_genai.batch.failures import under_way
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.manifest import Manifest, Part, opened
from pandas_genai.batch.names import default_name
from pandas_genai.batch.requests import Template, write_requests
from pandas_genai.batch.rowfile import level_dtypes, row_keys, save_rows
from pandas_genai.batch.stages import NO_BATCH, UNSENT
from pandas_genai.batch.texts import FrameInputs, TextForm
from pandas_genai.costs.forecast import Forecast
from pandas_genai.costs.prices import (
    Price,
    Prices,
    checked_cost,
    checked_prices,
    dollars,
    known_price,
    pricer,
)
from pandas_genai.costs.sampled import Totals
from pandas_genai.costs.window import ContextWindow, warn_of_long_texts
from pandas_genai.errors import JobError, UsageError, counted
from pandas_genai.runs.answers import answered
from pandas_genai.runs.recorder import save_task
from pandas_genai.runs.report import label_text
from pandas_genai.settings import CHUNK_SIZE, Default, load_settings, whole_number
from pandas_genai.store import AnswerStore, relative_url
from pandas_genai.task.chunks import Row, plan_chunks
from pandas_genai.task.inputs import Inputs
from pandas_genai.task.rows import Keys, Rows, distinct_rows

__all__ = ["Allowance", "JobSpec", "fingerprint_of", "found_or_new", "lease_rows"]
__all__ += ["naming", "prepare"]


@dataclass(frozen=True)
class Allowance:
    """What the requests of a job may cost.

    Parameters
    ----------
    max_cost : float, optional
        US dollars; None is no limit.
    prices : mapping, optional
        The user's own prices.
    """

    max_cost: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        checked_cost(self.max_cost)
        checked_prices(self.prices)

    def check(self, resolved: Resolved) -> None:
        """Refuse a limit that cannot be kept.

        Raises
        ------
        UsageError
            If the price of the model is unknown.
        """
        if self.max_cost is not None:
            known_price(self._price(resolved), resolved.task.model)

    def keep(
        self, manifest: Manifest, resolved: Resolved, rows: Rows, inputs: Inputs, cache: AnswerStore
    ) -> None:
        """Estimate what the requests that are not at the provider will cost.

        Parameters
        ----------
        manifest : Manifest
            The job, its requests written.
        resolved : Resolved
            What is asked and where.
        rows, inputs
            The rows of the frame.
        cache : AnswerStore
            What is answered already, and how long those answers are.

        Raises
        ------
        UsageError
            If that is more than the limit.
        """
        parts = [part for part in manifest.parts if part.stage in UNSENT & NO_BATCH]
        if self.max_cost is None or not parts:
            return
        task = resolved.task
        forecast = Forecast.of(task, resolved.endpoint, ENDPOINTS)
        forecast.answer = cache.answer_tokens(task.prompt_hash)
        chunks = plan_chunks(rows, range(len(rows.keys)), inputs, manifest.chunk_size)
        forecast.read(chunks)
        asked, size = sum(part.rows for part in parts), manifest.chunk_size
        sent = forecast.input_tokens(asked, sum(part.characters for part in parts), size)
        answered = forecast.output_tokens(asked, size)
        totals = Totals(sum(part.requests for part in parts), sent, 0.0, 0.0, answered)
        cost = totals.cost(known_price(self._price(resolved), task.model)) or 0.0
        if cost > self.max_cost:
            raise UsageError(
                f"The job {manifest.name!r} would cost about {dollars(cost)} for "
                f"{counted(asked, 'row')} at batch prices, more than "
                f"max_cost={dollars(self.max_cost)}: nothing was submitted. "
                "Raise max_cost= and run the cell again, or ask fewer rows."
            )

    def _price(self, resolved: Resolved) -> Price:
        endpoint = resolved.endpoint
        return pricer(
            backend=endpoint.backend, base_url=endpoint.base_url, batch=True, prices=self.prices
        )


@dataclass(frozen=True)
class JobSpec:
    """What is to be submitted.

    Parameters
    ----------
    question : Question
        What is asked and where.
    data : DataFrame or Series
        The rows.
    text : TextForm
        What is sent of each of them.
    cache : AnswerStore
        What is answered already.
    index : Index, optional
        What names the rows, instead of the index of ``data``.
    chunk_size : int
        Rows a request.
    name : str, optional
        The job's name.
    fresh : bool
        Whether to submit what the cache has.
    repeats : int
        How often each row is asked.
    most_requests : int, optional
        Of one file, where that is less than the vendor's limit.
    allowance : Allowance
        What the job may cost.
    """

    question: Question
    data: pd.DataFrame | pd.Series[Any]
    text: TextForm
    cache: AnswerStore
    index: pd.Index | None = None
    chunk_size: int = CHUNK_SIZE
    name: str | None = None
    fresh: bool = False
    repeats: int = 1
    most_requests: int | None = None
    allowance: Allowance = field(default_factory=Allowance)

    @property
    def labels(self) -> pd.Index:
        """What names the rows."""
        return self.data.index if self.index is None else self.index

    def limits(self, limits: Limits) -> Limits:
        """Return the limits of one file: the vendor's, or fewer requests."""
        if self.most_requests is None:
            return limits
        fewer = min(limits.requests, whole_number("max_requests", self.most_requests))
        return Limits(fewer, limits.bytes)


_WRITING_S = 3_600.0
"""So long a job may take to write its requests; one that takes longer was interrupted."""


def lease_rows(
    cache: AnswerStore, job: JobFolder, manifest: Manifest, keys: Sequence[str], now: float
) -> set[str]:
    """Lease the rows that a job is about to send.

    Parameters
    ----------
    cache : AnswerStore
        What the job was submitted with.
    job : JobFolder
        Where it lies.
    manifest : Manifest
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
    for uid, place in cache.leasing_jobs(manifest.prompt_hash).items():
        if uid != manifest.uid and not _is_under_way(Path(place), uid, now):
            cache.end_job(uid)
    return cache.lease_job(manifest.prompt_hash, manifest.uid, str(job.path), keys)


def _is_under_way(place: Path, uid: str, now: float) -> bool:
    """Whether a job has not ended, as its directory says."""
    for job in JobFolder.found_in(place):
        try:
            manifest = job.read_manifest()
        except JobError:
            return True  # damaged, and perhaps paid for
        if manifest.uid == uid:
            written = manifest.ready or now - manifest.created < _WRITING_S
            return written and not manifest.finished
    return False


_PROMPT_HASH = re.compile(rb'"prompt_hash"\s*:\s*"([0-9a-f]{16,})"')


def found_or_new(
    jobs: JobsFolder,
    spec: JobSpec,
    resolved: Resolved,
    rows: Rows,
    chunk_size: int,
    options: ConnectionOptions,
) -> tuple[JobFolder, Manifest | None]:
    """Return the job, and its new manifest where its requests are still to be written."""
    fingerprint = fingerprint_of(resolved.task.prompt_hash, rows)
    job = _same_job(jobs, spec.name, fingerprint, resolved.task.prompt_hash, rows)
    if job is not None and _is_written(job.read_manifest()):
        return job, None
    job = job or jobs.job(spec.name or _free_name(jobs, spec.question.task.prompt, options))
    if not job.is_free and not job.exists:
        raise UsageError(
            f"{job.path} is there already and is no job: choose another name=, or another folder=."
        )
    job.make(ignored=jobs.is_ours)
    uid = secrets.token_hex(4)
    task, endpoint = resolved.task, resolved.endpoint
    manifest = Manifest(
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
        text=spec.text,
        chunk_size=chunk_size,
        fingerprint=fingerprint,
        created=options.clock.now(),
        version=version("pandas-genai"),
        cache=relative_url(spec.cache.url, job.path) if spec.cache.url else None,
        rows=len(rows),
        empty=len(rows) - rows.sent,
        twins=rows.duplicates,
        index_names=[name if name is None else label_text(name) for name in spec.labels.names],
        index_dtypes=level_dtypes(spec.labels),
        prices=dict(spec.allowance.prices) if spec.allowance.prices else None,
        repeats=spec.repeats,
    )
    job.save(manifest)
    return job, manifest


def _same_job(
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
        manifest = named.read_manifest()
        if manifest.fingerprint != fingerprint and _is_written(manifest):
            raise UsageError(
                f"There is a job {name!r} in {jobs.path} already, with another task or other rows: "
                "choose another name."
            )
        return named
    sound, damaged = jobs.jobs()
    for job, error in damaged:
        if _may_be(job, prompt_hash, rows):
            raise error
    found = [(job, manifest) for job, manifest in sound if manifest.fingerprint == fingerprint]
    open_ones = [job for job, manifest in found if not manifest.finished]
    return next(reversed(open_ones or [job for job, _ in found]), None)


def _may_be(job: JobFolder, prompt_hash: str, rows: Rows) -> bool:
    """Whether a damaged job may ask the same of some of these rows: they would be paid twice."""
    with contextlib.suppress(JobError), opened(job.manifest_path) as file:
        named = _PROMPT_HASH.search(file.read())
        if named is not None and named.group(1) != prompt_hash.encode():
            return False
    try:
        return not set(rows.keys).isdisjoint(row_keys(job))
    except JobError:
        return False


def _is_written(manifest: Manifest) -> bool:
    """Whether requests lie ready or were sent; a job that had none to send may be written anew."""
    return manifest.ready and bool(manifest.parts)


def _free_name(jobs: JobsFolder, prompt: str, options: ConnectionOptions) -> str:
    today = datetime.fromtimestamp(options.clock.now(), UTC).astimezone().date()
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


def prepare(jobs: JobsFolder, spec: JobSpec, options: ConnectionOptions) -> JobFolder:
    """Write the requests of a job, or find the job that was written before.

    Everything that can be wrong with the question is found here, before a file is written.

    Parameters
    ----------
    jobs : JobsFolder
        Where jobs lie.
    spec : JobSpec
        What is to be submitted.
    options : ConnectionOptions
        Clock and endpoints.

    Returns
    -------
    JobFolder
        Its manifest is ready; its parts may have been sent already.

    Raises
    ------
    UsageError, SchemaError, CredentialsError
        Nothing was written.
    """
    if spec.question.is_local:
        raise UsageError("model='local' has no batch API: use extract(), which is free there.")
    if spec.cache.url is None:
        raise UsageError("cache= must be a file: a batch job is collected in a later kernel.")
    resolved = spec.question.resolve()
    check_params(spec.question.task.params, resolved.endpoint)
    spec.allowance.check(resolved)
    client, ours = resolved.open(1)  # without a key nothing could be sent
    if ours:
        client.close()
    chunk_size = whole_number("chunk_size", spec.chunk_size)
    if isinstance(chunk_size, Default):
        chunk_size = load_settings().chunk_size
    if spec.name is not None:
        jobs.job(spec.name)
    inputs = FrameInputs(spec.data, spec.text)
    rows = distinct_rows(inputs).repeated(spec.repeats)
    window = ContextWindow.of(resolved.task, resolved.endpoint, options.endpoints, chunk_size)
    jobs.make()
    with jobs.lock(options.tell):
        jobs.describe()
        job, manifest = found_or_new(jobs, spec, resolved, rows, chunk_size, options)
        if manifest is None:
            found = job.read_manifest()
            spec.allowance.keep(found, resolved, rows, inputs, spec.cache)
            if spec.allowance.prices and spec.allowance.prices != found.prices:
                found.prices = dict(spec.allowance.prices)
                job.save(found)
        else:
            others = () if spec.fresh else under_way(jobs, manifest.prompt_hash, but=job.name)
            elsewhere = {key for _, key in others}
            try:
                _write(
                    job,
                    manifest,
                    _Work(spec, resolved, rows, inputs, window, elsewhere, options),
                )
            except BaseException:
                spec.cache.end_job(manifest.uid)
                raise
    return job


@dataclass(frozen=True)
class _Work:
    spec: JobSpec
    resolved: Resolved
    rows: Rows
    inputs: FrameInputs
    window: ContextWindow
    elsewhere: set[str]
    options: ConnectionOptions

    def wanted(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the places of the texts to submit, and how many are answered already."""
        keys, spec = self.rows.keys, self.spec
        known = np.zeros(len(keys), dtype=bool)
        if not spec.fresh:
            known = answered(spec.cache, self.resolved.task.prompt_hash, keys)
        cached = int(known.sum())
        if self.elsewhere:
            known |= [key in self.elsewhere for key in keys]
        return np.flatnonzero(~known), cached


def naming(labels: pd.Index) -> Callable[[Sequence[Row]], list[str | None]]:
    """Return what names rows by their labels; whole numbers are read without pandas, for speed."""
    if isinstance(labels.dtype, np.dtype) and labels.dtype.kind in "iu":
        number_at = labels.to_numpy().item
        return lambda rows: [str(number_at(row.position)) for row in rows]
    return lambda rows: [label_text(labels[row.position]) for row in rows]


def _write(job: JobFolder, manifest: Manifest, work: _Work) -> None:
    """Write everything that the job needs, and last that it is all there."""
    task, endpoint = work.resolved.task, work.resolved.endpoint
    capabilities = capabilities_of(task, endpoint, work.options.endpoints)
    save_task(work.spec.cache, task, system_sent(task, capabilities, vendor=endpoint.is_vendor))
    manifest.rows_digest = save_rows(job, work.spec.labels, work.rows)
    wanted, manifest.cached = work.wanted()
    keys = Keys(work.rows.keys.at(wanted))
    others = lease_rows(work.spec.cache, job, manifest, keys, work.options.clock.now())
    if others and not work.spec.fresh:
        wanted = wanted[[key not in others for key in keys]]
        work.elsewhere.update(others)
    manifest.elsewhere = len(work.elsewhere)
    labels = work.spec.labels
    warn_of_long_texts(work.window, work.rows, wanted, lambda row: label_text(labels[row]))
    manifest.parts = write_requests(
        job,
        task,
        plan_chunks(
            work.rows,
            wanted,
            work.inputs,
            manifest.chunk_size,
            most_bytes=work.window.most_bytes,
        ),
        Template(task, endpoint, capabilities),
        work.spec.limits(limits_of(task.backend)),
        custom_ids(manifest),
        lambda number: Part.sent_with(capabilities, number),
        naming(labels),
    )
    manifest.sent = len(wanted)
    # Refused, the job stays as if its files were not written: the next call writes them again.
    work.spec.allowance.keep(manifest, work.resolved, work.rows, work.inputs, work.spec.cache)
    manifest.ready = True
    job.save(manifest)
