"""The words of an answer in the user's own columns, where a text is made of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd

from pandas_genai.batch.texts import TextForm, text_of_form
from pandas_genai.errors import PartialResult, RowsFailedError, UsageError
from pandas_genai.task.evidence import in_own_columns
from pandas_genai.task.schema import Schema
from pandas_genai.task.text import own_columns

__all__ = ["OwnColumns"]


class OwnColumns:
    """Finds the quotes of results in the columns of which their texts were made.

    Parameters
    ----------
    data : DataFrame or Series
        The rows that were asked.
    form : dict
        What is sent of each.
    schema : Schema
        What an answer looks like.

    Raises
    ------
    UsageError
        If nobody could tell which row a record belongs to.
    """

    def __init__(self, data: pd.DataFrame | pd.Series[Any], form: TextForm, schema: Schema) -> None:
        self._data, self._schema = data, schema
        self._text: Any = None
        if not schema.evidence or isinstance(data, pd.Series) or "column" in form:
            return
        self._text = text_of_form(data, form)
        if schema.many and not data.index.is_unique:
            raise UsageError(
                "evidence= with several records a row and several columns as text= needs an index "
                "in which each label stands once: call df.reset_index(drop=True) before."
            )

    @contextmanager
    def finding(self) -> Iterator[None]:
        """Find them also in what an error has answered."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, PartialResult):
                error.change(self.find)
            elif isinstance(error, RowsFailedError):
                self.find(error.result)
            raise

    def find(self, result: pd.DataFrame) -> None:
        """Find the quotes of a result; where a text is one column, they are found already."""
        if self._text is None:
            return
        assert isinstance(self._data, pd.DataFrame)
        rows: Sequence[int] = range(len(self._data))
        if self._schema.many:
            rows = self._data.index.get_indexer(result.index).tolist()
        in_own_columns(result, self._schema, rows, own_columns(self._data, self._text))
