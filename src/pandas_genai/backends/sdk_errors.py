"""The vendors' SDKs' exceptions, read without importing either SDK."""

from __future__ import annotations

from dataclasses import replace

from pandas_genai.backends.classify import Problem, classify, problem_of
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.errors import CallError, WaitError

__all__ = ["call_error", "problem_in", "unreachable", "without_key"]


def problem_in(error: Exception, endpoint: Endpoint) -> Problem | None:
    """Return what an unsuccessful answer said; None where the error is of another kind."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        return None
    headers = error.response.headers  # type: ignore[attr-defined]  # a status comes with a response
    return without_key(problem_of(status, getattr(error, "body", None), headers), endpoint)


def without_key(problem: Problem, endpoint: Endpoint) -> Problem:
    """Take the key out of a message in which the provider repeats it."""
    key = endpoint.api_key
    return replace(problem, message=problem.message.replace(key, "***")) if key else problem


def unreachable(error: Exception, endpoint: Endpoint) -> WaitError | None:
    """Say that no answer came; None where the error is of another kind."""
    kind = type(error).__name__
    if kind not in ("APIConnectionError", "APITimeoutError"):
        return None
    cause = error.__cause__
    detail = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
    timed_out = kind == "APITimeoutError"
    what = "did not answer in time" if timed_out else "could not be reached"
    return WaitError(
        f"{endpoint.shown} {what}{detail}.", reason="timeout" if timed_out else "connection"
    )


def call_error(error: Exception, endpoint: Endpoint) -> CallError | None:
    """Return the error classed, None where neither SDK raised it."""
    problem = problem_in(error, endpoint)
    if problem is not None:
        return classify(problem, where=endpoint.host)
    return unreachable(error, endpoint)
