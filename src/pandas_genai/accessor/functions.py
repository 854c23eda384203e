"""The functions beside the accessors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pandas_genai.accessor.asking import bar
from pandas_genai.accessor.frame import FrameAccessor
from pandas_genai.backends.client import AnthropicClient, OpenAIClient
from pandas_genai.batch import JobState
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.jobs import existing, jobs_frame
from pandas_genai.display.cards import ShownJob
from pandas_genai.display.lines import say
from pandas_genai.display.where import default_cache_path, jobs_place
from pandas_genai.errors import GenaiError, warn_user
from pandas_genai.runs import runs as runs_of
from pandas_genai.store import SqliteCache

__all__ = ["genai", "jobs", "open_job", "runs"]


def genai(data: pd.DataFrame) -> FrameAccessor:
    """Return ``data.genai`` with its type, for editors that complete.

    Parameters
    ----------
    data : DataFrame
        The rows.

    Examples
    --------
    >>> import pandas as pd
    >>> genai(pd.DataFrame({"text": ["a"]})).preview("Tone?", ["good", "bad"])[0]["method"]
    'POST'
    """
    return FrameAccessor(data)


def jobs(folder: str | Path | None = None, *, refresh: bool = False) -> pd.DataFrame:
    """List the batch jobs of a folder, as far as their manifests know.

    Parameters
    ----------
    folder : str or Path, optional
        Where jobs lie; by default ``genai_batches`` beside the notebook.
    refresh : bool, default False
        Ask the providers first how far the jobs are that have not ended. Otherwise no provider is
        asked. A job whose provider does not answer stays as its manifest knows it, with a warning.

    Returns
    -------
    DataFrame
        One row a job, indexed by ``name``: backend, model, rows of the frame, stage (``not
        submitted``, ``submitting``, ``waiting for quota``, ``in progress``, ``ended``,
        ``collected``, ``damaged``); done, failed and expired texts; when it was submitted and
        ends by (UTC); cost so far in US dollars (missing where the price is unknown).
        Empty without jobs. Where a job's files are damaged, a column ``reason`` says which.

    Examples
    --------
    >>> len(jobs("nowhere"))
    0
    """
    place = JobsFolder(jobs_place(folder)[0])
    if refresh:
        for found, manifest in place.jobs()[0]:
            if JobState.of(manifest).stage not in {"ended", "collected", "not submitted"}:
                _asked(found)
    return jobs_frame(place)


def _asked(found: JobFolder) -> None:
    """Ask the provider of a job how far it is; one that does not answer stops nobody."""
    try:
        BatchJob(found, ConnectionOptions(tell=say)).status()
    except GenaiError as error:
        warn_user(f"The job {found.name!r} was not refreshed: {error}", UserWarning)


def open_job(
    name: str,
    folder: str | Path | None = None,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    client: OpenAIClient | AnthropicClient | None = None,
    prices: Mapping[str, float] | None = None,
) -> BatchJob:
    """Open a batch job by its manifest.

    Parameters
    ----------
    name : str
        The job.
    folder : str or Path, optional
        Where jobs lie; by default ``genai_batches`` beside the notebook.
    api_key : str, optional
        Instead of the settings' key.
    base_url : str, optional
        Confirms the address in the manifest, where the key is another than the one that was used.
    client : optional
        Your own client.
    prices : mapping, optional
        Your own prices, by which the results are counted that are collected from now on, instead
        of those that ``batch_submit`` was given; see ``extract``.

    Returns
    -------
    BatchJob
        With ``status()``, ``collect()``, ``cancel()``, ``resubmit_failed()`` and ``report``.

    Raises
    ------
    JobError
        If there is no such job.
    UsageError
        If ``prices`` are none.
    """
    found = existing(JobsFolder(jobs_place(folder)[0]), name)
    return ShownJob(
        found, ConnectionOptions(api_key, base_url, client, tell=say, prices=prices), bar
    )


def runs(cache: SqliteCache | str | Path | None = None) -> pd.DataFrame:
    """List the runs that a cache file remembers, the newest first.

    Parameters
    ----------
    cache : str, Path or SqliteCache, optional
        The cache, a path or a URL; by default ``genai_cache.sqlite`` beside the notebook.

    Returns
    -------
    DataFrame
        One row a run, indexed by ``run_id``: when it started, the model, counts of rows, cost in
        US dollars (missing where the price is unknown), status; then calls, tokens, endpoint, and
        the hash of the task.

    Raises
    ------
    UsageError
        If there is no such file.
    CacheError
        If the file is no cache.
    """
    return runs_of(default_cache_path() if cache is None else cache)
