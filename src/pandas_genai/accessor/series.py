"""``series.genai``: the verbs, asked of texts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pandas_genai.accessor.verbs import Verbs
from pandas_genai.errors import counted

__all__ = ["SeriesAccessor"]


class SeriesAccessor(Verbs):
    """What ``series.genai`` offers: the series is the text, so that ``text=`` is left out.

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
