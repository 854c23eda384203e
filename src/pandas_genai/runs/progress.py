"""How the engine tells whoever watches what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Observer", "Progress", "Silent"]


@dataclass(frozen=True)
class Progress:
    """A run at one moment. Counts are rows of the input.

    Parameters
    ----------
    total : int
        Rows of the run.
    done : int
        Rows that need no call any more, failed and empty ones included.
    cached, failed : int
        Of them: answered before the run; given up.
    input_tokens, output_tokens : int
        Used by this run.
    cost : float, optional
        In US dollars; None where the price is unknown.
    waiting_s : float
        Seconds until a pause is over; 0 without one.
    waiting_for : str
        Why there is a pause.
    elsewhere : int
        Rows whose answers another kernel is asking for; this run waits for them.
    """

    total: int
    done: int = 0
    cached: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    waiting_s: float = 0.0
    waiting_for: str = "rate limit"
    elsewhere: int = 0


class Observer(Protocol):
    """Watches a run. Called from the thread that runs it, never after it has returned."""

    def started(self, progress: Progress) -> None:
        """Report the first call: rows are counted, nothing was sent yet."""

    def moved(self, progress: Progress) -> None:
        """Something happened; called a few times a second at most."""

    def ended(self, progress: Progress, outcome: str) -> None:
        """Report the last call. ``outcome`` is ``completed``, ``stopped`` or ``failed``."""

    def fetching(self, done: int, total: int, target: str) -> None:
        """Bytes of the local model's weights arrive in ``target``."""

    def warn(self, message: str) -> None:
        """Say one line that the user should see."""


class Silent:
    """An observer that shows nothing."""

    def started(self, progress: Progress) -> None:
        """Show nothing."""

    def moved(self, progress: Progress) -> None:
        """Show nothing."""

    def ended(self, progress: Progress, outcome: str) -> None:
        """Show nothing."""

    def fetching(self, done: int, total: int, target: str) -> None:
        """Show nothing."""

    def warn(self, message: str) -> None:
        """Show nothing."""
