"""The widget with which texts are coded; imported where it is shown: anywidget is an extra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from pandas_genai.display.widgets import script, style
from pandas_genai.errors import GenaiError, printable
from pandas_genai.validity.coding import Coding

__all__ = ["CodingWidget"]


class CodingWidget(anywidget.AnyWidget):
    """Shows one text at a time, and takes what is decided about it.

    Parameters
    ----------
    coding : Coding
        What is coded, and where it stands.
    stepped : callable
        Called after each step.
    """

    _esm = script("coding")
    _css = style("coding")

    fields: traitlets.List[Any] = traitlets.List().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    fresh = traitlets.Bool(default_value=True).tag(sync=True)

    def __init__(self, coding: Coding, stepped: Callable[[], object]) -> None:
        super().__init__(fields=coding.fields, view=coding.view())
        self._coding = coding
        self._stepped = stepped
        self._turn = 0
        self.on_msg(self._step)

    def _step(self, _: object, message: dict[str, Any], __: object) -> None:
        """Take a step; whatever comes of it, the page hears of it, because it waits."""
        self._turn += 1
        try:
            view = self._coding.step(message)
        except GenaiError as error:
            view = {**self._coding.view(), "error": printable(error)}
        self.view = {**view, "turn": self._turn}
        self._stepped()
