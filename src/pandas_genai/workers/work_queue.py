"""Where workers take chunks from, and where chunks to be asked again wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from pandas_genai.task.chunks import Chunk, Row

__all__ = ["Later", "WorkQueue"]


_CLOSE_S = 0.2


class Later(NamedTuple):
    """In the place of a chunk: there is none now; look again after so many seconds."""

    seconds: float


class WorkQueue:
    """Hands out chunks, one at a time, never more than are allowed in flight.

    Chunks are taken from an iterator only when a worker is free, so that memory does not grow
    with the number of calls.

    Parameters
    ----------
    chunks : iterator of Chunk or Later
        The run's work, made as it is taken; rows that failed in an earlier run come last, and
        are handed out when nothing else is left.
    limit : callable
        How many chunks may be in flight now.
    admit : callable, optional
        Whether a chunk may be handed out now; if not, it waits until another has come to its
        end, and with none in flight the work ends.
    on_end : callable, optional
        Called with the rows about which nothing more is asked.
    careful : callable, optional
        Whether only one row at a time is handed out now, of new chunks before others.
    retry_s : callable, optional
        Seconds after which a chunk that was not admitted may be, with none in flight either;
        None: the work ends.

    Attributes
    ----------
    refused : bool
        Whether the work ended so.
    """

    def __init__(
        self,
        chunks: Iterator[Chunk | Later],
        limit: Callable[[], int],
        admit: Callable[[Chunk], bool] = lambda chunk: True,
        on_end: Callable[[Iterable[Row]], None] = lambda rows: None,
        careful: Callable[[], bool] = lambda: False,
        retry_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.refused = False
        self._chunks = chunks
        self._on_end = on_end
        self._waits: float | None = None
        self._limit = limit
        self._admit = admit
        self._suspect: Chunk | None = None
        self._careful = careful
        self._retry_s = retry_s
        self._again: deque[Chunk] = deque()
        self._later: deque[Chunk] = deque()
        self._changed = threading.Condition()
        self._held: Chunk | None = None
        self._in_flight = 0
        self._idle = 0
        self._dry = False
        self._closed = threading.Event()

    def take(self) -> Chunk | None:
        """Wait for a chunk; None once there is no more work, or the source was closed."""
        with self._changed:
            while not self._closed.is_set():
                again = None
                if self._in_flight < max(1, self._limit()):
                    chunk = self._held or self._next()
                    if self._closed.is_set():  # while the store was asked, which may take long
                        break
                    if chunk is not None and self._admit(chunk):
                        self._held = None
                        self._in_flight += 1
                        self._pass_on()
                        return chunk
                    self._held = chunk
                    again = None if chunk is None else self._retry_s()
                    if self._in_flight == 0 and again is None and (chunk or self._dry):
                        self.refused = chunk is not None
                        break
                self._idle += 1
                self._changed.wait(self._left() if again is None else again)
                self._idle -= 1
            self._changed.notify_all()
            return None

    def _pass_on(self) -> None:
        """Wake one worker where there may be work for it, or none ever; it wakes the next.

        To wake all of them whenever a call ends costs more than the call, where hundreds wait.
        """
        left = self._held or self._again or self._later or self._suspect or not self._dry
        if self._idle and (left or self._in_flight == 0):
            self._changed.notify()

    def _next(self) -> Chunk | None:
        """What must be asked again comes first: if nothing works, the run knows early."""
        careful = self._careful()
        chunk = None if careful else self._asked_again()
        chunk = chunk or self._new() or self._asked_again()
        if chunk is None and self._later:
            chunk = self._later.popleft()
        if chunk is None:
            chunk, self._suspect = self._suspect, None
        if careful and chunk is not None and len(chunk.rows) > 1:
            chunk, rest = chunk.cut(1)
            self._again.appendleft(rest)
        return chunk

    def _asked_again(self) -> Chunk | None:
        return self._again.popleft() if self._again else None

    def _new(self) -> Chunk | None:
        """Take from the run's work, as far as the rows that failed in an earlier run."""
        if self._dry or self._suspect is not None or self._left():
            return None
        chunk = next(self._chunks, None)
        self._dry, self._waits = chunk is None, None
        if isinstance(chunk, Later):
            self._waits = time.monotonic() + chunk.seconds
            return None
        if chunk is not None and chunk.known_suspect:
            self._suspect = chunk
            return None
        return chunk

    def _left(self) -> float | None:
        """Return the seconds until the work is worth a look; None if it is not waited for."""
        return None if self._waits is None else max(0.0, self._waits - time.monotonic())

    def finish(self, chunk: Chunk, again: Sequence[Chunk] = ()) -> None:
        """Say that a taken chunk came to its end, and what of it must be asked again."""
        left = {row.key for other in again for row in other.rows}
        self._on_end(row for row in chunk.rows if row.key not in left)
        with self._changed:
            self._in_flight -= 1
            for other in again:
                last = other.suspect or self._careful()
                (self._later if last else self._again).append(other)
            self._pass_on()

    def wake(self) -> None:
        """Let waiting workers look again, because more may go out now."""
        with self._changed:
            self._changed.notify(max(1, self._limit() - self._in_flight))

    def close(self) -> None:
        """Hand out nothing any more; a worker that waits for the store sees it when it is back."""
        self._closed.set()
        if self._changed.acquire(timeout=_CLOSE_S):
            self._again.clear()
            self._later.clear()
            self._changed.notify_all()
            self._changed.release()
