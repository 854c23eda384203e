"""The answer of one call, whichever vendor gave it: read once, typed, with what is wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from pandas_genai.backends.fields import as_count, as_text
from pandas_genai.backends.json_text import read_written
from pandas_genai.errors import CallError, RowError, SplitError, WaitError
from pandas_genai.task.reply import Usage

__all__ = ["Completion", "invalid", "no_api", "truncated", "usage_from", "written"]

_UNKNOWN = Usage(unknown_calls=1)


class Completion(NamedTuple):
    """What a model answered.

    Parameters
    ----------
    payload : object
        The JSON that the model wrote; it means nothing where there is a ``fault``.
    fault : CallError, optional
        Why there is none: to be raised, or taken as the reason of the call's rows.
    usage : Usage
        What it cost in tokens.
    model : str, optional
        The model that answered, where it says so.
    id : str, optional
        The answer's id.
    """

    payload: object = None
    fault: CallError | None = None
    usage: Usage = _UNKNOWN
    model: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any], payload_of: Callable[[], object], usage: Usage) -> Self:
        """Read what both vendors' answers have, and take what the payload raises as its fault."""
        payload: object = None
        fault: CallError | None = None
        try:
            payload = payload_of()
        except CallError as found:
            fault = found
        model, name = as_text(answer.get("model"), 200), as_text(answer.get("id"), 200)
        return cls(payload, fault, usage, model, name)


def written(text: object) -> object:
    """Return the JSON in the text of an answer.

    Raises
    ------
    SplitError
        If there is none.
    """
    if isinstance(text, str):
        try:
            return read_written(text)
        except ValueError:
            pass
    shown = repr(text[:80]) if isinstance(text, str) and text else "nothing"
    raise invalid(f"The reply is not JSON: {shown}.")


def invalid(message: str) -> SplitError:
    """Return the error of an answer that cannot be read."""
    return SplitError(message, reason="invalid reply")


def no_api(shown: str, hint: str = "") -> WaitError:
    """Return the error of an address that answers with something else than an API does."""
    return WaitError(
        f"{shown} answered with something that is not the API's JSON{hint or '.'}",
        reason="invalid reply",
    )


def truncated() -> RowError:
    """Return the error of an answer that reached its token limit."""
    return RowError(
        "The answer was cut off at its token limit: give params={'max_tokens': ...} more, or the "
        "schema fewer or shorter fields.",
        reason="truncated",
    )


def usage_from(
    sent: object, answered: object, *, cached: object = 0, cache_write: object = 0
) -> Usage:
    """Return the tokens of a call; unknown where what was sent or answered is not a count.

    Parameters
    ----------
    sent, answered : object
        All tokens of the request, and of the answer, as the body has them.
    cached, cache_write : object
        Those of the request that were read from the prompt cache, or written to it. Most servers
        leave them out: then they are none.
    """
    input_tokens, output_tokens = as_count(sent), as_count(answered)
    known = input_tokens is not None and output_tokens is not None
    cached_tokens = min(as_count(cached) or 0, input_tokens or 0)
    return Usage(
        input_tokens=input_tokens or 0,
        cached_tokens=cached_tokens,
        cache_write_tokens=min(as_count(cache_write) or 0, (input_tokens or 0) - cached_tokens),
        output_tokens=output_tokens or 0,
        unknown_calls=0 if known else 1,
    )
