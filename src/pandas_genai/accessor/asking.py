"""One task, asked of the rows of a frame or Series with some options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias

import pandas as pd

from pandas_genai.accessor.arguments import checked_text, task_of, with_advice
from pandas_genai.accessor.evidence import OwnColumns
from pandas_genai.accessor.joining import mark_order, warn_of_duplicates
from pandas_genai.accessor.origin import Asked, remember_origin
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.collect import WaitOptions
from pandas_genai.batch.connection import Connection, ConnectionOptions
from pandas_genai.batch.create import Allowance, JobSpec
from pandas_genai.batch.explained import explained
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob, submit
from pandas_genai.batch.jobs import fitting_job
from pandas_genai.batch.texts import FrameInputs, TextForm, text_form
from pandas_genai.costs.plan import Plan
from pandas_genai.display.cards import PlanCard, PreviewCard, ShownJob
from pandas_genai.display.lines import say, submitted_line
from pandas_genai.display.progress import observer_for
from pandas_genai.display.where import default_cache_path, jobs_place
from pandas_genai.errors import UsageError
from pandas_genai.extract import Estimation, Extraction, Preview, preview_requests
from pandas_genai.extract.run import nothing_asked_yet
from pandas_genai.options import RunOptions
from pandas_genai.runs import Observer, OnError
from pandas_genai.settings import whole_number
from pandas_genai.store import Cache, url_of, using
from pandas_genai.task.inputs import HeldInputs, Value
from pandas_genai.task.repeats import check_repeats
from pandas_genai.task.schema import compile_schema

__all__ = ["Asking", "bar", "collected"]

Render: TypeAlias = Callable[[Any], list[Value]]
Rows: TypeAlias = "pd.DataFrame | pd.Series[Any]"

_RUN = (
    *("chunk_size", "max_workers", "fresh", "on_error", "max_cost", "prices", "keep_replies"),
    *("rpm", "tpm"),
    *("offline", "retry_failed", "repeats"),
)
"""The arguments of a verb that are run options as they stand."""


def bar() -> Observer:
    """Make who watches while a job is waited for."""
    return observer_for(None)


@dataclass(frozen=True)
class Asking:
    """A task, the rows that it is asked of, and how.

    Parameters
    ----------
    data : DataFrame or Series
        The rows.
    question : Question
        What is asked and where.
    options : RunOptions
        How.
    """

    data: Rows
    question: Question
    options: RunOptions

    @classmethod
    def of(cls, data: Rows, given: Mapping[str, Any]) -> Self:
        """Make it of a verb's arguments.

        Parameters
        ----------
        data : DataFrame or Series
            The rows.
        given : mapping
            The arguments by name; those of one verb alone are not looked at.

        Raises
        ------
        UsageError, SchemaError
            If an argument is wrong.
        """
        if isinstance(data, pd.Series) and given["text"] is not None:
            raise UsageError("The Series is the text itself: leave text= out.")
        task = task_of(given)
        if isinstance(data, pd.DataFrame):
            checked_text(data, task.text)
        options = RunOptions(
            cache=default_cache_path() if given["cache"] is None else given["cache"],
            observer=observer_for(given["progress"]),
            **{name: given[name] for name in _RUN},
        )
        check_repeats(task.compiled, options.repeats)
        return cls(
            data, Question(task, given["base_url"], given["api_key"], given["client"]), options
        )

    def answers(self) -> pd.DataFrame:
        """Ask, and return the frame of all answers."""
        own = self._own_columns()
        warn_of_duplicates(self.data.index)
        jobs = JobsFolder(jobs_place(None)[0])
        with nothing_asked_yet():  # texts of objects are written here
            inputs = HeldInputs(FrameInputs(self.data, self._form))
            extraction = Extraction(self.question, inputs, self.data.index, self.options, jobs=jobs)
        with with_advice(self.question), own.finding():
            result = extraction.run()
        own.find(result)
        task = extraction.task
        asked = Asked(task.prompt, task.schema, task.prompt_hash)
        _remember(result, self.data, self._form, self.options.cache, asked)
        return result

    def plan(self, sample: int) -> Plan:
        """Say what asking the rest will take."""
        with with_advice(self.question):
            with nothing_asked_yet():
                inputs = self.inputs()
                estimation = Estimation(self.question, inputs, self.data.index, self.options)
            return PlanCard.showing(estimation.plan(sample))

    def requests(self, n: int) -> Preview:
        """Return the first requests."""
        n = whole_number("n", n)
        found = preview_requests(self.question, self.inputs(), self.data.index, self.options, n)
        return PreviewCard.of_preview(found)

    def job(self, name: str | None, folder: str | Path | None) -> BatchJob:
        """Submit a job, or go on with the one that was submitted."""
        if self.options.offline or not self.options.retry_failed:
            raise UsageError(
                "A batch job sends every row that has no answer: offline= and retry_failed= are "
                "for extract."
            )
        self._own_columns()  # refuses what could not be found when it is collected
        warn_of_duplicates(self.data.index)
        question, options = self.question, self.options
        path, where = jobs_place(folder)
        connection_options = ConnectionOptions(
            question.api_key, question.base_url, question.client, tell=say
        )
        jobs = JobsFolder(path)
        with explained(jobs), using(options.cache) as opened:
            spec = JobSpec(
                *(question, self.data, self._form, opened),
                chunk_size=options.chunk_size,
                name=name,
                fresh=options.fresh,
                repeats=options.repeats,
                allowance=Allowance(options.max_cost, options.prices),
            )
            with with_advice(question):
                job = submit(jobs, spec, connection_options)
        say(submitted_line(job, where))
        return ShownJob(job.folder, connection_options, bar)

    @cached_property
    def _form(self) -> TextForm:
        return text_form(self.data, self.question.task.text)

    def inputs(self) -> FrameInputs:
        """Return what is sent of the rows, rendered when it is read."""
        self._own_columns()
        return FrameInputs(self.data, self._form)

    def _own_columns(self) -> OwnColumns:
        return OwnColumns(self.data, self._form, self.question.task.compiled)


def _renderer(form: TextForm) -> Render:
    """Return what renders the inputs of rows as they are sent, without keeping the rows."""
    return lambda rows: list(FrameInputs(rows, form))


def collected(
    data: Rows,
    name: str | None,
    folder: str | Path | None,
    wait_options: WaitOptions,
    cache: Cache | None,
    on_error: OnError,
    connection_options: ConnectionOptions,
) -> pd.DataFrame:
    """Collect what a job has answered, for these rows."""
    path, _ = jobs_place(folder)
    jobs = JobsFolder(path)
    with explained(jobs):
        job, rows = fitting_job(jobs, name, data)
        manifest = job.read_manifest()
        schema = compile_schema(manifest.schema)
        own = OwnColumns(data, manifest.text, schema)
        with own.finding():
            result = BatchJob(job, connection_options, bar).collect_rows(
                rows, data.index, wait_options, cache, on_error
            )
        own.find(result)
        where = Connection(job, ConnectionOptions()).store_url() if cache is None else cache
        asked = Asked(manifest.prompt, schema, manifest.prompt_hash)
        _remember(result, data, manifest.text, where, asked)
    return result


def _remember(
    result: pd.DataFrame,
    data: Rows,
    form: TextForm,
    cache: Cache | None,
    asked: Asked,
) -> None:
    """Remember what ``labels.genai`` will be asked: the run, the texts, the rows' order."""
    where = None if cache is None else url_of(cache)
    remember_origin(result, data, _renderer(form), where, asked, form)
    mark_order(result, many=asked.schema.many)
