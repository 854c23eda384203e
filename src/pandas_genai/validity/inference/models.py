"""The models, as moments: what is zero in the mean at the true coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.problem import Array, Layout

__all__ = ["MODELS", "Model", "Part", "contributions", "inverted", "solve"]

_BLOCK = 2048
_STEPS = 60
_TOLERANCE = 1e-8
"""Of the last step: the error after it is of the order of its square."""
_SURE = 8
"""A design that gets singular after so many steps was not: fitted probabilities became 0 and 1."""


@dataclass(frozen=True)
class Part:
    """Rows with a weight: the predicted values of all rows, or the hand codes of some."""

    wide: Array
    weight: Array

    def blocks(self) -> Iterator[Part]:
        """Return the rows in blocks that fit a processor's cache."""
        for at in range(0, len(self.wide), _BLOCK):
            yield Part(self.wide[at : at + _BLOCK], self.weight[at : at + _BLOCK])


class Model(Protocol):
    """Moments of one kind of regression."""

    name: str

    def prepared(self, layout: Layout, parts: Sequence[Part], /) -> Model:
        """Return the model with what its moments need beside the coefficients."""
        ...

    def scores(self, layout: Layout, wide: Array, params: Array) -> Array:
        """Return the moments of each row: rows by coefficients."""
        ...

    def total(self, layout: Layout, part: Part, params: Array) -> tuple[Array, Array]:
        """Return the weighted sum of the moments, and of their negative derivative."""
        ...


class Linear:
    """Least squares; with instruments that are not the regressors, in two stages."""

    name = "linear"

    def __init__(self, first_stage: Array | None = None) -> None:
        self._first_stage = first_stage

    def prepared(self, layout: Layout, parts: Sequence[Part]) -> Linear:
        """Return the model with its first stage."""
        if layout.instruments is layout.regressors:
            return self
        crossed: Any = 0.0
        squared: Any = 0.0
        for block in (block for part in parts for block in part.blocks()):
            z, x = block.wide[:, layout.z], block.wide[:, layout.x]
            weighted = z * block.weight[:, None]
            squared = squared + weighted.T @ z
            crossed = crossed + weighted.T @ x
        return Linear(inverted(squared) @ crossed)

    def scores(self, layout: Layout, wide: Array, params: Array) -> Array:
        """Return instruments times residuals."""
        rest = wide[:, layout.outcome[0]] - wide[:, layout.x] @ params
        found: Array = self._fitted(layout, wide) * rest[:, None]
        return found

    def total(self, layout: Layout, part: Part, params: Array) -> tuple[Array, Array]:
        """Return the sums."""
        x, y = part.wide[:, layout.x], part.wide[:, layout.outcome[0]]
        weighted = self._fitted(layout, part.wide) * part.weight[:, None]
        return weighted.T @ (y - x @ params), weighted.T @ x

    def _fitted(self, layout: Layout, wide: Array) -> Array:
        z = wide[:, layout.z]
        return z if self._first_stage is None else z @ self._first_stage


class Logit:
    """Binary logit. An outcome may be a probability."""

    name = "logit"

    def prepared(self, _layout: Layout, _parts: Sequence[Part]) -> Self:
        """Need nothing more."""
        return self

    def scores(self, layout: Layout, wide: Array, params: Array) -> Array:
        """Return regressors times residuals."""
        x = wide[:, layout.x]
        found: Array = x * (wide[:, layout.outcome[0]] - self._mean(x @ params)[0])[:, None]
        return found

    def total(self, layout: Layout, part: Part, params: Array) -> tuple[Array, Array]:
        """Return the sums."""
        x = part.wide[:, layout.x]
        mean, slope = self._mean(x @ params)
        rest = part.weight * (part.wide[:, layout.outcome[0]] - mean)
        return x.T @ rest, (x * (part.weight * slope)[:, None]).T @ x

    def _mean(self, linear: Array) -> tuple[Array, Array]:
        from scipy.special import expit

        mean: Array = expit(linear)
        return mean, mean * (1 - mean)


class Poisson(Logit):
    """Counts, or anything whose mean is exponential in the regressors."""

    name = "poisson"

    def _mean(self, linear: Array) -> tuple[Array, Array]:
        mean = np.exp(np.clip(linear, -500, 500))
        return mean, mean


