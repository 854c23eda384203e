"""Quotes beside answers: where they stand in what was sent, and in the user's own columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import printable
from pandas_genai.task.quotes import MISSING, Found, find_quotes
from pandas_genai.task.schema import Schema
from pandas_genai.task.schema.evidence import GROUNDED, Quote, evidence_names, split_quotes

__all__ = [
    "beside_answers",
    "ground",
    "in_own_columns",
    "quoted_fields",
    "solved_with_quotes",
    "uncounted",
]

_SHOWN = 60


def ground(result: Any, texts: Sequence[str], schema: Schema) -> None:
    """Enter into a validated answer where its quotes stand.

    Parameters
    ----------
    result : dict or list of dict
        As ``Schema.validate`` returned it.
    texts : sequence of str
        What the quotes were taken from.
    schema : Schema
        With ``evidence``.
    """
    records: list[dict[str, Any]] = result if isinstance(result, list) else [result]
    for field in schema.evidence:
        quote, start, end, grounded, _ = evidence_names(field)
        places = _places([record.get(quote) for record in records], texts)
        for record, found in zip(records, places, strict=True):
            if isinstance(found, list):
                record[start] = [one.start for one in found]
                record[end] = [one.end for one in found]
                record[grounded] = [one.grounded for one in found]
                continue
            record[start], record[end] = found.start, found.end
            # Where there is no value, there need not be words for it.
            nothing = record.get(quote) is None and record.get(field) is None
            record[grounded] = None if nothing else found.grounded


def _places(quotes: Sequence[Any], texts: Sequence[str]) -> list[Found | list[Found]]:
    """Find the quotes of one field, those of all records together: their order may tell."""
    listed = [quote if isinstance(quote, list) else [quote] for quote in quotes]
    found = iter(find_quotes(texts, [one or "" for ours in listed for one in ours]))
    places = [[next(found) for _ in ours] for ours in listed]
    return [
        ours if isinstance(quote, list) else ours[0]
        for quote, ours in zip(quotes, places, strict=True)
    ]


def solved_with_quotes(entry: Mapping[str, Any], case: str, schema: Schema) -> Any:
    """Return the answer of a solved case with its quotes, as a model is to write it.

    Raises
    ------
    ValueError
        If the answer does not fit, or a quote is not there or not in the text.
    """
    asked = schema.asked
    assert asked is not None
    answers, quotes = [], []
    for record in entry["records"] if schema.many else [entry]:
        answer, ours = split_quotes(record, schema.evidence, asked)
        answers.append(answer)
        quotes.append(_checked_quotes(record, ours, case, schema))
    bare = schema.with_evidence(None)
    solved: Any = bare.solved({"records": answers} if schema.many else answers[0])
    whole = []
    for answer, ours in zip(solved if schema.many else [solved], quotes, strict=True):
        together = answer | ours
        in_order = [name for name in asked["properties"] if name in together]
        whole.append({name: together[name] for name in in_order})
    return whole if schema.many else whole[0]


def _checked_quotes(
    record: Any, quotes: Mapping[str, Quote], case: str, schema: Schema
) -> dict[str, Any]:
    """Return the quotes of a solved record as they are sent: an empty text for none."""
    sent: dict[str, Any] = {}
    texts = [case, *_values_of(case)]
    for field in schema.evidence:
        name = evidence_names(field)[0]
        if name not in record:
            raise ValueError(
                f'the answer has no "{name}": with evidence= a solved case shows the words that '
                f'"{field}" rests on (an empty text where there are none).'
            )
        quote = quotes[name]
        ours = quote if isinstance(quote, list) else [quote]
        for one, found in zip(ours, find_quotes(texts, [one or "" for one in ours]), strict=True):
            if one and found == MISSING:
                shown = printable(repr(one), _SHOWN)
                raise ValueError(f'"{name}" is {shown}, which is not in the text.')
        sent[name] = [one or "" for one in ours] if isinstance(quote, list) else quote or ""
    return sent


def _values_of(case: str) -> list[str]:
    """Return the texts in a case that is several columns as one JSON object."""
    try:
        found = json.loads(case)
    except ValueError:
        return []
    values = found.values() if isinstance(found, dict) else []
    return [value for value in values if isinstance(value, str)]


def in_own_columns(
    result: pd.DataFrame,
    schema: Schema,
    rows: Sequence[int],
    columns: Mapping[str, Sequence[str]],
) -> None:
    """Find the quotes of a result in the columns of which its texts were made.

    Parameters
    ----------
    result : DataFrame
        What ``FrameBuilder`` made; gets ``<field>_column``, and the places in that column.
    schema : Schema
        With ``evidence``.
    rows : sequence of int
        For each row of the result whose it is; the records of one row stand together.
    columns : mapping
        The user's own columns as texts.
    """
    names = list(columns)
    groups = [list(group) for _, group in groupby(range(len(rows)), rows.__getitem__)]
    for field in schema.evidence:
        quote, start, end, grounded, column = evidence_names(field)
        many = schema.has_quotes(field)
        quotes = [one if isinstance(one, (str, list)) else None for one in result[quote].tolist()]
        found: list[Any] = []
        for group in groups:
            texts = [columns[name][rows[group[0]]] for name in names]
            found += _places([quotes[at] for at in group], texts)
        if many:
            listed = [one if isinstance(one, list) else None for one in found]
            result[start] = _objects(listed, lambda one: one.start)
            result[end] = _objects(listed, lambda one: one.end)
            result[grounded] = _objects(listed, lambda one: one.grounded)
            where: Any = _objects(listed, lambda one: _named(one, names))
        else:
            missing = result[grounded].isna().to_numpy()
            result[start] = pd.array([one.start for one in found], dtype="Int64")
            result[end] = pd.array([one.end for one in found], dtype="Int64")
            both = zip(missing, found, strict=True)
            words = [None if gone else one.grounded for gone, one in both]
            result[grounded] = pd.Categorical(words, categories=list(GROUNDED))
            where = pd.Series(
                [_named(one, names) for one in found], dtype=result[quote].dtype
            ).array
        result.insert(list(result.columns).index(grounded) + 1, column, where)


def _named(found: Found, names: Sequence[str]) -> str | None:
    return None if found.start is None else names[found.part]


def _objects(listed: Sequence[list[Found] | None], value: Callable[[Found], Any]) -> Any:
    """Return a column of lists."""
    out = np.empty(len(listed), dtype=object)
    out[:] = [None if ours is None else [value(one) for one in ours] for ours in listed]
    return out


def quoted_fields(columns: Iterable[Hashable]) -> list[str]:
    """Return the fields that have the columns of their words beside them.

    Examples
    --------
    >>> quoted_fields(["tone", "tone_quote", "tone_start", "tone_end", "tone_grounded", "year"])
    ['tone']
    """
    names = list(columns)
    known = set(names)
    return [
        name
        for name in names
        if isinstance(name, str) and known.issuperset(evidence_names(name)[:4])
    ]


def beside_answers(columns: Iterable[Hashable]) -> set[Hashable]:
    """Return the columns that say where the words of other columns stand."""
    names = list(columns)
    return {name for field in quoted_fields(names) for name in evidence_names(field)}


def uncounted(columns: Iterable[Hashable]) -> list[Hashable]:
    """Return those of them that are words and places: nobody counts, or draws, these."""
    names = list(columns)
    grounded = {evidence_names(field)[3] for field in quoted_fields(names)}
    return [name for name in names if name in beside_answers(names) - grounded]
