"""Estimates as a notebook shows them: three columns, and plots of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Self

import numpy as np

from pandas_genai.display.html import at_least, card, quiet, table, text
from pandas_genai.display.plot import INK, framed, without_mathematics
from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.results import Fitted, Regression

__all__ = ["ShownRegression"]

_COLOURS = ("#c2703d", "#8a8a8a", "#2f6fbf")
"""Of labels as they are, hand-coded rows and the corrected estimate: apart in print, too."""
_MARKS = ("s", "o", "D")


class ShownRegression(Regression):
    """A regression that a notebook shows as a table of three columns."""

    @classmethod
    def showing(cls, shown: Regression) -> Self:
        """Return an object that a notebook shows; the object itself knows no screen."""
        return cls(**{item.name: getattr(shown, item.name) for item in fields(shown)})

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        summary = self.summary()
        cells = summary.cells()
        rows = [
            [text(name), *map(text, row)]
            for name, row in zip(cells.index, cells.to_numpy(), strict=True)
        ]
        head = ["", *map(text, cells.columns)]
        shown = table(head, rows, ("left", "right", "right", "right"))
        notes = [quiet(text(note)) for note in summary.notes()]
        title = f"{text(self.formula)} {quiet(text(f'{self.nobs:,} rows'))}"
        return card(title, at_least(shown, "34em"), *notes)

    def plot(self) -> Any:
        """Draw the coefficients with their 95 % intervals under the three columns.

        The constant is left out. Needs matplotlib (``pip install 'pandas-genai[plot]'``).

        Returns
        -------
        matplotlib.figure.Figure
            A row a coefficient.
        """
        names = [label for label in self.params_flat.index if not _constant(label)]
        names = names or list(self.params_flat.index)
        with canvas((6.5, 1.1 + 0.55 * len(names))) as (figure, axis, written):
            places = np.arange(len(names))[::-1]
            for at, one in enumerate((self.naive, self.gold_only, self)):
                _points(axis, one, names, places + 0.22 * (1 - at), at)
            axis.axvline(0, color=INK, linewidth=0.8, zorder=0)
            axis.set_yticks(places, [written(_label(name)) for name in names])
            axis.set_ylim(-0.6, len(names) - 0.4)
            axis.set_xlabel("coefficient, 95 % interval")
            legend(figure, axis)
        return figure


@contextmanager
def canvas(size: tuple[float, float]) -> Iterator[tuple[Any, Any, Callable[[object], str]]]:
    """Give a figure with one panel, and what makes a text drawable in any script.

    Parameters
    ----------
    size : tuple of float
        Inches.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    try:
        from pandas_genai.display.figure import Letters, Picture
    except ImportError as error:
        raise UsageError(
            "plot() needs matplotlib: run pip install 'pandas-genai[plot]'."
        ) from error
    figure = Picture(figsize=size, layout="constrained", facecolor="none")
    letters = Letters()
    axis = figure.subplots()
    framed(axis)
    yield figure, axis, lambda label: without_mathematics(letters.written(str(label)))
    letters.finish(figure, INK)


def legend(figure: Any, axis: Any) -> None:
    """Put the legend above a panel, in letters that are readable on white and black."""
    handles, labels = axis.get_legend_handles_labels()
    shown = figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), frameon=False
    )
    for item in shown.get_texts():
        item.set_color(INK)


def _points(axis: Any, one: Fitted, names: list[Any], places: Any, at: int) -> None:
    interval = Fitted.conf_int(one).loc[names].to_numpy()
    middle = one.params_flat.loc[names].to_numpy()
    axis.errorbar(
        middle,
        places,
        xerr=np.abs(interval.T - middle),
        fmt=_MARKS[at],
        color=_COLOURS[at],
        markersize=5,
        linewidth=1.6,
        label=one.name,
    )


def _constant(label: Any) -> bool:
    return bool((label[-1] if isinstance(label, tuple) else label) == "Intercept")


def _label(label: Any) -> str:
    return ": ".join(map(str, label)) if isinstance(label, tuple) else str(label)
