"""Odd labels and odd values: every column that is named is sent, and what fails is named."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import UsageError
from pandas_genai.task.text import rows_text, series_text

LABELS = st.one_of(
    st.integers(0, 3),
    st.sampled_from(["0", "1", "2", "'1'", "a", "(1, 'b')", "True", "1.5", "nan", "\x1b", ""]),
    st.sampled_from([(1, "b"), ("1", "b"), True, 1.5, b"1", pd.Timestamp("2026-01-01")]),
)


@settings(deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=6, unique=True))
def test_every_column_is_sent_whatever_its_label(labels):
    """``unique`` compares as pandas does: 1 and True are one label, 1 and "1" are two."""
    frame = pd.DataFrame([[f"cell {n}" for n in range(len(labels))]], columns=as_index(labels))
    (text,) = rows_text(frame, labels)
    assert sorted(json.loads(text).values()) == sorted(frame.iloc[0])


def as_index(labels):
    return pd.Index(labels, dtype=object, tupleize_cols=False)


def test_labels_that_are_written_alike():
    frame = pd.DataFrame([["one", "two"]], columns=as_index([1, "1"]))
    assert json.loads(rows_text(frame, [1, "1"])[0]) == {"1": "one", "'1'": "two"}
    frame = pd.DataFrame([["one", "two", "three"]], columns=as_index([1, "1", "'1'"]))
    assert len(json.loads(rows_text(frame, [1, "1", "'1'"])[0])) == 3
    frame = pd.DataFrame([["one", "two"]], columns=as_index([1, "1"]))
    assert json.loads(rows_text(frame, [1])[0]) == {"1": "one"}
    assert rows_text(frame, "{1}") == ["two"]


class Odd:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error


ERRORS = st.sampled_from([ValueError("no\x1b[2J"), RuntimeError(), RecursionError("deep")])


@settings(deadline=None)
@given(ERRORS, st.integers(0, 4), st.sampled_from(["column", "columns", "template", "conversion"]))
def test_a_value_that_cannot_be_written_names_its_row(error, place, how):
    values = [f"text {n}" for n in range(5)]
    values[place] = Odd(error)
    frame = pd.DataFrame({"t": pd.Series(values, list("vwxyz"), dtype=object)})
    text = {"column": "t", "columns": ["t"], "template": "{t}", "conversion": "{t!s}"}[how]
    label = re.escape(repr("vwxyz"[place]))
    with pytest.raises(UsageError, match=rf"row {label} cannot be written") as caught:
        rows_text(frame, text)
    assert "\x1b" not in str(caught.value)


def test_a_format_that_does_not_fit_names_its_row():
    frame = pd.DataFrame({"t": ["a"]}, index=["doc"])
    with pytest.raises(UsageError, match="row 'doc'"):
        rows_text(frame, "{t:d}")


def test_a_number_too_long_to_be_written_names_its_row():
    values = pd.Series([1, 10**5_000], index=["x", "y"], dtype=object)
    with pytest.raises(UsageError, match="row 'y'"):
        series_text(values)
