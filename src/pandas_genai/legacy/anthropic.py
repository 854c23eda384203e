"""The original toolkit's class for Anthropic's message batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.backends.anthropic.backend import MAX_TOKENS
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.legacy.extractor import Extractor
from pandas_genai.legacy.original import Request
from pandas_genai.settings import CHUNK_SIZE
from pandas_genai.task.params import TOOL_NAME

__all__ = ["AnthropicBatchExtractor"]

_ORIGINAL_MAX_TOKENS = 32_000
"""What the original asked for by default."""


class AnthropicBatchExtractor(Extractor):
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
        options: ConnectionOptions | None = None,
    ) -> None:
        super().__init__(batch_root_dir, options or ConnectionOptions(api_key, base_url, client))

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
            ``batch_input/requests.json``, the first of the files; for a job that is topped up, the
            first of those that ``submit_batch`` will submit.
        """
        job = self._create(
            dataframe,
            (id_col, text_col),
            self._question(prompt, schema_dict, model_name, _params(max_tokens, tool_name)),
            job_id,
            chunk_size,
        )
        first = self._jobs.job(job_id).requests("anthropic", 1)
        return first if job is None else next(iter(self._files(job)), first)

    def _params_of(self, request: Request) -> dict[str, Any]:
        limit = request.params["max_tokens"]
        if limit == _ORIGINAL_MAX_TOKENS:  # nobody's choice
            limit = MAX_TOKENS
        return _params(limit, request.params.get("tool_name", TOOL_NAME))

    def submit_batch(self, job_id: str) -> str:
        """Submit a job, if it was not yet; return its batch's id (of several, comma-separated)."""
        return ",".join(self._submit(job_id))

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
    ) -> pd.DataFrame | None:
        """Collect a job that has ended; see ``OpenAIBatchExtractor``.

        Parameters
        ----------
        job_id : str
            The job.
        tool_name : str
            Not needed: each request has one tool.

        Returns
        -------
        DataFrame or None
            ``input_id`` as it was given and the fields, in the order of the frame; None until every
            batch has ended.
        """
        del tool_name
        return super().retrieve_results_as_dataframe(job_id)


def _params(max_tokens: int, tool_name: str) -> dict[str, Any]:
    """Return what differs from what is sent anyway."""
    params: dict[str, Any] = {}
    if max_tokens != MAX_TOKENS:
        params["max_tokens"] = max_tokens
    if tool_name != TOOL_NAME:
        params["tool_name"] = tool_name
    return params
