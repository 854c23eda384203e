"""Each error of a vendor classed once: wait, split, fail the row, or stop the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pandas_genai.errors import CallError, RowError, StopRunError, WaitError

__all__ = ["Problem", "classify", "problem_of"]

_MONEY = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
    }
)
"""Codes of a 429 (or 400) that no waiting mends (FACTS of both vendors, November 2026)."""

_OUT_OF_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)
_WAITS = frozenset({408, 409, 429})
_STOPS = {
    401: ("bad key", "the key was not accepted"),
    402: ("out of money", "payment is required"),
    403: ("no permission", "the key has no permission for this"),
    404: ("not found", "there is no such model or address"),
}
_LONGEST_WAIT = 3600.0


@dataclass(frozen=True)
class Problem:
    """What an unsuccessful answer said, whichever vendor said it."""

    status: int
    message: str
    code: str = ""
    kind: str = ""
    param: str | None = None
    request_id: str | None = None
    retry_after: float | None = None


def problem_of(status: int, body: object, headers: Mapping[str, str]) -> Problem:
    """Read the error out of an answer's body and headers.

    Gemini's layer wraps its error body in a list; Anthropic keeps a stable code under
    ``error.details.error_code``.
    """
    if isinstance(body, list) and body:
        body = body[0]
    error: Any = body.get("error", body) if isinstance(body, Mapping) else body
    fields = error if isinstance(error, Mapping) else {}
    details = fields.get("details")
    code = fields.get("code")
    if isinstance(details, Mapping) and details.get("error_code"):
        code = details["error_code"]
    message = fields.get("message") or (error if isinstance(error, str) else None)
    param = fields.get("param")
    return Problem(
        status=status,
        message=" ".join(str(message or f"status {status}").split())[:500],
        code=str(code or ""),
        kind=str(fields.get("type") or ""),
        param=str(param) if param else None,
        request_id=headers.get("x-request-id") or headers.get("request-id"),
        retry_after=_retry_after(headers),
    )


def classify(problem: Problem, *, where: str) -> CallError:
    """Say what to do about a problem.

    Parameters
    ----------
    problem : Problem
        As read from the answer.
    where : str
        The endpoint and model, for the message.
    """
    said = f"{where} says: {problem.message}"
    if {problem.code, problem.kind} & _MONEY or _OUT_OF_CREDIT.search(problem.message):
        return StopRunError(
            f"No money is left: {said}", reason="out of money", request_id=problem.request_id
        )
    status = problem.status
    if status in _STOPS:
        reason, meaning = _STOPS[status]
        return StopRunError(
            f"The run cannot go on, {meaning}: {said}", reason=reason, request_id=problem.request_id
        )
    if status in _WAITS or status >= 500:
        if problem.retry_after is not None and problem.retry_after > _LONGEST_WAIT:
            return StopRunError(
                f"The provider asks to come back in {problem.retry_after / 3600:.1f} hours: {said}",
                reason="rate limit",
                request_id=problem.request_id,
            )
        return WaitError(
            said,
            reason={429: "rate limit", 408: "timeout"}.get(status, "server error"),
            request_id=problem.request_id,
            retry_after=problem.retry_after,
            rate_limited=status in (429, 529),
        )
    return RowError(said, reason="bad request", request_id=problem.request_id)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    milliseconds = headers.get("retry-after-ms")
    value = headers.get("retry-after")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        if value:
            return max(0.0, float(value))
    except ValueError:
        pass
    if not value:
        return None
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
