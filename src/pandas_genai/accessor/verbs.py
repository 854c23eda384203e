"""The verbs of ``df.genai`` and ``series.genai``, with their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pandas_genai.accessor.arguments import named_arguments
from pandas_genai.accessor.asking import Asking, collected
from pandas_genai.backends.client import AnthropicClient, OpenAIClient
from pandas_genai.batch.collect import WaitOptions
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.batch.job import BatchJob
from pandas_genai.costs.plan import Plan
from pandas_genai.display.lines import say
from pandas_genai.extract import Preview
from pandas_genai.options import CHUNK_SIZE, MAX_WORKERS
from pandas_genai.runs import Observer
from pandas_genai.store import SqliteCache
from pandas_genai.task.annotations import Answer, Column, Json, Shorthand, Template
from pandas_genai.task.task import Task

__all__ = ["Verbs"]


class Verbs:
    """What both accessors ask; all verbs take the same options."""

    _data: pd.DataFrame | pd.Series[Any]

    @named_arguments
    def extract(
        self,
        prompt: str | Task,
        schema: Shorthand | type | Path | None = None,
        *,
        text: Column | list[Column] | Template | None = None,
        model: str | None = None,
        backend: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: OpenAIClient | AnthropicClient | None = None,
        cache: str | Path | SqliteCache | Literal[False] | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_workers: int = MAX_WORKERS,
        fresh: bool = False,
        on_error: Literal["keep", "raise"] = "keep",
        params: Mapping[str, Json] | None = None,
        examples: Iterable[tuple[str, Answer]] | pd.DataFrame | None = None,
        evidence: bool | Sequence[str] | None = None,
        progress: bool | Observer | None = None,
        max_cost: float | None = None,
        prices: Mapping[str, float] | None = None,
        keep_replies: bool = False,
        rpm: int | None = None,
        tpm: int | None = None,
        offline: bool = False,
        retry_failed: bool = True,
        repeats: int = 1,
    ) -> pd.DataFrame:
        r"""Ask a language model the same question of every row.

        Parameters
        ----------
        prompt : str or Task
            The instructions; or a ``pandas_genai.Task``, which holds them with ``schema``,
            ``text``, ``model``, ``backend``, ``params``, ``examples`` and ``evidence``, none of
            which is given beside it.
        schema : optional
            What an answer looks like: a shorthand dict such as
            ``{"tone": ["positive", "negative"], "year": int | None, "topics": [str]}``, a list
            of labels (one column, ``label``), a pydantic model, a TypedDict, a dataclass, a
            JSON schema or the path to one; ``list[...]`` of any of them for several records a
            row. Left out: the prompt says what to return.
        text : column, list of columns, or template, optional
            What is sent of each row: a column as it is, several as one JSON object, or a
            template such as ``"{title}\n\n{body}"``. Left out: the only text column, or the
            one named ``text``. A Series is the text itself.
        model : str, optional
            The model; ``"local"`` is the embedded one, which needs no key. Left out: the
            setting ``DEFAULT_MODEL``, ``gpt-6-luna``, or ``claude-haiku-5-5`` for Anthropic.
        backend : str, optional
            The wire format: ``"openai"`` or ``"anthropic"``. Left out: ``"anthropic"`` for models
            named ``claude...``, otherwise the setting ``DEFAULT_BACKEND``, ``"openai"``.
        base_url, api_key : str, optional
            The address as the vendor's SDK understands it, and the key. Left out: from the
            environment or a ``.env`` file.
        client : openai.OpenAI or anthropic.Anthropic, optional
            Your own client instead of both.
        cache : str, Path, SqliteCache or False, optional
            Where answers are kept, a path or the URL of a store: by default what
            ``PANDAS_GENAI_CACHE`` says, else ``genai_cache.sqlite`` beside the notebook; False
            keeps them in memory only.
        chunk_size : int, default 5
            Rows that share a call; for the embedded model the default is 1.
        max_workers : int, default 20
            Calls at once; for the embedded model the default is 1.
        fresh : bool, default False
            Ask again what the cache has.
        on_error : {"keep", "raise"}, default "keep"
            Keep failed rows as missing values, or raise once all is done and saved.
        params : mapping, optional
            Sent beside the messages, such as ``{"temperature": 0}`` or ``{"max_tokens": 500}``;
            ``{"structured": "tool"}`` chooses how the schema is enforced. Names are checked
            against those that the API knows; what is in ``{"extra_body": {...}}`` is sent as it
            is.
        examples : list of (text, answer), or DataFrame, optional
            Solved cases for the model, such as ``[("Great people.", "good")]``: an answer is a
            dict of the fields, a label where there is one field, a list of them for a
            ``list[...]`` schema. A frame has the text and the fields as columns. They are checked
            as replies are, and sent with the instructions, in the part of a request that vendors
            cache.
        evidence : bool or list of str, optional
            The fields for which the model quotes the words that they rest on; True for all. Each
            quote is looked for in the text, and stands beside the answer with its place; see
            Returns. It takes tokens, and makes another task.
        progress : bool or Observer, optional
            False shows no bar; an observer takes the events instead.
        max_cost : float, optional
            US dollars that this run may cost: no call is begun that could pass it, however long
            its answer. Answers from the cache cost nothing.
        prices : mapping, optional
            Your own prices in US dollars per million tokens, such as ``{"input": 0.1, "output":
            0.5}``; ``"cached"`` is that of input read from the vendor's prompt cache (default: as
            input), ``"batch"`` the factor of all at the batch API (default: 0.5). Left out: the
            list prices of the vendor.
        keep_replies : bool, default False
            Keep the body of each reply in the cache's table ``requests``, secrets taken out.
        rpm, tpm : int, optional
            Requests and tokens a minute that this and all other runs with the same cache and model
            send at most, together. Left out: what the headers of the provider's answers state.
        offline : bool, default False
            Take only what the cache has, without a key or a call: rows that it has no answer for
            are missing, with the reason ``not asked``.
        retry_failed : bool, default True
            Ask rows again that failed in an earlier run; False leaves them with their reason.
        repeats : int, default 1
            Independent answers to each row, each paid for and kept: the first is the one that a
            run without ``repeats`` has, and a higher number later asks only for those that are
            missing. Each field gets the value that most of them give; see Returns. It needs a
            schema with one record a row.

        Returns
        -------
        DataFrame
            The input's index in the input's order, a column for each field. Rows without an
            answer are missing in all fields; ``.genai.errors`` says why. With a ``list[...]``
            schema a row for each record, the index repeated.

            With ``evidence``, of each such field ``<field>_quote``, the words; ``<field>_start``
            and ``<field>_end``, their place in the text in code points, ``text[start:end]``; and
            ``<field>_grounded``: ``exact``, ``normalised`` (but for white space, case, quotation
            marks, dashes, ellipses and Unicode's forms), ``ambiguous`` (it stands there several
            times) or ``not found``. A field that is a list has lists there, with one quote for
            each item. Where ``text`` is several columns or a template, ``<field>_column`` names
            the column in which the words stand.

            With ``repeats``, each field is the value that most answers to the row give, of
            several the one that came first by its number, and ``<field>_share`` how many of the
            answers that there are give it, from 0 to 1. A row is missing where it has no answer
            at all. ``.genai.repeats`` has every answer.

        Warns
        -----
        DuplicateIndexWarning
            If labels of the index stand there more than once: ``df.join`` would multiply rows.
        RowsUnderWayWarning
            Before anything is sent, if a batch job beside the notebook has rows under way.
        LongTextsWarning
            Before anything is sent, if texts are longer than the model's context window or may be.
        RowsFailedWarning
            If rows have no answer.

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
        >>> labels.genai.join(df)
                  review  tone
        a  Great people.  good
        b         Awful.   bad
        """
        return Asking.of(self._data, locals()).answers()

    @named_arguments
    def estimate(
        self,
        prompt: str | Task,
        schema: Shorthand | type | Path | None = None,
        *,
        text: Column | list[Column] | Template | None = None,
        model: str | None = None,
        backend: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: OpenAIClient | AnthropicClient | None = None,
        cache: str | Path | SqliteCache | Literal[False] | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_workers: int = MAX_WORKERS,
        fresh: bool = False,
        on_error: Literal["keep", "raise"] = "keep",
        params: Mapping[str, Json] | None = None,
        examples: Iterable[tuple[str, Answer]] | pd.DataFrame | None = None,
        evidence: bool | Sequence[str] | None = None,
        progress: bool | Observer | None = None,
        max_cost: float | None = None,
        prices: Mapping[str, float] | None = None,
        keep_replies: bool = False,
        rpm: int | None = None,
        tpm: int | None = None,
        offline: bool = False,
        retry_failed: bool = True,
        repeats: int = 1,
        sample: int = 0,
    ) -> Plan:
        """Say what asking the rest of the rows will take, live and as a batch.

        Without a sample nothing is sent, no key is needed and no file is made. Tokens are then
        counted from characters, four a token, of the real requests: system prompt, schema and
        texts. Answers are taken to be as long as those that the cache has, if any, otherwise as
        a guess for each kind of field says. Thinking, a prompt cache's discounts, failed replies
        and rate limits are not foreseen.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, api_key, client, cache, chunk_size, \
