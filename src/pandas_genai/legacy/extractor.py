"""What the original toolkit's two classes have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.backends.resolve import Question
from pandas_genai.batch.clock import Waiting
from pandas_genai.batch.collect import Collection
from pandas_genai.batch.folder import JobsFolder, explained
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.journal import Part
from pandas_genai.batch.order import Order
from pandas_genai.batch.prepare import prepare
from pandas_genai.batch.shelf import existing
from pandas_genai.batch.site import Means, Site
from pandas_genai.batch.state import JobState
from pandas_genai.batch.texts import said_text
from pandas_genai.errors import UsageError, WaitError
from pandas_genai.store import SqliteCache
from pandas_genai.task.annotations import Backend
from pandas_genai.task.task import Task

__all__ = ["Extractor"]

CACHE_NAME = "genai_cache.sqlite"
"""The cache file of all jobs under one root."""


class Extractor:
    """What both classes do."""

    _backend: Backend

    def __init__(self, root: str | Path, means: Means) -> None:
        self._jobs = JobsFolder(Path(root))
        self._means = means

    def _create(
        self,
        dataframe: pd.DataFrame,
        columns: tuple[str, str],
        question: tuple[str, Any, str, Mapping[str, Any]],
        job_id: str,
        chunk_size: int,
        **options: Any,
    ) -> BatchJob:
        for column in columns:
            if column not in dataframe.columns:
                known = ", ".join(map(repr, dataframe.columns))
                raise UsageError(f"The frame has no column {column!r}: it has {known}.")
        id_col, text_col = columns
        prompt, schema, model, params = question
        means = self._means
        task = Task(prompt, schema, model=model, backend=self._backend, params=params)
        asked = Question(task, means.base_url, means.api_key, means.client)
        self._jobs.job(job_id)
        asked.resolve()
        self._jobs.make()
        with SqliteCache(self._jobs.path / CACHE_NAME) as cache:
            order = Order(
                asked,
                dataframe,
                said_text(dataframe, text_col),
                cache,
                pd.Index(dataframe[id_col], name="input_id"),
                chunk_size,
                job_id,
                **options,
            )
            with explained(self._jobs):
                return BatchJob(prepare(self._jobs, order, means), means)

    def _job(self, job_id: str) -> BatchJob:
        return BatchJob(existing(self._jobs, job_id), self._means)

    def _submit(self, job_id: str) -> list[Part]:
        return self._job(job_id).submit().folder.journal().parts

    def _statuses(
        self, job_id: str, *, continuous: bool, interval: float, timeout: float | None = None
    ) -> dict[str, str]:
        """Return the provider's word for each batch; wait for the last, where that is wanted."""
        job, clock = self._job(job_id), self._means.clock
        waiting = Waiting(clock, timeout)
        state = job.status()
        while True:
            parts = job.folder.journal().parts
            done = state.ended == state.batches
            if done or waiting.is_over or not continuous:
                return {part.batch_id or f"part {part.number}": part.status for part in parts}
            self._means.tell(str(state))
            waiting.sleep(interval)
            state = self._go_on(job)

    def _go_on(self, job: BatchJob) -> JobState:
        """Do what waiting for quota, or a lost connection, has put off; an outage is waited out."""
        with Site(job.folder, self._means) as site, SqliteCache(site.cache_path()) as cache:
            try:
                with site.locked():
                    Collection(site, cache).step()
            except WaitError as error:
                self._means.tell(str(error))
        return JobState.of(job.folder.journal())

    def retrieve_results_as_dataframe(self, job_id: str) -> pd.DataFrame:
        """Collect what is finished.

        Parameters
        ----------
        job_id : str
            The job.

        Returns
        -------
        DataFrame
            ``input_id`` as it was given and the fields, in the order of the frame; missing where
            there is no answer (yet): ``.genai.errors`` says why.
        """
        found = self._job(job_id).collect()
        result = found.reset_index()
        result.attrs.update(found.attrs)
        return result
