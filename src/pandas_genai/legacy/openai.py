"""The original toolkit's class for OpenAI's batch API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.backends.openai.backend import temperature_for
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.legacy.extractor import Extractor
from pandas_genai.legacy.original import Request
from pandas_genai.settings import CHUNK_SIZE

__all__ = ["OpenAIBatchExtractor"]


class OpenAIBatchExtractor(Extractor):
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
        options: ConnectionOptions | None = None,
    ) -> None:
        super().__init__(batch_root_dir, options or ConnectionOptions(api_key, base_url, client))
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
            The files that ``submit_batches`` will submit: ``batch_input/batch_<n>.jsonl``.

        Notes
        -----
        Called again with the ``job_id`` of a job that was submitted, it writes what that lacks:
        rows that have failed, and rows that the job did not have. Those that are under way, and
        those whose results the provider has lost after they were paid, are not asked again.
        """
        job = self._create(
            dataframe,
            (id_col, text_col),
            self._question(prompt, schema_dict, model_name, _params(model_name, temperature)),
            job_id,
            chunk_size,
            fresh=not exclude_processed,
            most_requests=self._most_requests,
        )
        return [] if job is None else self._files(job)

    def _params_of(self, request: Request) -> dict[str, Any]:
        return _params(request.model, request.params["temperature"])

    def submit_batches(self, job_id: str) -> list[str]:
        """Submit every file of a job that was not submitted yet; return the ids of all batches."""
        return self._submit(job_id)

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


def _params(model: str, temperature: float | None) -> dict[str, Any]:
    taken = temperature_for(model, temperature)
    return {} if taken is None else {"temperature": taken}
