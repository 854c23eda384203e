"""The inputs of a frame, rendered as ``text=`` asks; its form is kept, for later kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.runs.report import label_value
from pandas_genai.task.inputs import Inputs, Value
from pandas_genai.task.text import only_text_column, rows_text, series_text

__all__ = ["FrameInputs", "TextForm", "text_form", "text_of_form"]

_BLOCK = 10_000

TextForm: TypeAlias = dict[str, Any]
"""``text=`` as JSON: ``{"column": label}``, ``{"columns": [...]}``, ``{"template": ...}``, or
``{"series": True}`` where the inputs are a Series."""


def text_form(data: pd.DataFrame | pd.Series[Any], text: Any = None) -> TextForm:
    """Return ``text=`` as JSON; where it is left out, the column that is meant.

    Raises
    ------
    UsageError
        If the frame has no such column.
    """
    if isinstance(data, pd.Series):
        return {"series": True}
    if text is None:
        text = only_text_column(data)
    rows_text(data.iloc[:0], text)
    if isinstance(text, (list, pd.Index)):
        return {"columns": [label_value(name) for name in text]}
    if isinstance(text, str) and text not in data.columns:
        return {"template": text}
    return {"column": label_value(text)}


class FrameInputs(Inputs):
    """The inputs of a frame or Series, rendered a block at a time and never held together.

    Parameters
    ----------
    data : DataFrame or Series
        The rows.
    form : dict
        What is rendered of each.

    Raises
    ------
    UsageError
        If the frame has no such column.
    """

    def __init__(self, data: pd.DataFrame | pd.Series[Any], form: TextForm) -> None:
        self._render = _renderer(data, form)
        self._render(data.iloc[:0])
        if isinstance(data, pd.DataFrame) and "column" in form:  # rows are taken of it alone
            data, self._render = data[text_of_form(data, form)], series_text
        self._data: pd.DataFrame | pd.Series[Any] = data

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Value]:
        starts = range(0, len(self), _BLOCK)
        blocks = (self._render(self._data.iloc[start : start + _BLOCK]) for start in starts)
        return chain.from_iterable(blocks)

    def values(self, positions: Sequence[int]) -> list[Value]:
        """Return the values at these positions."""
        return self._render(self._data.iloc[list(positions)])


def _renderer(data: pd.DataFrame | pd.Series[Any], form: TextForm) -> Callable[[Any], list[Value]]:
    if isinstance(data, pd.Series):
        return series_text
    text = text_of_form(data, form)
    return lambda rows: rows_text(rows, text)


def text_of_form(data: pd.DataFrame, form: TextForm) -> Any:
    """Return ``text=`` of a frame again.

    Raises
    ------
    UsageError
        If the frame has no such column.
    """
    if "series" in form:
        raise UsageError(
            "The job was submitted with the texts of a Series: collect with series.genai, or "
            "without texts by open_job(name).collect()."
        )
    if "template" in form:
        return form["template"]
    if "columns" in form:
        return [_found(data, name) for name in form["columns"]]
    return _found(data, form["column"])


def _found(frame: pd.DataFrame, label: object) -> Any:
    """Return the column whose label is this one in JSON."""
    for name in frame.columns:
        if label_value(name) == label:
            return name
    raise UsageError(
        f"The job was submitted with the text of column {label!r}, which this frame does not have: "
        "collect with the frame that was submitted, or without one by open_job(name).collect()."
    )
