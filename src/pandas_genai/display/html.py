"""The building blocks of every card: escaped, without scripts, readable in light and dark.

All styles are inline, because notebooks that are not trusted lose style sheets; without any, a
card is still a title, tables and folds. Colours are mixed from the colour of the text around.
What is shown carries the classes that MathJax leaves alone: a price is no formula.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pandas_genai.errors import printable

__all__ = [
    "NO_MATH",
    "TAGS",
    "Shown",
    "at_least",
    "card",
    "element",
    "fold",
    "no_math",
    "pairs",
    "quiet",
    "section",
    "stand_in",
    "table",
    "text",
    "wrapped",
]

TAGS = frozenset(
    {"b", "code", "details", "div", "em", "li", "mark", "pre", "span", "summary", "table"}
    | {"tbody", "td", "th", "thead", "tr", "ul"}
)
"""The only elements that a card is made of; ``style`` is their only attribute. Around them is one
``div`` with the class ``NO_MATH``."""

NO_MATH = "tex2jax_ignore mathjax_ignore"
"""What MathJax 2 (nbconvert, nbviewer) and MathJax 3 and 4 (JupyterLab, Notebook 7, Sphinx) leave
alone."""

Align = Literal["left", "right"]

_LINE = "1px solid color-mix(in srgb, currentColor 18%, transparent)"
_QUIET = "opacity:.7"
_BARE = "padding:0 .9em .1em 0;border:none;vertical-align:top"
_RULED = f"padding:.25em .9em .25em 0;border:none;border-bottom:{_LINE};vertical-align:top"
_WRAPPED = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext"
"""Of whole texts: each line runs in the direction of its own script."""


def text(value: object, most: int | None = None) -> str:
    """Return a value as text that HTML takes for nothing else.

    Parameters
    ----------
    value : object
        Anything.
    most : int, optional
        Characters; what is longer ends in an ellipsis.
    """
    # A half of a surrogate pair is data here, as in the texts of a preview: a question mark.
    return html.escape(printable(str(value).encode("utf-8", "replace").decode(), most), quote=True)


def element(name: str, content: str, style: str = "") -> str:
    """Return an element around content that is HTML already."""
    if name not in TAGS:
        raise ValueError(f"A card has no <{name}>.")
    attribute = f' style="{html.escape(style, quote=True)}"' if style else ""
    return f"<{name}{attribute}>{content}</{name}>"


def no_math(content: str) -> str:
    """Return content, HTML already, in which dollar signs stay dollar signs."""
    return f'<div class="{NO_MATH}">{content}</div>'


def stand_in(content: str) -> str:
    """Return content, HTML already, that stands for the widget in the output that follows.

    Its style sheet is about its own output and the next: beside a living widget it is hidden, and
    so is a widget without life beside it. A notebook that is not trusted drops the sheet, and
    shows no widgets.
    """
    output, widget = ".jp-OutputArea-child", ":is(.widget-container, [class^=pandas-genai-])"
    mine = f"{output}:has(.pandas-genai-bar)"
    dead = f"{output}:has(> .lm-Panel.jp-OutputArea-output):not(:has({widget}))"
    return (
        f'<div class="{NO_MATH} pandas-genai-bar">'
        f"<style>{mine}:has(+ {output} {widget}),{mine} + {dead}{{display:none}}</style>"
        f"{content}</div>"
    )


def quiet(content: str) -> str:
    """Return content in a paler colour."""
    return element("span", content, _QUIET)


def wrapped(content: str) -> str:
    """Return a text that keeps its lines and breaks where it must."""
    return element("div", content, _WRAPPED)


def at_least(content: str, width: str) -> str:
    """Return content that stays readable beside a long neighbour."""
    return element("div", content, f"min-width:{width}")


def fold(summary: str, content: str) -> str:
    """Return content that opens on a click, without a script."""
    head = element("summary", summary, "cursor:pointer")
    return element("details", head + content)


def section(title: str, content: str) -> str:
    """Return content under a small title."""
    return element("div", element("div", quiet(title)) + content, "margin-top:.5em")


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    aligned: Sequence[Align] = (),
    *,
    ruled: bool = True,
) -> str:
    """Return a table of cells that are HTML already.

    Parameters
    ----------
    header : sequence of str
        Names of the columns; empty for none.
    rows : iterable of sequence of str
        Cells.
    aligned : sequence of {"left", "right"}
        How each column is set; left by default.
    ruled : bool, default True
        Whether lines part the rows; a table within a table has none.
    """
    cell = _RULED if ruled else _BARE

    def cells(name: str, row: Sequence[str]) -> str:
        styles = [*aligned, *["left"] * (len(row) - len(aligned))]
        return "".join(
            element(name, content, f"{cell};text-align:{style}")
            for content, style in zip(row, styles, strict=True)
        )

    head = element("thead", element("tr", cells("th", header))) if header else ""
    body = "".join(element("tr", cells("td", row), "background:none") for row in rows)
    margin = ".3em 0" if ruled else "0"
    return element(
        "table", head + element("tbody", body), f"border-collapse:collapse;margin:{margin}"
    )


def pairs(items: Mapping[str, str]) -> str:
    """Return names with their values, one a line; the values are HTML already."""
    rows = [[quiet(text(name)), element("span", value)] for name, value in items.items()]
    return table([], rows)


def card(title: str, *parts: str) -> str:
    """Return a card: a title, and below it parts that are HTML already."""
    head = element("div", element("b", title), "margin-bottom:.2em")
    style = f"border:{_LINE};border-radius:4px;padding:.7em 1em;max-width:60em;line-height:1.4"
    return no_math(element("div", head + "".join(parts), f"{style};overflow-x:auto"))


@dataclass(frozen=True)
class Shown:
    """Something to look at: HTML in a notebook, text in a terminal.

    Parameters
    ----------
    html : str
        What a notebook shows.
    plain : str
        What everything else shows.
    """

    html: str = field(repr=False)
    plain: str

    def __repr__(self) -> str:
        return printable(self.plain)

    def _repr_html_(self) -> str:
        return self.html
