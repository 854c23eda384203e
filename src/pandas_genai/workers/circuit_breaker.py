"""The circuit breaker: ends a run whose provider is down, or whose replies are of no use."""

from __future__ import annotations

import threading

from pandas_genai.errors import CallError, StopRunError, WaitError
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Refusal

__all__ = ["CircuitBreaker"]

_SILENT_FIRST = 4
"""Calls without an answer, before anything was answered, that end the run: the first, and three
of one row each, so that a row which no call survives does not look like a provider that is down."""

_SILENT_CALLS = 10
"""Calls in a row without an answer that end a run in which something was answered."""

_USELESS_FIRST = 20
"""Rows asked alone, before anything of use came back, whose replies are of no use: where seven
rows of ten are refused, twenty in a row are so in one run of 1,250. A frame of fewer rows comes
back with the reason of each."""

_USELESS_ROWS = 30
"""The same in a run in which something of use came back; it asks many more times."""

_USELESS_CALLS = 10
"""Useless replies in a row, of calls of any size, after which rows are asked alone."""


class CircuitBreaker:
    """Counts what speaks against going on; raises when it is enough.

    Of suspects, rows that have failed before, nothing is concluded about the provider or the
    question: that they fail again is no news.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = 0
        self._any_use = False
        self._silent = 0
        self._silent_known = 0
        self._useless = 0
        self._useless_rows = 0
        self._alone: set[str] = set()
        self._last: WaitError | None = None

    @property
    def answers(self) -> int:
        """How many answers have come, of use or not."""
        return self._answers

    @property
    def careful(self) -> bool:
        """Whether the next call is a probe of one row: what came so far speaks against all."""
        if not self._any_use:
            return self._silent + self._useless > 0
        return self._useless >= _USELESS_CALLS

    @property
    def doubted(self) -> bool:
        """Whether nothing of use came back and a call got no answer in all its attempts."""
        return not self._any_use and self._silent > 0

    def useful(self) -> None:
        """Note a reply that answers some of its rows."""
        with self._lock:
            self._heard()
            self._any_use = True
            self._useless = self._useless_rows = 0

    def useless(self, chunk: Chunk, refusal: Refusal, request_id: str | None) -> None:
        """Note a reply, or an error about these rows, that answers none of them.

        Raises
        ------
        StopRunError
            If so many rows, each asked alone, came to nothing in a row.
        """
        with self._lock:
            self._heard()
            if chunk.suspect:
                return
            self._useless += 1
            if len(chunk.rows) == 1 and chunk.rows[0].key not in self._alone:
                self._alone.add(chunk.rows[0].key)
                self._useless_rows += 1
            rows = _USELESS_ROWS if self._any_use else _USELESS_FIRST
            if self._useless_rows < rows:
                return
            before = "The last" if self._any_use else "The first"
        raise StopRunError(
            f"{before} {rows} rows were asked alone, and all of them were refused or answered "
            f"with nothing of use ({refusal.reason}). The last reply: {refusal.message}",
            reason="useless replies",
            request_id=request_id,
        )

    def silent(self, chunk: Chunk, error: WaitError, since: int) -> None:
        """Note a call that got no answer in all its attempts.

        Parameters
        ----------
        chunk : Chunk
            What was asked.
        error : WaitError
            Its last.
        since : int
            ``answers`` when its first attempt had failed: if others came meanwhile, the
            provider is there, and it is the rows of this call.

        Raises
        ------
        StopRunError
            If it is one too many.
        """
        with self._lock:
            if self._answers != since:
                return
            self._last = error
            if chunk.known_suspect:
                self._silent_known += 1
                return
            self._silent += 1
            silent, ever = self._silent, self._any_use
        if (not ever and silent >= _SILENT_FIRST) or (
            silent >= _SILENT_CALLS and not chunk.suspect
        ):
            raise _down(silent, error, ever=ever)

    def hopeless(self, chunk: Chunk) -> CallError | None:
        """Return why suspects are not asked any more; None while they are.

        The run does not end with an error for them: what else it was to do is done.
        """
        silent = self._silent_known if chunk.known_suspect else self._silent
        return self._last if chunk.suspect and silent >= _SILENT_CALLS else None

    def ended(self) -> None:
        """Note that nothing is left to ask.

        Raises
        ------
        StopRunError
            If the provider has not answered at all.
        """
        if self._last is not None and self._silent and not self._answers:
            raise _down(self._silent, self._last, ever=False)

    def _heard(self) -> None:
        self._answers += 1
        self._silent = self._silent_known = 0


def _down(calls: int, error: WaitError, *, ever: bool) -> StopRunError:
    first = "The only call" if calls == 1 else f"The first {calls} calls"
    which = f"{calls} calls in a row" if ever else first
    return StopRunError(
        f"{which} failed after all attempts: {error}",
        reason=error.reason,
        request_id=error.request_id,
    )
