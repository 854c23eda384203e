"""Predictions calibrated on hand codes, each row by a calibration that never saw its fold."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.problem import Array, Indices, Labelled, Problem

__all__ = ["Calibrator", "calibrated", "check_calibrator"]

FOLDS = 5


class Calibrator(Protocol):
    """What learns hand codes: any estimator of scikit-learn, unfitted."""

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - scikit-learn's own name
        """Learn codes from rows by columns."""

    def predict(self, X: Any) -> Any:  # noqa: N803 - the same
        """Predict codes of rows by columns."""


def check_calibrator(calibrator: Any) -> None:
    """Refuse what is no unfitted estimator of scikit-learn."""
    needed = ("fit", "predict", "get_params")
    if calibrator is None:
        return
    if isinstance(calibrator, type) or not all(hasattr(calibrator, name) for name in needed):
        raise UsageError(
            "calibrator= takes an estimator of scikit-learn, such as LogisticRegression(), not "
            f"{repr(calibrator)[:60]}."
        )


def calibrated(problem: Problem, rng: np.random.Generator, calibrator: Any = None) -> Array:
    """Return the wide matrix of all rows with calibrated predictions.

    Parameters
    ----------
    problem : Problem
        The data.
    rng : Generator
        Draws the folds.
    calibrator : scikit-learn estimator, optional
        Predicts the hand code from the label and the other columns. By default the mean of the
        hand codes by predicted class, and a line for numbers.

    Returns
    -------
    ndarray
        Rows by columns.
    """
    folds = _folds(problem, rng)
    others = None if calibrator is None else _features(problem)
    means = {
        name: _mean(labelled, problem, folds)
        if others is None
        else _learned(labelled, problem, folds, calibrator, others)
        for name, labelled in problem.labelled.items()
    }
    wide = problem.predicted.copy()
    for piece in problem.pieces:
        wide[:, piece.columns] = piece.mean(problem.labelled, means)
    return wide


def _folds(problem: Problem, rng: np.random.Generator) -> Indices:
    """Return a fold for every row: whole clusters together, coded rows evenly spread."""
    sample, rows = problem.sample, len(problem.predicted)
    if sample.clusters is None:
        folds = rng.integers(0, FOLDS, rows)
        count = len(sample.coded)
        folds[sample.coded] = rng.permutation(np.arange(count) % FOLDS)
        return folds
    coded = np.unique(sample.clusters[sample.coded])
    of_cluster = rng.integers(0, FOLDS, sample.groups)
    of_cluster[coded] = rng.permutation(np.arange(len(coded)) % FOLDS)
    found: Indices = of_cluster[sample.clusters]
    return found


def _mean(labelled: Labelled, problem: Problem, folds: Indices) -> Array:
    """Return what the hand code is expected to be: a probability a class, or a number."""
    coded, weight = problem.sample.coded, problem.sample.weight
    if labelled.classes is None:
        return _line(labelled, coded, weight, folds)
    size = len(labelled.classes)
    predicted = np.where(labelled.predicted < 0, size, labelled.predicted)
    cells = np.ravel_multi_index(
        (folds[coded], predicted[coded], labelled.gold), (FOLDS, size + 1, size)
    )
    table = np.bincount(cells, weight, FOLDS * (size + 1) * size).reshape(FOLDS, size + 1, size)
    others = np.maximum(table.sum(axis=0) - table, 0.0)
    overall = others.sum(axis=1, keepdims=True)
    overall /= np.maximum(overall.sum(axis=2, keepdims=True), np.finfo(float).tiny)
    total = others.sum(axis=2, keepdims=True)
    seen = total > 1e-9 * weight.max()
    shares = np.where(seen, others / np.where(seen, total, 1.0), overall)
    found: Array = shares[folds, predicted]
    return found


def _line(labelled: Labelled, coded: Indices, weight: Array, folds: Indices) -> Array:
    """Return a line through the hand codes, kept within the hand codes' range.

    A transformation in the formula that the hand codes allow (a logarithm) then stays allowed.
    """
    low, high = float(labelled.gold.min()), float(labelled.gold.max())
    found = np.empty(len(folds))
    x, y, gap = labelled.predicted[coded], labelled.gold, labelled.missing
    for fold in range(FOLDS):
        train, rows = (folds[coded] != fold) & ~gap[coded], folds == fold
        centre, mean, slope = 0.0, float(np.average(y, weights=weight)), 0.0
        if train.any():
            w = weight[train]
            centre, mean = (
                float(np.average(x[train], weights=w)),
                float(np.average(y[train], weights=w)),
            )
            spread = float(w @ (x[train] - centre) ** 2)
            if spread > 0:
                slope = float(w @ ((x[train] - centre) * (y[train] - mean))) / spread
        found[rows] = mean + slope * (labelled.predicted[rows] - centre)
        lost = (folds[coded] != fold) & gap[coded]
        instead = float(np.average(y[lost], weights=weight[lost])) if lost.any() else mean
        found[rows & gap] = instead
    clipped: Array = np.clip(found, low, high)
    return clipped


def _features(problem: Problem) -> Array:
    """Return what a calibrator learns from: labels, and every column that depends on none."""
    touched = [column for piece in problem.pieces for column in piece.columns]
    wide = np.delete(problem.predicted, touched, axis=1)
    columns: list[Any] = [wide[:, wide.std(axis=0) > 0]]
    for labelled in problem.labelled.values():
        if labelled.classes is None:
            values = np.where(labelled.missing, labelled.gold.mean(), labelled.predicted)
            columns += [values[:, None], labelled.missing[:, None]]
        else:
            columns.append(labelled.predicted[:, None] == np.arange(-1, len(labelled.classes)))
    return np.column_stack(columns).astype(float)


def _learned(
    labelled: Labelled, problem: Problem, folds: Indices, calibrator: Any, features: Array
) -> Array:
    """Return what a calibrator expects the hand code to be.

    Raises
    ------
    UsageError
        If it cannot learn these codes, or predicts what is no number.
    """
    try:
        found = _predicted(labelled, problem, folds, calibrator, features)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "a number" if labelled.classes is None else "a class"
        raise UsageError(
            f"calibrator= cannot learn the hand codes of {labelled.name!r}, {kind}: {cause}"
        ) from error
    if not np.isfinite(found).all():
        raise UsageError(
            f"calibrator= predicts no finite number for {labelled.name!r} in some rows."
        )
    return found


def _predicted(
    labelled: Labelled, problem: Problem, folds: Indices, calibrator: Any, features: Array
) -> Array:
    from sklearn.base import clone

    coded, classes = problem.sample.coded, labelled.classes
    shape = (len(folds),) if classes is None else (len(folds), len(classes))
    found = np.zeros(shape)
    for fold in range(FOLDS):
        train, rows = folds[coded] != fold, folds == fold
        known, y = features[coded[train]], labelled.gold[train]
        if classes is None:
            found[rows] = clone(calibrator).fit(known, y).predict(features[rows])
        elif len(np.unique(y)) == 1:
            found[rows, y[0]] = 1.0
        elif hasattr(calibrator, "predict_proba"):
            model = clone(calibrator).fit(known, y)
            found[np.ix_(rows, model.classes_)] = model.predict_proba(features[rows])
        else:
            for code in np.unique(y):
                model = clone(calibrator).fit(known, (y == code).astype(float))
                found[rows, code] = model.predict(features[rows])
    return found
