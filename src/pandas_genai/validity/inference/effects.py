"""Fixed effects: the projection on one or two sets of dummies, exactly and without the dummies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pandas_genai.errors import UsageError

__all__ = ["Array", "Effects", "Indices", "check_within"]

Array: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]

_MOST_LEVELS = 3000
"""Of the smaller of two fixed effects: a matrix of that size is inverted."""
_EXPLAINED = 1e-12
"""Of a column's squares: what rounding leaves when the levels' means are taken out."""


class Effects:
    """The projection on the dummies of one or two fixed effects.

    Parameters
    ----------
    levels : sequence of ndarray of int
        One or two; levels need not all occur.
    weight : ndarray, optional
        Of the rows, in all means.
    """

    def __init__(self, levels: Sequence[Indices], weight: Array | None = None) -> None:
        self._levels = levels
        self._weight = np.ones(len(levels[0])) if weight is None else weight
        renumbered = [_dense(codes) for codes in levels]
        renumbered.sort(key=lambda codes: -int(codes.max()))
        self._first = renumbered[0]
        self._count = np.bincount(self._first, self._weight)
        self._second: Indices | None = None
        self.rank = len(self._count)
        if len(renumbered) == 2:
            self._second = renumbered[1]
            self._cross()

    def _cross(self) -> None:
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        assert self._second is not None
        size = int(self._second.max()) + 1
        if size > _MOST_LEVELS:
            raise UsageError(
                f"Both fixed effects have more than {_MOST_LEVELS:,} levels ({size:,} in the "
                "smaller one): use a coarser one, or one of them only."
            )
        shape = (len(self._count), size)
        table = sparse.csr_array((self._weight, (self._first, self._second)), shape=shape)
        self._shares = sparse.diags_array(1 / self._count) @ table
        left = np.diag(np.bincount(self._second, self._weight))
        left -= (table.T @ self._shares).toarray()
        self._inverse = np.linalg.pinv(left, hermitian=True)
        joint = sparse.block_array([[None, table], [table.T, None]])
        self.rank += size - int(connected_components(joint, directed=False)[0])

    def count(self, clusters: Indices | None) -> int:
        """Count the degrees of freedom that the levels take; none for levels within clusters."""
        nested = 0
        for codes in self._levels if clusters is not None else ():
            assert clusters is not None
            last = np.zeros(int(codes.max()) + 1, dtype=np.intp)
            last[codes] = clusters
            if np.array_equal(last[codes], clusters):
                nested += int(np.count_nonzero(np.bincount(codes)))
        return max(self.rank - nested, 0)

    def project(self, wide: Array) -> Array:
        """Return the fitted values of each column on the dummies."""
        found: Array = self._means(wide)[self._first]
        if self._second is None:
            return found
        rest = wide - found
        size = len(self._inverse)
        levels = self._inverse @ self._sums(self._second, rest, size)
        found += levels[self._second]
        found -= (self._shares @ levels)[self._first]
        return found

    def leverage(self) -> Array:
        """Return the diagonal of the unweighted projection."""
        found: Array = 1 / self._count[self._first]
        if self._second is None:
            return found
        crossed = self._shares @ self._inverse
        own = np.asarray(self._shares.multiply(crossed).sum(axis=1)).ravel()
        both = np.diag(self._inverse)[self._second]
        ours: Array = found + both - 2 * crossed[self._first, self._second] + own[self._first]
        return ours

    def _means(self, wide: Array) -> Array:
        return self._sums(self._first, wide, len(self._count)) / self._count[:, None]

    def _sums(self, codes: Indices, wide: Array, size: int) -> Array:
        return np.column_stack(
            [np.bincount(codes, column * self._weight, size) for column in wide.T]
        )


def _dense(codes: Indices) -> Indices:
    """Renumber levels of which some do not occur."""
    present = np.bincount(codes) > 0
    return codes if present.all() else (np.cumsum(present) - 1)[codes]


def check_within(names: Sequence[str], columns: Indices, squares: Array, inside: Array) -> None:
    """Refuse columns that the fixed effects explain whole.

    Parameters
    ----------
    names : sequence of str
        Of all columns.
    columns : ndarray of int
        Which are regressors.
    squares, inside : ndarray
        Sums of squares of all columns, as they are and within levels.
    """
    for column in map(int, columns):
        if abs(inside[column]) <= _EXPLAINED * squares[column]:
            raise UsageError(
                f"{names[column]!r} does not vary within the levels of the fixed effects: leave it "
                "out of the formula, or leave the fixed effects out."
            )
