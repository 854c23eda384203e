"""Where workers take chunks from, and where chunks to be asked again wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from pandas_genai.task.chunks import Chunk

__all__ = ["Source"]


class Source:
    """Hands out chunks, one at a time, never more than are allowed in flight.

    Chunks are taken from an iterator only when a worker is free, so that memory does not grow
    with the number of calls.

    Parameters
    ----------
    chunks : iterator of Chunk
        The run's work, made as it is taken.
    limit : callable
        How many chunks may be in flight now.
    admit : callable, optional
        Whether a chunk may be handed out now; if not, it waits until another has come to its
        end, and with none in flight the work ends.

    Attributes
    ----------
    refused : bool
        Whether the work ended so.
    """

    def __init__(
        self,
        chunks: Iterator[Chunk],
        limit: Callable[[], int],
        admit: Callable[[Chunk], bool] = lambda chunk: True,
    ) -> None:
        self.refused = False
        self._chunks = chunks
        self._limit = limit
        self._admit = admit
        self._again: deque[Chunk] = deque()
        self._changed = threading.Condition()
        self._in_flight = 0
        self._dry = False
        self._closed = False

    def take(self) -> Chunk | None:
        """Wait for a chunk; None once there is no more work, or the source was closed."""
        with self._changed:
            while not self._closed:
                if self._in_flight < max(1, self._limit()):
                    chunk = self._next()
                    if chunk is not None and self._admit(chunk):
                        self._in_flight += 1
                        return chunk
                    if chunk is not None:
                        self._again.appendleft(chunk)
                    if self._in_flight == 0:
                        self.refused = chunk is not None
                        break
                self._changed.wait()
            self._changed.notify_all()
            return None

    def _next(self) -> Chunk | None:
        """What must be asked again comes first: if nothing works, the run knows early."""
        if self._again:
            return self._again.popleft()
        chunk = None if self._dry else next(self._chunks, None)
        self._dry = chunk is None
        return chunk

    def finish(self, again: Iterable[Chunk] = ()) -> None:
        """Say that a taken chunk came to its end, and what of it must be asked again."""
        with self._changed:
            self._in_flight -= 1
            self._again.extend(again)
            self._changed.notify_all()

    def wake(self) -> None:
        """Let waiting workers look again, because more may go out now."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out nothing any more."""
        with self._changed:
            self._closed = True
            self._again.clear()
            self._changed.notify_all()
