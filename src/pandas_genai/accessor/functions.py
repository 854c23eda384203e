"""The functions beside the accessors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.accessor.frame import FrameAccessor
from pandas_genai.accessor.texts import bar
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.shelf import existing, jobs_frame
from pandas_genai.batch.site import Means
from pandas_genai.display.cards import ShownJob
from pandas_genai.display.lines import say
from pandas_genai.display.where import default_cache_path, jobs_place
from pandas_genai.report import runs as runs_of
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


def jobs(folder: str | Path | None = None) -> pd.DataFrame:
    """List the overnight jobs of a folder, as far as their handles know; no provider is asked.

    Parameters
    ----------
    folder : str or Path, optional
        Where jobs lie; ``genai_batches`` beside the notebook unless told.

    Returns
    -------
    DataFrame
        One row a job, indexed by ``name``: backend, model, rows of the frame, stage (``not
        submitted``, ``submitting``, ``waiting for quota``, ``in progress``, ``ended``,
        ``collected``); done, failed and expired texts; when it was submitted and ends by (UTC);
        cost so far in US dollars (missing where the price is unknown). Empty without jobs.

    Examples
    --------
    >>> len(jobs("nowhere"))
    0
    """
    return jobs_frame(JobsFolder(jobs_place(folder)[0]))


def open_job(
    name: str,
    folder: str | Path | None = None,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    client: Any = None,
) -> BatchJob:
    """Open an overnight job by its handle.

    Parameters
    ----------
    name : str
        The job.
    folder : str or Path, optional
        Where jobs lie; ``genai_batches`` beside the notebook unless told.
    api_key : str, optional
        Instead of the settings' key.
    base_url : str, optional
        Confirms the address in the handle, where the key is another than the one that was used.
    client : optional
        Your own client.

    Returns
    -------
    BatchJob
        With ``status()``, ``collect()``, ``cancel()``, ``resubmit_failed()`` and ``report``.

    Raises
    ------
    JobError
        If there is no such job.
    """
    found = existing(JobsFolder(jobs_place(folder)[0]), name)
    return ShownJob(found, Means(api_key, base_url, client, tell=say), bar)


def runs(cache: SqliteCache | str | Path | None = None) -> pd.DataFrame:
    """List the runs that a cache file remembers, the newest first.

    Parameters
    ----------
    cache : str, Path or SqliteCache, optional
        The cache file; ``genai_cache.sqlite`` beside the notebook unless told.

    Returns
    -------
    DataFrame
        One row a run, indexed by ``run_id``: task, status, times, counts of rows, calls and
        tokens, cost in US dollars (missing where the price is unknown), models, endpoint.

    Raises
    ------
    UsageError
        If there is no such file.
    CacheError
        If the file is no cache.
    """
    return runs_of(default_cache_path() if cache is None else cache)