max_workers, fresh, on_error, params, examples, evidence, progress, max_cost, prices, \
keep_replies, rpm, tpm, offline, retry_failed, repeats
            As in ``extract``, whose options are all taken. With ``fresh`` every text counts as to
            be asked. ``on_error``, ``progress`` and ``max_cost`` have no effect, on a sample
            either.
        sample : int, default 0
            Rows to ask now, chosen at random; their answers stay in the cache. The costs are
            then extrapolated from what these calls took, with 90 % intervals: a percentile
            bootstrap over the calls, with a fixed seed.

        Returns
        -------
        Plan
            Prints as a few lines: rows, calls, tokens, cost and time of both ways, and which
            of them to choose (live for fewer than 2,000 texts or under 15 minutes). Its
            ``long_texts`` says which texts are longer than the model's context window.

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
        3 rows: 0 answered already, 0 empty, 1 duplicate of another row; 2 texts to ask
        ...
        suggested: live (fewer than 2,000 texts)
        """
        return Asking.of(self._data, locals()).plan(sample)

    @named_arguments
    def batch_submit(
        self,
        prompt: str | Task,
        schema: Shorthand | type | Path | None = None,
        *,
        name: str | None = None,
        folder: str | Path | None = None,
        text: Column | list[Column] | Template | None = None,
        model: str | None = None,
        backend: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: OpenAIClient | AnthropicClient | None = None,
        cache: str | Path | SqliteCache | Literal[False] | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_workers: int = MAX_WORKERS,
        fresh: bool = False,
        on_error: Literal["keep", "raise"] = "keep",
        params: Mapping[str, Json] | None = None,
        examples: Iterable[tuple[str, Answer]] | pd.DataFrame | None = None,
        evidence: bool | Sequence[str] | None = None,
        progress: bool | Observer | None = None,
        max_cost: float | None = None,
        prices: Mapping[str, float] | None = None,
        keep_replies: bool = False,
        rpm: int | None = None,
        tpm: int | None = None,
        offline: bool = False,
        retry_failed: bool = True,
        repeats: int = 1,
    ) -> BatchJob:
        """Hand the same question to the vendor's batch API: tomorrow's answers at half the price.

        Rows that the cache has answers for, empty texts and duplicates of another row are not
        submitted, nor what another job of the same task has under way. Running the cell again,
        in this kernel or another, goes on with the same job; nothing is submitted twice.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, api_key, client, cache, chunk_size, \
