"""Time, as everything that waits sees it; tests give a clock that does not wait."""

from __future__ import annotations

import threading
import time

__all__ = ["Clock", "Deadline"]


class Clock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return epoch seconds: a job outlives the process that began it."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only grow, whatever is done to the wall clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait until the seconds are over, or at once when ``stop`` is set; True if it is."""
        return stop.wait(seconds)


class Deadline:
    """Counts how long a job was waited for.

    What was slept counts as such, and the work between by the monotonic clock: the wall clock may
    be set back or forward in the night.

    Parameters
    ----------
    clock : Clock
        Waits.
    timeout : float, optional
        Seconds after which the waiting is over; None: never.
    """

    def __init__(self, clock: Clock, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._waited = 0.0
        self._since = clock.monotonic()

    @property
    def left(self) -> float | None:
        """Seconds until it is over; None without an end."""
        if self._timeout is None:
            return None
        return self._timeout - self._waited - (self._clock.monotonic() - self._since)

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left is not None and self.left <= 0

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        left = self.left
        slept = seconds if left is None else max(0.0, min(seconds, left))
        self._waited += slept + self._clock.monotonic() - self._since
        self._clock.sleep(slept)
        self._since = self._clock.monotonic()
