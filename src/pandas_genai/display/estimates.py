"""Estimates as a notebook shows them: three columns, and plots of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Self

import numpy as np
import pandas as pd

from pandas_genai.display.html import at_least, card, quiet, table, text
from pandas_genai.display.plot import INK, framed, without_mathematics
from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.multiverse import Multiverse
from pandas_genai.validity.inference.power import Power
from pandas_genai.validity.inference.results import Fitted, Regression
from pandas_genai.validity.inference.shares import Shares

__all__ = ["ShownMultiverse", "ShownPower", "ShownRegression", "ShownShares"]

_COLOURS = ("#c2703d", "#8a8a8a", "#2f6fbf")
"""Of labels as they are, hand-coded rows and the corrected estimate: apart in print, too."""
_MARKS = ("s", "o", "D")
_CYCLE = ("#2f6fbf", "#c2703d", "#5a9a4a", "#9a5fb0", "#b8960b", "#4fa3a5", "#8a8a8a")


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


class ShownShares(Shares):
    """Shares that can be drawn."""

    @classmethod
    def showing(cls, shown: Shares) -> Self:
        """Return a frame that can be drawn."""
        found = cls(shown)
        found.covariances, found.df_resid = shown.covariances, shown.df_resid
        return found

    def plot(self) -> Any:  # type: ignore[override] # shares over groups are what is worth drawing
        """Draw the corrected estimates over the groups with 95 % intervals, and labels as they are.

        Returns
        -------
        matplotlib.figure.Figure
            A line a label, drawn through groups that are numbers.
        """
        groups, labels = self.index.unique(0), self.index.unique(1)
        numeric = pd.api.types.is_numeric_dtype(groups.dtype) and groups.dtype.kind != "b"
        places = groups.to_numpy(dtype=float) if numeric else np.arange(len(groups), dtype=float)
        step = float(np.diff(np.sort(places)).min()) if len(places) > 1 else 1.0
        with canvas((max(5.0, min(12.0, 2 + 0.5 * len(groups))), 4.0)) as (figure, axis, written):
            for at, label in enumerate(labels):
                rows = self.xs(label, level=1).reindex(groups)
                colour, mark = _CYCLE[at % len(_CYCLE)], "oDs^v"[at % 5]
                beside = places + step * 0.08 * (at - (len(labels) - 1) / 2)
                middle = rows["estimate"].to_numpy()
                reach = np.abs(rows[["low", "high"]].to_numpy().T - middle)
                axis.errorbar(
                    beside,
                    middle,
                    yerr=reach,
                    fmt=mark,
                    linestyle="-" if numeric else "",
                    color=colour,
                    markersize=5,
                    linewidth=1.4,
                    label=written(label),
                )
                axis.plot(beside, rows["naive"], linestyle="", marker="_", color=colour, ms=9)
            if not numeric:
                axis.set_xticks(places, [written(group) for group in groups])
            elif (places % 1 == 0).all():
                axis.xaxis.get_major_locator().set_params(integer=True)
            axis.set_xlabel(written(self.index.names[0]))
            axis.set_ylabel("corrected, 95 % interval (bars: labels as they are)")
            legend(figure, axis)
        return figure


class ShownPower(Power):
    """Standard errors by number of hand codes that can be drawn."""

    @classmethod
    def showing(cls, shown: Power) -> Self:
        """Return a frame that can be drawn."""
        found = cls(shown)
        found.foreseen, found.terms, found.rows = shown.foreseen, shown.terms, shown.rows
        return found

    def plot(self) -> Any:  # type: ignore[override] # the curves are what is worth drawing
        """Draw standard errors over the number of hand codes: with labels, and without (dashed).

        Returns
        -------
        matplotlib.figure.Figure
            A colour a coefficient; the constant is left out.
        """
        terms = [term for term in self.terms if not _constant(term)] or self.terms
        with canvas((6.5, 4.0)) as (figure, axis, written):
            for at, term in enumerate(terms):
                chosen = [label for label in self.index if label[1:] == _tuple(term)]
                rows, sizes = self.loc[chosen], [label[0] for label in chosen]
                colour = _CYCLE[at % len(_CYCLE)]
                name = written(_label(term))
                axis.plot(sizes, rows["corrected"], color=colour, marker="o", ms=4, label=name)
                axis.plot(sizes, rows["gold_only"], color=colour, linestyle="--", linewidth=1)
            axis.set_xlabel("rows coded by hand")
            axis.set_ylabel("standard error (dashed: without labels)")
            axis.set_ylim(bottom=0)
            legend(figure, axis)
        return figure


class ShownMultiverse(Multiverse):
    """The coefficients of several runs that can be drawn."""

    @classmethod
    def showing(cls, shown: Multiverse) -> Self:
        """Return a frame that can be drawn."""
        return cls(shown)

    def plot(self) -> Any:  # type: ignore[override] # the runs are what is worth drawing
        """Draw each coefficient in every run, corrected and with the labels as they are.

        Returns
        -------
        matplotlib.figure.Figure
            A row a run and coefficient; the constant is left out.
        """
        labels = [label for label in self.index if not _constant(label[1])] or list(self.index)
        labels.sort(key=lambda label: list(self.index.unique(1)).index(label[1]))
        rows = self.loc[labels]
        places = np.arange(len(labels), dtype=float)[::-1]
        with canvas((7.0, 1.2 + 0.4 * len(labels))) as (figure, axis, written):
            for at, prefix, name in ((0, "naive_", "labels as they are"), (2, "", "corrected")):
                middle = rows[f"{prefix}coef"].to_numpy()
                reach = np.abs(rows[[f"{prefix}low", f"{prefix}high"]].to_numpy().T - middle)
                axis.errorbar(
                    middle,
                    places + 0.12 * (1 - at),
                    xerr=reach,
                    fmt=_MARKS[at],
                    color=_COLOURS[at],
                    markersize=5,
                    linewidth=1.4,
                    label=name,
                )
            axis.axvline(0, color=INK, linewidth=0.8, zorder=0)
            axis.set_yticks(places, [written(f"{term}: {run}") for run, term in labels])
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


def _tuple(label: Any) -> tuple[Any, ...]:
    return label if isinstance(label, tuple) else (label,)
