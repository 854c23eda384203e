"""The widget that goes through texts; imported where it is shown: anywidget is an extra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets

from pandas_genai.display.widgets import script, style
from pandas_genai.validity.browsing import ALL, Browsing

__all__ = ["BrowseWidget"]


class BrowseWidget(anywidget.AnyWidget):
    """Shows one row at a time; the page asks for each, so that a million rows are no more work.

    Parameters
    ----------
    browsing : Browsing
        The rows.
    colors : sequence of str
        Of the fields.
    """

    _esm = script("browse")
    _css = style("browse")

    quoted: traitlets.List[Any] = traitlets.List().tag(sync=True)
    colors: traitlets.List[Any] = traitlets.List().tag(sync=True)
    filters: traitlets.List[Any] = traitlets.List().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, browsing: Browsing, colors: Sequence[str]) -> None:
        filters = [[name, int(rows.sum())] for name, rows in browsing.filters.items()]
        super().__init__(quoted=browsing.quoted, colors=list(colors), filters=filters)
        self._browsing = browsing
        self._asked = (ALL, "")
        self._places = browsing.places(*self._asked)
        self.view = self._shown(0, 0)
        self.on_msg(self._go)

    def _go(self, _: object, message: dict[str, Any], __: object) -> None:
        """Show the row that the page asks for, out of those that it wants to see."""
        asked = (str(message.get("filter", ALL)), str(message.get("search", "")))
        if asked != self._asked:
            self._asked, self._places = asked, self._browsing.places(*asked)
        self.view = self._shown(int(message.get("at", 0)), int(message.get("turn", 0)))

    def _shown(self, at: int, turn: int) -> dict[str, Any]:
        count = len(self._places)
        at = max(0, min(at, count - 1))
        row = self._browsing.row(int(self._places[at])) if count else None
        return {"at": at, "count": count, "total": len(self._browsing), "row": row, "turn": turn}
