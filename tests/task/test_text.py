"""The text of each row."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pandas_genai import UsageError
from pandas_genai.task.text import rows_text, series_text


@pytest.fixture
def papers():
    return pd.DataFrame(
        {
            "title": ["One", None, "  "],
            "body text": ["b1", "b2", ""],
            "year": [2001, 2002, 2003],
            "share": [0.5, np.nan, np.inf],
            "when": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
        }
    )


def test_the_only_text_column(frames):
    assert rows_text(frames["plain"]) == frames["plain"]["text"].tolist()


def test_the_column_named_text_among_several():
    frame = pd.DataFrame({"title": ["a"], "text": ["b"]})
    assert rows_text(frame) == ["b"]


def test_several_text_columns_are_named(frames):
    with pytest.raises(UsageError, match="'title', 'body'"):
        rows_text(frames["two_text_columns"])


def test_no_text_column(frames):
    with pytest.raises(UsageError, match="no column of the frame holds text"):
        rows_text(frames["no_text_column"])


def test_a_frame_without_columns():
    with pytest.raises(UsageError, match="no columns"):
        rows_text(pd.DataFrame())


def test_an_unknown_column_names_those_there_are(papers):
    with pytest.raises(UsageError, match=r"text='boddy' names no column: .*'body text'"):
        rows_text(papers, "boddy")


@pytest.mark.parametrize("text", [3.5, ["title", "nope"], [], {"a": 1}, [["title"]]])
def test_nonsense_is_refused(papers, text):
    with pytest.raises(UsageError):
        rows_text(papers, text)


def test_many_columns_are_not_all_named():
    frame = pd.DataFrame({f"c{number}": ["a"] for number in range(30)})
    with pytest.raises(UsageError, match=r"\.\.\."):
        rows_text(frame, "nope")


def test_two_columns_of_the_same_name(frames):
    with pytest.raises(UsageError, match="several columns named 'text'"):
        rows_text(frames["duplicate_columns"], "text")


def test_a_tuple_names_a_column_of_a_multiindex(frames):
    assert rows_text(frames["multi_columns"], ("text", 0)) == ["a"]


def test_columns_as_one_object_a_row(papers):
    texts = rows_text(papers, ["title", "year", "share", "when"])
    assert json.loads(texts[0]) == {
        "title": "One",
        "year": 2001,
        "share": 0.5,
        "when": "2026-01-01T00:00:00",
    }
    assert json.loads(texts[1]) == {"title": None, "year": 2002, "share": None, "when": None}
    assert json.loads(texts[2])["share"] == "inf"


def test_columns_that_are_all_blank_are_no_text():
    frame = pd.DataFrame({"a": ["x", None], "b": ["é", " "]})
    assert rows_text(frame, ["a", "b"]) == ['{"a": "x", "b": "é"}', None]


def test_a_template_is_filled_in(papers):
    texts = rows_text(papers, "{title}: {body text} ({year}) {{literal}} {share:.1f} {title!r}")
    assert texts[0] == "One: b1 (2001) {literal} 0.5 'One'"
    assert texts[1] == ": b2 (2002) {literal}  ''"


def test_a_template_whose_columns_are_blank_is_no_text(papers):
    assert rows_text(papers, "{title}\n{body text}") == ["One\nb1", "\nb2", None]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{titel}", "names no column"),
        ("{title.upper}", "names no column"),
        ("{}", "names no column"),
        ("{title", "no template"),
        ("{{nothing}}", "names no column: write one"),
    ],
)
def test_a_wrong_template_is_refused(papers, template, message):
    with pytest.raises(UsageError, match=message):
        rows_text(papers, template)


def test_braces_in_a_text_are_left_alone():
    frame = pd.DataFrame({"text": ["{year} {"]})
    assert rows_text(frame, "<{text}>") == ["<{year} {>"]


def test_a_series_is_its_own_text(frames):
    assert series_text(frames["missing"]["text"]) == ["A text.", None, None, None, None]
    assert series_text(frames["numbers"]["text"]) == ["1", "2.5", "True"]
