"""The rows that were drawn for coding by hand, as a frame that writes itself into sheets."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.validity.codebook import written
from pandas_genai.validity.csv_sheet import write_csv
from pandas_genai.validity.design import Design, carry
from pandas_genai.validity.reading import decided_at
from pandas_genai.validity.review import Code, Review
from pandas_genai.validity.sheet import Sheet
from pandas_genai.validity.workbook import write_workbook

__all__ = ["ReviewSample"]

_TEXT, _STRATUM, _PROBABILITY = "text", "stratum", "probability"
_MODEL = "model: "
"""Begins the columns with what the model says."""


class ReviewSample(pd.DataFrame):
    """Rows that were drawn for coding by hand.

    A DataFrame with the columns ``text``, ``stratum`` and ``probability`` (and the model's labels,
    where they are to be shown), under the index labels of the frame that was sampled, in random
    order. What is printed are the texts alone: whoever codes should not see what the model says.

    Parameters
    ----------
    review : Review
        The rows, and what is coded of them.
    texts : sequence of str
        What is read, one a row.
    labels : DataFrame, optional
        The model's labels, where coders are to see them.
    """

    _metadata = ["review", "labels_shown"]  # noqa: RUF012 - so pandas has it

    review: Review
    labels_shown: bool

    def __init__(
        self, review: Review, texts: Sequence[str], labels: pd.DataFrame | None = None
    ) -> None:
        index = review.index
        columns: dict[Any, Any] = {
            _TEXT: list(texts),
            _STRATUM: review.design.stratum(index),
            _PROBABILITY: review.design.probability(index),
        }
        if labels is not None:
            columns |= {f"{_MODEL}{name}": labels[name] for name in labels.columns}
        frame = pd.DataFrame(columns, index=index)
        super().__init__(frame)  # type: ignore[call-arg]  # the stubs know __new__ alone
        object.__setattr__(self, "review", review)
        object.__setattr__(self, "labels_shown", labels is not None)
        carry(self, review.design)

    @property
    def design(self) -> Design:
        """How the rows were drawn."""
        return self.review.design

    def __repr__(self) -> str:
        return f"{self._headline}\n{self._seen!r}"

    @property
    def _headline(self) -> str:
        drawn = self.design
        strata = f" of {len(drawn.strata)} strata" if len(drawn.strata) > 1 else ""
        fields = ", ".join(self.review.codebook.names)
        return f"{len(self):,} of {counted(drawn.population, 'row')}{strata}, to code: {fields}"

    @property
    def _seen(self) -> pd.DataFrame:
        """What whoever codes may see."""
        hidden = [_STRATUM, _PROBABILITY]
        return pd.DataFrame(self).drop(columns=[name for name in hidden if name in self])

    def to_excel(  # type: ignore[override,misc]  # not the frame as it is, but sheets for coders
        self,
        path: str | os.PathLike[str],
        *,
        coders: str | Sequence[str] | None = None,
    ) -> Path | list[Path]:
        """Write a workbook for coding by hand.

        The sheet ``codes`` has a row a text: its id, the text, an empty cell for each field, with a
        list of the allowed labels where there is one, and one for a note. The sheet ``codebook``
        says what the fields are. The design travels along in a hidden sheet. Needs openpyxl
        (``pip install 'pandas-genai[validity]'``).

        Parameters
        ----------
        path : str or path
            Where to write, such as ``"sample.xlsx"``. Codes that are in that file already stay:
            with all rows in it the file is left as it is, and one of a smaller sample gets the
            rows that are new.
        coders : str or list of str, optional
            Who codes. With a list each coder gets a file of their own, beside ``path``:
            ``sample_anna.xlsx`` and ``sample_ben.xlsx``.

        Returns
        -------
        Path, or list of Path
            What was written.

        Raises
        ------
        UsageError
            If there is a file that is no review of the same draw, or openpyxl is not installed.
        """
        return self._written(path, coders, write_workbook)

    def to_csv(  # type: ignore[override]  # not the frame as it is, but a sheet for coders
        self,
        path: str | os.PathLike[str],
        *,
        coders: str | Sequence[str] | None = None,
    ) -> Path | list[Path]:
        """Write a CSV file for coding by hand; as ``to_excel``, without lists to choose from.

        Texts that a spreadsheet would take for formulas begin with an apostrophe, which
        ``read_review`` takes away again. The last column, ``pandas_genai``, carries the codebook
        and the design: leave it as it is.

        Parameters
        ----------
        path, coders
            As for ``to_excel``.

        Returns
        -------
        Path, or list of Path
            What was written.

        Raises
        ------
        UsageError
            If there is a file that is no review of the same draw.
        """
        return self._written(path, coders, write_csv)

    def _written(
        self, path: str | os.PathLike[str], coders: str | Sequence[str] | None, write: Any
    ) -> Path | list[Path]:
        target = Path(path).expanduser()
        if not target.parent.is_dir():
            raise UsageError(f"There is no folder {target.parent} to write {target.name} into.")
        if coders is None or isinstance(coders, str):
            sheets = {target: self._sheet(target, coders or "")}
        else:
            plain = {target.with_stem(f"{target.stem}_{_plain(one)}"): one for one in coders}
            if not plain or len(plain) < len(coders):
                raise UsageError("coders= must name each coder once.")
            sheets = {one: self._sheet(one, coder) for one, coder in plain.items()}
        for one, sheet in sheets.items():
            if sheet is not None:
                write(one, sheet)
        return target if coders is None or isinstance(coders, str) else list(sheets)

    def _sheet(self, path: Path, coder: str) -> Sheet | None:
        """Return what is written at a path; None where a file with all rows is there already."""
        review = self.review.by(coder)
        decided: dict[str, Code] = {}
        if path.exists():
            earlier, decided = decided_at(path)
            if decided and not review.continues(earlier):
                raise UsageError(
                    f"{path} is there already, and of another draw, other fields or another "
                    "coder: move it away, or choose another name."
                )
            if decided and set(review.rows) <= set(earlier.rows):
                return None
        shown = {str(name): self[name] for name in self.columns if str(name).startswith(_MODEL)}
        labels = [
            {name: _cell(column.iloc[place]) for name, column in shown.items()}
            for place in range(len(self))
        ]
        return Sheet(review, self[_TEXT].tolist(), labels, decided)


def _cell(value: Any) -> str:
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else written(value)


def _plain(coder: str) -> str:
    plain = re.sub(r"[^\w.-]+", "_", coder).strip("._")
    if not plain:
        raise UsageError(f"coders= has the name {coder!r}, of which no file name can be made.")
    return plain
