"""Columns of any dtype as plain ones: what is estimated depends on values, not on dtypes."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError

__all__ = ["Kind", "check_size", "kind_of", "numbers_of", "plain", "row_name"]

Kind: TypeAlias = Literal["truth values", "numbers", "text", "other"]

_SMALLEST, _LARGEST = 1e-100, 1e100
"""Of numbers whose squares, and the squares of their sums, are numbers too."""

_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}


def row_name(label: Any) -> str:
    """Write an index label as a message quotes it: NumPy's numbers as Python's."""
    if isinstance(label, tuple):
        return f"({', '.join(map(row_name, label))})"
    return repr(label.item() if isinstance(label, np.generic) else label)


def plain(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column with the plainest dtype that holds its values.

    Truth values: ``bool``, with missing ones ``boolean``. Numbers: NumPy's, categories and
    objects that are numbers too. Text: ``object``, or a Categorical of the categories that occur.
    Anything else is returned as it is.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _plain_categories(values)
    if pd.api.types.is_bool_dtype(dtype):
        return values if isinstance(dtype, np.dtype) else _truth(values)
    if pd.api.types.is_numeric_dtype(dtype):
        return values if pd.api.types.is_complex_dtype(dtype) else _numeric(values)
    arrow = isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O"
    if arrow or pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        return _plain_objects(values.astype(object))
    return values


def _plain_categories(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return categories without those that do not occur, written as text; numbers as numbers."""
    used: Any = values.cat.remove_unused_categories()
    categories = pd.Series(used.cat.categories)
    kind = kind_of(plain(categories))
    mixed = pd.api.types.infer_dtype(categories, skipna=True).startswith("mixed")
    if kind in {"truth values", "numbers"} or mixed:
        return plain(values.astype(object))
    named = pd.Index(list(map(str, categories)), dtype=object)
    found = pd.Categorical.from_codes(used.cat.codes, named, ordered=used.cat.ordered)
    return pd.Series(found, index=values.index, name=values.name)


def _plain_objects(values: pd.Series[Any]) -> pd.Series[Any]:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "boolean":
        return _truth(values)
    mixed = kind in {"mixed", "mixed-integer"} and all(
        isinstance(value, Real) for value in values.dropna()
    )
    return _numeric(values) if kind in _NUMBERS or mixed else values


def _truth(values: pd.Series[Any]) -> pd.Series[Any]:
    found: pd.Series[Any] = values.astype("boolean")
    return found if found.isna().any() else found.astype(bool)


def _numeric(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return numbers as NumPy's, whole ones as whole ones."""
    if isinstance(values.dtype, np.dtype) and values.dtype != object:
        return values
    missing = values.isna()
    found = np.full(len(values), np.nan)
    found[~missing.to_numpy()] = values[~missing].to_numpy(dtype=float)
    whole = pd.api.types.is_integer_dtype(values.dtype) or (
        values.dtype == object and pd.api.types.infer_dtype(values, skipna=False) == "integer"
    )
    numbers: Any = found.astype(np.int64) if whole and not missing.any() else found
    return pd.Series(numbers, index=values.index, name=values.name)


def kind_of(values: pd.Series[Any]) -> Kind:
    """Return what a column holds, that ``plain`` returned."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "text"
    if pd.api.types.is_bool_dtype(values.dtype):
        return "truth values"
    if pd.api.types.is_complex_dtype(values.dtype):
        return "other"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numbers"
    if values.dtype == object:
        found = pd.api.types.infer_dtype(values, skipna=True)
        return "text" if found in {"string", "empty"} else "other"
    return "other"


def numbers_of(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Return numbers or truth values as an array, NaN where one is missing."""
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan), dtype=np.float64)


def check_size(name: object, values: npt.NDArray[np.float64]) -> None:
    """Refuse numbers whose squares are none."""
    known = np.abs(values[np.isfinite(values)])
    largest = float(known.max()) if len(known) else 0.0
    if largest > _LARGEST or 0 < largest < _SMALLEST:
        much = "large" if largest > 1 else "small"
        raise UsageError(
            f"{name!r} has values too {much} to compute with ({largest:g} at the most): express "
            "it in another unit."
        )
