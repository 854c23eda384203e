"""Each error of a vendor classed once, by one table: wait, fail the row, or stop the run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from pandas_genai.backends.fields import one_line
from pandas_genai.errors import CallError, RowError, StopRunError, WaitError

__all__ = [
    "RULES",
    "Action",
    "Problem",
    "Rule",
    "classify",
    "problem_in_answer",
    "problem_of",
    "rule_for",
    "window_in",
]

Action: TypeAlias = Literal["wait", "pause", "row", "stop"]
"""``wait``: send the same request again later, and after all attempts ask in smaller chunks;
``pause``: the same, and every worker waits (of a rate limit the rows stay together);
``row``: ask in smaller chunks until the row is found, and fail it;
``stop``: end the run, keep what was answered."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table of errors.

    Parameters
    ----------
    statuses : tuple of str
        HTTP statuses, ``"4xx"`` for all of a hundred; empty: any.
    action : Action
        What is done.
    reason : str
        The failure's class as reports group it.
    meaning : str
        How the message begins; empty where the provider's own words say enough.
    codes : frozenset of str, default empty
        The error's code, type or inner code is one of these.
    words : tuple of str, default empty
        Or its message has one of these, in lower case.
    """

    statuses: tuple[str, ...]
    action: Action
    reason: str
    meaning: str = ""
    codes: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()

    def fits(self, problem: Problem) -> bool:
        """Whether the line is about this problem."""
        status = problem.status
        if self.statuses and not {str(status), f"{status // 100}xx"} & {*self.statuses}:
            return False
        if not self.codes and not self.words:
            return True
        if self.codes & problem.codes:
            return True
        message = problem.message.lower()
        return any(word in message for word in self.words)


_MONEY = frozenset(
    {
        "insufficient_quota",
        "insufficient_credits",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
    }
)
_MONEY_WORDS = (
    "credit balance is too low",
    "reached your specified api usage limits",
    "billing hard limit has been reached",
)
_KEY_CODES = frozenset({"invalid_api_key", "API_KEY_INVALID"})
_KEY_WORDS = ("api key not valid", "invalid api key", "incorrect api key")
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "ResponsibleAIPolicyViolation",
        "data_inspection_failed",
        "flagged_input",
    }
)
_FILTER_WORDS = ("moderation", "content management policy", "content filtering policy")
_NO_MONEY = "No money is left"
_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_LONG_WORDS = (
    "prompt is too long",
    "maximum context length",
    "exceeds the context window",
    "exceed context limit",
    "available context size",
    "exceeds the maximum number of tokens allowed",
)
_WINDOW = re.compile(
    r"(?:maximum context length (?:is|of)|configured limit of|available context size \(|"
    r"maximum number of tokens allowed \(|tokens\)? > )\s*(\d[\d,]{2,10})\b"
)
_SMALLEST_WINDOW = 512

RULES = (
    Rule((), "stop", "out of money", _NO_MONEY, codes=_MONEY),
    Rule(("4xx",), "stop", "out of money", _NO_MONEY, words=_MONEY_WORDS),
    Rule(
        ("4xx",),
        "stop",
        "out of money",
        "The account is disabled",
        words=("organization has been disabled",),
    ),
    Rule(("402",), "stop", "out of money", _NO_MONEY),
    Rule(("401",), "stop", "bad key", "The run cannot go on, the key was not accepted"),
    Rule(
        ("400", "403"),
        "stop",
        "bad key",
        "The run cannot go on, the key was not accepted",
        codes=_KEY_CODES,
        words=_KEY_WORDS,
    ),
    Rule(("400", "403"), "row", "content filter", codes=_FILTER_CODES, words=_FILTER_WORDS),
    Rule(
        ("403",),
        "stop",
        "no permission",
        "The run cannot go on, the key has no permission for this",
    ),
    Rule(
        ("404",),
        "stop",
        "not found",
        "The run cannot go on, there is no such model or address",
    ),
    Rule(("429",), "row", "request too large", words=("request too large", "must be reduced")),
    Rule(("429",), "pause", "rate limit"),
    Rule(("408",), "wait", "timeout"),
    Rule(("409", "425"), "wait", "server error"),
    Rule(("529",), "pause", "server error"),
    Rule(("5xx",), "wait", "server error"),
    Rule(
        ("3xx",),
        "stop",
        "redirect",
        "The run cannot go on, the address sends elsewhere: is base_url right?",
    ),
    Rule(
        ("400",),
        "row",
        "bad request",
        "The request is longer than the model's context window",
        codes=_LONG_CODES,
        words=_LONG_WORDS,
    ),
    Rule((), "row", "bad request"),
)
"""The first line that fits decides. What the codes and words mean was read in both vendors' and
in OpenRouter's, Azure's and Gemini's documentation in November 2026."""

