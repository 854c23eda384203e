"""Texts beside what was answered about them, for reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pandas_genai.display.html import (
    Shown,
    at_least,
    card,
    element,
    fold,
    quiet,
    table,
    text,
    wrapped,
)
from pandas_genai.errors import counted
from pandas_genai.settings import whole_number
from pandas_genai.task.evidence import quoted_fields
from pandas_genai.task.inputs import Value
from pandas_genai.task.quotes import places_of
from pandas_genai.task.schema.evidence import evidence_names

__all__ = ["Reading", "show"]

_OPEN = 400
_MOST_ROWS = 200
_LEAST_EVIDENCE = 4


@dataclass(frozen=True)
class Reading:
    """What is read: rows of a frame, their texts, and which columns are answers.

    Parameters
    ----------
    frame : DataFrame
        The rows, answers and all.
    texts : callable, optional
        Returns the texts of the rows from one position up to another; None without texts.
    answers : list of columns
        What is shown beside the text.
    """

    frame: pd.DataFrame
    texts: Callable[[int, int], Sequence[Value]] | None
    answers: Sequence[Hashable]


def show(reading: Reading, n: int, start: int) -> Shown:
    """Show some rows of a frame: the text, and the answers beside it.

    Parameters
    ----------
    reading : Reading
        What is read.
    n : int
        How many rows; at most 200 are shown at once.
    start : int
        The position of the first.

    Raises
    ------
    UsageError
        If n or start is no whole number, or negative.
    """
    n, start = whole_number("n", n), whole_number("start", start, least=0)
    frame, total = reading.frame, len(reading.frame)
    stop = min(start + min(n, _MOST_ROWS), total)
    part = frame.iloc[start:stop]
    texts = None if reading.texts is None else reading.texts(start, stop)
    words = quoted_fields(reading.answers)
    places = {name for field in words for name in evidence_names(field)[1:3]}
    shown_fields = [name for name in reading.answers if name not in places]
    columns = [frame.columns.get_loc(name) for name in shown_fields]
    positions = [at for at in columns if isinstance(at, int)]
    fields = part.iloc[:, positions]
    quoting = _may_quote(frame.iloc[:, positions])
    quotes = frozenset(evidence_names(field)[0] for field in words)
    rows = []
    plain = []
    for position in range(len(part)):
        label = part.index[position]
        content = None if texts is None else _plain(texts[position])
        answers = {str(name): fields.iloc[position, at] for at, name in enumerate(fields.columns)}
        rows.append([element("code", text(label, 60)), *_cells(content, answers, quoting, quotes)])
        plain.append(_lines(label, content, answers))
    header = ["row", *([] if texts is None else ["text"]), "answer"]
    title, more = _title(start, stop, total, n)
    shown = card(title + (f" {quiet(text(more))}" if more else ""), table(header, rows))
    lines = "\n\n".join(plain) or "no rows"
    return Shown(shown, f"{lines}\n\n({more})" if more and plain else lines)


def _title(start: int, stop: int, total: int, n: int) -> tuple[str, str]:
    """Say which rows these are, and how to see the next ones."""
    if start == 0 and stop == total:
        return counted(total, "row"), ""
    title = f"rows {min(start + 1, stop):,} to {stop:,} of {total:,}"
    if stop >= total:
        return title, ""
    limit = f", at most {_MOST_ROWS} at once" if n > _MOST_ROWS else ""
    return title, f"show(start={stop}) shows the next{limit}"


def _may_quote(fields: pd.DataFrame) -> frozenset[str]:
    """Return the names of the columns that may quote a text: a label is a choice, no quotation."""
    return frozenset(
        str(name)
        for name, dtype in zip(fields.columns, fields.dtypes, strict=True)
        if not isinstance(dtype, pd.CategoricalDtype)
    )


def _cells(
    content: str | None, answers: dict[str, Any], quoting: frozenset[str], quotes: frozenset[str]
) -> Iterator[str]:
    if content is not None:
        evidence = [
            piece
            for name, value in answers.items()
            if name in quoting
            for piece in _strings(value)
            if name in quotes or _is_passage(piece)
        ]
        marked = _marked(content, evidence)
        short = f"{text(content, _OPEN)} {quiet(f'({len(content):,} characters)')}"
        folded = fold(element("span", short, "overflow-wrap:anywhere"), wrapped(marked))
        yield at_least(folded if len(content) > _OPEN else wrapped(marked), "9em")
    rows = [[quiet(text(name)), at_least(_value(value), "4em")] for name, value in answers.items()]
    yield at_least(table([], rows, ruled=False), "clamp(8em, 22vw, 16em)")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _is_passage(piece: str) -> bool:
    """Whether a text is more than one word: a word of the text may as well be a label."""
    words = piece.split()
    unspaced = any(letter >= "\u2e80" for letter in piece)  # Chinese, Japanese and their like
    return len(piece) >= _LEAST_EVIDENCE and (len(words) > 1 or unspaced)


def _marked(content: str, evidence: list[str]) -> str:
    """Mark every passage of a text that an answer quotes."""
    marks = [False] * len(content)
    for piece in evidence:
        for start, end in places_of(content, piece):
            marks[start:end] = [True] * (end - start)
    parts, begin = [], 0
    for at in range(1, len(content) + 1):
        if at == len(content) or marks[at] != marks[begin]:
            part = text(content[begin:at])
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


def _lines(label: object, content: str | None, answers: dict[str, Any]) -> str:
    lines = [f"[{label}]" + ("" if content is None else f" {' '.join(content.split())[:_OPEN]}")]
    for name, value in answers.items():
        nested = isinstance(value, (list, tuple, dict))
        lines.append(f"  {name}: {json.dumps(value, default=str) if nested else value}")
    return "\n".join(lines)
