"""From a question and its rows to a job on disk, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.backends.caller import capabilities_of, system_sent
from pandas_genai.backends.params import check_params
from pandas_genai.backends.resolve import Resolved
from pandas_genai.batch.claim import claimed
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.journal import Journal, Part
from pandas_genai.batch.leases import lease_rows
from pandas_genai.batch.order import Order
from pandas_genai.batch.reasons import under_way
from pandas_genai.batch.requests import Template, write_requests
from pandas_genai.batch.rowfile import save_rows
from pandas_genai.batch.site import Means, custom_ids, limits_of
from pandas_genai.batch.texts import FrameInputs
from pandas_genai.costs.window import ContextWindow, warn_of_long_texts
from pandas_genai.errors import UsageError
from pandas_genai.runs.answers import answered
from pandas_genai.runs.recorder import save_task
from pandas_genai.runs.report import label_text
from pandas_genai.settings import Default, load_settings, whole_number
from pandas_genai.task.chunks import Row, plan_chunks
from pandas_genai.task.rows import Rows, distinct_rows

__all__ = ["naming", "prepare"]


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
    if order.cache.url is None:
        raise UsageError("cache= must be a file: an overnight job is collected in a later kernel.")
    resolved = order.question.resolve()
    check_params(order.question.task.params, resolved.endpoint)
    order.allowance.check(resolved)
    client, ours = resolved.open(1)  # without a key nothing could be sent
    if ours:
        client.close()
    chunk_size = whole_number("chunk_size", order.chunk_size)
    if isinstance(chunk_size, Default):
        chunk_size = load_settings().chunk_size
    if order.name is not None:
        jobs.job(order.name)
    inputs = FrameInputs(order.data, order.text)
    rows = distinct_rows(inputs)
    window = ContextWindow.of(resolved.task, resolved.endpoint, means.endpoints, chunk_size)
    jobs.make()
    with jobs.lock(means.tell):
        jobs.describe()
        job, journal = claimed(jobs, order, resolved, rows, chunk_size, means)
        if journal is None:
            found = job.journal()
            order.allowance.keep(found, resolved, rows, inputs, order.cache)
            if order.allowance.prices and order.allowance.prices != found.prices:
                found.prices = dict(order.allowance.prices)
                job.save(found)
        else:
            others = () if order.fresh else under_way(jobs, journal.prompt_hash, but=job.name)
            elsewhere = {key for _, key in others}
            try:
                _write(
                    job,
                    journal,
                    _Work(order, resolved, rows, inputs, window, elsewhere, means),
                )
            except BaseException:
                order.cache.end_job(journal.uid)
                raise
    return job


@dataclass(frozen=True)
class _Work:
    order: Order
    resolved: Resolved
    rows: Rows
    inputs: FrameInputs
    window: ContextWindow
    elsewhere: set[str]
    means: Means

    def wanted(self) -> tuple[np.ndarray[Any, Any], int]:
        """Return the places of the texts to submit, and how many are answered already."""
        keys, order = self.rows.keys, self.order
        known = np.zeros(len(keys), dtype=bool)
        if not order.fresh:
            known = answered(order.cache, self.resolved.task.prompt_hash, keys)
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


def _write(job: JobFolder, journal: Journal, work: _Work) -> None:
    """Write everything that the job needs, and last that it is all there."""
    task, endpoint = work.resolved.task, work.resolved.endpoint
    capabilities = capabilities_of(task, endpoint, work.means.endpoints)
    save_task(work.order.cache, task, system_sent(task, capabilities, vendor=endpoint.is_vendor))
    journal.rows_digest = save_rows(job, work.order.labels, work.rows)
    wanted, journal.cached = work.wanted()
    keys = work.rows.keys.take(wanted)
    others = lease_rows(work.order.cache, job, journal, keys, work.means.clock.now())
    if others and not work.order.fresh:
        wanted = wanted[[key not in others for key in keys]]
        work.elsewhere.update(others)
    journal.elsewhere = len(work.elsewhere)
    labels = work.order.labels
    warn_of_long_texts(work.window, work.rows, wanted, lambda row: label_text(labels[row]))
    journal.parts = write_requests(
        job,
        task,
        plan_chunks(
            work.rows,
            wanted,
            work.inputs,
            journal.chunk_size,
            most_bytes=work.window.most_bytes,
        ),
        Template(task, endpoint, capabilities),
        work.order.limits(limits_of(task.backend)),
        custom_ids(journal),
        lambda number: Part.sent_with(capabilities, number),
        naming(labels),
    )
    journal.sent = len(wanted)
    # Refused, the job stays as if its files were not written: the next call writes them again.
    work.order.allowance.keep(journal, work.resolved, work.rows, work.inputs, work.order.cache)
    journal.ready = True
    job.save(journal)