_STATUS_OF = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status of a live call for errors that come without one: in a 200, or in a batch."""

_ASKS_TO_WAIT = frozenset({429, 503, 529})
_LONGEST_WAIT = 3600.0
_MOST_MESSAGE = 500
_MOST_WORD = 200
_MOST_PAGE = 2000
_TEXT_FIELDS = ("message", "detail", "msg", "error", "errors", "title", "description")
_MOST_DEPTH = 6
_MOST_ENTRIES = 3
_MOST_INT = 10**18


@dataclass(frozen=True)
class Problem:
    """What an unsuccessful answer says, whichever vendor it is from.

    Parameters
    ----------
    status : int
        The HTTP status.
    message : str
        The provider's words, printable, in one line, at most 500 characters.
    code, kind : str
        The error's code and type; empty without.
    param : str, optional
        The parameter that the error is about.
    request_id : str, optional
        The vendor's id of the request.
    retry_after : float, optional
        Seconds that the provider asked to wait, finite and not negative.
    codes : frozenset of str
        Every code that the error has: ``code``, ``kind``, and those of inner errors.
    """

    status: int
    message: str
    code: str = ""
    kind: str = ""
    param: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    codes: frozenset[str] = frozenset()


def problem_of(status: int | None, body: object, headers: Mapping[str, str]) -> Problem:
    """Read the error out of an answer's body and headers, whatever they hold.

    Gemini's layer wraps its error body in a list; Anthropic keeps a stable code under
    ``error.details.error_code``, Azure one under ``innererror``; FastAPI's text is ``detail``.

    Parameters
    ----------
    status : int or None
        The HTTP status; None where the error came without one, in a 200 or in a batch: then what
        its code or type has in a live call, or 500.
    body : object
        Parsed JSON, or text that is none.
    headers : mapping of str to str
        The answer's, names in lower case.
    """
    if isinstance(body, list) and body:
        body = body[0]
    error = (body.get("error") or body) if isinstance(body, Mapping) else body
    fields = error if isinstance(error, Mapping) else {}
    code, kind = _word(fields.get("code")), _word(fields.get("type"))
    details = fields.get("details")
    if isinstance(details, Mapping):
        code = _word(details.get("error_code")) or code
    if status is None:
        status = _status_of(code, kind)
    request_id = headers.get("x-request-id") or headers.get("request-id")
    return Problem(
        status=status,
        message=_message(status, error, body),
        code=code,
        kind=kind,
        param=_word(fields.get("param")) or None,
        request_id=one_line(request_id, _MOST_WORD) if request_id else None,
        retry_after=_retry_after(headers),
        codes=frozenset({code, kind, *_inner_codes(fields)} - {""}),
    )


def problem_in_answer(answer: Mapping[str, Any], headers: Mapping[str, str]) -> Problem | None:
    """Return the error that a 200 carries instead of an answer; None where it carries none.

    Some servers put the error's body there; OpenRouter puts what happened after its 200 was
    sent into the first choice.
    """
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        inner = choices[0].get("error")
        return problem_of(None, {"error": inner}, headers) if inner else None
    if answer.get("error") and not choices and not answer.get("content"):
        return problem_of(None, answer, headers)
    return None


def rule_for(problem: Problem) -> Rule:
    """Return the line of the table that decides about a problem."""
    return next(rule for rule in RULES if rule.fits(problem))


def window_in(problem: Problem) -> int | None:
    """Return the tokens of the model's context window, where an error about it names them.

    Examples
    --------
    >>> window_in(Problem(400, "prompt is too long: 200001 tokens > 200000 maximum"))
    200000
    >>> window_in(Problem(400, "The model has no such parameter."))
    """
    found = _WINDOW.search(problem.message)
    tokens = int(found[1].replace(",", "")) if found and problem.status == 400 else 0
    return tokens if tokens >= _SMALLEST_WINDOW else None


def classify(problem: Problem, *, where: str) -> CallError:
    """Say what to do about a problem.

    Parameters
    ----------
    problem : Problem
        As read from the answer.
    where : str
        The endpoint and model, for the message.

    Returns
    -------
    CallError
        Its class is what to do; its message one printable line of bounded length.
    """
    rule = rule_for(problem)
    message = f"{one_line(where, _MOST_WORD)} says: {one_line(problem.message, _MOST_MESSAGE)}"
    if rule.meaning:
        message = f"{rule.meaning}: {message}"
    reason, request_id, after = rule.reason, problem.request_id, problem.retry_after
    if rule.action == "stop":
        return StopRunError(message, reason=reason, request_id=request_id)
    if rule.action == "row":
        return RowError(message, reason=reason, request_id=request_id)
    if after is not None and after > _LONGEST_WAIT:
        if problem.status in _ASKS_TO_WAIT:
            return StopRunError(
                f"The provider asks to come back in {min(after / 3600, 1e6):.1f} hours: {message}",
                reason="rate limit",
                request_id=request_id,
            )
        after = None
    return WaitError(
        message,
        reason=reason,
        request_id=request_id,
        retry_after=after,
        rate_limited=rule.action == "pause",
    )


def _status_of(code: str, kind: str) -> int:
    if code.isascii() and code.isdigit() and 400 <= int(code) < 600:
        return int(code)
    return _STATUS_OF.get(code) or _STATUS_OF.get(kind) or 500


def _word(value: object) -> str:
    """Return a code or a name as one bounded word; empty for anything that is neither."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_INT:
        return str(value)
    return one_line(value, _MOST_WORD) if isinstance(value, str) else ""


