"""What the original toolkit's two classes have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.backends.resolve import Question
from pandas_genai.batch.advance import PartAdvancer
from pandas_genai.batch.connection import Connection, ConnectionOptions
from pandas_genai.batch.create import JobSpec, prepare
from pandas_genai.batch.explained import explained
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.jobs import existing
from pandas_genai.batch.manifest import Manifest
from pandas_genai.batch.resubmit import Again, top_up
from pandas_genai.batch.stages import STORED, UNSENT
from pandas_genai.batch.state import JobState
from pandas_genai.batch.texts import text_form
from pandas_genai.clock import Deadline
from pandas_genai.errors import UsageError, WaitError, counted, warn_user
from pandas_genai.legacy.adoption import Adoption, provider_of
from pandas_genai.legacy.iterator import check_columns
from pandas_genai.legacy.merged import merged_results, schema_of
from pandas_genai.legacy.original import OriginalJob, Request
from pandas_genai.runs.failures import RowsFailedWarning
from pandas_genai.store import SqliteCache
from pandas_genai.task.schema import Schema
from pandas_genai.task.task import Task

__all__ = ["Extractor"]

CACHE_NAME = "genai_cache.sqlite"
"""The cache file of all jobs under one root."""


class Extractor:
    """What both classes share: their jobs, from the request files to the results.

    Attributes
    ----------
    batch_root_dir : Path
        The folder of the jobs.
    """

    _backend: str

    def __init__(self, root: str | Path, options: ConnectionOptions) -> None:
        self.batch_root_dir = Path(root)
        self._jobs = JobsFolder(self.batch_root_dir, self._backend)
        self._options = options

    def _params_of(self, request: Request) -> dict[str, Any]:
        """Return the parameters of a request that the original wrote, as ours are named."""
        raise NotImplementedError

    def _create(
        self,
        dataframe: pd.DataFrame,
        columns: tuple[str, str],
        question: Question,
        job_id: str,
        chunk_size: int,
        **options: Any,
    ) -> BatchJob | None:
        """Write the requests of a job, or those that it lacks to answer a frame.

        None where the original toolkit's job has, or is about to have, all answers.
        """
        check_columns(dataframe, *columns)
        original = self._original(job_id)
        schema = question.resolve().task.schema
        if original is not None:
            with self._adopted(original, sends=True) as adoption:
                fresh = bool(options.get("fresh"))
                dataframe = _unanswered(adoption, dataframe, columns, question, schema, fresh=fresh)
        folder = self._jobs.job(job_id)
        if original is not None and dataframe.empty:
            return BatchJob(folder, self._options) if folder.exists else None
        return self._write(dataframe, columns, question, job_id, chunk_size, **options)

    def _write(
        self,
        dataframe: pd.DataFrame,
        columns: tuple[str, str],
        question: Question,
        job_id: str,
        chunk_size: int,
        **options: Any,
    ) -> BatchJob:
        id_col, text_col = columns
        self._jobs.make()
        with SqliteCache(self._jobs.path / CACHE_NAME) as cache, explained(self._jobs):
            spec = JobSpec(
                question,
                dataframe,
                text_form(dataframe, text_col),
                cache,
                pd.Index(dataframe[id_col], name="input_id"),
                chunk_size,
                job_id,
                **options,
            )
            folder, task = self._jobs.job(job_id), question.resolve().task
            if folder.exists and _is_sent(folder.read_manifest(), task.prompt_hash):
                return self._topped_up(BatchJob(folder, self._options), spec)
            return BatchJob(prepare(self._jobs, spec, self._options), self._options)

    def _question(
        self, prompt: str, schema: Any, model: str, params: Mapping[str, Any]
    ) -> Question:
        options = self._options
        task = Task(prompt, schema, model=model, backend=self._backend, params=params)
        return Question(task, options.base_url, options.api_key, options.client)

    def _original(self, job_id: str) -> OriginalJob | None:
        """Return what the original toolkit wrote under a name, if it did."""
        return OriginalJob.found(self._jobs.job(job_id), self._backend)

    @contextmanager
    def _adopted(self, original: OriginalJob, *, sends: bool = False) -> Iterator[Adoption]:
        """Open the provider of a job of the original, and see how far the job is.

        Before something is sent, batches are looked for that the original could not note.
        """
        folder, options = original.folder, self._options
        with (
            explained(folder),
            folder.lock(options.tell),
            provider_of(self._backend, options) as api,
        ):
            adoption = Adoption(original, api, options)
            if sends:
                adoption.find_forgotten()
            adoption.refresh()
            yield adoption

    def _topped_up(self, job: BatchJob, spec: JobSpec) -> BatchJob:
        """Write what a job that was submitted lacks: its users call the same four methods again."""
        if spec.fresh:
            raise UsageError(
                f"The job {job.name!r} was submitted already: exclude_processed=False asks its "
                "rows again, and they are paid for again. Choose another job_id for that."
            )
        manifest = self._stored(job)
        if any(part.stage == "stored" for part in manifest.parts):
            job.collect()
        with Connection(job.folder, self._options) as connection, connection.locked():
            again = top_up(connection, spec)
        self._report(job.name, again)
        return job

    def _report(self, name: str, again: Again) -> None:
        if again.kept:
            warn_user(
                f"{counted(again.kept, 'row')} of the job {name!r} are not submitted again: the "
                "provider has lost their results, which were paid for. "
                f"pandas_genai.open_job({name!r}, {str(self.batch_root_dir)!r})"
                ".resubmit_failed(lost=True) pays for them a second time.",
                RowsFailedWarning,
            )
        rows = counted(again.sent, "row") if again.sent else "No row"
        self._options.tell(f"{rows} of the job {name!r} will be submitted again.")

    def _files(self, job: BatchJob) -> list[Path]:
        """Return the files of requests that are not submitted yet."""
        manifest = job.folder.read_manifest()
        unsent = [part.number for part in manifest.parts if part.stage in UNSENT]
        return [job.folder.requests(manifest.backend, number) for number in unsent]

    def _job(self, job_id: str) -> BatchJob:
        return BatchJob(existing(self._jobs, job_id), self._options)

    def _submit(self, job_id: str) -> list[str]:
        """Submit what was not yet; return the ids of all batches."""
        original = self._original(job_id)
        if original is not None and not original.is_topped_up:
            self._rewrite_unsent(original)
            original = self._original(job_id)
        ids = [] if original is None else [one.id for one in original.submissions]
        if original is not None and not original.is_topped_up:
            return ids
        parts = self._job(job_id).submit().folder.read_manifest().parts
        return ids + [part.batch_id or "" for part in parts]

    def _rewrite_unsent(self, original: OriginalJob) -> None:
        """Write requests anew that the original wrote and did not submit."""
        with self._adopted(original, sends=True) as adoption:
            unsent = adoption.unsent()
            answers = original.answers(schema_of(original))
            done = answers.keys() | adoption.under_way() | adoption.lost()
            found = {name: text for one in unsent for name, text in one.rows.items()}
            texts = {name: text for name, text in found.items() if name not in done}
            if texts:
                original.keep_row_ids([], answers)
                original.set_aside()
        if texts:
            first = unsent[0]
            question = self._question(
                first.prompt, first.schema, first.model, self._params_of(first)
            )
            frame = pd.DataFrame({"id": list(texts), "text": list(texts.values())})
            size = max(1, len(first.rows))
            self._write(frame, ("id", "text"), question, original.folder.name, size)

    def _statuses(
        self, job_id: str, *, continuous: bool, interval: float, timeout: float | None = None
    ) -> dict[str, str]:
        """Return the status of each batch; wait until all have ended, where that is wanted."""
        clock = self._options.clock
        deadline = Deadline(clock, timeout)
        found: dict[str, str] = {}
        while True:
            try:
                found, done = self._progress(job_id)
            except WaitError as error:  # an outage is waited out
                if not continuous:
                    raise
                self._options.tell(str(error))
                done = False
            if done or deadline.is_over or not continuous:
                return found
            deadline.sleep(interval)

    def _progress(self, job_id: str) -> tuple[dict[str, str], bool]:
        """Store the results of what has ended; return the status of each batch, and if all have."""
        original, found, done = self._original(job_id), {}, True
        if original is not None:
            done = self._fetch_ended(original)
            found = {one.id: one.status for one in original.submissions}
            if not original.is_topped_up:
                return found, done
        manifest = self._stored(self._job(job_id))
        state = JobState.of(manifest)
        if state.ended < state.batches:
            self._options.tell(str(state))
        found |= {part.batch_id or f"part {part.number}": part.status for part in manifest.parts}
        return found, done and state.ended == state.batches

    def _fetch_ended(self, original: OriginalJob) -> bool:
        """Store the results of what has ended of a job of the original; whether all has."""
        if not original.ended:
            with self._adopted(original) as adoption:
                adoption.report_unfinished()
        return original.ended

    def _stored(self, job: BatchJob) -> Manifest:
        """Store the results of what has ended, and submit what waited for quota."""
        with (
            explained(job.folder),
            Connection(job.folder, self._options) as connection,
            connection.locked(),
        ):
            PartAdvancer(connection, None).store_all()
        return job.folder.read_manifest()

    def retrieve_results_as_dataframe(self, job_id: str) -> pd.DataFrame | None:
        """Collect a job that has ended.

        Parameters
        ----------
        job_id : str
            The job.

        Returns
        -------
        DataFrame or None
            ``input_id`` as it was given and the fields, in the order of the frame; missing where
            a row has failed: ``.genai.errors`` says why. None until every batch has ended.
        """
        original = self._original(job_id)
        if original is None:
            return self._own_results(job_id)
        submitted = original.submissions or original.is_topped_up
        if not self._fetch_ended(original) or not submitted:
            return None
        own = self._own_results(job_id) if original.is_topped_up else pd.DataFrame()
        if own is None:
            return None
        result = merged_results(original, self._options)
        result.attrs.update(own.attrs)
        return result

    def _own_results(self, job_id: str) -> pd.DataFrame | None:
        job = self._job(job_id)
        manifest = self._stored(job)
        if not manifest.ready or any(part.stage not in STORED for part in manifest.parts):
            self._options.tell(str(JobState.of(manifest)))
            return None
        found = job.collect()
        result = found.reset_index()
        result.attrs.update(found.attrs)
        return result


def _unanswered(
    adoption: Adoption,
    dataframe: pd.DataFrame,
    columns: tuple[str, str],
    question: Question,
    schema: Schema,
    *,
    fresh: bool,
) -> pd.DataFrame:
    """Return the rows of a frame that the original's job has no answer for, nor will have.

    What the original wrote is set aside where requests of ours are to be written instead.
    """
    job, (id_col, text_col) = adoption.job, columns
    first = job.first
    task = question.task
    if first is not None and (first.prompt, first.model) != (task.prompt, task.model):
        raise UsageError(
            f"The job {job.folder.name!r} was begun by the original toolkit with another prompt or "
            "another model: its answers are to that question. Choose another job_id."
        )
    answers = job.answers(schema)
    names = [str(label) for label in dataframe[id_col].tolist()]
    rest = dataframe
    if not fresh:
        sent, texts = job.texts(), [str(text) for text in dataframe[text_col].tolist()]
        lost = adoption.lost() - answers.keys()
        waited_for = adoption.under_way() | lost
        settled = [
            name in waited_for or (name in answers and sent.get(name, text) == text)
            for name, text in zip(names, texts, strict=True)
        ]
        rest = dataframe[[not one for one in settled]]
        _warn_of_lost(job, sum(name in lost for name in names))
    if len(rest):
        job.keep_row_ids(dataframe[id_col].tolist(), answers)
        if not job.is_topped_up:
            job.set_aside()
    return rest


def _warn_of_lost(job: OriginalJob, rows: int) -> None:
    if rows:
        warn_user(
            f"{counted(rows, 'row')} of the job {job.folder.name!r} are not submitted again: the "
            "provider has lost their results, which were paid for. Another job_id asks them again.",
            RowsFailedWarning,
        )


def _is_sent(manifest: Manifest, prompt_hash: str) -> bool:
    """Whether a job of this task was submitted, so that it can only be added to."""
    return (
        manifest.ready
        and manifest.prompt_hash == prompt_hash
        and any(part.stage not in UNSENT for part in manifest.parts)
    )
