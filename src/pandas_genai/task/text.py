"""The text of each row: from a column, several columns, or a template."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Hashable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError, printable
from pandas_genai.task.inputs import RowInput, Value

__all__ = ["is_blank", "no_column", "only_text_column", "own_columns", "rows_text"]
__all__ += ["series_text"]

_SHOWN = 120


def is_blank(value: Any) -> bool:
    """Whether a value holds nothing to send: None, NaN, NaT, NA, or only white space."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, RowInput):
        return value.is_blank
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def series_text(series: pd.Series[Any]) -> list[Value]:
    """Take the texts of a series as they are; None where there is none.

    So are inputs of another kind (``RowInput``); other values that are no text, such as numbers
    and dates, are written as ``str`` writes them.

    Raises
    ------
    UsageError
        If a value cannot be written; the message names its row.
    """
    values = series.tolist()
    try:  # nearly always all of them are texts, and a call for each would take as long again
        return [
            value if isinstance(value, str) and value.strip() else _text_of(value)
            for value in values
        ]
    except Exception:  # noqa: BLE001 - whatever a user's own object raises, once more to tell its row
        return _each(series.index, values, _text_of)


def _text_of(value: Any) -> Value:
    if is_blank(value):
        return None
    return value if isinstance(value, (str, RowInput)) else str(value)


def _each(index: pd.Index, rows: Iterable[Any], text_of: Callable[[Any], Value]) -> list[Value]:
    """Write the text of each row; what a user's own object raises becomes a sentence."""
    texts: list[Value] = []
    try:
        texts.extend(map(text_of, rows))  # the texts before the one that fails are kept
    except Exception as error:
        label = printable(repr(index[len(texts)]), _SHOWN)
        problem = printable(f"{type(error).__name__}: {error}", _SHOWN)
        raise UsageError(
            f"The text of row {label} cannot be written: {problem}. Correct or drop the value, or "
            "convert the column to text before."
        ) from error
    return texts


def rows_text(frame: pd.DataFrame, text: Any = None) -> list[Value]:
    r"""Render the input of each row of a frame.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    text : column, list of columns, or template, optional
        A column is sent as it is; a list of columns as one JSON object a row; a template such
        as ``"{title}\n\n{body}"`` with its columns filled in. Left out: the only text column,
        or the one named ``text``.

    Returns
    -------
    list of str, RowInput or None
        One a row, in the frame's order; None where nothing but blanks would be sent.

    Raises
    ------
    UsageError
        If a column does not exist, or none can be chosen; the message names the candidates.
    """
    if text is None:
        return series_text(_column(frame, only_text_column(frame)))
    if _is_column(frame, text):
        return series_text(_column(frame, text))
    if isinstance(text, str) and "{" in text:
        return _from_template(frame, text)
    if isinstance(text, (list, pd.Index)):
        return _from_columns(frame, list(text))
    raise no_column(frame, text)


def only_text_column(frame: pd.DataFrame) -> Hashable:
    """Return the column that is meant where none is named.

    Raises
    ------
    UsageError
        If none, or several, could be.
    """
    candidates = [
        name for position, name in enumerate(frame.columns) if _holds_text(frame.iloc[:, position])
    ]
    if len(candidates) == 1:
        return candidates[0]
    if "text" in candidates:
        return "text"
    if not candidates:
        raise UsageError(
            f"text= is needed: no column of the frame holds text (it has {_names(frame)})."
        )
    raise UsageError(
        f"text= is needed: several columns hold text: {', '.join(map(repr, candidates))}."
    )


def _holds_text(column: pd.Series[Any]) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_object_dtype(column.dtype):
        return all(isinstance(value, (str, RowInput)) for value in column.dropna())
    return pd.api.types.is_string_dtype(column.dtype)


def _is_column(frame: pd.DataFrame, name: Any) -> bool:
    return isinstance(name, Hashable) and name in frame.columns


def _column(frame: pd.DataFrame, name: Any) -> pd.Series[Any]:
    column: Any = frame[name]
    if isinstance(column, pd.DataFrame):
        raise UsageError(f"The frame has several columns named {name!r}: rename all but one.")
    only: pd.Series[Any] = column
    return only


