"""The distribution of the answers, because people look before they read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError

__all__ = ["plot"]

_MOST_BARS = 25
_MOST_DISTINCT = 50
_WIDTH, _HEIGHT = 5.0, 3.0
_COLUMNS = 2


def plot(frame: pd.DataFrame) -> Any:
    """Draw a panel for each column that can be counted.

    Labels, booleans and lists of labels become bars, the longest first; numbers a histogram.
    Free texts, dates and nested answers are left out. What is missing stands in the title.

    Parameters
    ----------
    frame : DataFrame
        Answers.

    Returns
    -------
    matplotlib.figure.Figure
        Shows as the last expression of a cell; not known to pyplot.

    Raises
    ------
    UsageError
        If matplotlib is not installed, or no column can be drawn.
    """
    try:
        from pandas_genai.display.figure import Picture
    except ImportError as error:
        raise UsageError(
            "plot() needs matplotlib: run pip install 'pandas-genai[plot]'."
        ) from error
    counted = {str(name): _counted(frame[name]) for name in frame.columns}
    panels = [(name, found) for name, found in counted.items() if found is not None]
    if not panels:
        raise UsageError("No column can be drawn: none holds labels, numbers, booleans or lists.")
    rows = math.ceil(len(panels) / _COLUMNS)
    columns = min(len(panels), _COLUMNS)
    figure = Picture(figsize=(columns * _WIDTH, rows * _HEIGHT), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, found) in zip(axes, panels, strict=False):
        _drawn(axis, found.shown)
        axis.set_title(_plain(f"{name} ({found.missing:,} missing)" if found.missing else name))
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


@dataclass(frozen=True)
class _Counted:
    """What is drawn of a column: the counts of its labels, or its numbers."""

    shown: list[tuple[str, int]] | pd.Series[Any]
    missing: int


def _drawn(axis: Any, shown: list[tuple[str, int]] | pd.Series[Any]) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    if isinstance(shown, pd.Series):
        axis.hist(shown.astype(float), bins="auto")
        axis.set_ylabel("rows")
        return
    names, counts = zip(*reversed(shown[:_MOST_BARS]), strict=True)
    bars = axis.barh(range(len(names)), counts)
    axis.set_yticks(range(len(names)), list(map(_plain, names)))
    axis.bar_label(bars, [f"{count:,}" for count in counts], padding=2)
    axis.set_xlabel("rows")


def _counted(column: Any) -> _Counted | None:
    """Return what can be drawn of a column; None where there is nothing."""
    if isinstance(column, pd.DataFrame):
        return None
    present = column[column.notna() & ~column.isin([math.inf, -math.inf])]
    missing = len(column) - len(present)
    labelled = isinstance(column.dtype, pd.CategoricalDtype)
    if not labelled and pd.api.types.is_numeric_dtype(column.dtype):
        if not pd.api.types.is_bool_dtype(column.dtype):
            return _Counted(present, missing) if len(present) else None
        labelled = True
    values = present.tolist()
    if all(isinstance(value, list) for value in values):
        values = [member for value in values for member in value]
        labelled = all(isinstance(value, (str, int, float, bool)) for value in values)
    elif not labelled and all(isinstance(value, str) for value in values):
        labelled = len(set(values)) <= min(_MOST_DISTINCT, len(values) // 2)
    counts = Counter(map(_short, values)).most_common()
    return _Counted(counts, missing) if labelled and counts else None


def _plain(said: str) -> str:
    """Keep matplotlib from reading dollars as mathematics."""
    return said.replace("$", r"\$")


def _short(value: object) -> str:
    said = str(value)
    return said if len(said) <= 30 else f"{said[:29]}…"
