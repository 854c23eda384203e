"""How far apart two codes are, at each level of measurement."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Distance", "Level", "Numbers", "distance_at", "midranks"]

Level: TypeAlias = Literal["nominal", "ordinal", "interval", "ratio"]
Numbers: TypeAlias = npt.NDArray[np.float64]

_BLOCK = 2_000_000


class Distance(Protocol):
    """A level's distance between codes, whose values are numbers.

    Each equals ``1 - weight`` of the weights by Gwet (2014) but for the factor ``largest``.
    """

    def between(self, ours: Numbers, theirs: Numbers) -> Numbers:
        """Return how far apart values are, elementwise."""
        ...

    def expected(self, values: Numbers, shares: Numbers) -> Numbers:
        """Return how far each value is on average from one drawn with these shares.

        Parameters
        ----------
        values : ndarray of shape (q,)
            The values, ascending.
        shares : ndarray of shape (..., q)
            How often each is drawn; they add up to 1.
        """
        ...


class _Nominal:
    def between(self, ours: Numbers, theirs: Numbers) -> Numbers:
        return np.asarray(ours != theirs, dtype=np.float64)

    def expected(self, values: Numbers, shares: Numbers) -> Numbers:  # noqa: ARG002 - one protocol
        return 1 - shares


class _Interval:
    def between(self, ours: Numbers, theirs: Numbers) -> Numbers:
        return (ours - theirs) ** 2

    def expected(self, values: Numbers, shares: Numbers) -> Numbers:
        first, second = _moments(values, shares)
        return values**2 - 2 * values * first + second


class _Ordinal:
    """Of the number of steps ``t`` between two categories: ``t (t + 1) / 2``."""

    def between(self, ours: Numbers, theirs: Numbers) -> Numbers:
        steps = np.abs(ours - theirs)
        return np.asarray(steps * (steps + 1) / 2, dtype=np.float64)

    def expected(self, values: Numbers, shares: Numbers) -> Numbers:
        first, second = _moments(values, shares)
        below, within = np.cumsum(shares, axis=-1), np.cumsum(shares * values, axis=-1)
        steps = values * (2 * below - 1) - 2 * within + first
        squares = values**2 - 2 * values * first + second
        return (squares + steps) / 2


class _Ratio:
    def between(self, ours: Numbers, theirs: Numbers) -> Numbers:
        total = ours + theirs
        apart = np.divide(ours - theirs, total, out=np.zeros_like(total), where=total != 0)
        return apart**2

    def expected(self, values: Numbers, shares: Numbers) -> Numbers:
        result = np.empty_like(shares)
        rows = max(1, _BLOCK // len(values))
        for start in range(0, len(values), rows):
            block = self.between(values[start : start + rows, None], values[None, :])
            result[..., start : start + rows] = shares @ block.T
        return result


def _moments(values: Numbers, shares: Numbers) -> tuple[Numbers, Numbers]:
    first, second = shares * values, shares * values**2
    return first.sum(axis=-1, keepdims=True), second.sum(axis=-1, keepdims=True)


_AT: dict[str, Distance] = {
    "nominal": _Nominal(),
    "ordinal": _Ordinal(),
    "interval": _Interval(),
    "ratio": _Ratio(),
}


def distance_at(level: Level) -> Distance:
    """Return the distance of a level."""
    return _AT[level]


def midranks(counts: Numbers) -> Numbers:
    """Return the middle rank of each category.

    Krippendorff's ordinal distance is the squared difference of these.

    Parameters
    ----------
    counts : ndarray of shape (..., q)
        How often each category was given, in their order.
    """
    return np.cumsum(counts, axis=-1) - counts / 2
