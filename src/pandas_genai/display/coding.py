"""Rows that were drawn for coding by hand, as a notebook shows them, and coding in it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pandas_genai.display.html import at_least, card, element, stand_in, table, text, wrapped
from pandas_genai.display.progress import display, kernel_shell
from pandas_genai.display.where import notebook_directory
from pandas_genai.display.widgets import show_widget
from pandas_genai.errors import UsageError
from pandas_genai.validity.coding import Coding, codes_in
from pandas_genai.validity.sample import ReviewSample

__all__ = ["REVIEWS_NAME", "ShownSample"]

REVIEWS_NAME = "genai_reviews"
_NO_WIDGETS = "Coding needs a notebook that shows widgets; sample.to_excel() writes sheets instead."
_SHOWN = 10
_LONG = 300


class ShownSample(ReviewSample):
    """A sample that a notebook shows as a card, and in which it can be coded."""

    def _repr_html_(self) -> str:
        seen = self._seen.head(_SHOWN)
        rows = [
            [element("code", text(label, 60)), *(_cell(value) for value in row)]
            for label, row in zip(seen.index, seen.itertuples(index=False), strict=True)
        ]
        more = f" (the first {len(seen):,})" if len(seen) < len(self) else ""
        return card(text(self._headline + more), table(["row", *map(text, seen.columns)], rows))

    def code(self, name: str | None = None, *, coder: str = "") -> None:
        """Code the texts here in the notebook, with the keyboard alone.

        One text stands there at a time, without what the model answered. A number key chooses a
        label; after the last field the next text comes. Each decision is on the disk, in
        ``genai_reviews/<name>.sqlite`` beside the notebook, before the next text shows: run the
        cell again, in this kernel or a later one, and it goes on where it was. Needs anywidget
        (``pip install 'pandas-genai[validity]'``).

        Parameters
        ----------
        name : str, optional
            Of the file. Left out: it is made of the fields, the coder and what was drawn, so
            that a larger sample of the same draw goes on with the same codes.
        coder : str, optional
            Who codes.

        Raises
        ------
        UsageError
            Outside a notebook, without anywidget, or if the file holds codes of other rows.
        """
        shell = kernel_shell()
        if shell is None:
            raise UsageError(
                "code() needs a notebook: write sample.to_excel('to_code.xlsx') here, and read it "
                "with pandas_genai.read_review."
            )
        try:
            from pandas_genai.display.coding_widget import CodingWidget
        except ImportError:
            raise UsageError(
                "Coding in the notebook needs anywidget: pip install 'pandas-genai[validity]', or "
                "write a sheet with to_excel or to_csv."
            ) from None
        review = self.review.by(coder)
        coding = Coding(review, self["text"].tolist(), self._path(name, coder))
        handle = display(_summary(coding), raw=True, display_id=True)
        widget = CodingWidget(coding, lambda: handle.update(_summary(coding), raw=True))
        show_widget(widget, _NO_WIDGETS)

    def codes(self, name: str | None = None, *, coder: str = "") -> pd.DataFrame:
        """Return what was coded with ``code()``: the same frame as ``read_review`` returns.

        Parameters
        ----------
        name, coder : str, optional
            As for ``code``.

        Returns
        -------
        DataFrame
            A column for each field; missing where nothing is coded.

        Raises
        ------
        UsageError
            If nothing was coded yet.
        """
        path = self._path(name, coder)
        if not path.exists():
            raise UsageError(f"Nothing was coded yet: there is no {path}. Run sample.code() first.")
        review = self.review.by(coder)
        kept, decided = codes_in(path)
        if not review.continues(kept):
            raise UsageError(f"{path} holds codes of another draw, other fields or another coder.")
        return review.codes(decided)

    def _path(self, name: str | None, coder: str) -> Path:
        plain = self.review.by(coder).name if name is None else name
        if not plain or Path(plain).name != plain or "\\" in plain:
            raise UsageError(f"name={name!r} must be a plain name, without folders.")
        return notebook_directory()[0] / REVIEWS_NAME / f"{plain}.sqlite"


def _cell(value: object) -> str:
    return at_least(wrapped(text(value, _LONG)), "4em")


def _summary(coding: Coding) -> dict[str, str]:
    """Return what a saved notebook shows: how far it is, and how often each code was given."""
    codes = coding.codes()
    rows = []
    for name in codes.columns:
        given = codes[name].dropna()
        lists = given.map(lambda one: isinstance(one, list)).all() and len(given)
        counts = (given.explode().dropna() if lists else given).value_counts()
        some = [f"{one}: {count:,}" for one, count in counts.head(_SHOWN).items() if count]
        rows.append([text(name), f"{len(given):,}", text(", ".join(some))])
    where = element("code", text(f"{coding.path.parent.name}/{coding.path.name}"))
    shown = card(text(f"Coded by hand: {coding.line}"), table(["field", "coded", ""], rows), where)
    return {"text/plain": coding.line, "text/html": stand_in(shown)}
