"""Values out of foreign JSON, typed and bounded: what is not of its type counts as absent.

A vendor's field that is not needed may be anything. Only these functions look into what has no
type yet; what they return, nobody needs to check again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pandas_genai.backends.json_text import read_json

__all__ = [
    "as_count",
    "as_id",
    "as_list",
    "as_moment",
    "as_object",
    "as_text",
    "names_in",
    "one_line",
    "opened",
]

_MOST_TEXT = 500
_MOST_DIGITS = 15
_MOST_COUNT = 10**_MOST_DIGITS
_LAST_MOMENT = 253_402_300_799.0
"""The end of the year 9999, the last that a datetime can show."""
_ID = re.compile(r"(?!\.+(?:/|$))[\w.:=+@~,-]+(?:/(?!\.+(?:/|$))[\w.:=+@~,-]+)*", re.ASCII)
_NOTHING: Mapping[str, Any] = {}


def names_in(text: str) -> frozenset[str]:
    """Return the names that a text lists."""
    return frozenset(text.split())


def as_object(value: object) -> Mapping[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def as_list(value: object) -> list[Any]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list) else []


def opened(value: object) -> object:
    """Return a value; where a server sent it as JSON in a string, what the string holds."""
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError:
        return value


def as_text(value: object, most: int = _MOST_TEXT) -> str | None:
    r"""Return a name or a message on one line, without control characters; None for nothing.

    Parameters
    ----------
    value : object
        A text, or a whole number that stands for one.
    most : int, default 500
        The characters after which it is cut.

    Examples
    --------
    >>> as_text("gpt-6\tluna"), as_text(""), as_text({"a": 1})
    ('gpt-6 luna', None, None)
    """
    if isinstance(value, str):
        return one_line(value, most) or None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_COUNT:
        return str(value)
    return None


def one_line(text: str, most: int = _MOST_TEXT) -> str:
    r"""Return a text in one printable line of bounded length.

    Examples
    --------
    >>> one_line("  no such\n\nmodel\t "), one_line("abc", 2)
    ('no such model', 'ab')
    """
    if len(text) <= most and " " not in text and text.isprintable():
        return text
    text = text[: 4 * most]  # white space that is taken out may be much of it
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(text.split())[:most].rstrip()


def as_id(value: object) -> str | None:
    """Return an id that may stand in an address; None for anything that leads elsewhere.

    Examples
    --------
    >>> as_id("batch_1"), as_id("batches/b-2"), as_id("../files"), as_id("a?b"), as_id("")
    ('batch_1', 'batches/b-2', None, None, None)
    """
    text = as_text(value)
    return text if text is not None and len(text) <= 200 and _ID.fullmatch(text) else None


def as_count(value: object) -> int | None:
    """Return a number of things; None where it is not one.

    A whole number, be it written as ``100``, ``100.0`` or ``"100"``; negative and broken ones,
    and those of more than 15 digits, are none.

    Examples
    --------
    >>> as_count(7), as_count(7.0), as_count("7"), as_count(1.5), as_count(-1), as_count(True)
    (7, 7, 7, None, None, None)
    """
    if type(value) is int:  # nearly always
        return value if 0 <= value < _MOST_COUNT else None
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii():
        return int(value) if value.isdigit() else None
    if isinstance(value, float) and value.is_integer() and 0 <= value < _MOST_COUNT:
        return int(value)
    return None


def as_moment(value: object) -> float | None:
    """Return a time in epoch seconds, from a number or from ISO 8601 text; None where it is none.

    Examples
    --------
    >>> as_moment(1_790_000_000), as_moment("2026-11-25T00:00:00Z"), as_moment(1e18)
    (1790000000.0, 1795564800.0, None)
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value[:64]).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    in_range = 0 <= value <= _LAST_MOMENT  # NaN is not, and a whole number may be of any size
    return float(value) if in_range and math.isfinite(value) else None
