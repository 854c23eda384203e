"""Texts beside what was answered about them, for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from pandas_genai.display.html import Shown, card, element, fold, quiet, table, text, wrapped
from pandas_genai.errors import UsageError
from pandas_genai.report import ATTR
from pandas_genai.settings import whole_number
from pandas_genai.task.text import only_text_column

__all__ = ["show"]

_OPEN = 400
_LEAST_EVIDENCE = 4


def show(frame: pd.DataFrame, n: int, source: Any) -> Shown:
    """Show the first rows of a frame: the text, and every other column beside it.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    n : int
        How many.
    source : column or Series, optional
        The texts: a column of the frame, or a Series with the frame's index; a frame without
        texts shows its fields alone.

    Raises
    ------
    UsageError
        If there is no such column, or the Series has another index.
    """
    whole_number("n", n)
    texts, fields = _split(frame, source)
    rows = []
    plain = []
    for position in range(min(n, len(frame))):
        label = frame.index[position]
        said = None if texts is None else _plain(texts.iloc[position])
        answers = {str(name): fields.iloc[position, at] for at, name in enumerate(fields.columns)}
        rows.append([element("code", text(label, 60)), *_cells(said, answers)])
        plain.append(_lines(label, said, answers))
    left = f" {quiet(f'of {len(frame):,}')}" if n < len(frame) else ""
    header = ["row", *([] if texts is None else ["text"]), "answer"]
    title = f"{len(rows):,} rows{left}"
    return Shown(card(title, table(header, rows)), "\n\n".join(plain) or "no rows")


def _split(frame: pd.DataFrame, source: Any) -> tuple[pd.Series[Any] | None, pd.DataFrame]:
    """Return the texts and the frame of everything else."""
    if isinstance(source, pd.Series):
        if len(source) != len(frame) or not source.index.equals(frame.index):
            raise UsageError("text= must be a Series with the index of this frame.")
        return source, frame
    if source is None:
        if ATTR in frame.attrs:  # a bare result: its only text column is an answer
            return None, frame
        try:
            source = only_text_column(frame)
        except UsageError:
            return None, frame
    if source not in frame.columns:
        known = ", ".join(map(repr, frame.columns[:20]))
        raise UsageError(f"text={source!r} names no column: the frame has {known}.")
    return frame[source], frame.drop(columns=[source])


def _cells(said: str | None, answers: dict[str, Any]) -> Iterator[str]:
    if said is not None:
        evidence = [piece for value in answers.values() for piece in _strings(value)]
        marked = _marked(said, evidence)
        short = f"{text(said, _OPEN)} {quiet(f'({len(said):,} characters)')}"
        yield fold(short, wrapped(marked)) if len(said) > _OPEN else wrapped(marked)
    rows = [[quiet(text(name)), _value(value)] for name, value in answers.items()]
    yield table([], rows, ruled=False)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _marked(said: str, evidence: list[str]) -> str:
    """Mark every passage of a text that an answer quotes word for word."""
    marks = [False] * len(said)
    for piece in evidence:
        if len(piece) < _LEAST_EVIDENCE:
            continue
        start = said.find(piece)
        while start >= 0:
            marks[start : start + len(piece)] = [True] * len(piece)
            start = said.find(piece, start + len(piece))
    parts, begin = [], 0
    for at in range(1, len(said) + 1):
        if at == len(said) or marks[at] != marks[begin]:
            part = text(said[begin:at])
            parts.append(element("mark", part) if marks[begin] else part)
            begin = at
    return "".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        if not value:
            return quiet("none")
        return element("ul", "".join(element("li", _value(inner)) for inner in value), "margin:0")
    if isinstance(value, dict):
        rows = [[quiet(text(name)), _value(inner)] for name, inner in value.items()]
        return table([], rows, ruled=False)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return quiet("missing")
    return wrapped(text(value, 2_000))


def _plain(value: Any) -> str:
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)


def _lines(label: object, said: str | None, answers: dict[str, Any]) -> str:
    lines = [f"[{label}]" + ("" if said is None else f" {' '.join(said.split())[:_OPEN]}")]
    for name, value in answers.items():
        nested = isinstance(value, (list, tuple, dict))
        lines.append(f"  {name}: {json.dumps(value, default=str) if nested else value}")
    return "\n".join(lines)
