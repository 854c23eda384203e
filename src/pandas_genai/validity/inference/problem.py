"""What is estimated from, as arrays: predicted values, hand codes and how they were drawn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pandas_genai.validity.inference.effects import Array, Effects, Indices

__all__ = ["Array", "Indices", "Labelled", "Layout", "Piece", "Problem", "Sample"]


@dataclass(frozen=True)
class Layout:
    """Which columns of the wide matrix are what.

    Parameters
    ----------
    names : list of str
        Of all columns.
    outcome : ndarray of int
        One column; for a multinomial outcome one for each class but the first.
    regressors : ndarray of int
        The columns whose coefficients are estimated.
    instruments : ndarray of int
        The regressors themselves, or for 2SLS the exogenous ones and the instruments.
    """

    names: list[str]
    outcome: Indices
    regressors: Indices
    instruments: Indices

    @cached_property
    def x(self) -> slice | Indices:
        """The regressors, as a slice if they are: a view instead of a copy."""
        return _sliced(self.regressors)

    @cached_property
    def z(self) -> slice | Indices:
        """The instruments, as a slice if they are."""
        return _sliced(self.instruments)


@dataclass(frozen=True)
class Labelled:
    """One variable that was labelled by a model, and by hand in some rows.

    Parameters
    ----------
    name : str
        Its column.
    classes : list, optional
        Its values, where it has few; None for a number.
    predicted : ndarray
        Positions in ``classes``, or numbers: one a row. -1 or NaN where the label is missing.
    gold : ndarray
        The same of the rows coded by hand, none missing.
    """

    name: str
    classes: list[Any] | None
    predicted: npt.NDArray[Any]
    gold: npt.NDArray[Any]

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where no label was predicted."""
        found = np.isnan(self.predicted) if self.classes is None else self.predicted < 0
        return np.asarray(found, dtype=bool)


@dataclass(frozen=True)
class Piece:
    """Columns of the wide matrix that depend on the same labelled variables.

    Parameters
    ----------
    columns : ndarray of int
        Which.
    labels : tuple of str
        The labelled variables.
    values : callable
        Returns the columns (rows by columns) for given values of these variables: a scalar for a
        class, an array for a number.
    """

    columns: Indices
    labels: tuple[str, ...]
    values: Callable[[dict[str, Any]], Array]
    _kept: dict[tuple[int, ...], Array] = field(default_factory=dict, repr=False)

    def mean(self, labelled: dict[str, Labelled], means: dict[str, Array]) -> Array:
        """Return the mean of the columns over the calibrated classes of their variables.

        A formula is linear in each class's dummy, so this is the expectation of the columns given
        the predictions whenever the classes of two variables are independent given them.
        """
        classed = [name for name in self.labels if labelled[name].classes is not None]
        numbers = {name: means[name] for name in self.labels if name not in classed}
        total: Any = 0.0
        for combination in itertools.product(*(range(means[name].shape[1]) for name in classed)):
            weight: Any = 1.0
            given = dict(numbers)
            for name, code in zip(classed, combination, strict=True):
                classes = labelled[name].classes
                assert classes is not None
                weight = weight * means[name][:, code]
                given[name] = classes[code]
            values = None if numbers else self._kept.get(combination)
            if values is None:
                values = self.values(given)
                if not numbers:
                    self._kept[combination] = values
            total = total + (values if isinstance(weight, float) else weight[:, None] * values)
        return np.asarray(total)


@dataclass(frozen=True)
class Sample:
    """How rows were drawn for coding by hand, and how they hang together.

    Parameters
    ----------
    coded : ndarray of int
        Positions of the rows coded by hand, rising.
    probability : ndarray of float
        Of every coded row, with which it was drawn.
    strata : ndarray of int
        Of every row: within a stratum a fixed number was drawn. -1 where rows were drawn
        independently of each other, or where the stratum of a row that was not drawn is unknown.
    sizes : ndarray of int, optional
        Of the strata, where some rows' strata are unknown.
    clusters : ndarray of int, optional
        Of every row, from 0.
    """

    coded: Indices
    probability: Array
    strata: Indices
    sizes: Indices | None = None
    clusters: Indices | None = None

    @cached_property
    def weight(self) -> Array:
        """``1 / probability`` of the coded rows."""
        return 1.0 / self.probability

    @cached_property
    def sizes_by_hand(self) -> Indices:
        """How many rows of each stratum are coded by hand."""
        size = int(self.strata.max()) + 1 if self.sizes is None else len(self.sizes)
        return np.bincount(self.strata[self.coded] + 1, minlength=size + 1)[1:]

    @cached_property
    def groups(self) -> int:
        """How many clusters there are; 0 without clusters."""
        return 0 if self.clusters is None else int(self.clusters.max()) + 1

    @cached_property
    def coded_groups(self) -> int:
        """How many clusters have a row coded by hand."""
        return 0 if self.clusters is None else len(np.unique(self.clusters[self.coded]))


@dataclass(frozen=True)
class Problem:
    """All that an estimator needs.

    Parameters
    ----------
    layout : Layout
        Of the columns.
    predicted : ndarray
        The wide matrix of all rows with the labels as they are.
    gold : ndarray
        The wide matrix of the rows coded by hand with the hand codes.
    sample : Sample
        How they were drawn.
    labelled : dict
        The labelled variables by name.
    pieces : sequence of Piece
        The columns that depend on them.
    effects : sequence of ndarray of int
        Levels of the fixed effects, from 0.
    """

    layout: Layout
    predicted: Array
    gold: Array
    sample: Sample
    labelled: dict[str, Labelled]
    pieces: Sequence[Piece]
    effects: Sequence[Indices] = ()

    @cached_property
    def absorbed(self) -> Effects | None:
        """The fixed effects of all rows."""
        return Effects(self.effects) if self.effects else None

    @cached_property
    def absorbed_by_hand(self) -> Effects | None:
        """The fixed effects of the rows coded by hand, which count by their weights."""
        coded = [codes[self.sample.coded] for codes in self.effects]
        return Effects(coded, self.sample.weight) if coded else None

    @cached_property
    def labelled_rows(self) -> npt.NDArray[np.bool_]:
        """Rows that have all their labels."""
        answered = np.ones(len(self.predicted), dtype=bool)
        for labelled in self.labelled.values():
            answered &= ~labelled.missing
        return answered

    @cached_property
    def only_outcome(self) -> bool:
        """Whether no regressor and no instrument depends on a label."""
        touched = {int(column) for piece in self.pieces for column in piece.columns}
        sides = [*self.layout.regressors, *self.layout.instruments]
        return not touched & {int(column) for column in sides}


def _sliced(columns: Indices) -> slice | Indices:
    if len(columns) and np.array_equal(columns, np.arange(columns[0], columns[0] + len(columns))):
        return slice(int(columns[0]), int(columns[0]) + len(columns))
    return columns
