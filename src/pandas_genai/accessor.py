"""``df.genai`` and ``series.genai``: check the arguments, hand over."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pandas_genai.batch.allowance import Allowance
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.gather import Patience
from pandas_genai.batch.job import BatchJob, submit
from pandas_genai.batch.prepare import Order
from pandas_genai.batch.shelf import existing, fitting_job, jobs_frame
from pandas_genai.batch.site import Means
from pandas_genai.batch.texts import LazyTexts, Said, said_text, series_said
from pandas_genai.errors import UsageError
from pandas_genai.extract import (
    CHUNK_SIZE,
    MAX_WORKERS,
    Estimation,
    Extraction,
    Manner,
    Preview,
    preview_requests,
)
from pandas_genai.notebook.cards import PlanCard, PreviewCard, ReportCard, ShownJob
from pandas_genai.notebook.html import Shown
from pandas_genai.notebook.lines import say, submitted_line
from pandas_genai.notebook.plot import plot
from pandas_genai.notebook.progress import observer_for
from pandas_genai.notebook.reading import show
from pandas_genai.notebook.where import default_cache_path, jobs_place
from pandas_genai.providers.resolve import Question
from pandas_genai.report import ATTR, Observer, OnError, Report
from pandas_genai.report import runs as runs_of
from pandas_genai.report.plan import Plan
from pandas_genai.report.prices import Prices
from pandas_genai.report.report import find_report
from pandas_genai.storage import Cache, SqliteCache, open_cache
from pandas_genai.task.text import rows_text, series_text

__all__ = ["FrameAccessor", "SeriesAccessor", "genai", "jobs", "open_job", "runs"]

BackendName = Literal["openai", "anthropic"]


def _bar() -> Observer:
    return observer_for(None)


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

    def _estimate(
        self, said: Said, question: Question, cache: Cache | None, manner: Manner, sample: int
    ) -> Plan:
        where = default_cache_path() if cache is None else cache
        texts = LazyTexts(self._data, said)
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
            job = submit(JobsFolder(path), order, means)
        say(submitted_line(job, where))
        return ShownJob(job.folder, means, _bar)

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
        collected = BatchJob(job, Means(tell=say), _bar)
        return collected.gather(rows, self._data.index, patience, cache, on_error)


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
        max_cost: float | None = None,
        prices: Prices | None = None,
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
        max_cost : float, optional
            US dollars that this run may cost: no call is begun that would pass it. Answers from
            the cache cost nothing.
        prices : mapping, optional
            Your own prices in US dollars per million tokens, such as ``{"input": 0.1, "output":
            0.5}``; ``"cached"`` is that of input read from the vendor's prompt cache (as input
            unless told), ``"batch"`` the factor of all at the batch API (0.5 unless told). Left
            out: the list prices of the vendor.

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
        BudgetError
            If the next call would pass ``max_cost``; what was answered is kept.
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
        bar = observer_for(progress)
        manner = Manner(
            chunk_size, max_workers, fresh, on_error, bar, max_cost=max_cost, prices=prices
        )
        return self._extract(rows_text(self._data, text), question, cache, manner)

    def estimate(
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
        params: Mapping[str, Any] | None = None,
        sample: int = 0,
        prices: Prices | None = None,
    ) -> Plan:
        """Say what asking the rest of the rows will take, live and overnight.

        Without a sample nothing is sent, no key is needed and no file is made. Tokens are then
        counted from characters, four a token, of the real requests: system prompt, schema and
        texts. Answers are taken to be as long as those that the cache has, if any, otherwise as
        a guess for each kind of field says. Thinking, a prompt cache's discounts, failed replies
        and rate limits are not foreseen.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, api_key, client, cache, chunk_size, \
