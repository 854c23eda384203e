"""``df.genai``: check the arguments, hand over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.accessor.arguments import checked_text, named_arguments, question_of
from pandas_genai.accessor.origin import run_of
from pandas_genai.accessor.results import Results
from pandas_genai.accessor.texts import BackendName, Texts
from pandas_genai.batch.allowance import Allowance
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.texts import said_text
from pandas_genai.display.cards import PreviewCard
from pandas_genai.display.progress import observer_for
from pandas_genai.errors import counted
from pandas_genai.extract import (
    CHUNK_SIZE,
    MAX_WORKERS,
    Manner,
    Preview,
    preview_requests,
)
from pandas_genai.report import Observer, OnError
from pandas_genai.report.plan import Plan
from pandas_genai.report.prices import Prices
from pandas_genai.settings import whole_number
from pandas_genai.store import Cache
from pandas_genai.task.text import rows_text

__all__ = ["FrameAccessor"]


class FrameAccessor(Texts, Results):
    """What ``df.genai`` offers.

    Parameters
    ----------
    data : DataFrame
        The rows.
    """

    def __init__(self, data: pd.DataFrame) -> None:
        self._data: pd.DataFrame = data

    def __repr__(self) -> str:
        rows = counted(len(self._data), "row")
        run_id = run_of(self._data)
        if run_id is not None:
            return f"{rows} of answers (run {run_id}): .report .errors .show() .plot() .join(df)"
        return (
            f"{rows} to ask: .preview(prompt, schema) .estimate(...) .extract(...), and at the "
            "batch API .batch_submit(...) .batch_collect()"
        )

    @named_arguments
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
        keep_replies: bool = False,
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
            ``{"structured": "tool"}`` chooses how the schema is enforced. Names are checked
            against those that the API knows; what is in ``{"extra_body": {...}}`` is sent as it
            is.
        progress : bool or Observer, optional
            False shows no bar; an observer takes the events instead.
        max_cost : float, optional
            US dollars that this run may cost: no call is begun that could pass it, however long
            its answer. Answers from the cache cost nothing.
        prices : mapping, optional
            Your own prices in US dollars per million tokens, such as ``{"input": 0.1, "output":
            0.5}``; ``"cached"`` is that of input read from the vendor's prompt cache (as input
            unless told), ``"batch"`` the factor of all at the batch API (0.5 unless told). Left
            out: the list prices of the vendor.
        keep_replies : bool, default False
            Keep the body of each reply in the cache's table ``requests``, secrets taken out.

        Returns
        -------
        DataFrame
            The input's index in the input's order, a column for each field. Rows without an
            answer are missing in all fields; ``.genai.errors`` says why. With a ``list[...]``
            schema a row for each record, the index repeated.

        Warns
        -----
        RowsUnderWayWarning
            Before anything is sent, if an overnight job beside the notebook has rows under way.
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
        checked_text(self._data, text)
        question = question_of(prompt, schema, model, backend, base_url, api_key, client, params)
        bar = observer_for(progress)
        manner = Manner(
            chunk_size,
            max_workers,
            fresh,
            on_error,
            bar,
            max_cost=max_cost,
            prices=prices,
            keep_replies=keep_replies,
        )
        return self._extract(question, cache, manner, lambda rows: rows_text(rows, text))

    @named_arguments
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
        checked_text(self._data, text)
        question = question_of(prompt, schema, model, backend, base_url, api_key, client, params)
        manner = Manner(chunk_size, max_workers, prices=prices)
        return self._estimate(said_text(self._data, text), question, cache, manner, sample)

    @named_arguments
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

        Rows that the cache has answers for, empty texts and duplicates of another row are not
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
            Your own prices, by which ``max_cost`` is kept and the job's report counts; see
            ``extract``.

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
        checked_text(self._data, text)
        question = question_of(prompt, schema, model, backend, base_url, api_key, client, params)
        said = said_text(self._data, text)
        return self._submit(
            question, said, cache, chunk_size, name, folder, Allowance(max_cost, prices)
        )

    @named_arguments
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
        whole_number("n", n)
        checked_text(self._data, text)
        question = question_of(prompt, schema, model, backend, base_url, None, client, params)
        manner = Manner(chunk_size)
        texts = rows_text(self._data, text)
        return PreviewCard.of_preview(
            preview_requests(question, texts, self._data.index, manner, n)
        )
