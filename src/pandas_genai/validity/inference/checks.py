"""What must hold before anything is estimated, each with a sentence if it does not."""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Collection, Hashable, Iterable, Mapping
from numbers import Number, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.validity.inference.columns import (
    check_size,
    kind_of,
    numbers_of,
    plain,
    row_name,
)
from pandas_genai.validity.inference.problem import Indices

__all__ = ["check_columns", "check_drawn", "check_frame", "check_installed", "covariates"]
__all__ += ["probabilities", "row_values"]

_LISTED = 20

_DRAW = (
    "Draw the rows to code with labels.genai.review_sample(...), which keeps the probabilities, or "
    "give the probability with which each row was drawn."
)


def check_frame(data: Any, what: str = "data") -> None:
    """Refuse what is no frame, and columns that share a name."""
    if not isinstance(data, pd.DataFrame):
        raise UsageError(f"{what} must be a DataFrame, not a {type(data).__name__}.")
    if not data.columns.is_unique:
        twice = data.columns[data.columns.duplicated()][0]
        raise UsageError(f"{what} has two columns named {twice!r}: rename one.")


def check_columns(
    data: pd.DataFrame, names: Iterable[str], called: Iterable[str], known: Mapping[str, Any]
) -> None:
    """Refuse names that are neither a column nor known where the formula stands.

    Parameters
    ----------
    data : DataFrame
        The columns.
    names : iterable of str
        What the formula names.
    called : iterable of str
        The functions that it calls.
    known : mapping
        Names known where the formula stands.
    """
    from patsy import builtins as of_formulas

    check_frame(data)
    known = {**vars(builtins), **vars(of_formulas), "np": np, **known}
    for name in sorted(names):
        if name in data.columns:
            continue
        if name.split(".")[0] not in known:
            raise UsageError(
                f"The formula names {name!r}, which is no column of data: {_listed(data)}."
            )
        if _is_rows(known.get(name), len(data)):
            raise UsageError(
                f"The formula names {name!r}, which is no column of data but a variable beside "
                f"it: put it into data first, data[{name!r}] = {name}, so that its rows are found "
                "by their index."
            )
    for name in sorted(called):
        if name not in known:
            raise UsageError(f"The formula calls {name!r}, which is no function that is known.")
        if name in names and name in data.columns:
            raise UsageError(
                f"{name!r} is a column of data and a function that the formula calls: rename the "
                "column."
            )


def _listed(data: pd.DataFrame) -> str:
    more = ", ..." if len(data.columns) > _LISTED else ""
    return ", ".join(map(repr, list(data.columns)[:_LISTED])) + more


def _is_rows(value: Any, rows: int) -> bool:
    """Whether a value has one for each row, which nobody could align."""
    if isinstance(value, pd.Series | pd.DataFrame | pd.Index):
        return True
    several = isinstance(value, np.ndarray | list | tuple | pd.api.extensions.ExtensionArray)
    return several and np.ndim(value) > 0 and len(value) == rows


def covariates(
    data: pd.DataFrame, names: Iterable[Hashable], bare: Collection[Hashable]
) -> pd.DataFrame:
    """Return columns in plain dtypes.

    Parameters
    ----------
    data : DataFrame
        All rows.
    names : iterable
        Columns that the formula names.
    bare : collection
        Those that stand in it as they are.

    Raises
    ------
    UsageError
        If there are missing or infinite values, text among numbers, or values of another type.
    """
    found = {name: _covariate(data[name], name) for name in names}
    for name in found.keys() & set(bare):
        kind = found[name].dtype
        if kind_of(found[name]) == "other":
            raise UsageError(
                f"Column {name!r} holds values of the dtype {kind}: a regression can use numbers "
                f"and categories, such as {name}.dt.year."
            )
    return pd.DataFrame(found, index=data.index)


