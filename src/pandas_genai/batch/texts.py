"""What ``text=`` said, so that a later kernel renders the same texts of the same columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.runs.report import label_value
from pandas_genai.task.inputs import Inputs, Value
from pandas_genai.task.text import only_text_column, rows_text, series_text

__all__ = ["LazyTexts", "said_text", "series_said"]

_BLOCK = 10_000

Said: TypeAlias = dict[str, Any]
"""``text=`` as JSON: ``{"column": label}``, ``{"columns": [...]}``, ``{"template": ...}``, or
``{"series": True}`` where the texts were a Series."""


def said_text(frame: pd.DataFrame, text: Any) -> Said:
    """Write ``text=`` down as JSON; where it was left out, the column that was meant."""
    if text is None:
        text = only_text_column(frame)
    if isinstance(text, (list, pd.Index)):
        return {"columns": [label_value(name) for name in text]}
    if isinstance(text, str) and text not in frame.columns:
        return {"template": text}
    return {"column": label_value(text)}


def series_said() -> Said:
    """Write down that the texts are a Series."""
    return {"series": True}


class LazyTexts(Inputs):
    """The inputs of a frame or Series, rendered a block at a time and never held together.

    Parameters
    ----------
    data : DataFrame or Series
        The rows.
    said : dict
        What is rendered of each.

    Raises
    ------
    UsageError
        If the frame has no such column.
    """

    def __init__(self, data: pd.DataFrame | pd.Series[Any], said: Said) -> None:
        self._data = data
        self._render = _renderer(data, said)
        self._render(data.iloc[:0])

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Value]:
        for start in range(0, len(self), _BLOCK):
            yield from self._render(self._data.iloc[start : start + _BLOCK])

    def values(self, positions: Sequence[int]) -> list[Value]:
        """Return the values at these positions."""
        return self._render(self._data.iloc[list(positions)])


def _renderer(data: pd.DataFrame | pd.Series[Any], said: Said) -> Callable[[Any], list[Value]]:
    if isinstance(data, pd.Series):
        return series_text
    if "series" in said:
        raise UsageError(
            "The job was submitted with the texts of a Series: collect with series.genai, or "
            "without texts by open_job(name).collect()."
        )
    text: Any
    if "template" in said:
        text = said["template"]
    elif "columns" in said:
        text = [_found(data, name) for name in said["columns"]]
    else:
        text = _found(data, said["column"])
    return lambda rows: rows_text(rows, text)


def _found(frame: pd.DataFrame, said: object) -> Any:
    """Return the column whose label was written down as this."""
    for name in frame.columns:
        if label_value(name) == said:
            return name
    raise UsageError(
        f"The job was submitted with the text of column {said!r}, which this frame does not have: "
        "collect with the frame that was submitted, or without one by open_job(name).collect()."
    )
