"""JSON that others wrote, read in one place: bounded in depth, in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from pandas_genai.task.nesting import MAX_DEPTH, is_too_deep

__all__ = ["MAX_DEPTH", "read_json", "read_object", "read_written"]

_BOM = "\ufeff"
_RESULTS = re.compile(r'"(?:all_results|results)"\s*:\s*(?=\[)')
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|"', re.DOTALL)
_MOST_LISTS = 32
"""How many lists of results are looked at in a reply that is prose around JSON."""
_MOST_TOKENS = 500_000
"""How many brackets and strings are looked at in such a reply: a bound on time, of a fraction of
a second."""


def read_json(data: bytes | str) -> object:
    """Read JSON that came from outside.

    A byte order mark is forgiven. As everywhere, the last of equal names in an object counts.
    ``NaN`` and ``Infinity`` are read as floats; what is made of them is the reader's question.

    Parameters
    ----------
    data : bytes or str
        The whole text.

    Raises
    ------
    ValueError
        If it is not JSON, is nested deeper than ``MAX_DEPTH``, or holds what no text can: half of
        a surrogate pair, bytes that are not UTF-8, a whole number of more than 4,300 digits.

    Examples
    --------
    >>> read_json(b'{"a": [1, 2]}')
    {'a': [1, 2]}
    >>> read_json("[" * 100 + "]" * 100)
    Traceback (most recent call last):
    ...
    ValueError: The JSON is nested deeper than 64.
    """
    if isinstance(data, str):
        data = data.removeprefix(_BOM)
        opened = data.count("[") + data.count("{")
    else:
        data = data.removeprefix(_BOM.encode())
        opened = data.count(b"[") + data.count(b"{")
    try:
        value: object = from_json(data)
    except (TypeError, RecursionError) as error:  # a str that is no UTF-8 is a TypeError there
        raise ValueError(str(error)) from None
    if opened > MAX_DEPTH and is_too_deep(value):
        raise ValueError(f"The JSON is nested deeper than {MAX_DEPTH}.")
    return value


def read_object(data: bytes | str) -> Mapping[str, Any]:
    """Read a JSON object that came from outside.

    Raises
    ------
    ValueError
        As ``read_json``, and if it is something else than an object.
    """
    value = read_json(data)
    if not isinstance(value, dict):
        raise ValueError("The JSON is not an object.")  # noqa: TRY004 - callers catch one kind
    return value


def read_written(text: str) -> object:
    """Read the JSON that a model wrote, be it with words or a Markdown fence around it.

    Whatever the server promised to enforce: what is found is checked against the rows and the
    schema in any case. Where a text holds several lists of results (a draft, then the answer),
    all their entries are returned, so that a row with two different answers is noticed.

    Parameters
    ----------
    text : str
        The text of a reply.

    Raises
    ------
    ValueError
        If there is no such JSON.

    Examples
    --------
    >>> read_written('Here you are: {"all_results": []}')
    {'all_results': []}
    """
    try:
        return read_json(text)
    except ValueError:
        pass
    _, _, text = text.rpartition("</think>")  # what a reasoning model thought aloud is no answer
    found = _outermost(text)
    if found is None:
        found = _lists(text)
    if found is None:
        raise ValueError("There is no JSON in the text.")
    return found


def _outermost(text: str) -> object | None:
    """Return what stands between the first and the last brace, if it looks like a reply."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        found = read_object(text[start : end + 1])
    except ValueError:
        return None
    return found if "all_results" in found or "results" in found else None


def _lists(text: str) -> object | None:
    """Return the entries of every list of results in a text that is not JSON as a whole."""
    entries: list[object] = []
    found, left, position = False, _MOST_TOKENS, 0
    for _ in range(_MOST_LISTS):
        named = _RESULTS.search(text, position)
        if named is None:
            break
        end, left = _end_of(text, named.end(), left)
        position = end or named.end()
        try:
            value = read_json(text[named.end() : end]) if end else None
        except ValueError:
            continue
        if isinstance(value, list):
            found = True
            entries += value
    return {"all_results": entries} if found else None


def _end_of(text: str, start: int, left: int) -> tuple[int, int]:
    """Find where a list ends, 0 if it does not; return how many tokens may still be looked at."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        left -= 1
        kind = token.group()
        if kind in ("[", "{"):
            depth += 1
        elif kind in ("]", "}"):
            depth -= 1
        elif kind == '"':  # a string that never ends
            return 0, left
        if left <= 0 or depth > MAX_DEPTH:
            return 0, left
        if depth == 0:
            return token.end(), left
    return 0, left
