"""``series.genai``: check the arguments, hand over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.accessor.arguments import named_arguments, question_of
from pandas_genai.accessor.texts import BackendName, Texts
from pandas_genai.batch.allowance import Allowance
from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.texts import series_said
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
from pandas_genai.store import Cache
from pandas_genai.task.text import series_text

__all__ = ["SeriesAccessor"]


class SeriesAccessor(Texts):
    """What ``series.genai`` offers: the series is the text.

    Parameters
    ----------
    data : Series
        The texts.
    """

    def __init__(self, data: pd.Series[Any]) -> None:
        self._data: pd.Series[Any] = data

    def __repr__(self) -> str:
        return (
            f"{counted(len(self._data), 'text')} to ask: .preview(prompt, schema) .estimate(...) "
            ".extract(...), and at the batch API .batch_submit(...) .batch_collect()"
        )

    @named_arguments
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
        keep_replies: bool = False,
    ) -> pd.DataFrame:
        """Ask a language model the same question of every text; see ``df.genai.extract``."""
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
        return self._extract(question, cache, manner, series_text)

    @named_arguments
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
        question = question_of(prompt, schema, model, backend, base_url, api_key, client, params)
        manner = Manner(chunk_size, max_workers, prices=prices)
        return self._estimate(series_said(), question, cache, manner, sample)

    @named_arguments
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
        question = question_of(prompt, schema, model, backend, base_url, api_key, client, params)
        return self._submit(
            question, series_said(), cache, chunk_size, name, folder, Allowance(max_cost, prices)
        )

    @named_arguments
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
        question = question_of(prompt, schema, model, backend, base_url, None, client, params)
        texts = series_text(self._data)
        return PreviewCard.of_preview(
            preview_requests(question, texts, self._data.index, Manner(chunk_size), n)
        )
