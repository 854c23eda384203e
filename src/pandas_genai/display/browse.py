"""Texts gone through with their answers, the words of each field marked in a colour of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pandas_genai.display.html import (
    Shown,
    at_least,
    card,
    element,
    quiet,
    stand_in,
    table,
    text,
    wrapped,
)
from pandas_genai.display.progress import display, kernel_shell
from pandas_genai.display.widgets import show_widget
from pandas_genai.errors import counted
from pandas_genai.validity.browsing import Browsing

__all__ = ["COLORS", "Browser"]

COLORS = ("#e6a817", "#4c8bd6", "#3da35d", "#d1495b", "#8e6bbf", "#17a2a2", "#c4733a", "#7a8b2f")
"""Of the fields, in their order and then again; each is mixed with the ground behind it."""

_SHOWN = 5
_LONG = 400
_NO_WORDS = "no words"
_TOLD = frozenset({"not found", "ambiguous"})


class Browser(Shown):
    """Rows to go through: with the keyboard in a notebook, the first ones on a card elsewhere.

    Parameters
    ----------
    browsing : Browsing
        The rows.
    """

    def __init__(self, browsing: Browsing) -> None:
        rows = [browsing.row(at) for at in range(min(_SHOWN, len(browsing)))]
        super().__init__(_card(browsing, rows), _plain(browsing, rows))
        self._browsing: Browsing
        object.__setattr__(self, "_browsing", browsing)  # what is shown does not change

    def _ipython_display_(self) -> None:
        """Show the widget where there is a page that can; a saved notebook shows the card."""
        card = {"text/html": self.html, "text/plain": self.plain}
        make = None if kernel_shell() is None else _widget_class()
        if make is None:
            display(card, raw=True)
            return
        display({**card, "text/html": stand_in(self.html)}, raw=True)
        show_widget(make(self._browsing, COLORS))


def _widget_class() -> Any:
    """Return the class of the widget; None without anywidget, which is an extra."""
    try:
        from pandas_genai.display.browse_widget import BrowseWidget
    except ImportError:
        return None
    return BrowseWidget


def _card(browsing: Browsing, rows: Sequence[Mapping[str, Any]]) -> str:
    counts = [text(f"{name}: {int(chosen.sum()):,}") for name, chosen in browsing.filters.items()]
    legend = [_marked(text(name), color) for color, name in enumerate(browsing.quoted)]
    head = element("div", " · ".join(counts[1:]), "margin-bottom:.3em") if counts[1:] else ""
    colors = element("div", " ".join(legend), "margin-bottom:.3em") if legend else ""
    body = [
        [element("code", text(row["label"])), _text(row), at_least(_fields(row), "12em")]
        for row in rows
    ]
    more = quiet(text(f"the first {len(rows):,}")) if len(rows) < len(browsing) else ""
    title = f"{counted(len(browsing), 'row')} {more}"
    return card(title, head, colors, table(["row", "text", "answer"], body))


def _text(row: Mapping[str, Any]) -> str:
    parts = [
        (quiet(text(name)) + " " if name else "")
        + "".join(_segment(piece, fields) for piece, fields in segments)
        for name, segments in row["parts"]
    ]
    return at_least("".join(wrapped(part) for part in parts), "12em")


def _segment(piece: str, fields: Sequence[int]) -> str:
    return _marked(text(piece), *fields) if fields else text(piece)


def _marked(content: str, *fields: int) -> str:
    """Return content in the colour of a field, underlined in those of further ones."""
    first, *others = (COLORS[at % len(COLORS)] for at in fields)
    lines = [f"0 {2 * at + 2}px {color}" for at, color in enumerate(others)]
    under = f";box-shadow:{','.join(lines)}" if lines else ""
    ground = f"color-mix(in srgb, {first} 38%, transparent)"
    return element("mark", content, f"background:{ground};color:inherit{under}")


def _fields(row: Mapping[str, Any]) -> str:
    rows = []
    for field in row["fields"]:
        name = text(field["name"])
        value = quiet("missing") if field["value"] is None else wrapped(text(field["value"]))
        rows.append([quiet(name), value + _beside(field)])
    return table([], rows, ruled=False)


def _beside(field: Mapping[str, Any]) -> str:
    """Return what stands below a value: other values, and words that are nowhere in the text."""
    lines = [
        f"{name}: {value if value is not None else 'missing'}"
        for name, key in (("gold", "gold"), ("the other run", "other"))
        for value, differs in [field.get(key, (None, False))]
        if differs
    ]
    quotes = field.get("quotes", ())
    lines += [f"{how}: {quote or _NO_WORDS}" for quote, how in quotes if how in _TOLD]
    return "".join(element("div", quiet(text(line, _LONG))) for line in lines)


def _plain(browsing: Browsing, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        parts = ("".join(piece for piece, _ in segments) for _, segments in row["parts"])
        whole = " ".join(parts)
        lines.append(f"[{row['label']}] {' '.join(whole.split())[:_LONG]}")
        for field in row["fields"]:
            found = [f"{how} {quote or _NO_WORDS!r}" for quote, how in field.get("quotes", ())]
            value = "missing" if field["value"] is None else field["value"]
            lines.append(
                f"  {field['name']}: {value}" + (f" ({'; '.join(found)})" if found else "")
            )
    more = f"({counted(len(browsing), 'row')}; a notebook goes through all of them)"
    return "\n".join([*lines, more])
