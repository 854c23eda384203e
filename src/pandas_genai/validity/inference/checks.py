"""What must hold before anything is estimated, each with a sentence if it does not."""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.validity.inference.problem import Indices

__all__ = ["check_columns", "check_drawn", "check_installed", "check_numbers", "plain"]
__all__ += ["probabilities", "row_values"]

_DRAW = (
    "Draw the rows to code with labels.genai.review_sample(...), which keeps the probabilities, or "
    "give the probability with which each row was drawn."
)


def plain(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column with the dtype that its present values have: objects become what they are.

    A column of hand codes is mostly missing, which turns booleans into objects.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        kind = values.cat.categories.dtype
        if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
            return plain(values.astype(object))
    if values.dtype == object:
        kept = values.dropna()
        found = kept.infer_objects()
        if pd.api.types.is_bool_dtype(found.dtype):
            return values.astype("boolean")
        if pd.api.types.is_numeric_dtype(found.dtype):
            return pd.to_numeric(values)
    return values


def check_columns(data: pd.DataFrame, names: Iterable[str], known: Mapping[str, Any]) -> None:
    """Refuse names that are neither a column nor known where the formula stands."""
    from patsy import builtins as of_formulas

    known = {**vars(builtins), **vars(of_formulas), "np": np, **known}
    if not data.columns.is_unique:
        twice = data.columns[data.columns.duplicated()][0]
        raise UsageError(f"The data has two columns named {twice!r}: rename one.")
    for name in sorted(names):
        if name not in data.columns and name.split(".")[0] not in known:
            columns = ", ".join(map(repr, list(data.columns)[:20]))
            raise UsageError(f"The formula names {name!r}, which is no column of data: {columns}.")


def check_numbers(data: pd.DataFrame, names: Iterable[Hashable]) -> None:
    """Refuse missing and infinite values, and text among numbers."""
    for name in names:
        column = data[name]
        missing = column.isna()
        if missing.any():
            raise UsageError(
                f"Column {name!r} is missing in {counted(int(missing.sum()), 'row')} (first: "
                f"{data.index[int(missing.to_numpy().argmax())]!r}): fill these in, or leave the "
                f"rows out with data.dropna(subset=[{name!r}])."
            )
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column):
            infinite = ~np.isfinite(column.to_numpy(dtype=float))
            if infinite.any():
                raise UsageError(
                    f"Column {name!r} is infinite in row {data.index[int(infinite.argmax())]!r}."
                )
        elif not isinstance(column.dtype, pd.CategoricalDtype):
            _check_text(column, name)


def _check_text(column: pd.Series[Any], name: Hashable) -> None:
    """Refuse a column that is numbers but for a few texts."""
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column):
        return
    values = pd.Series(column.unique())
    numbers = pd.to_numeric(values, errors="coerce").notna()
    if numbers.any() and not numbers.all():
        text = values[~numbers].iloc[0]
        at = column.index[int((column == text).to_numpy().argmax())]
        raise UsageError(
            f"Column {name!r} holds text ({str(text)[:40]!r} in row {at!r}) among numbers: mend "
            "it, or write C(...) around a column of categories that is text throughout."
        )
    if numbers.all():
        raise UsageError(
            f"Column {name!r} holds numbers as text: convert it with pandas.to_numeric."
        )
    if len(values) > 100 and len(values) > len(column) / 10:
        raise UsageError(
            f"Column {name!r} is text with {len(values):,} different values: a regression can use "
            "numbers, or categories of which each has many rows."
        )


def row_values(data: pd.DataFrame, given: Any, what: str) -> pd.Series[Any]:
    """Return a column by its name, or values that came with as many rows.

    Raises
    ------
    UsageError
        If there is no such column, or the rows are others.
    """
    if isinstance(given, pd.Series):
        if not given.index.equals(data.index):
            raise UsageError(f"{what} is a Series with another index than data.")
        return given
    if isinstance(given, np.ndarray | list | pd.api.extensions.ExtensionArray):
        if len(given) != len(data):
            raise UsageError(f"{what} has {len(given):,} values for {len(data):,} rows.")
        return pd.Series(given, index=data.index)
    if given not in data.columns:
        raise UsageError(f"{what} names {given!r}, which is no column of data.")
    found: pd.Series[Any] = data[given]
    return found


def probabilities(data: pd.DataFrame, given: Any, coded: Indices) -> npt.NDArray[np.float64]:
    """Return the probability of every row to be drawn; those that are wrong are refused.

    Parameters
    ----------
    data : DataFrame
        All rows.
    given : number, column, Series or None
        ``probability=``; None for equal ones.
    coded : ndarray of int
        Positions of the rows coded by hand.
    """
    if given is None:
        return np.full(len(data), len(coded) / len(data))
    if isinstance(given, int | float | np.number) and not isinstance(given, bool):
        if not 0 < float(given) <= 1:
            raise UsageError(f"probability={given} must lie above 0 and not above 1. {_DRAW}")
        found = np.full(len(data), float(given))
    else:
        column = pd.to_numeric(row_values(data, given, "probability="), errors="coerce")
        found = column.to_numpy(dtype=float, na_value=np.nan)
        wrong = ~((found > 0) & (found <= 1))
        if wrong.any():
            at = int(wrong.argmax())
            raise UsageError(
                f"The probability of row {data.index[at]!r} is {found[at]}: every row must have "
                "had a chance to be drawn, above 0 and not above 1; a row that nobody could draw "
                f"tells nothing about the others. {_DRAW}"
            )
    expected, spread = found.sum(), np.sqrt((found * (1 - found)).sum())
    if abs(expected - len(coded)) > 6 * spread + 1:
        raise UsageError(
            f"The probabilities add up to {expected:,.0f} rows, but {len(coded):,} are coded by "
            f"hand: these are not the probabilities with which these rows were drawn. {_DRAW}"
        )
    return found


def check_drawn(count: int, rows: int) -> None:
    """Refuse to estimate without hand codes."""
    if count == 0:
        raise UsageError(
            "No row is coded by hand: without hand codes no estimate is valid. Draw some with "
            "labels.genai.review_sample(...) and code them."
        )
    if count < 10 and count < rows:
        raise UsageError(
            f"Only {counted(count, 'row')} of {rows:,} coded by hand: at least 10 are needed."
        )


def check_installed() -> None:
    """Refuse to start without the extra's packages."""
    if not all(map(importlib.util.find_spec, ("patsy", "scipy"))):
        raise UsageError("Regressions need more packages: pip install 'pandas-genai[inference]'.")
