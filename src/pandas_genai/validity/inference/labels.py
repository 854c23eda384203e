"""Labels and hand codes of one variable, of whatever dtype, as places among its classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.columns import check_size, kind_of, numbers_of, plain
from pandas_genai.validity.inference.problem import Indices, Labelled

__all__ = ["labelled_variable"]

_MOST_CLASSES = 10
"""Numbers with more different values are calibrated by a line."""


def labelled_variable(
    name: str, gold: pd.Series[Any], predicted: pd.Series[Any], *, category: bool
) -> Labelled:
    """Read one labelled variable.

    Parameters
    ----------
    name : str
        Its name.
    gold : Series
        Hand codes of the coded rows.
    predicted : Series
        Labels of all rows.
    category : bool
        Whether it stands for categories although it may be numbers.
    """
    gold, predicted = plain(gold), plain(predicted)
    if predicted.isna().all():
        raise UsageError(f"No row has a label for {name!r}.")
    text = [_is_text(name, gold, "hand codes"), _is_text(name, predicted, "labels")]
    if text[0] != text[1]:
        which, other = ("hand codes", "labels") if text[0] else ("labels", "hand codes")
        raise UsageError(
            f"{name!r}: the {which} are text, but the {other} are numbers or truth values: write "
            f"both alike, such as predicted.map({{'yes': True, 'no': False}})."
        )
    if all(text):
        texts = _texts(name, gold, predicted)
        return Labelled(name, list(texts), _places(predicted, texts), _places(gold, texts))
    ours, theirs = numbers_of(gold), numbers_of(predicted)
    if np.isinf(ours).any() or np.isinf(theirs).any():
        raise UsageError(f"{name!r} has infinite values.")
    for values in (ours, theirs):
        check_size(name, values)
    known = ~np.isnan(theirs)
    classes: Any = np.unique(np.concatenate([np.unique(ours), np.unique(theirs[known])]))
    if len(classes) > _MOST_CLASSES and not category:
        return Labelled(name, None, theirs, ours)
    codes = np.where(known, np.searchsorted(classes, theirs), -1).astype(np.intp)
    hand = np.searchsorted(classes, ours).astype(np.intp)
    if all(kind_of(values) == "truth values" for values in (gold, predicted)):
        return Labelled(name, [bool(one) for one in classes], codes, hand)
    whole = (classes % 1 == 0).all()
    return Labelled(name, [int(one) if whole else float(one) for one in classes], codes, hand)


def _is_text(name: str, values: pd.Series[Any], what: str) -> bool:
    """Whether values are text; False for numbers and truth values, others are refused."""
    kind = kind_of(values)
    if kind == "other":
        present = values.dropna()
        kinds = sorted({type(value).__name__ for value in present.iloc[:1000]})
        raise UsageError(
            f"{name!r}: the {what} hold values of the type {' and '.join(kinds)} (such as "
            f"{str(present.iloc[0])[:40]!r}): write text, truth values or numbers."
        )
    return kind == "text"


def _places(values: pd.Series[Any], classes: pd.Index) -> Indices:
    """Return the place of each text among the classes, -1 where it is missing."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        moved = np.append(classes.get_indexer(pd.Index(values.cat.categories, dtype=object)), -1)
        return np.asarray(moved[values.cat.codes.to_numpy()], dtype=np.intp)
    return np.asarray(classes.get_indexer(pd.Index(values, dtype=object)), dtype=np.intp)


def _texts(name: str, gold: pd.Series[Any], predicted: pd.Series[Any]) -> pd.Index:
    """Return the labels that occur, in the order of the schema where a column has one.

    Raises
    ------
    UsageError
        If no label is among the hand codes.
    """
    ours, theirs = ({str(one) for one in each.dropna().unique()} for each in (gold, predicted))
    if not ours & theirs:
        raise UsageError(
            f"{name!r}: no label is among the hand codes: labels are {_some(theirs)}, hand codes "
            f"{_some(ours)}. Write both alike."
        )
    seen = ours | theirs
    found: Any = sorted(seen)
    for values in (predicted, gold):
        if isinstance(values.dtype, pd.CategoricalDtype):
            named = list(values.cat.categories)
            if seen <= set(named):
                found = [label for label in named if label in seen]
                break
    index: pd.Index[Any] = pd.Index(found, dtype=object)
    return index


def _some(labels: set[str]) -> str:
    return ", ".join(map(repr, sorted(labels)[:5])) + (", ..." if len(labels) > 5 else "")
