"""When the next call may go out: pauses that all workers share, and how many go at once."""

from __future__ import annotations

import threading

from pandas_genai.clock import Clock

__all__ = ["RateLimiter"]


class RateLimiter:
    """Decides how many calls may be in flight, and until when all of them pause.

    One call goes out alone until an answer has come (``opened``), so that a bad key costs one
    request and a prompt cache is warm. A rate limit halves the calls in flight once for each
    pause; every answer adds a little again, up to the number of workers.

    Parameters
    ----------
    workers : int
        Most calls in flight.
    clock : Clock
        Tells the time.
    opened : bool
        Whether an answer came before.
    """

    def __init__(self, workers: int, clock: Clock, *, opened: bool = False) -> None:
        self._workers = workers
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = float(workers) if opened else 1.0
        self._opened = opened
        self._pause_ends = 0.0

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return int(self._limit)

    def pause_left(self) -> float:
        """Seconds until the pause that a provider asked for is over; 0 without one."""
        with self._lock:
            return max(0.0, self._pause_ends - self._clock.monotonic())

    def answered(self) -> bool:
        """Note an answer. True if more calls may go out than before."""
        with self._lock:
            before = int(self._limit)
            if not self._opened:
                self._opened = True
                self._limit = float(self._workers)
            elif self._limit < self._workers:
                self._limit = min(self._workers, self._limit + 1 / self._limit)
            return int(self._limit) > before

    def rate_limited(self, seconds: float) -> None:
        """Let every worker wait for the seconds that the provider asked for."""
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._pause_ends and self._opened:
                self._limit = max(1.0, self._limit / 2)
            self._pause_ends = max(self._pause_ends, now + seconds)