class Multinomial:
    """Multinomial logit: coefficients of the first class are 0, those of the others follow."""

    name = "multinomial"

    def prepared(self, _layout: Layout, _parts: Sequence[Part]) -> Self:
        """Need nothing more."""
        return self

    def scores(self, layout: Layout, wide: Array, params: Array) -> Array:
        """Return regressors times residuals, a block a class."""
        x = wide[:, layout.x]
        rest = wide[:, layout.outcome] - _shares(x, params, len(layout.outcome))
        found: Array = (rest[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        return found

    def total(self, layout: Layout, part: Part, params: Array) -> tuple[Array, Array]:
        """Return the sums."""
        x, count = part.wide[:, layout.x], len(layout.outcome)
        shares = _shares(x, params, count)
        rest = part.weight[:, None] * (part.wide[:, layout.outcome] - shares)
        size = x.shape[1]
        slope = np.empty((count * size, count * size))
        for one in range(count):
            for other in range(one, count):
                spread = shares[:, one] * ((one == other) - shares[:, other]) * part.weight
                block = (x * spread[:, None]).T @ x
                rows, columns = (slice(at * size, (at + 1) * size) for at in (one, other))
                slope[rows, columns] = block
                slope[columns, rows] = block.T
        return (rest.T @ x).ravel(), slope


MODELS: dict[str, Model] = {
    model.name: model for model in (Linear(), Logit(), Poisson(), Multinomial())
}


def solve(
    model: Model, layout: Layout, parts: Sequence[Part], start: Array | None = None
) -> tuple[Array, Array, Model]:
    """Return coefficients at which the moments add up to zero.

    Parameters
    ----------
    model : Model
        The moments.
    layout : Layout
        Of the columns.
    parts : sequence of Part
        What is added up.
    start : ndarray, optional
        Coefficients to begin with; zeros by default.

    Returns
    -------
    params : ndarray
        The coefficients.
    bread : ndarray
        The inverse of the moments' negative derivative.
    prepared : Model
        The model with what its moments need beside the coefficients.

    Raises
    ------
    UsageError
        If the design is singular or classes are perfectly separated.
    """
    model = model.prepared(layout, parts)
    size = len(layout.regressors)
    size *= len(layout.outcome) if model.name == "multinomial" else 1
    if model.name == "linear":
        score, slope = _added(model, layout, parts, np.zeros(size))
        bread = inverted(slope)
        return bread @ score, bread, model
    params = np.zeros(size) if start is None else start.copy()
    score, slope = _added(model, layout, parts, params)
    for taken in range(_STEPS):
        try:
            bread = inverted(slope)
        except UsageError:
            if taken < _SURE:
                raise
            raise _separation(layout, params) from None
        step = bread @ score
        if float(np.abs(step).max()) <= _TOLERANCE * (1 + float(np.abs(params).max())):
            return params + step, bread, model
        params, score, slope = _stepped(model, layout, parts, params, step, score)
    raise _separation(layout, params)


def contributions(model: Model, layout: Layout, wide: Array, params: Array, bread: Array) -> Array:
    """Return what each row adds to the error of the coefficients."""
    found = np.empty((len(wide), len(params)))
    for at in range(0, len(wide), _BLOCK):
        block = slice(at, at + _BLOCK)
        np.matmul(model.scores(layout, wide[block], params), bread.T, out=found[block])
    return found


def inverted(matrix: Array) -> Array:
    """Return the inverse of a matrix whose columns may be of very different size.

    Raises
    ------
    UsageError
        If there is none.
    """
    size = np.sqrt(np.abs(np.diag(matrix)))
    if not len(size) or not np.all(np.isfinite(matrix)) or not np.all(size > 0):
        raise UsageError(_SINGULAR)
    scaled = matrix / np.outer(size, size)
    if np.linalg.cond(scaled) > 1e13:
        raise UsageError(_SINGULAR)
    found: Array = np.linalg.inv(scaled) / np.outer(size, size)
    return found


_SINGULAR = (
    "The design is singular: a column is a sum of others among the rows that can be used, or a "
    "category has no row. Leave a column out, or have more rows coded by hand."
)


def _added(
    model: Model, layout: Layout, parts: Sequence[Part], params: Array
) -> tuple[Array, Array]:
    blocks = (block for part in parts for block in part.blocks())
    sums = (model.total(layout, block, params) for block in blocks)
    score, slope = next(sums)
    for more, steeper in sums:
        score += more
        slope += steeper
    return score, slope


def _stepped(
    model: Model,
    layout: Layout,
    parts: Sequence[Part],
    params: Array,
    step: Array,
    score: Array,
) -> tuple[Array, Array, Array]:
    """Go a step of Newton's, or as much of it as brings the moments nearer to zero."""
    before = float(np.linalg.norm(score))
    for halved in range(12):
        tried = params + step / 2**halved
        found, slope = _added(model, layout, parts, tried)
        norm = float(np.linalg.norm(found))
        if np.isfinite(norm) and norm < before:
            break
    return tried, found, slope


def _shares(x: Array, params: Array, count: int) -> Array:
    linear = x @ params.reshape(count, -1).T
    highest = np.maximum(linear.max(axis=1, keepdims=True), 0)
    powers = np.exp(linear - highest)
    found: Array = powers / (np.exp(-highest) + powers.sum(axis=1, keepdims=True))
    return found


def _separation(layout: Layout, params: Array) -> UsageError:
    """Name the coefficient that only grew, whatever the number of steps."""
    largest = int(np.abs(params).argmax()) % len(layout.regressors)
    name = layout.names[int(layout.regressors[largest])]
    return UsageError(
        f"The coefficients grow without end ({name!r} most): the outcome is perfectly separated by "
        "the regressors among the rows coded by hand. Leave that column out, merge rare "
        "categories, or have more rows coded."
    )
