"""``BatchJob``: one submission to a batch API, in whatever kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pandas_genai.batch.advance import PartAdvancer
from pandas_genai.batch.collect import Collector, WaitOptions
from pandas_genai.batch.connection import Connection, ConnectionOptions
from pandas_genai.batch.create import JobSpec, prepare
from pandas_genai.batch.explained import explained
from pandas_genai.batch.failures import reasons
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.manifest import Manifest
from pandas_genai.batch.resubmit import Again, write_again
from pandas_genai.batch.rowfile import saved_rows
from pandas_genai.batch.state import JobState
from pandas_genai.batch.submit import Submission
from pandas_genai.errors import JobError, counted
from pandas_genai.runs.failures import IN_PROGRESS, as_frame, failed_rows
from pandas_genai.runs.parameters import params_columns
from pandas_genai.runs.progress import Observer, Silent
from pandas_genai.runs.recorder import OnError
from pandas_genai.runs.report import Report
from pandas_genai.store import Cache, SqliteCache, using
from pandas_genai.task.rows import Rows
from pandas_genai.task.task import BoundTask

__all__ = ["BatchJob", "submit"]


@dataclass
class BatchJob:
    """One submission of one task over one frame to a vendor's batch API.

    Made by ``df.genai.batch_submit()`` or ``pandas_genai.open_job()``. Everything about it lies in
    its directory, ``path``, from which any later kernel goes on.

    Examples
    --------
    >>> import pandas as pd, pandas_genai
    >>> from pandas_genai.testing import LoopbackProvider
    >>> df = pd.DataFrame({"review": ["Great people.", "Awful."]})
    >>> with LoopbackProvider(lambda text: {"label": "good" if "Great" in text else "bad"},
    ...                       ) as provider:
    ...     job = df.genai.batch_submit("Tone?", ["good", "bad"], name="tones",
    ...                                 base_url=provider.openai_url, api_key="k")
    ...     job.status().stage
    ...     labels = job.collect()
    Job 'tones': 2 of 2 rows submitted in 1 batch...
    'ended'
    >>> labels["label"].tolist()
    ['good', 'bad']
    """

    folder: JobFolder = field(repr=False)
    options: ConnectionOptions = field(default_factory=ConnectionOptions, repr=False)
    observer: Callable[[], Observer] = field(default=Silent, repr=False)

    def __repr__(self) -> str:
        try:
            return str(JobState.of(self.folder.read_manifest()))
        except JobError as error:
            return f"Job {self.name!r}: damaged. {error}"

    @property
    def name(self) -> str:
        """The job's name, which is also that of its directory."""
        return self.folder.name

    @property
    def path(self) -> Path:
        """The job's directory."""
        return self.folder.path

    def status(self) -> JobState:
        """Ask the provider how far the job is. Nothing is submitted or collected.

        Returns
        -------
        JobState
            Prints as one line.
        """
        with (
            explained(self.folder),
            Connection(self.folder, self.options) as connection,
            connection.locked(),
        ):
            # No cache is opened: only results would go into it.
            PartAdvancer(connection, None).refresh_all()
        return JobState.of(connection.manifest)

    def collect(
        self,
        *,
        wait: bool = False,
        poll_s: float = 60.0,
        timeout: float | None = None,
        cache: str | Path | SqliteCache | None = None,
        on_error: Literal["keep", "raise"] = "keep",
        keep_replies: bool = False,
    ) -> pd.DataFrame:
        """Collect what is finished, for the rows that were submitted.

        Parameters
        ----------
        wait, poll_s, timeout, cache, on_error, keep_replies
            As in ``df.genai.batch_collect``.

        Returns
        -------
        DataFrame
            A row for each row of the frame that was submitted, under its index labels.
        """
        wait_options = WaitOptions(wait, poll_s, timeout)
        with explained(self.folder):
            rows, index = saved_rows(self.folder, self.folder.read_manifest())
        job = replace(self, options=replace(self.options, keep_replies=keep_replies))
        return job.collect_rows(rows, index, wait_options, cache, on_error)

    def collect_rows(
        self,
        rows: Rows,
        index: pd.Index,
        wait_options: WaitOptions,
        cache: Cache | None,
        on_error: OnError,
    ) -> pd.DataFrame:
        """Collect what is finished, for any rows."""
        with explained(self.folder), Connection(self.folder, self.options) as connection:
            return Collector(connection, rows, index, cache, self.observer()).collect(
                wait_options, on_error
            )

    def submit(self) -> BatchJob:
        """Give the provider whatever part of the job it does not have yet."""
        with (
            explained(self.folder),
            Connection(self.folder, self.options) as connection,
            connection.locked(),
        ):
            Submission(connection).send_all()
        return self

    def resubmit_failed(
        self, *, lost: bool = False, cache: str | Path | SqliteCache | None = None
    ) -> BatchJob:
        """Submit the failed rows once more, and only those, as a new batch of this job.

        Rows whose batch has not ended, and rows answered in the meantime, are not sent. Rows of a
        request that was refused, broke or was answered wrongly go alone; those of a batch that
        expired or was refused as a whole go together again. What the results taught about the
        endpoint (a parameter that it does not take) is heeded.

        Parameters
        ----------
        lost : bool, default False
            Whether to send also rows whose results the provider does not have any more. They
            were paid for when they were answered, and are paid for again.
        cache : str, Path or SqliteCache, optional
            Where the answers are; by default, where the job was submitted with.

        Returns
        -------
        BatchJob
            The same job.

        Raises
        ------
        JobError
            If the files with the requests are gone.
        """
        with (
            explained(self.folder),
            Connection(self.folder, self.options) as connection,
            connection.locked(),
            using(connection.store_url() or False if cache is None else cache) as answers,
        ):
            if lost:
                PartAdvancer(connection, None).give_up_gone()
            Submission(connection).send_all()
            again = write_again(connection, answers, lost=lost)
            Submission(connection).send_all()
        self.options.tell(_sent_again(self.name, again))
        return self

    def cancel(self) -> JobState:
        """Ask the provider to end the job early; what it has finished can still be collected."""
        with (
            explained(self.folder),
            Connection(self.folder, self.options) as connection,
            connection.locked(),
        ):
            PartAdvancer(connection, None).cancel()
        return JobState.of(connection.manifest)

    @property
    def report(self) -> Report:
        """What the job tells so far, everything that was collected taken together."""
        manifest = self.folder.read_manifest()
        state = JobState.of(manifest)
        rows, index = saved_rows(self.folder, manifest)
        connection = Connection(self.folder, self.options)
        with using(connection.store_url() or False) as cache:
            known = cache.present(manifest.prompt_hash, rows.keys)
        missing = set(rows.keys) - known
        found = failed_rows(rows, reasons(self.folder, manifest, missing))
        failed = [row for row in found if row.key is not None and row.reason != IN_PROGRESS]
        params = _params(connection.task, manifest)
        models: dict[str, int] = {}
        for part in manifest.parts:
            for model, count in part.models.items():
                models[model] = models.get(model, 0) + count
        return Report(
            run_id=manifest.uid,
            status=state.stage,
            rows=manifest.rows,
            ok=manifest.rows - len(found),
            failed=len(failed),
            cached=manifest.cached,
            empty=manifest.empty,
            duplicates=manifest.twins,
            calls=sum(part.calls for part in manifest.parts),
            retries=0,
            input_tokens=state.usage.input_tokens,
            cached_tokens=state.usage.cached_tokens,
            output_tokens=state.usage.output_tokens,
            cost=state.cost,
            unknown_calls=state.usage.unknown_calls,
            params_sent=params["params_sent"],
            params_dropped=params["params_dropped"],
            models=sorted(models, key=lambda model: -models[model]),
            prompt_hash=manifest.prompt_hash,
            seconds=None,
            errors=as_frame(found, index),
        )


def _params(task: BoundTask, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return what the requests of a job were sent with, and what was left out."""
    columns = params_columns(task, (part.params_sent for part in manifest.parts))
    return {name: json.loads(text or "{}") for name, text in columns.items()}


def submit(jobs: JobsFolder, spec: JobSpec, options: ConnectionOptions) -> BatchJob:
    """Prepare a job and give it to the provider, or go on with the one that was prepared."""
    with explained(jobs):
        return BatchJob(prepare(jobs, spec, options), options).submit()


def _sent_again(name: str, again: Again) -> str:
    lines = []
    if again.sent:
        lines.append(f"Submitted {counted(again.sent, 'failed row')} of the job {name!r} again.")
    elif not again.kept:
        lines.append(f"No row of the job {name!r} has failed: nothing was submitted.")
    if again.kept:
        lines.append(
            f"Not submitted again: {counted(again.kept, 'row')} of the job {name!r} whose results "
            "the provider has lost, but which were paid for. resubmit_failed(lost=True) submits "
            "them, too, and they are paid for a second time."
        )
    return " ".join(lines)