def _inner_codes(fields: Mapping[Any, Any]) -> set[str]:
    """Return the codes of what stands within an error: Azure's, Gemini's and OpenRouter's."""
    found = {_word(fields.get("status"))}
    inner, details, metadata = (fields.get(key) for key in ("innererror", "details", "metadata"))
    if isinstance(inner, Mapping):
        found.add(_word(inner.get("code")))
    if isinstance(details, list):
        entries = [entry for entry in details[:20] if isinstance(entry, Mapping)]
        found |= {_word(entry.get("reason")) for entry in entries}
    if isinstance(metadata, Mapping) and "flagged_input" in metadata:
        found.add("flagged_input")
    return found


def _message(status: int, error: object, body: object) -> str:
    text = one_line(_text(error) or _text(body), _MOST_MESSAGE)
    if text:
        return text
    try:
        shown = json.dumps(error) if error else ""
    except (ValueError, TypeError, RecursionError):
        shown = ""
    return one_line(f"status {status}: {shown}" if shown else f"status {status}", _MOST_MESSAGE)


def _text(value: object, depth: int = _MOST_DEPTH) -> str:
    """Return the words for a person in an error of any shape; empty if there are none."""
    if isinstance(value, str):
        page = value.lstrip()[:_MOST_PAGE]
        return re.sub(r"<[^<>]*>", " ", page) if page.startswith("<") else value
    if depth and isinstance(value, list):
        return "; ".join(filter(None, (_text(one, depth - 1) for one in value[:_MOST_ENTRIES])))
    if not depth or not isinstance(value, Mapping):
        return ""
    found = next(filter(None, (_text(value.get(name), depth - 1) for name in _TEXT_FIELDS)), "")
    place = value.get("loc")
    if found and isinstance(place, list):  # of a field that FastAPI did not take
        return f"{'.'.join(filter(None, map(_word, place[:8])))}: {found}"
    return found


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the provider asks to wait; None where it names none that count."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or not value:
        return None if seconds is None else max(0.0, seconds)
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:  # "-0000": a time in UTC that says nothing of the sender's zone
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