max_workers, fresh, on_error, params, examples, evidence, progress, keep_replies, rpm, tpm, \
offline, retry_failed, repeats
            As in ``extract``, whose options are all taken. ``fresh`` submits also what the cache
            has; where a job of the same task and rows is there already, give the new one a
            ``name``. ``max_workers``, ``progress``, ``rpm`` and ``tpm`` have no effect, nor have
            ``on_error`` and ``keep_replies``, which ``batch_collect`` takes; ``offline`` and
            ``retry_failed=False`` are refused. The embedded model has no batch API.
        name : str, optional
            The job's name; by default the first words of the prompt and the date.
        folder : str or Path, optional
            Where jobs lie; by default ``genai_batches`` beside the notebook.
        max_cost : float, optional
            US dollars: nothing is submitted if the requests are estimated to cost more. The job
            is then kept unsubmitted; running the cell with a higher ``max_cost`` goes on with it.
        prices : mapping, optional
            Your own prices, by which ``max_cost`` is kept and the job's report counts; see
            ``extract``.

        Returns
        -------
        BatchJob
            The job. Its manifest lies in the folder: any later kernel goes on from it.

        Warns
        -----
        DuplicateIndexWarning
            If labels of the index stand there more than once: ``df.join`` would multiply rows.

        Raises
        ------
        UsageError, SchemaError, CredentialsError
            Before anything is sent.
        StopRunError
            If the provider refuses the batch; run the cell again once the reason is mended.
        Stopped
            After Stop; running the cell again goes on with the same job.

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
        return Asking.of(self._data, locals()).job(name, folder)

    @named_arguments
    def preview(
        self,
        prompt: str | Task,
        schema: Shorthand | type | Path | None = None,
        n: int = 1,
        *,
        text: Column | list[Column] | Template | None = None,
        model: str | None = None,
        backend: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        client: OpenAIClient | AnthropicClient | None = None,
        cache: str | Path | SqliteCache | Literal[False] | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_workers: int = MAX_WORKERS,
        fresh: bool = False,
        on_error: Literal["keep", "raise"] = "keep",
        params: Mapping[str, Json] | None = None,
        examples: Iterable[tuple[str, Answer]] | pd.DataFrame | None = None,
        evidence: bool | Sequence[str] | None = None,
        progress: bool | Observer | None = None,
        max_cost: float | None = None,
        prices: Mapping[str, float] | None = None,
        keep_replies: bool = False,
        rpm: int | None = None,
        tpm: int | None = None,
        offline: bool = False,
        retry_failed: bool = True,
        repeats: int = 1,
    ) -> Preview:
        """Show the exact requests that ``extract`` would send. Nothing is sent, no key needed.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, api_key, client, cache, chunk_size, \
max_workers, fresh, on_error, params, examples, evidence, progress, max_cost, prices, \
keep_replies, rpm, tpm, offline, retry_failed, repeats
            As in ``extract``, whose options are all taken; those that say how a run goes have no
            effect. (With ``max_cost`` a run adds a token limit to its requests, which is not
            shown.)
        n : int, default 1
            How many requests, as many as an empty cache would lead to at most.

        Returns
        -------
        Preview
            A list of dicts with ``method``, ``url`` and ``body``. Its ``long_texts`` says which
            texts of the whole input are longer than the model's context window.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> df = pd.DataFrame({"text": ["Great people."]})
        >>> request, = df.genai.preview("Tone?", ["good", "bad"])
        >>> request["body"]["messages"][1]["content"]
        '[{"input_id": "2j2h2", "input_text": "Great people."}]'
        """
        return Asking.of(self._data, locals()).requests(n)

    def batch_collect(
        self,
        name: str | None = None,
        *,
        folder: str | Path | None = None,
        wait: bool = False,
        poll_s: float = 60.0,
        timeout: float | None = None,
        cache: str | Path | SqliteCache | None = None,
        on_error: Literal["keep", "raise"] = "keep",
        prices: Mapping[str, float] | None = None,
        keep_replies: bool = False,
    ) -> pd.DataFrame:
        """Collect what a batch job has answered, for these rows.

        Rows are matched by their text: the frame may have been filtered, reordered or grown since
        it was submitted. Answers go into the same cache as those of ``extract``.

        Parameters
        ----------
        name : str, optional
            The job; by default the only one in the folder whose rows these are.
        folder : str or Path, optional
            Where jobs lie; by default ``genai_batches`` beside the notebook.
        wait : bool, default False
            Wait until the job has ended. Otherwise what is not there yet is missing, with the
            reason ``in progress``.
        poll_s : float, default 60
            Seconds until the provider is asked again while waiting; the intervals grow.
        timeout : float, optional
            Seconds after which to stop waiting.
        cache : str, Path or SqliteCache, optional
            Where the answers go; by default the cache that the job was submitted with.
        on_error : {"keep", "raise"}, default "keep"
            Keep failed rows as missing values, or raise once everything is saved.
        prices : mapping, optional
            Your own prices, instead of those that ``batch_submit`` was given.
        keep_replies : bool, default False
            Keep each line of the results in the cache's table ``requests``, too.

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
        Stopped
            After Stop; its ``result`` is the frame so far.
        """
        patience = WaitOptions(wait, poll_s, timeout)
        connection_options = ConnectionOptions(tell=say, prices=prices, keep_replies=keep_replies)
        return collected(self._data, name, folder, patience, cache, on_error, connection_options)
