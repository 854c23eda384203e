"""JSON out of what a model wrote."""

from __future__ import annotations

import json

from pydantic_core import from_json

from pandas_genai.errors import SplitError

__all__ = ["parsed_json"]


def parsed_json(content: object, *, tolerant: bool) -> object:
    """Parse the text of an answer.

    Parameters
    ----------
    content : object
        What stood in the answer's place for text.
    tolerant : bool
        Whether words around the JSON are forgiven, as they must be where the server enforces
        nothing.

    Raises
    ------
    SplitError
        If there is no such JSON.

    Examples
    --------
    >>> parsed_json('Here you are: {"all_results": []}', tolerant=True)
    {'all_results': []}
    """
    if isinstance(content, str):
        try:
            value: object = from_json(content)
            return value
        except ValueError:
            found = _first_object(content) if tolerant else None
            if found is not None:
                return found
    shown = str(content)[:80] if content else "nothing"
    raise SplitError(f"The reply is not JSON: {shown!r}.", reason="invalid reply")


def _first_object(text: str) -> object | None:
    """The first JSON object in a text that looks like a reply of ours."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            pass
        else:
            if "all_results" in value or "results" in value:
                found: object = value
                return found
        start = text.find("{", start + 1)
    return None
