"""Results side by side, as a card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import combinations
from typing import Any, Self

import pandas as pd

from pandas_genai.display.evaluation import confusion_table
from pandas_genai.display.html import Align, card, fold, section, table, text
from pandas_genai.errors import counted, printable
from pandas_genai.validity.compare import Comparison

__all__ = ["ComparisonCard", "figure"]

_SHOWN = {"percent": "equal", "alpha": "alpha", "ac1": "AC1 or AC2", "cohen_kappa": "Cohen's kappa"}
_GOLD = ("accuracy", "macro_f1", "cohen_kappa", "mae", "pearson", "icc", "f1", "exact_match")


class ComparisonCard(Comparison):
    """A comparison, as a card."""

    @classmethod
    def showing(cls, shown: Comparison) -> Self:
        """Return an object that a notebook shows; the object itself knows no screen."""
        return cls(**{item.name: getattr(shown, item.name) for item in fields(shown)})

    def __repr__(self) -> str:
        lines = [f"{counted(len(self.runs), 'result')}: {', '.join(self.frames)}"]
        lines += [self.runs.to_string(), ""]
        lines += [" | ".join(row) for row in [["field", "first", "second", *_SHOWN.values()]]]
        lines += [" | ".join(row) for row in self._agreement_rows()]
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        return card("Results compared", *self._sections())

    def _sections(self) -> Iterator[str]:
        yield section("runs", self._runs())
        header = ["field", "first", "second", *_SHOWN.values()]
        rows = [[text(cell) for cell in row] for row in self._agreement_rows()]
        yield section("agreement, with 95 % intervals", table(header, rows))
        if self.gold is not None:
            yield section("against hand codes", self._gold_table(self.gold))
        for first, second in combinations(self.frames, 2):
            changed = counted(len(self.changed(first, second)), "row differs", "rows differ")
            yield section(
                f"{text(first)} and {text(second)}: {changed}",
                "".join(
                    fold(text(name), confusion_table(counts))
                    for name, counts in self.confusion(first, second).items()
                ),
            )

    def _runs(self) -> str:
        rows = [
            [text(name), *(text(_cell(value)) for value in row)]
            for name, row in zip(self.runs.index, self.runs.to_numpy().tolist(), strict=True)
        ]
        right: list[Align] = ["right"] * (len(self.runs.columns) - 1)
        return table(["", *map(text, self.runs.columns)], rows, ["left", "left", *right])

    def _agreement_rows(self) -> Iterator[list[str]]:
        for names, found in self.agreement.groupby(["field", "first", "second"], sort=False):
            figures = found.set_index("coefficient")
            shown = [figure(figures.loc[name]) if name in figures.index else "" for name in _SHOWN]
            yield [*map(str, names), *shown]

    def _gold_table(self, gold: pd.DataFrame) -> str:
        """Return a row for each figure of a whole field, and a column for each result."""
        whole = gold[gold["class"].isna() & gold["metric"].isin(_GOLD)]
        rows = [
            [*map(text, names), *(text(figure(row)) for _, row in found.iterrows())]
            for names, found in whole.groupby(["field", "metric"], sort=False)
        ]
        return table(["field", "metric", *map(text, self.frames)], rows)


def figure(row: Any) -> str:
    """Write a value with its interval."""
    if pd.isna(row["value"]):
        return "not defined"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _cell(value: Any) -> str:
    if value is None or pd.isna(value):
        return "unknown"
    return f"{value:,.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