max_workers, params, prices
            As in ``extract``.
        sample : int, default 0
            Rows to ask now, chosen at random; their answers stay in the cache. The costs are
            then extrapolated from what these calls took, with 90 % intervals: a percentile
            bootstrap over the calls, with a fixed seed.

        Returns
        -------
        Plan
            Prints as a few lines: rows, calls, tokens, cost and time of both ways, and which
            of them to choose (live for fewer than 2,000 texts or under 15 minutes).

        Raises
        ------
        UsageError, SchemaError, CredentialsError
            Before anything is sent.
        StopRunError, Stopped
            From the sample, as from ``extract``.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> df = pd.DataFrame({"review": ["Great people.", "Awful.", "Awful."]})
        >>> df.genai.estimate("Tone?", ["good", "bad"], model="gpt-6-luna")
        3 rows: 0 answered already, 0 empty, 1 twins of another row; 2 texts to ask
        ...
        suggested: live (fewer than 2,000 texts)
        """
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        manner = Manner(chunk_size, max_workers, prices=prices)
        return self._estimate(said_text(self._data, text), question, cache, manner, sample)

    def batch_submit(
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
        name: str | None = None,
        folder: str | Path | None = None,
        params: Mapping[str, Any] | None = None,
        max_cost: float | None = None,
        prices: Prices | None = None,
    ) -> BatchJob:
        """Hand the same question to the vendor's batch API: tomorrow's answers at half the price.

        Rows that the cache has answers for, empty texts and twins of another row are not
        submitted, nor what another job of the same task has under way. Running the cell again,
        in this kernel or another, goes on with the same job; nothing is submitted twice.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, api_key, client, cache, chunk_size, params
            As in ``extract``. The embedded model has no batch API.
        name : str, optional
            The job's name; unless told, the first words of the prompt and the date.
        folder : str or Path, optional
            Where jobs lie; ``genai_batches`` beside the notebook unless told.
        max_cost : float, optional
            US dollars: nothing is submitted if the requests are estimated to cost more. The job
            is then kept unsubmitted; running the cell with a higher ``max_cost`` goes on with it.
        prices : mapping, optional
            Your own prices, by which ``max_cost`` is kept; see ``extract``.

        Returns
        -------
        BatchJob
            The job. Its handle lies in the folder: any later kernel goes on from it.

        Raises
        ------
        UsageError, SchemaError, CredentialsError
            Before anything is sent.
        StopRunError
            If the provider refuses the batch; run the cell again once the reason is mended.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> from pandas_genai.testing import LoopbackProvider
        >>> df = pd.DataFrame({"review": ["Great people.", "Awful."]}, index=["a", "b"])
        >>> with LoopbackProvider(lambda text: {"label": "good" if "Great" in text else "bad"},
        ...                       ) as provider:
        ...     job = df.genai.batch_submit("Tone?", ["good", "bad"], name="tone",
        ...                                 base_url=provider.openai_url, api_key="k")
        ...     labels = df.genai.batch_collect("tone")
        Job 'tone': 2 of 2 rows submitted in 1 batch...
        >>> labels
          label
        a  good
        b   bad
        """
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        said = said_text(self._data, text)
        return self._submit(
            question, said, cache, chunk_size, name, folder, Allowance(max_cost, prices)
        )

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
        return PreviewCard(preview_requests(question, rows_text(self._data, text), manner, n))

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
        return ReportCard.of_report(find_report(run_id, default_cache_path()))

    def show(self, n: int = 10, *, text: Hashable | pd.Series[Any] | None = None) -> Shown:
        """Show rows for reading: the text, and beside it what was answered.

        Long texts are folded, lists and nested answers are spelt out, and what an answer quotes
        of the text word for word is marked.

        Parameters
        ----------
        n : int, default 10
            How many rows, from the top; ``df.sample(20).genai.show(20)`` for others.
        text : column or Series, optional
            The texts: a column of this frame, or a Series with its index. Left out: the only
            text column of the frame; a bare result has none, and shows its fields alone.

        Returns
        -------
        Shown
            HTML in a notebook, lines in a terminal.

        Raises
        ------
        UsageError
            If there is no such column, or the Series has another index.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> df = pd.DataFrame({"review": ["Great people."], "tone": pd.Categorical(["good"])})
        >>> df.genai.show()
        [0] Great people.
          tone: good
        """
        return show(self._data, n, text)

    def plot(self) -> Any:
        """Draw how often each answer was given: bars for labels, histograms for numbers.

        Needs matplotlib (``pip install 'pandas-genai[plot]'``).

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each column that can be counted. Free texts are left out.

        Raises
        ------
        UsageError
            If matplotlib is not installed, or no column can be drawn.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> figure = pd.DataFrame({"tone": pd.Categorical(["good", "bad", "good"])}).genai.plot()
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['bad', 'good']
        """
        return plot(self._data)

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
        max_cost: float | None = None,
        prices: Prices | None = None,
    ) -> pd.DataFrame:
        """Ask a language model the same question of every text; see ``df.genai.extract``."""
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        bar = observer_for(progress)
        manner = Manner(
            chunk_size, max_workers, fresh, on_error, bar, max_cost=max_cost, prices=prices
        )
        return self._extract(series_text(self._data), question, cache, manner)

    def estimate(
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
        params: Mapping[str, Any] | None = None,
        sample: int = 0,
        prices: Prices | None = None,
    ) -> Plan:
        """Say what asking the rest of the texts will take; see ``df.genai.estimate``."""
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        manner = Manner(chunk_size, max_workers, prices=prices)
        return self._estimate(series_said(), question, cache, manner, sample)

    def batch_submit(
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
        name: str | None = None,
        folder: str | Path | None = None,
        params: Mapping[str, Any] | None = None,
        max_cost: float | None = None,
        prices: Prices | None = None,
    ) -> BatchJob:
        """Hand the same question to the vendor's batch API; see ``df.genai.batch_submit``."""
        question = Question(prompt, schema, model, backend, base_url, api_key, client, params)
        return self._submit(
            question, series_said(), cache, chunk_size, name, folder, Allowance(max_cost, prices)
        )

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
        texts = series_text(self._data)
        return PreviewCard(preview_requests(question, texts, Manner(chunk_size), n))


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
    return ShownJob(found, Means(api_key, base_url, client, tell=say), _bar)


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
