"""When a run has no sense any more: the provider is silent, or refuses whatever is asked."""

from __future__ import annotations

import threading

from pandas_genai.errors import RowError, StopRunError, WaitError

__all__ = ["Breaker"]

_SILENT_CALLS = 10
"""Calls that fail one after the other, each after all its attempts, before the run stops."""

_REFUSED_ROWS = 10
"""Rows refused each for itself before anything was answered, before the run stops."""


class Breaker:
    """Counts what speaks against going on; raises when it is enough.

    Parameters
    ----------
    attempts : int
        Requests of one call, for the message.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._lock = threading.Lock()
        self._silent = 0
        self._refused = 0
        self._any_answer = False

    def answered(self, *, useful: bool) -> None:
        """Note an answer, of use or not."""
        with self._lock:
            self._silent = 0
            self._any_answer = self._any_answer or useful

    def silent(self, error: WaitError) -> None:
        """Note a call that got no answer in all its attempts.

        Raises
        ------
        StopRunError
            If it is one too many, or the first of all.
        """
        with self._lock:
            self._silent += 1
            silent, ever = self._silent, self._any_answer
        if silent >= _SILENT_CALLS or not ever:
            calls = f"{silent} calls in a row" if silent > 1 else "The first call"
            raise StopRunError(
                f"{calls} failed after {self._attempts} attempts each: {error}",
                reason=error.reason,
                request_id=error.request_id,
            ) from error

    def refused(self, error: RowError) -> None:
        """Note a request that was refused although it held one row only.

        Raises
        ------
        StopRunError
            If nothing else has come back yet.
        """
        with self._lock:
            if self._any_answer or error.reason != "bad request":
                return
            self._refused += 1
            refused = self._refused
        if refused >= _REFUSED_ROWS:
            raise StopRunError(
                f"The first {refused} rows were refused, each for itself: {error}",
                reason=error.reason,
                request_id=error.request_id,
            )
