"""The time of the batches: the wall clock's, moved forward as a test says."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Clock", "check_forward"]


class Clock:
    """Seconds of the epoch.

    Parameters
    ----------
    wall : callable
        The wall clock.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.offset = 0.0

    def now(self) -> float:
        """Return the time."""
        return self._wall() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the time forward.

        Raises
        ------
        ValueError
            If that would be backward.
        """
        check_forward(seconds)
        self.offset += seconds


def check_forward(seconds: float) -> None:
    """Refuse to move the time backward.

    Raises
    ------
    ValueError
        If ``seconds`` would.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"advance({seconds!r}): time goes forward by 0 or more seconds.")
