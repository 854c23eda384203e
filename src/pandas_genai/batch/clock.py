"""Time as the overnight path sees it; tests give one that does not wait."""

from __future__ import annotations

import time

__all__ = ["WallClock"]


class WallClock:
    """The wall clock: jobs outlive the process that began them."""

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
