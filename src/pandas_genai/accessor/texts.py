"""What both accessors do, once they know the text of each row."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pandas as pd

from pandas_genai.accessor.arguments import with_advice
from pandas_genai.accessor.joining import mark_order, warn_of_duplicates
from pandas_genai.accessor.origin import remember_origin
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.allowance import Allowance
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.gather import Patience
from pandas_genai.batch.job import BatchJob, submit
from pandas_genai.batch.order import Order
from pandas_genai.batch.shelf import fitting_job
from pandas_genai.batch.site import Means, Site
from pandas_genai.batch.texts import LazyTexts, Said
from pandas_genai.display.cards import PlanCard, ShownJob
from pandas_genai.display.lines import say, submitted_line
from pandas_genai.display.progress import observer_for
from pandas_genai.display.where import default_cache_path, jobs_place
from pandas_genai.extract import (
    Estimation,
    Extraction,
    Manner,
)
from pandas_genai.report import Observer, OnError
from pandas_genai.report.plan import Plan
from pandas_genai.report.prices import Prices
from pandas_genai.store import Cache, SqliteCache, open_cache
from pandas_genai.task.schema import compile_schema

__all__ = ["BackendName", "Texts", "bar"]

BackendName = Literal["openai", "anthropic"]
Render: TypeAlias = Callable[[Any], list[str | None]]
"""Renders the texts of rows as they are sent."""


def bar() -> Observer:
    """Make who watches while a job is waited for."""
    return observer_for(None)


class Texts:
    """What both accessors do, once they know the text of each row."""

    _data: pd.DataFrame | pd.Series[Any]

    def _extract(
        self,
        question: Question,
        cache: Cache | None,
        manner: Manner,
        render: Render,
    ) -> pd.DataFrame:
        warn_of_duplicates(self._data.index)
        where = default_cache_path() if cache is None else cache
        jobs = JobsFolder(jobs_place(None)[0])
        extraction = Extraction(
            question, render(self._data), self._data.index, manner, where, jobs=jobs
        )
        with with_advice(question):
            result = extraction.run()
        self._remember(result, render, where, many=extraction.task.schema.many)
        return result

    def _remember(
        self, result: pd.DataFrame, render: Render, cache: Cache | None, *, many: bool
    ) -> None:
        """Remember what ``labels.genai`` will be asked: the run, the texts, the rows' order."""
        path = cache.path if isinstance(cache, SqliteCache) else cache
        where = None if path is None or path is False else Path(path).expanduser().absolute()
        remember_origin(result, self._data, render, where)
        mark_order(result, many=many)

    def _estimate(
        self, said: Said, question: Question, cache: Cache | None, manner: Manner, sample: int
    ) -> Plan:
        where = default_cache_path() if cache is None else cache
        texts = LazyTexts(self._data, said)
        with with_advice(question):
            plan = Estimation(question, texts, self._data.index, manner, where).plan(sample)
        return PlanCard.of_plan(plan)

    def _submit(
        self,
        question: Question,
        said: Said,
        cache: Cache | None,
        chunk_size: int,
        name: str | None,
        folder: str | Path | None,
        allowance: Allowance,
    ) -> BatchJob:
        path, where = jobs_place(folder)
        means = Means(question.api_key, question.base_url, question.client, tell=say)
        with ExitStack() as stack:
            opened, ours = open_cache(default_cache_path() if cache is None else cache)
            if ours:
                stack.callback(opened.close)
            order = Order(
                *(question, self._data, said, opened),
                chunk_size=chunk_size,
                name=name,
                allowance=allowance,
            )
            with with_advice(question):
                job = submit(JobsFolder(path), order, means)
        say(submitted_line(job, where))
        return ShownJob(job.folder, means, bar)

    def batch_collect(
        self,
        name: str | None = None,
        *,
        folder: str | Path | None = None,
        wait: bool = False,
        poll_s: float = 60.0,
        timeout: float | None = None,
        cache: Cache | None = None,
        on_error: OnError = "keep",
        prices: Prices | None = None,
        keep_replies: bool = False,
    ) -> pd.DataFrame:
        """Collect what an overnight job has answered, for these rows.

        Rows are matched by their text: the frame may have been filtered, reordered or grown since
        it was submitted. Answers go into the same cache as those of ``extract``.

        Parameters
        ----------
        name : str, optional
            The job; unless told, the only one in the folder whose rows these are.
        folder : str or Path, optional
            Where jobs lie; ``genai_batches`` beside the notebook unless told.
        wait : bool, default False
            Wait until the job has ended. Otherwise what is not there yet is missing, with the
            reason ``in progress``.
        poll_s : float, default 60
            Seconds until the provider is asked again while waiting; the intervals grow.
        timeout : float, optional
            Seconds after which to stop waiting.
        cache : str, Path or SqliteCache, optional
            Where the answers go; unless told, where the job was submitted with.
        on_error : {"keep", "raise"}, default "keep"
            Keep failed rows as missing values, or raise once everything is saved.
        prices : mapping, optional
            Your own prices, instead of those that ``batch_submit`` was given.
        keep_replies : bool, default False
            Keep each line of the results in the cache's table ``requests``, too.

        Returns
        -------
        DataFrame
            As from ``extract``; ``.genai.errors`` says why a row is missing, ``.genai.report``
            what this collecting brought.

        Raises
        ------
        JobError
            If there is no such job, several fit, or it was never submitted.
        CredentialsError
            If there is no key, or none that may be sent to the job's address.
        RowsFailedError
            With ``on_error="raise"``.
        """
        patience = Patience(wait, poll_s, timeout)
        path, _ = jobs_place(folder)
        job, rows = fitting_job(JobsFolder(path), name, self._data)
        means = Means(tell=say, prices=prices, keep_replies=keep_replies)
        collected = BatchJob(job, means, bar)
        result = collected.gather(rows, self._data.index, patience, cache, on_error)
        said = job.journal().text
        where = Site(job, Means()).cache_path() if cache is None else cache
        many = compile_schema(job.journal().schema).many
        self._remember(result, lambda data: list(LazyTexts(data, said)), where, many=many)
        return result
