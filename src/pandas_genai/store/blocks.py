"""Blocks of a budget and of a rate, as every store counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

__all__ = ["BudgetBlock", "BudgetBlocks", "Flow", "RateBlocks", "granted", "refilled"]

_LONGEST_S = 60.0
"""Time that counts between two takes: a wall clock that jumps ahead brings no more than that."""


class Flow(NamedTuple):
    """What a minute brings of one thing, and how much of it is wanted now.

    Parameters
    ----------
    per_minute : float
        What is added in a minute.
    most : float
        What is kept for later at most, while nobody takes; also what is there at first.
    wanted : float
        What is asked for.
    """

    per_minute: float
    most: float
    wanted: float


class BudgetBlock(NamedTuple):
    """What was leased of a budget.

    Parameters
    ----------
    amount : float
        Leased with this call; 0 where less than the least is left.
    left : float
        Leased to nobody, after that.
    others : int
        Living owners besides us that have a block, and may yet give something back.
    """

    amount: float
    left: float
    others: int


class RateBlocks(Protocol):
    """What all runs on a store may send a minute, taken in blocks, so that no call needs a trip.

    A block needs no lease: what its owner took and did not send, because it died, comes again
    with the minutes.
    """

    def take(self, flows: Mapping[str, Flow]) -> dict[str, float] | None:
        """Take of each kind as much as is there, at most what is wanted.

        None where the store is busy: ask again.
        """

    def give(self, amounts: Mapping[str, float]) -> None:
        """Give back what was not sent; less than 0 is what was sent beyond what was taken."""

    def close(self) -> None:
        """Let go; closing again does nothing."""


class BudgetBlocks(Protocol):
    """One budget that several runs spend together, leased in blocks; renewed until closed.

    What is leased counts as spent until it is given back. Of an owner that died nothing comes
    back: its calls may have been billed, up to all that it had leased. So blocks are small.
    """

    def take(self, least: float, most: float) -> BudgetBlock | None:
        """Lease what is left, at most ``most``, and nothing where that is less than ``least``.

        None where the store is busy: ask again.
        """

    def give(self, amount: float) -> None:
        """Give back a part that was not spent."""

    def end(self, unspent: float) -> None:
        """Give that back and count the rest as spent: we have no block until the next take."""

    def close(self) -> None:
        """Count all that is leased as spent; closing again does nothing."""


def refilled(level: float, elapsed: float, flow: Flow) -> float:
    """Return what is there of a rate, so many seconds after ``level`` was; below 0 is a debt.

    A clock that went back adds nothing.
    """
    added = min(max(0.0, elapsed), _LONGEST_S) * flow.per_minute / 60
    return min(flow.most, level + added)


def granted(left: float, least: float, most: float) -> float:
    """Return what is leased where so much is left."""
    return max(0.0, min(left, most)) if left >= least else 0.0
