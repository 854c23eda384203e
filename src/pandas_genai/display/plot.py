"""The distribution of the answers, because people look before they read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError

__all__ = ["INK", "framed", "plot", "without_mathematics"]

_MOST_BARS = 40
_MOST_DISTINCT = 50
_MOST_WHOLE = 200
_MOST_BINS = 50
_WIDTH, _HEIGHT, _BAR = 5.0, 3.0, 0.22
_COLUMNS = 2
INK = "#808080"
"""Of letters and axes: readable on white and on black, for the ground is transparent."""
_FILL = "#4c8bd6"


def plot(frame: pd.DataFrame) -> Any:
    """Draw a panel for each column that can be counted.

    Labels become bars in the order of the schema, those that nobody was given with 0; booleans
    and lists of labels bars, the longest first; whole numbers a bar each, or bins of equally many
    of them; other numbers a histogram. Free texts, dates and nested answers are left out. What is
    missing stands in the title.

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
        from pandas_genai.display.figure import Letters, Picture
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
    most = max(found.bars for _, found in panels)
    size = (columns * _WIDTH, rows * max(_HEIGHT, 1 + most * _BAR))
    figure = Picture(figsize=size, layout="constrained", facecolor="none")
    letters = Letters()
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, found) in zip(axes, panels, strict=False):
        framed(axis)
        if isinstance(found.shown, pd.Series):
            _histogram(axis, found.shown)
        else:
            names = [without_mathematics(letters.written(label)) for label, _ in found.shown]
            _bars(axis, names, [count for _, count in found.shown], ordered=found.ordered)
        aside = [f"{found.missing:,} missing"] if found.missing else []
        aside += [f"{found.cut:,} rarer ones not shown"] if found.cut else []
        title = f"{name} ({', '.join(aside)})" if aside else name
        axis.set_title(without_mathematics(letters.written(title)))
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    letters.finish(figure, INK)
    return figure


@dataclass(frozen=True)
class _Counted:
    """What is drawn of a column: the counts of its labels, or its numbers."""

    shown: list[tuple[str, int]] | pd.Series[Any]
    missing: int
    ordered: bool = False
    cut: int = 0

    @property
    def bars(self) -> int:
        return len(self.shown) if isinstance(self.shown, list) else 0


def framed(axis: Any) -> None:
    """Give a panel two axes that are readable on white and on black."""
    axis.set_facecolor("none")
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[:].set_color(INK)
    axis.tick_params(colors=INK)


def _bars(axis: Any, names: list[str], counts: list[int], *, ordered: bool) -> None:
    if not ordered:
        names, counts = names[::-1], counts[::-1]
    bars = axis.barh(range(len(names)), counts, color=_FILL)
    axis.set_yticks(range(len(names)), names)
    if ordered:
        axis.invert_yaxis()  # the first label of the schema is on top
    axis.bar_label(bars, [f"{count:,}" for count in counts], padding=2)
    axis.set_xlabel("rows")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlim(0, max(1, *counts) * 1.12)  # space for the count beside the longest


def _histogram(axis: Any, numbers: pd.Series[Any]) -> None:
    values = numbers.astype(float).to_numpy()
    edges = _edges(values)
    whole = bool(np.all(values % 1 == 0))
    single = whole and float(edges[1] - edges[0]) == 1.0
    axis.hist(values, bins=edges, color=_FILL, rwidth=0.85 if single else 1.0)
    axis.set_ylabel("rows")
    axis.yaxis.get_major_locator().set_params(integer=True)
    if whole:
        axis.xaxis.get_major_locator().set_params(integer=True)


def _edges(values: Any) -> Any:
    """Return the edges of the bins; each bin of whole numbers holds equally many of them."""
    low, high = float(values.min()), float(values.max())
    if np.all(values % 1 == 0) and abs(low) < 2**52 and abs(high) < 2**52:
        width = _whole_width(high - low + 1)
        first = low if width == 1 else math.floor(low / width) * width
        bins = math.ceil((high + 1 - first) / width)
        return first + width * np.arange(bins + 1) - 0.5
    bins = min(_MOST_BINS, max(5, math.ceil(math.sqrt(len(values)))))
    return np.histogram_bin_edges(values, bins=bins)


def _whole_width(span: float) -> int:
    """Return 1, or the least of 2, 5, 10, 20, ... that leaves few bins."""
    if span <= _MOST_WHOLE:
        return 1
    power = 1
    while True:
        for step in (2, 5, 10):
            if span / (step * power) <= _MOST_BINS:
                return step * power
        power *= 10


def _counted(column: Any) -> _Counted | None:
    """Return what can be drawn of a column; None where there is nothing."""
    if isinstance(column, pd.DataFrame):
        return None
    present = column[column.notna() & ~column.isin([math.inf, -math.inf])]
    missing = len(column) - len(present)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _labels(present, missing)
    labelled = False
    if pd.api.types.is_numeric_dtype(column.dtype):
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
    if not labelled or not counts:
        return None
    return _Counted(counts[:_MOST_BARS], missing, cut=len(counts[_MOST_BARS:]))


def _labels(present: pd.Series[Any], missing: int) -> _Counted | None:
    """Count labels in the order of the schema, those that nobody was given, too."""
    counts = present.value_counts()
    counts = counts[counts > 0] if len(counts) > _MOST_BARS else counts
    kept = counts.head(_MOST_BARS)
    if not len(present):
        return None
    shown = [(_short(label), int(kept[label])) for label in present.cat.categories if label in kept]
    cut = len(present.cat.categories) - len(shown)
    return _Counted(shown, missing, ordered=True, cut=cut)


def without_mathematics(label: str) -> str:
    """Keep matplotlib from reading dollars as mathematics."""
    return label.replace("$", r"\$")


def _short(value: object) -> str:
    label = str(value)
    return label if len(label) <= 30 else f"{label[:29]}…"
