"""What is to be submitted overnight, as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pandas_genai.backends.batches import Limits
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.allowance import Allowance
from pandas_genai.batch.texts import TextForm
from pandas_genai.settings import CHUNK_SIZE, whole_number
from pandas_genai.store import AnswerStore

__all__ = ["Order"]


@dataclass(frozen=True)
class Order:
    """What is to be submitted.

    Parameters
    ----------
    question : Question
        What is asked and where.
    data : DataFrame or Series
        The rows.
    text : TextForm
        What is sent of each of them.
    cache : AnswerStore
        What is answered already.
    index : Index, optional
        What names the rows, instead of the index of ``data``.
    chunk_size : int
        Rows a request.
    name : str, optional
        The job's name.
    fresh : bool
        Whether to submit what the cache has.
    most_requests : int, optional
        Of one file, where that is less than the vendor's limit.
    allowance : Allowance
        What the job may cost.
    """

    question: Question
    data: pd.DataFrame | pd.Series[Any]
    text: TextForm
    cache: AnswerStore
    index: pd.Index | None = None
    chunk_size: int = CHUNK_SIZE
    name: str | None = None
    fresh: bool = False
    most_requests: int | None = None
    allowance: Allowance = field(default_factory=Allowance)

    @property
    def labels(self) -> pd.Index:
        """What names the rows."""
        return self.data.index if self.index is None else self.index

    def limits(self, limits: Limits) -> Limits:
        """Return the limits of one file: the vendor's, or fewer requests."""
        if self.most_requests is None:
            return limits
        fewer = min(limits.requests, whole_number("max_requests", self.most_requests))
        return Limits(fewer, limits.bytes)
