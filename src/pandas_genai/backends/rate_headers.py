"""What the headers of an answer say of rate limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

__all__ = ["SeenLimit", "limits_in", "seconds_in", "seconds_until"]

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|µs|[dhms]|$)")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "": 1.0, "ms": 1e-3}
_MOST_TEXT = 40
_MOST = 1e12


class SeenLimit(NamedTuple):
    """One limit, as an answer's headers state it.

    Parameters
    ----------
    kind : str
        What is limited: ``requests``, ``tokens``, ``input_tokens`` or ``output_tokens``.
    per_minute : float
        How many of them a minute.
    remaining : float
        How many are left now, after this call.
    reset_s : float or None
        Seconds until all are there again; None where that is not stated, or cannot be read.
    """

    kind: str
    per_minute: float
    remaining: float
    reset_s: float | None


def limits_in(
    headers: Mapping[str, str],
    kinds: Mapping[str, Sequence[str]],
    seconds: Callable[[str, Mapping[str, str]], float | None],
) -> Iterator[SeenLimit]:
    """Return the limits in an answer's headers; what cannot be read counts as absent.

    Parameters
    ----------
    headers : mapping
        By their names in small letters.
    kinds : mapping
        The headers' names for limit, rest and reset, by kind.
    seconds : callable
        Reads a reset.
    """
    for kind, (limit, rest, reset) in kinds.items():
        per_minute, remaining = _number(headers.get(limit)), _number(headers.get(rest))
        if per_minute and remaining is not None:
            reset_s = seconds(headers.get(reset, ""), headers)
            yield SeenLimit(kind, per_minute, min(remaining, per_minute), reset_s)


def seconds_in(text: str, headers: Mapping[str, str] | None = None) -> float | None:  # noqa: ARG001 - as ``seconds_until``
    """Return the seconds of a duration such as ``6m0s`` or ``2ms``; a bare number is seconds.

    Examples
    --------
    >>> seconds_in("6m0s"), seconds_in("20ms"), seconds_in("7"), seconds_in("soon")
    (360.0, 0.02, 7.0, None)
    """
    if not text or len(text) > _MOST_TEXT:
        return None
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS.get(unit, 1e-6) for number, unit in parts)


def seconds_until(text: str, headers: Mapping[str, str]) -> float | None:
    """Return the seconds from an answer's ``date`` to a time in RFC 3339, by the server's clock.

    Examples
    --------
    >>> date = {"date": "Sun, 01 Nov 2026 10:00:00 GMT"}
    >>> seconds_until("2026-11-01T10:00:30Z", date), seconds_until("2026-11-01T10:00:30Z", {})
    (30.0, None)
    """
    date = headers.get("date")
    if not text or not date or len(text) > _MOST_TEXT:
        return None
    try:
        seconds = (datetime.fromisoformat(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if seconds >= 0 else None


def _number(text: str | None) -> float | None:
    if not text or len(text) > _MOST_TEXT:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= _MOST else None
