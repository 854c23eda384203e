"""``DataFrameIterator``: the rows of a frame as the original toolkit put them into requests."""

from __future__ import annotations

import math
from typing import Self

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.task.inputs import as_input
from pandas_genai.task.text import series_text

__all__ = ["DataFrameIterator", "check_columns"]


def check_columns(dataframe: pd.DataFrame, *columns: str) -> None:
    """Look whether a frame has some columns.

    Raises
    ------
    UsageError
        If one is missing.
    """
    for column in columns:
        if column not in dataframe.columns:
            known = ", ".join(map(repr, dataframe.columns)) or "none"
            raise UsageError(f"The frame has no column {column!r}: it has {known}.")


class DataFrameIterator:
    """Chunks of a frame as lists of ``{"input_id": ..., "input_text": ...}``, both as text.

    Iterating again starts over; ``next()`` goes on from where it is.

    Parameters
    ----------
    dataframe : DataFrame
        The rows.
    id_col, text_col : str
        Its columns with the ids and the texts; a missing text is ``""``.
    chunk_size : int, default 5
        Rows a chunk.
    formatted_id_col, formatted_text_col : str
        The keys of the dicts; by default ``"input_id"`` and ``"input_text"``.

    Raises
    ------
    UsageError
        If a column is missing or ``chunk_size`` is not positive.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"id": [1, 2, 3], "text": ["a", "b", "c"]})
    >>> chunks = DataFrameIterator(df, "id", "text", chunk_size=2)
    >>> len(chunks)
    2
    >>> next(chunks)
    [{'input_id': '1', 'input_text': 'a'}, {'input_id': '2', 'input_text': 'b'}]
    """

    def __init__(
        self,
        dataframe: pd.DataFrame,
        id_col: str,
        text_col: str,
        chunk_size: int = 5,
        formatted_id_col: str = "input_id",
        formatted_text_col: str = "input_text",
    ) -> None:
        check_columns(dataframe, id_col, text_col)
        if chunk_size < 1:
            raise UsageError(f"chunk_size= must be at least 1, not {chunk_size}.")
        self.dataframe = dataframe
        self.id_col = id_col
        self.text_col = text_col
        self.chunk_size = chunk_size
        self.formatted_id_col = formatted_id_col
        self.formatted_text_col = formatted_text_col
        self._start = 0

    def __len__(self) -> int:
        return math.ceil(len(self.dataframe) / self.chunk_size)

    def __iter__(self) -> Self:
        self._start = 0
        return self

    def __next__(self) -> list[dict[str, str]]:
        if self._start >= len(self.dataframe):
            raise StopIteration
        part = self.dataframe.iloc[self._start : self._start + self.chunk_size]
        self._start += self.chunk_size
        texts = series_text(part[self.text_col])
        return [
            {self.formatted_id_col: str(row_id), self.formatted_text_col: as_input(text).text}
            for row_id, text in zip(part[self.id_col].tolist(), texts, strict=True)
        ]
