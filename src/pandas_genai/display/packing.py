"""Whether packing changes answers, as a card."""

from __future__ import annotations

from dataclasses import fields
from typing import Self

import pandas as pd

from pandas_genai.display.comparison import figure
from pandas_genai.display.html import card, section, table, text
from pandas_genai.errors import counted, printable
from pandas_genai.validity.packing import ALONE, PACKED, PackingCheck

__all__ = ["PackingCard"]

_HEADER = ["field", "comparison", "alike, with 95 % intervals", "less than asked twice", "rows"]


class PackingCard(PackingCheck):
    """A check of packing, as a card."""

    @classmethod
    def showing(cls, shown: PackingCheck) -> Self:
        """Return an object that a notebook shows; the object itself knows no screen."""
        return cls(**{item.name: getattr(shown, item.name) for item in fields(shown)})

    def __repr__(self) -> str:
        lines = [self.sentence, ""]
        lines += [" | ".join(row) for row in [_HEADER, *self._rows()]]
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        rows = [[text(cell) for cell in row] for row in self._rows()]
        changed = len(self.changed(ALONE, PACKED))
        return card(
            "Does packing change answers?",
            section(text(self.sentence), table([*map(text, _HEADER)], rows)),
            section(
                f"{counted(changed, 'row differs', 'rows differ')} alone and packed: "
                ".changed() lists them",
                "",
            ),
        )

    def _rows(self) -> list[list[str]]:
        found = []
        for row in self.agreement.to_dict("records"):
            loss = ""
            if pd.notna(row["loss"]):
                ends = f"[{row['loss_low']:.2f}, {row['loss_high']:.2f}]"
                loss = f"{row['loss']:.2f} {ends}"
            found.append(
                [str(row["field"]), str(row["comparison"]), figure(row), loss, f"{row['n']:,}"]
            )
        return found
