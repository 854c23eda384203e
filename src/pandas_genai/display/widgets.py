"""What widgets have in common: how they are shown, how their scripts and styles begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pandas_genai.display.progress import display

__all__ = ["script", "show_widget", "style"]

_FOLDER = Path(__file__).parent
_VIEW = "application/vnd.jupyter.widget-view+json"


def script(name: str) -> str:
    """Return the script of a widget, behind what all of them use."""
    return _read("widget.js") + _read(f"{name}.js")


def style(name: str) -> str:
    """Return the style sheet of a widget, behind what all of them have."""
    return _read("widget.css") + _read(f"{name}.css")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def show_widget(widget: Any, plain: str = "") -> None:
    """Show a widget; where a page has none, its plain text."""
    view = {"version_major": 2, "version_minor": 1, "model_id": widget.model_id}
    display({_VIEW: view, "text/plain": plain}, raw=True)