def _covariate(given: pd.Series[Any], name: Hashable) -> pd.Series[Any]:
    missing = given.isna()
    if missing.any():
        raise UsageError(
            f"Column {name!r} is missing in {counted(int(missing.sum()), 'row')} (first: "
            f"{row_name(given.index[int(missing.to_numpy().argmax())])}): fill these in, or leave "
            f"the rows out with data.dropna(subset=[{name!r}])."
        )
    column = plain(given)
    kind = kind_of(column)
    if kind == "numbers":
        values = numbers_of(column)
        infinite = ~np.isfinite(values)
        if infinite.any():
            at = row_name(column.index[int(infinite.argmax())])
            raise UsageError(f"Column {name!r} is infinite in row {at}.")
        check_size(name, values)
    elif kind == "other" and column.dtype == object:
        _check_objects(column, name)
    elif kind == "other" and pd.api.types.is_complex_dtype(column.dtype):
        raise UsageError(f"Column {name!r} holds complex numbers, which a regression cannot use.")
    elif kind == "text" and column.dtype == object:
        _check_text(column, name)
    return column


def _check_objects(column: pd.Series[Any], name: Hashable) -> None:
    """Refuse what is neither numbers nor text throughout, such as numbers but for a few texts."""
    texts = column.map(lambda value: isinstance(value, str)).to_numpy(dtype=bool)
    number = column.map(lambda value: isinstance(value, Number)).to_numpy(dtype=bool)
    if texts.any() and number.any() and (texts | number).all():
        raise _mixed(column, name, texts)
    at = int((~texts).argmax())
    raise UsageError(
        f"Column {name!r} holds a {type(column.iloc[at]).__name__} in row "
        f"{row_name(column.index[at])}, which is neither a number nor text: a regression cannot "
        "use it."
    )


def _mixed(column: pd.Series[Any], name: Hashable, texts: Any) -> UsageError:
    at = int(texts.argmax())
    return UsageError(
        f"Column {name!r} holds text ({str(column.iloc[at])[:40]!r} in row "
        f"{row_name(column.index[at])}) among numbers: mend it, or write C(...) around a column of "
        "categories that is text throughout."
    )


def _check_text(column: pd.Series[Any], name: Hashable) -> None:
    """Refuse a column that is numbers written as text, some or all of them."""
    values = pd.Series(column.unique(), dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").notna()
    if numbers.any() and not numbers.all():
        raise _mixed(column, name, column.isin(values[~numbers]).to_numpy(dtype=bool))
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
            raise UsageError(
                f"{what} is a Series with another index than data: give it in the order of data, "
                "such as values.reindex(data.index)."
            )
        return given
    if isinstance(given, np.ndarray | list | pd.api.extensions.ExtensionArray):
        if len(np.shape(np.asarray(given))) != 1 or len(given) != len(data):
            shape = " by ".join(f"{size:,}" for size in np.shape(np.asarray(given))) or "1"
            raise UsageError(f"{what} has {shape} values for {counted(len(data), 'row')}.")
        return pd.Series(given, index=data.index)
    try:
        inside = given in data.columns
    except TypeError:
        inside = False
    if not inside or isinstance(given, pd.DataFrame | pd.Index):
        shown = repr(given) if isinstance(given, Hashable) else f"a {type(given).__name__}"
        raise UsageError(f"{what} names {shown[:100]}, which is no column of data.")
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
    given = given.item() if isinstance(given, np.ndarray) and given.ndim == 0 else given
    if given is not True and given is not False and isinstance(given, Real):
        if not 0 < float(given) <= 1:
            raise UsageError(f"probability={given} must lie above 0 and not above 1. {_DRAW}")
        found = np.full(len(data), float(given))
    else:
        column = plain(row_values(data, given, "probability="))
        if kind_of(column) != "numbers" and not column.isna().all():
            raise UsageError(
                f"probability= must be numbers, one a row, not {column.dropna().iloc[0]!r}. {_DRAW}"
            )
        found = numbers_of(column)
        wrong = ~((found > 0) & (found <= 1))
        if wrong.any():
            at = int(wrong.argmax())
            raise UsageError(
                f"The probability of row {row_name(data.index[at])} is {found[at]}: every row "
                "must have had a chance to be drawn, above 0 and not above 1; a row that nobody "
                f"could draw tells nothing about the others. {_DRAW}"
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
