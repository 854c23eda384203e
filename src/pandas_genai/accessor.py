"""``df.genai`` and ``series.genai``: check the arguments, hand over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.extract import (
    CHUNK_SIZE,
    MAX_WORKERS,
    Extraction,
    Manner,
    Preview,
    preview_requests,
)
from pandas_genai.notebook.progress import observer_for
from pandas_genai.notebook.where import default_cache_path
from pandas_genai.providers.resolve import Question
from pandas_genai.report import ATTR, Observer, OnError, Report
from pandas_genai.report import runs as runs_of
from pandas_genai.report.report import find_report
from pandas_genai.storage import Cache, SqliteCache
from pandas_genai.task.text import rows_text, series_text

__all__ = ["FrameAccessor", "SeriesAccessor", "genai", "runs"]

BackendName = Literal["openai", "anthropic"]


class _Texts:
    """What both accessors do, once they know the text of each row."""

    _data: pd.DataFrame | pd.Series[Any]

    def _extract(
        self,
        texts: list[str | None],
        question: Question,
        cache: Cache | None,
        manner: Manner,
    ) -> pd.DataFrame:
        where = default_cache_path() if cache is None else cache
        return Extraction(question, texts, self._data.index, manner, where).run()


class FrameAccessor(_Texts):
    """What ``df.genai`` offers.

    Parameters
    ----------
    data : DataFrame
        The rows.
    """

    def __init__(self, data: pd.DataFrame) -> None:
        self._data: pd.DataFrame = data

    def extract(
        self,
        prompt: str,
        schema: object = None,
        *,
        text: object = None,
        model: str | None = None,
        backend: BackendName | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: Any = None,
        cache: Cache | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_workers: int = MAX_WORKERS,
        fresh: bool = False,
        on_error: OnError = "keep",
        params: Mapping[str, Any] | None = None,
        progress: bool | Observer | None = None,
    ) -> pd.DataFrame:
        r"""Ask a language model the same question of every row.

        Parameters
        ----------
        prompt : str
            The instructions.
        schema : optional
            What an answer looks like: a shorthand dict such as
            ``{"tone": ["positive", "negative"], "year": int | None, "topics": [str]}``, a list
            of labels (one column, ``label``), a pydantic model, a TypedDict, a dataclass, a
            JSON schema or the path to one; ``list[...]`` of any of them for several records a
            row. Left out: the prompt says what to return.
        text : column, list of columns, or template, optional
            What is sent of each row: a column as it is, several as one JSON object, or a
            template such as ``"{title}\n\n{body}"``. Left out: the only text column, or the
            one named ``text``.
        model : str, optional
            The model; ``"local"`` is the embedded one, which needs no key. Left out: the
            setting ``DEFAULT_MODEL``, ``gpt-6-luna``, or ``claude-haiku-5-5`` for Anthropic.
        backend : {"openai", "anthropic"}, optional
            The wire format. Left out: ``"anthropic"`` for models named ``claude...``,
            otherwise the setting ``DEFAULT_BACKEND``, ``"openai"``.
        base_url, api_key : str, optional
            The address as the vendor's SDK understands it, and the key. Left out: from the
            environment or a ``.env`` file.
        client : openai.OpenAI or anthropic.Anthropic, optional
            Your own client instead of both.
        cache : str, Path, SqliteCache or False, optional
            Where answers are kept: ``genai_cache.sqlite`` beside the notebook unless told;
            False keeps them in memory only.
        chunk_size : int, default 5
            Rows that share a call (1 for the embedded model unless told).
        max_workers : int, default 20
            Calls at once (1 for the embedded model unless told).
        fresh : bool, default False
            Ask again what the cache has.
        on_error : {"keep", "raise"}, default "keep"
            Keep failed rows as missing values, or raise once all is done and saved.
        params : mapping, optional
            Sent beside the messages, such as ``{"temperature": 0}`` or ``{"max_tokens": 500}``;
            ``{"structured": "tool"}`` chooses how the schema is enforced.
        progress : bool or Observer, optional
            False shows no bar; an observer takes the events instead.

        Returns
        -------
        DataFrame
            The input's index in the input's order, a column for each field. Rows without an
            answer are missing in all fields; ``.genai.errors`` says why. With a ``list[...]``
            schema a row for each record, the index repeated.

        Raises
        ------
        UsageError, SchemaError, CredentialsError
            Before anything is sent.
        StopRunError
            If no request can succeed (bad key, unknown model, no money left); what was
            answered is kept.
        RowsFailedError
            With ``on_error="raise"``.
        Stopped
            After Stop; what was answered is kept.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> from pandas_genai.testing import LoopbackProvider
        >>> df = pd.DataFrame({"review": ["Great people.", "Awful."]}, index=["a", "b"])
        >>> with LoopbackProvider(lambda text: {"tone": "good" if "Great" in text else "bad"},
        ...                       ) as provider:
        ...     labels = df.genai.extract("Tone?", {"tone": ["good", "bad"]}, cache=False,
        ...                               base_url=provider.openai_url, api_key="k",
        ...                               progress=False)
        >>> df.join(labels)
                  review  tone
        a  Great people.  good
        b         Awful.   bad
        """
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        manner = Manner(chunk_size, max_workers, fresh, on_error, observer_for(progress))
        return self._extract(rows_text(self._data, text), question, cache, manner)

    def preview(
        self,
        prompt: str,
        schema: object = None,
        n: int = 1,
        *,
        text: object = None,
        model: str | None = None,
        backend: BackendName | None = None,
        base_url: str | None = None,
        client: Any = None,
        chunk_size: int = CHUNK_SIZE,
        params: Mapping[str, Any] | None = None,
    ) -> Preview:
        """Show the exact requests that ``extract`` would send. Nothing is sent, no key needed.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, client, chunk_size, params
            As in ``extract``.
        n : int, default 1
            How many requests, as many as an empty cache would lead to at most.

        Returns
        -------
        Preview
            A list of dicts with ``method``, ``url`` and ``body``.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> df = pd.DataFrame({"text": ["Great people."]})
        >>> request, = df.genai.preview("Tone?", ["good", "bad"])
        >>> request["body"]["messages"][1]["content"]
        '[{"input_id": "2j2h2", "input_text": "Great people."}]'
        """
        question = Question(prompt, schema, model, backend, base_url, None, client, params)
        manner = Manner(chunk_size)
        return preview_requests(question, rows_text(self._data, text), manner, n)

    @property
    def report(self) -> Report:
        """The report of the run that made this frame.

        Raises
        ------
        UsageError
            If no run made it, or its report is in a cache file elsewhere.
        """
        run_id = self._data.attrs.get(ATTR)
        if run_id is None:
            raise UsageError("This frame is not the result of a run: ask .genai of the result.")
        return find_report(run_id, default_cache_path())

    @property
    def errors(self) -> pd.DataFrame:
        """The rows without an answer: reason, message, attempts, request id, by index label.

        Raises
        ------
        UsageError
            As for ``report``.
        """
        return self.report.errors


class SeriesAccessor(_Texts):
    """What ``series.genai`` offers: the series is the text.

    Parameters
    ----------
    data : Series
        The texts.
    """

    def __init__(self, data: pd.Series[Any]) -> None:
        self._data: pd.Series[Any] = data

    def extract(
        self,
        prompt: str,
        schema: object = None,
        *,
        model: str | None = None,
        backend: BackendName | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: Any = None,
        cache: Cache | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_workers: int = MAX_WORKERS,
        fresh: bool = False,
        on_error: OnError = "keep",
        params: Mapping[str, Any] | None = None,
        progress: bool | Observer | None = None,
    ) -> pd.DataFrame:
        """Ask a language model the same question of every text; see ``df.genai.extract``."""
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        manner = Manner(chunk_size, max_workers, fresh, on_error, observer_for(progress))
        return self._extract(series_text(self._data), question, cache, manner)

    def preview(
        self,
        prompt: str,
        schema: object = None,
        n: int = 1,
        *,
        model: str | None = None,
        backend: BackendName | None = None,
        base_url: str | None = None,
        client: Any = None,
        chunk_size: int = CHUNK_SIZE,
        params: Mapping[str, Any] | None = None,
    ) -> Preview:
        """Show the exact requests that ``extract`` would send; see ``df.genai.preview``."""
        question = Question(prompt, schema, model, backend, base_url, None, client, params)
        return preview_requests(question, series_text(self._data), Manner(chunk_size), n)


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
