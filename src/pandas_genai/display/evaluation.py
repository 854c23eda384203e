"""Labels against hand codes, as a card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import pandas as pd

from pandas_genai.display.html import Align, card, fold, quiet, section, table, text
from pandas_genai.validity.evaluate import Evaluation

__all__ = ["EvaluationCard", "confusion_table"]


class EvaluationCard(Evaluation):
    """An evaluation, as a card."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    @classmethod
    def showing(cls, found: Evaluation) -> EvaluationCard:
        """Show an evaluation."""
        return cls(found, confusion=found.confusion, weighted=found.weighted)

    def _repr_html_(self) -> str:
        basis = "weighted by the sampling design" if self.weighted else "coded rows as they are"
        return card(f"Labels and hand codes {quiet(text(basis))}", *self._sections())

    def _sections(self) -> Iterator[str]:
        """Each field: its figures in a table, and below it the confusion matrix."""
        before = list(self.columns[: list(self.columns).index("field")])

        def place(row: dict[str, str]) -> tuple[str, ...]:
            return tuple(row[str(name)] for name in [*before, "field"])

        for names, rows in groupby(self.rows_for_print(), place):
            some = list(rows)
            shown = [key for key in some[0] if key not in {*map(str, before), "field"}]
            aligned: list[Align] = ["left", "left", "right", "left", "right"]
            cells = [[text(row[key]) for key in shown] for row in some]
            yield section(" / ".join(map(text, names)), table(shown, cells, aligned))
        for key, counts in self.confusion.items():
            names = key if isinstance(key, tuple) else (key,)
            yield fold(f"Confusion: {' / '.join(map(text, names))}", confusion_table(counts))


def confusion_table(counts: pd.DataFrame) -> str:
    """Return a table of counts: its index stands on the left, its columns above."""
    header = [text(f"{counts.index.name} \\ {counts.columns.name}"), *map(text, counts.columns)]
    rows = [
        [text(label), *(f"{count:,.0f}" for count in row)]
        for label, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)
    ]
    right: list[Align] = ["right"] * len(counts.columns)
    return table(header, rows, ["left", *right])
