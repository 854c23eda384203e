"""What one run has leased of a budget that several runs spend together."""

from __future__ import annotations

import contextlib
import time

from pandas_genai.errors import CacheError
from pandas_genai.store import BudgetBlocks

__all__ = ["RETRY_S", "SharedBudget"]

RETRY_S = 0.25
"""How often a run that was given too little asks again, while others have blocks."""


class SharedBudget:
    """Leases what a run needs, and gives back what it does not.

    Parameters
    ----------
    blocks : BudgetBlocks
        Of the store.

    Attributes
    ----------
    leased : float
        What this run may spend in all, so far.
    """

    def __init__(self, blocks: BudgetBlocks) -> None:
        self._blocks = blocks
        self.leased = self._left = 0.0
        self._others = 0
        self._refused_at = float("-inf")
        self.lease(0.0, 0.0)

    @property
    def fair(self) -> float:
        """What is left for us, if the others that spend take as much."""
        return max(0.0, self._left) / (1 + self._others)

    @property
    def asked_just_now(self) -> bool:
        """Whether too little was left a moment ago."""
        return time.monotonic() - self._refused_at < RETRY_S

    @property
    def retry_s(self) -> float | None:
        """When to ask again after a refusal; None where nobody will give anything back."""
        return RETRY_S if self._others else None

    def lease(self, least: float, most: float) -> bool:
        """Lease a block; whether at least the least was left."""
        block = self._blocks.take(least, max(least, most))
        if block is None:  # the store is busy: others are there, and it is asked again
            self._others = max(1, self._others)
        else:
            self.leased += block.amount
            self._left, self._others = block.left, block.others
        granted = block is not None and block.amount >= least
        self._refused_at = float("-inf") if granted else time.monotonic()
        return granted

    def give(self, amount: float) -> None:
        """Give back a part that is not needed."""
        with contextlib.suppress(CacheError):  # the store is busy: we keep it
            self._blocks.give(amount)
            self.leased -= amount

    def end(self, unspent: float) -> None:
        """Give back all that was not spent; less than 0 is what calls cost beyond their bounds."""
        if self.leased:
            with contextlib.suppress(CacheError):
                self._blocks.end(unspent)
                self.leased -= unspent

    def close(self, unspent: float) -> None:
        """Give back all that was not spent, and lease nothing any more."""
        self.end(unspent)
        self._blocks.close()
