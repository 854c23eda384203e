"""Which rows were coded by hand, and how they were drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.validity.inference.checks import check_drawn, probabilities, row_values
from pandas_genai.validity.inference.columns import row_name
from pandas_genai.validity.inference.problem import Indices, Sample

__all__ = ["Drawn", "coded_rows", "codes_of", "sample_of"]


@dataclass(frozen=True)
class Drawn:
    """How rows were drawn, where a sampling design knows more than a probability a row.

    Parameters
    ----------
    probability : ndarray of float
        Of every row; NaN for rows that were not drawn.
    strata : ndarray of int
        Of every row; -1 where unknown.
    sizes : ndarray of int, optional
        Rows in each stratum.
    """

    probability: Any
    strata: Indices
    sizes: Indices | None


def coded_rows(data: pd.DataFrame, names: list[str]) -> Indices:
    """Return the rows whose labelled variables are all coded by hand."""
    for name in names:
        if name not in data.columns:
            raise UsageError(
                f"data has no column {name!r} with the hand codes (missing where nobody coded)."
            )
    present = data[names].notna().to_numpy()
    some, every = present.any(axis=1), present.all(axis=1)
    if np.any(some & ~every):
        at = int((some & ~every).argmax())
        missing = names[int((~present[at]).argmax())]
        raise UsageError(
            f"{counted(int((some & ~every).sum()), 'row')} (first: {row_name(data.index[at])}) "
            f"coded by hand in part: {missing!r} is missing. Code every labelled variable of the "
            "formula in the same rows."
        )
    return np.flatnonzero(every)


def codes_of(values: pd.Series[Any], what: str = "") -> Indices:
    """Number the groups that rows are in.

    Parameters
    ----------
    values : Series
        What makes the groups.
    what : str, optional
        What it is called in messages; its name by default.
    """
    what = what or repr(values.name)
    try:
        codes, _ = pd.factorize(values)
    except TypeError as error:
        kind = type(values.dropna().iloc[0]).__name__
        raise UsageError(f"{what} has values of the type {kind}, which make no groups.") from error
    if (codes < 0).any():
        at = row_name(values.index[int((codes < 0).argmax())])
        raise UsageError(f"{what} is missing in row {at}: every row needs its group.")
    return np.asarray(codes, dtype=np.intp)


def sample_of(
    data: pd.DataFrame, probability: Any, coded: Indices, cluster: Any, drawn: Drawn | None
) -> Sample:
    """Return how rows were drawn, after all checks of it."""
    check_drawn(len(coded), len(data))
    clusters = None
    if cluster is not None:
        clusters = codes_of(row_values(data, cluster, "cluster="))
        if len(np.unique(clusters[coded])) < 2:
            raise UsageError(
                "All rows coded by hand lie in one cluster: standard errors by cluster need at "
                "least 2, and are good from about 40 on."
            )
    if drawn is not None:
        return Sample(coded, drawn.probability[coded], drawn.strata, drawn.sizes, clusters)
    every = probabilities(data, probability, coded)
    values, strata = np.unique(every, return_inverse=True)
    counts = np.bincount(strata[coded], minlength=len(values))
    fixed = np.abs(counts - values * np.bincount(strata)) < 1
    strata = (
        np.where(fixed[strata], strata, -1) if len(values) <= len(coded) / 2 else strata * 0 - 1
    )
    return Sample(coded, every[coded], strata, None, clusters)
