"""Several independent answers to one input: what most of them say, and how many of them do."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import SchemaError, UsageError
from pandas_genai.task.frames import build_frame
from pandas_genai.task.rows import Rows
from pandas_genai.task.schema import Schema
from pandas_genai.task.schema.evidence import evidence_names
from pandas_genai.task.schema.nodes import canonical_text

__all__ = ["NUMBER", "build_labels", "check_repeats", "majority", "share_name"]

NUMBER = "repeat"
"""The column of single answers that has their number, from 1."""


def share_name(field: str) -> str:
    """Return the column for how many of the answers say what most of them do."""
    return f"{field}_share"


def check_repeats(schema: Schema, repeats: int) -> None:
    """Refuse a schema whose answers cannot be counted.

    Raises
    ------
    UsageError, SchemaError
        If it has several records a row, or none is given; or a field has the name of a share.
    """
    if repeats == 1:
        return
    if schema.free or schema.many:
        raise UsageError(
            "repeats= counts equal answers field by field, which needs schema= with one record a "
            "row: give a schema without list[...] around it, or leave repeats= out."
        )
    taken = {column.name for column in schema.columns}
    if NUMBER in taken:
        raise SchemaError(
            f'The schema has a field "{NUMBER}", a name that repeats= needs for the number of an '
            "answer: rename it."
        )
    for field in schema.fields:
        if share_name(field.name) in taken:
            raise SchemaError(
                f'The schema has a field "{share_name(field.name)}", a name that repeats= needs '
                f'for the share of the answers to "{field.name}": rename it.'
            )


def build_labels(
    schema: Schema, index: pd.Index, rows: Rows, results: Sequence[str | None]
) -> pd.DataFrame:
    """Build the result of answers that are at hand.

    Parameters
    ----------
    schema : Schema
        What an answer looks like.
    index : Index
        The input's index.
    rows : Rows
        The input.
    results : sequence of str or None
        For each of ``rows.keys`` its answer as JSON text; None where it failed.
    """
    places = rows.places
    if rows.repeats == 1:
        return build_frame(schema, index, places[0], results)
    given = np.array([*(text is not None for text in results), False])[places]
    answers = build_frame(schema, pd.RangeIndex(places.size), places.ravel(), results)
    return majority(answers, given, schema, index)


def majority(
    answers: pd.DataFrame, given: npt.NDArray[np.bool_], schema: Schema, index: pd.Index
) -> pd.DataFrame:
    """Take of each field the value that most answers give; the first of them where several do.

    Parameters
    ----------
    answers : DataFrame
        The first answers of all rows, then the second ones, and so on.
    given : ndarray of bool
        Repeats by rows: which of them there are; an answer may leave a field empty.
    schema : Schema
        Of one answer.
    index : Index
        Of the rows.

    Returns
    -------
    DataFrame
        A column for each field and one for its share, from 0 to 1, of the answers that there are;
        missing where there is none. What is quoted is the quote of the first answer that gives
        the value.
    """
    repeats, rows = given.shape
    columns: dict[str, Any] = {}
    shares: dict[str, Any] = {}
    for field in schema.fields:
        codes = _codes(answers[field.name]).reshape(repeats, rows)
        votes = np.zeros((repeats, rows), dtype=np.int64)
        for one in range(repeats):
            votes[one] = ((codes == codes[one]) & given & given[one]).sum(axis=0)
        chosen = votes.argmax(axis=0)  # the first of the most frequent
        positions = chosen * rows + np.arange(rows)
        quotes = evidence_names(field.name)[:4] if field.name in schema.evidence else ()
        for name in (field.name, *quotes):
            columns[name] = answers[name].array.take(positions)
        counts = given.sum(axis=0)
        share = votes.max(axis=0, initial=0) / np.maximum(counts, 1)
        shares[share_name(field.name)] = pd.arrays.FloatingArray(share, counts == 0)
    order = [name for field in schema.fields for name in (field.name, share_name(field.name))]
    order += [column.name for column in schema.columns[len(schema.fields) :]]
    columns |= shares
    data = {}
    for name in order:
        bare = columns[name].dtype == object
        data[name] = pd.Series(columns[name], index, dtype=object) if bare else columns[name]
    return pd.DataFrame(data, index=index, copy=False)


def _codes(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """Number the values: the same number for equal ones; none at all is a value, too."""
    if column.dtype == object:
        column = pd.Series([_comparable(value) for value in column], dtype=object)
    codes: npt.NDArray[np.int64] = pd.factorize(column)[0]
    return codes


def _comparable(value: Any) -> Hashable:
    if isinstance(value, (dict, list)):
        text: str = canonical_text(value)
        return text
    return None if value is None else (type(value).__name__, str(value))
