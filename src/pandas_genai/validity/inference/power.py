"""How many rows to code by hand for the standard error that a study needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.arguments import generator_of, whole_numbers
from pandas_genai.validity.inference.calibration import check_calibrator
from pandas_genai.validity.inference.checks import check_frame
from pandas_genai.validity.inference.estimators import Corrections
from pandas_genai.validity.inference.regression import dummies_of, read_problem
from pandas_genai.validity.inference.results import named_coefficients
from pandas_genai.validity.inference.sampled import Drawn

__all__ = ["Power", "power"]


_NAMES = {1: ["term"], 2: ["class", "term"]}


class Power(pd.DataFrame):
    """Standard errors by number of hand codes: a row a number and coefficient.

    Columns: ``gold_only`` (hand-coded rows alone), ``corrected``, and ``effective_n``, the hand
    codes that would give the corrected standard error without labels.
    """

    _metadata = ("foreseen", "terms", "rows")

    foreseen: Callable[[int], tuple[Any, Any]]
    terms: list[Any]
    rows: int

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame  # a part of the rows foresees nothing

    def needed(self, se: float, term: Any) -> int | None:
        """Return how many rows to code by hand for a standard error of a coefficient.

        Parameters
        ----------
        se : float
            The standard error.
        term : str
            The coefficient.

        Returns
        -------
        int or None
            None if all rows were not enough.

        Raises
        ------
        UsageError
            If there is no such coefficient.
        """
        if term not in self.terms:
            raise UsageError(f"{term!r} is no coefficient: {self.terms}.")
        at = self.terms.index(term)
        low, high = 1, self.rows
        if self.foreseen(high)[1][at] > se:
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.foreseen(middle)[1][at] <= se else (middle + 1, high)
        return high


def power(
    formula: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Any],
    probability: Any = None,
    *,
    n: Sequence[int] = (250, 500, 1000, 2000),
    family: str = "linear",
    cluster: Any = None,
    fixed_effects: str | Sequence[str] | None = None,
    rng: int | np.random.Generator = 0,
    calibrator: Any = None,
    known: Mapping[str, Any] | None = None,
    drawn: Drawn | None = None,
) -> Power:
    """Foresee standard errors. ``pandas_genai.power`` documents it."""
    generator = generator_of(rng)
    check_calibrator(calibrator)
    check_frame(data)
    wanted = whole_numbers("n", n, 10, "rows coded by hand")
    sizes = sorted({min(size, len(data)) for size in wanted})
    problem, model, _ = read_problem(
        formula,
        data,
        predicted,
        probability,
        family=family,
        cluster=cluster,
        fixed_effects=fixed_effects,
        known=known,
        drawn=drawn,
    )
    corrections = Corrections(problem, model, generator, calibrator, splits=1)
    index, kept = named_coefficients(problem.layout, model, dummies_of(fixed_effects))

    def foreseen(size: int) -> tuple[Any, Any]:
        hand, both = corrections.foreseen(size)
        return hand[kept], both[kept]

    rows = {}
    for size in sizes:
        for term, alone, both in zip(index, *foreseen(size), strict=True):
            rows[size, *(term if isinstance(term, tuple) else (term,))] = [
                alone,
                both,
                size * (alone / both) ** 2,
            ]
    table = Power(list(rows.values()), columns=["gold_only", "corrected", "effective_n"])
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["n", *_NAMES[index.nlevels]])
    table.foreseen, table.terms, table.rows = foreseen, list(index), len(data)
    return table
