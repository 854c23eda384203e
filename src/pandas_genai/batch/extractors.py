"""The original toolkit's two classes: another door to the same jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.batch.collect import Collection
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.journal import Part
from pandas_genai.batch.prepare import Order, prepare
from pandas_genai.batch.shelf import existing
from pandas_genai.batch.site import Means, Site
from pandas_genai.batch.texts import said_text
from pandas_genai.errors import UsageError
from pandas_genai.providers.anthropic_wire import MAX_TOKENS
from pandas_genai.providers.openai_wire import temperature_for
from pandas_genai.providers.resolve import Question
from pandas_genai.settings import CHUNK_SIZE
from pandas_genai.storage import SqliteCache
from pandas_genai.task.task import TOOL_NAME, Backend

__all__ = ["AnthropicBatchExtractor", "OpenAIBatchExtractor"]

CACHE_NAME = "genai_cache.sqlite"
"""The cache file of all jobs under one root."""


class _Extractor:
    """What both classes do."""

    _backend: Backend

    def __init__(self, root: str | Path, means: Means) -> None:
        self._jobs = JobsFolder(Path(root))
        self._means = means

    def _create(
        self,
        dataframe: pd.DataFrame,
        columns: tuple[str, str],
        question: tuple[str, object, str, Mapping[str, Any]],
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
        asked = Question(
            prompt,
            schema,
            model,
            self._backend,
            means.base_url,
            means.api_key,
            means.client,
            params,
        )
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
        until = None if timeout is None else clock.now() + timeout
        while True:
            state = job.status()
            parts = job.folder.journal().parts
            done = state.ended == state.batches
            late = until is not None and clock.now() >= until
            if done or late or not continuous:
                return {part.batch_id or f"part {part.number}": part.status for part in parts}
            self._means.tell(str(state))
            clock.sleep(interval)
            self._go_on(job)

    def _go_on(self, job: BatchJob) -> None:
        """Do what waiting for quota, or a lost connection, has put off."""
        with (
            Site(job.folder, self._means) as site,
            SqliteCache(site.cache_path()) as cache,
            site.locked(),
        ):
            Collection(site, cache).step()

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


class OpenAIBatchExtractor(_Extractor):
    """Hands rows to OpenAI's batch API, or that of a server which speaks it.

    Parameters
    ----------
    batch_root_dir : str or Path, default "batch_jobs"
        The folder of the jobs; one cache file in it serves them all.
    max_requests_per_batch : int, default 5000
        Requests a file, at most 50,000.
    api_key, base_url, client : optional
        As in ``df.genai.batch_submit``.

    Examples
    --------
    >>> import pandas as pd
    >>> from pandas_genai.testing import LoopbackProvider
    >>> df = pd.DataFrame({"id": [7, 8], "text": ["good", "bad"]})
    >>> with LoopbackProvider(lambda text: {"label": text}) as provider:
    ...     extractor = OpenAIBatchExtractor("jobs", api_key="k", base_url=provider.openai_url)
    ...     _ = extractor.create_batch_jsonl(df, "id", "text", "Tone?", "night", "gpt-6-luna",
    ...                                      schema_dict=["good", "bad"])
    ...     _ = extractor.submit_batches("night")
    ...     extractor.retrieve_results_as_dataframe("night")
       input_id label
    0         7  good
    1         8   bad
    """

    _backend = "openai"

    def __init__(
        self,
        batch_root_dir: str | Path = "batch_jobs",
        max_requests_per_batch: int = 5000,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Any = None,
        *,
        means: Means | None = None,
    ) -> None:
        super().__init__(batch_root_dir, means or Means(api_key, base_url, client))
        self._most_requests = max_requests_per_batch

    def create_batch_jsonl(
        self,
        dataframe: pd.DataFrame,
        id_col: str,
        text_col: str,
        prompt: str,
        job_id: str,
        model_name: str,
        temperature: float | None = 0.0,
        chunk_size: int = CHUNK_SIZE,
        exclude_processed: bool = True,
        schema_dict: object = None,
    ) -> list[Path]:
        """Write the requests of a job; nothing is sent.

        Parameters
        ----------
        dataframe : DataFrame
            The rows.
        id_col, text_col : str
            Columns with the ids, which are carried along, and the texts.
        prompt : str
            The instructions.
        job_id : str
            The job's name.
        model_name : str
            The model.
        temperature : float, default 0.0
            Sent to models that take it; 1.0 to families that take only that; None: not at all.
        chunk_size : int, default 5
            Rows a request.
        exclude_processed : bool, default True
            Leave out what the cache of this root has answers for.
        schema_dict : optional
            Any form of a schema; None: JSON as the prompt describes it.

        Returns
        -------
        list of Path
            The files: ``batch_input/batch_<n>.jsonl``.
        """
        taken = temperature_for(model_name, temperature)
        params = {} if taken is None else {"temperature": taken}
        job = self._create(
            dataframe,
            (id_col, text_col),
            (prompt, schema_dict, model_name, params),
            job_id,
            chunk_size,
            fresh=not exclude_processed,
            most_requests=self._most_requests,
        )
        return _files(job)

    def submit_batches(self, job_id: str) -> list[str]:
        """Submit every file of a job that was not submitted yet; return the ids of all batches."""
        return [part.batch_id or "" for part in self._submit(job_id)]

    def check_batch_status(
        self, job_id: str, continuous: bool = False, interval: float = 300
    ) -> dict[str, str]:
        """Return the status of each batch by its id.

        Parameters
        ----------
        job_id : str
            The job.
        continuous : bool, default False
            Ask again every ``interval`` seconds until all have ended.
        interval : float, default 300
            Seconds.
        """
        return self._statuses(job_id, continuous=continuous, interval=interval)


class AnthropicBatchExtractor(_Extractor):
    """Hands rows to Anthropic's message batches.

    Parameters
    ----------
    batch_root_dir : str or Path, default "anthropic_batch_jobs"
        The folder of the jobs; one cache file in it serves them all.
    api_key, base_url, client : optional
        As in ``df.genai.batch_submit``.
    """

    _backend = "anthropic"

    def __init__(
        self,
        batch_root_dir: str | Path = "anthropic_batch_jobs",
        api_key: str | None = None,
        base_url: str | None = None,
        client: Any = None,
        *,
        means: Means | None = None,
    ) -> None:
        super().__init__(batch_root_dir, means or Means(api_key, base_url, client))

    def create_batch_requests(
        self,
        dataframe: pd.DataFrame,
        id_col: str,
        text_col: str,
        prompt: str,
        job_id: str,
        model_name: str,
        chunk_size: int = CHUNK_SIZE,
        schema_dict: object = None,
        tool_name: str = TOOL_NAME,
        max_tokens: int = MAX_TOKENS,
    ) -> Path:
        """Write the requests of a job; nothing is sent.

        Parameters
        ----------
        dataframe, id_col, text_col, prompt, job_id, model_name, chunk_size, schema_dict
            As in ``OpenAIBatchExtractor.create_batch_jsonl``.
        tool_name : str, default "extract_results"
            What the tool is called for models whose schema a tool enforces.
        max_tokens : int, default 16000
            The most that one request may answer.

        Returns
        -------
        Path
            ``batch_input/requests.json``, the first of the files.
        """
        params: dict[str, Any] = {}
        if max_tokens != MAX_TOKENS:
            params["max_tokens"] = max_tokens
        if tool_name != TOOL_NAME:
            params["tool_name"] = tool_name
        question = (prompt, schema_dict, model_name, params)
        job = self._create(dataframe, (id_col, text_col), question, job_id, chunk_size)
        return job.folder.requests("anthropic", 1)

    def submit_batch(self, job_id: str) -> str:
        """Submit a job, if it was not yet; return its batch's id (of several, comma-separated)."""
        return ",".join(part.batch_id or "" for part in self._submit(job_id))

    def check_batch_status(
        self,
        job_id: str,
        continuous: bool = False,
        interval: float = 30,
        timeout: float | None = None,
    ) -> str:
        """Return ``ended`` once every batch has, else the status of the first that has not.

        Parameters
        ----------
        job_id : str
            The job.
        continuous : bool, default False
            Ask again every ``interval`` seconds until all have ended.
        interval : float, default 30
            Seconds.
        timeout : float, optional
            Seconds after which to stop asking.
        """
        found = self._statuses(job_id, continuous=continuous, interval=interval, timeout=timeout)
        return next((status for status in found.values() if status != "ended"), "ended")

    def retrieve_results_as_dataframe(
        self, job_id: str, tool_name: str = TOOL_NAME
    ) -> pd.DataFrame:
        """Collect what is finished; see ``OpenAIBatchExtractor``.

        Parameters
        ----------
        job_id : str
            The job.
        tool_name : str
            Not needed: each request has one tool.

        Returns
        -------
        DataFrame
            ``input_id`` as it was given and the fields, in the order of the frame.
        """
        del tool_name
        return super().retrieve_results_as_dataframe(job_id)


def _files(job: BatchJob) -> list[Path]:
    journal = job.folder.journal()
    return [job.folder.requests(journal.backend, part.number) for part in journal.parts]