def no_column(frame: pd.DataFrame, name: object) -> UsageError:
    """Return the error for a column that a frame does not have, with the nearest that it has."""
    near = get_close_matches(str(name), list(map(str, frame.columns)), n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    shown = printable(" ".join(repr(name).split()), 100)
    return UsageError(f"text={shown} names no column: the frame has {_names(frame)}{hint}")


def _names(frame: pd.DataFrame) -> str:
    shown = ", ".join(map(repr, frame.columns[:20]))
    return (shown + ", ..." if len(frame.columns) > 20 else shown) or "no columns"


def _checked_columns(frame: pd.DataFrame, names: Sequence[Any]) -> list[list[Any]]:
    if not names:
        raise UsageError("text=[] names no column: give at least one.")
    for name in names:
        if not _is_column(frame, name):
            raise no_column(frame, name)
    return [_column(frame, name).tolist() for name in names]


def _from_columns(frame: pd.DataFrame, names: list[Any]) -> list[Value]:
    columns = _checked_columns(frame, names)
    keys = _keys_of(names)

    def text_of(values: Sequence[Any]) -> str | None:
        if all(is_blank(value) for value in values):
            return None
        fields = {key: _plain(value) for key, value in zip(keys, values, strict=True)}
        return json.dumps(fields, ensure_ascii=False)

    return _each(frame.index, zip(*columns, strict=True), text_of)


def _keys_of(names: Sequence[Any]) -> list[str]:
    """Name columns in JSON: as ``str`` writes them, or as ``repr`` does where 1 and "1" meet."""
    for written in (str, repr):
        keys = [written(name) for name in names]
        if len(set(keys)) == len(set(names)):
            return keys
    shown = ", ".join(map(repr, names))
    raise UsageError(f"text=[{shown}]: columns are written alike; rename one of them.")


def _plain(value: Any) -> object:
    """A cell as a JSON value: text, number, bool or null; anything else as ``str`` writes it."""
    if isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, RowInput):
        return _text_alone(value)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if isinstance(value, float):
        return value if abs(value) != float("inf") else str(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _text_alone(value: RowInput) -> str:
    """Return the text of an input that stands beside other columns, where it is all of it."""
    if value.media:
        raise ValueError("images and files are sent by text= with their column alone")
    return value.text


def _from_template(frame: pd.DataFrame, template: str) -> list[Value]:
    parts, names = _template_columns(frame, template)
    rows = zip(*_checked_columns(frame, names), strict=True)
    return _each(frame.index, rows, lambda values: _filled(parts, values))


def _template_columns(
    frame: pd.DataFrame, template: str
) -> tuple[list[tuple[str, Any, Any, Any]], list[Any]]:
    """Return the parts of a template, and the columns that fill it, one for each place."""
    # Of labels that are written alike, such as 1 and "1", the text is meant.
    labels: list[Any] = list(frame.columns)
    by_name = {str(label): label for label in labels}
    by_name |= {label: label for label in labels if isinstance(label, str)}
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(
            f"text={template!r} is no column and no template ({error}): write {{column}}, and "
            "{{ or }} for a brace."
        ) from error
    names = [name for _, name, _, _ in parts if name is not None]
    for name in names:
        if name not in by_name:
            raise no_column(frame, name)
    if not names:
        raise UsageError(f"text={template!r} names no column: write one as {{column}}.")
    return parts, [by_name[name] for name in names]


def own_columns(frame: pd.DataFrame, text: str | list[Any]) -> dict[str, list[str]]:
    """Return the columns of which a list of them, or a template, makes the texts.

    What is no text is written as it is sent, but for a template's formats; blanks are empty.

    Examples
    --------
    >>> own_columns(pd.DataFrame({"title": ["A"], "year": [1999]}), "{title} ({year})")
    {'title': ['A'], 'year': ['1999']}
    """
    if isinstance(text, str):
        names, plain = list(dict.fromkeys(_template_columns(frame, text)[1])), _same
    else:
        names, plain = text, _plain
    columns = _checked_columns(frame, names)
    return {
        key: ["" if is_blank(value) else str(plain(value)) for value in column]
        for key, column in zip(_keys_of(names), columns, strict=True)
    }


def _same(value: Any) -> object:
    return value.text if isinstance(value, RowInput) else value


def _formatted(name: str, value: object, spec: str) -> str:
    try:
        return format(value, spec)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{{{name}:{spec}}} does not fit {value!r:.40} ({error})") from None


def _filled(parts: Sequence[tuple[str, Any, Any, Any]], values: Sequence[object]) -> str | None:
    if all(is_blank(value) for value in values):
        return None
    left = iter(values)
    written = []
    for literal, name, spec, conversion in parts:
        written.append(literal)
        if name is not None:
            value = next(left)
            if isinstance(value, RowInput):
                value = _text_alone(value)
            filled = "" if is_blank(value) and not isinstance(value, str) else value
            if conversion:
                filled = repr(filled) if conversion == "r" else str(filled)
            written.append(_formatted(name, filled, spec) if spec and filled != "" else str(filled))
    return "".join(written)
