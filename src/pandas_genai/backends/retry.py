"""Waiting and asking again: tenacity, five attempts, 2 to 30 seconds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

import tenacity

from pandas_genai.backends.classify import classify, problem_of
from pandas_genai.errors import WaitError

__all__ = ["ATTEMPTS", "backoff", "retry_api_call"]

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 5

_exponential = tenacity.wait_exponential(multiplier=2, min=2, max=29) + tenacity.wait_random(0, 1)


def backoff(state: tenacity.RetryCallState) -> float:
    """Seconds to wait after a failed attempt: what the provider asked for, else 2 to 30."""
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(_as_wait(error), "retry_after", None)
    if asked is None:
        return float(_exponential(state))
    return float(asked) + 0.1 * state.attempt_number


def _as_wait(error: BaseException | None) -> BaseException | None:
    """Return the error as one that waiting may mend, or None if waiting is no use."""
    if isinstance(error, (WaitError, ConnectionError, TimeoutError)):
        return error
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        headers = getattr(getattr(error, "response", None), "headers", {})
        problem = problem_of(status, getattr(error, "body", None), headers)
        classed = classify(problem, where="The provider")
        return classed if isinstance(classed, WaitError) else None
    is_connection = type(error).__name__ in ("APIConnectionError", "APITimeoutError")
    return error if is_connection else None


@overload
def retry_api_call(function: Callable[P, R]) -> Callable[P, R]: ...
@overload
def retry_api_call(
    function: None = None, *, sleep: Callable[[float], Any] = ...
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def retry_api_call(
    function: Callable[P, R] | None = None, *, sleep: Callable[[float], Any] = time.sleep
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that calls a vendor, so that it is tried up to five times.

    It is tried again after connection errors, timeouts and the statuses 408, 409, 429 and 5xx,
    waiting what ``Retry-After`` says, or 2 to 30 seconds growing exponentially with jitter.
    Errors that no waiting mends (a bad key, a malformed request, no money left) are raised at
    once, and the last error is raised as it is.

    Parameters
    ----------
    function : callable
        Makes one call with an SDK whose own retries are off.
    sleep : callable, default time.sleep
        Waits the given seconds.

    Examples
    --------
    >>> @retry_api_call
    ... def ask(client, **request):
    ...     return client.chat.completions.create(**request)
    """

    def decorate(inner: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(inner)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            retrying = tenacity.Retrying(
                sleep=sleep,
                stop=tenacity.stop_after_attempt(ATTEMPTS),
                wait=backoff,
                retry=tenacity.retry_if_exception(lambda error: _as_wait(error) is not None),
                reraise=True,
            )
            return retrying(inner, *args, **kwargs)

        return call

    return decorate if function is None else decorate(function)
