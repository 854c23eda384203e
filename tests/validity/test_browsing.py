"""What is shown of a row and which rows are gone through; in a page: tests/browser."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai import UsageError
from pandas_genai.task.evidence import uncounted
from pandas_genai.testing import LoopbackProvider
from pandas_genai.validity.browsing import ALL, Browsing, beside_rows, cut_at

TEXTS = ["Great people, “really” great.", "Awful. Awful.", " ", "<b>Great</b> food"]


def rule(text):
    bad = "Awful" in text
    return {
        "tone": "bad" if bad else "good",
        "tone_quote": "Awful" if bad else "great people",
        "topics": ["a", "b"],
        "topics_quote": ["Great", "FOOD"],
        "year": 1999,
    }


@pytest.fixture
def labels(request):
    df = pd.DataFrame({"review": TEXTS, "id": range(4)}, index=list("wxyz"))
    text = getattr(request, "param", "review")
    asked = {"text": text, "api_key": "k", "cache": False, "progress": False}
    schema = {"tone": ["good", "bad"], "topics": [str], "year": int}
    with LoopbackProvider(rule) as provider:
        with pytest.warns(match="have no answer") if text == "review" else nullcontext():
            labels = df.genai.extract(
                *("?", schema), evidence=["tone", "topics"], base_url=provider.openai_url, **asked
            )
    labels.attrs["kept alive"] = df  # its texts are read from it
    return labels


def browsing(labels, **beside):
    return Browsing(labels, [None if text == " " else text for text in TEXTS], **beside)


def test_words_are_marked_where_they_stand(labels):
    rows = browsing(labels)
    assert rows.fields == ["tone", "topics", "year"]
    assert rows.quoted == ["tone", "topics"]
    row = rows.row(0)
    json.dumps(row, allow_nan=False)  # as it goes to the page
    assert row["label"] == "w"
    assert row["parts"] == [["", [("Great", [0, 1]), (" people", [0]), (", “really” great.", [])]]]
    tone, topics, year = row["fields"]
    assert tone == {
        "name": "tone",
        "value": "good",
        "color": 0,
        "quotes": [["great people", "normalised"]],
    }
    assert topics["quotes"] == [["Great", "exact"], ["FOOD", "not found"]]
    assert "color" not in year
    assert rows.row(2)["fields"][0]["value"] is None


def test_filters_and_search(labels):
    gold = pd.Series(["bad", "bad"], index=["w", "x"], name="tone")
    other = labels.assign(year=[1999, 2000, None, 1999])
    rows = browsing(
        labels, gold=beside_rows(labels, gold, "gold"), other=beside_rows(labels, other, "other")
    )
    found = {name: rows.places(name, "").tolist() for name in rows.filters}
    assert found == {
        ALL: [0, 1, 2, 3],
        "failed": [2],
        "not grounded": [0, 1, 3],
        "differs from gold": [0],
        "differs from the other run": [1],
        "tone: good": [0, 3],
        "tone: bad": [1],
    }
    assert rows.places(ALL, " AWFUL ").tolist() == [1]
    assert rows.places("tone: good", "great").tolist() == [0, 3]
    assert rows.places(ALL, "z").tolist() == [3]  # its label
    assert rows.places(ALL, "nowhere").tolist() == []
    tone = rows.row(0)["fields"][0]
    assert tone["gold"] == ["bad", True]
    assert rows.row(3)["fields"][0]["gold"] == [None, False]


@pytest.mark.parametrize("labels", [["review", "id"], "{id}: {review}"], indirect=True)
@pytest.mark.filterwarnings("ignore")
def test_texts_of_several_columns(labels):
    shown = labels.genai.browse()
    assert "<mark" in shown.html
    row = shown._browsing.row(0)
    pieces = [(piece, at) for _, part in row["parts"] for piece, at in part if at]
    assert pieces == [("Great", [0, 1]), (" people", [0])]
    names = [name for name, _ in row["parts"]]
    assert names in (["review", "id"], [""])


def test_another_text_than_was_asked_has_no_wrong_marks(labels):
    row = Browsing(labels, ["So: Great people!", "x", None, ""]).row(0)
    assert row["parts"][0][1][1] == ("Great", [0, 1])
    assert Browsing(labels, ["Nothing of it is here.", "x", None, ""]).row(0)["parts"] == [
        ["", [("Nothing of it is here.", [])]]
    ]


def test_the_card(labels):
    shown = labels.genai.browse(gold=pd.Series(["bad"], index=["w"], name="tone"))
    assert "not grounded: 3 · differs from gold: 1" in shown.html
    assert "&lt;b&gt;" in shown.html
    assert "<b>Great" not in shown.html
    assert "gold: bad" in shown.html
    assert "ambiguous: Awful" in shown.html
    assert "<script" not in shown.html
    assert repr(shown).splitlines()[:2] == [
        "[w] Great people, “really” great.",
        "  tone: good (normalised 'great people')",
    ]
    bare = pd.DataFrame({"text": ["a"], "tone": ["x"]})
    assert "mark" not in bare.genai.browse(text="text").html


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        (pd.DataFrame({"other": [1]}), "has none of the fields 'tone'"),
        (pd.DataFrame({"tone": ["a", "b"]}, index=["w", "w"]), "labels of its index more than"),
        (pd.DataFrame({"tone": ["a"]}, index=["?"]), "no label of the answers' index"),
        (["good"], "must be a DataFrame with fields as columns, or a Series, not a list"),
    ],
)
def test_what_cannot_be_compared_is_refused(labels, gold, message):
    with pytest.raises(UsageError, match=message):
        labels.genai.browse(gold=gold)


def test_show_and_plot_leave_places_out(labels):
    pytest.importorskip("matplotlib")
    assert uncounted(labels.columns) == [
        *("tone_quote", "tone_start", "tone_end", "topics_quote", "topics_start", "topics_end")
    ]
    shown = labels.genai.show()
    assert "tone_start" not in repr(shown)
    assert "tone_quote: great people" in repr(shown)
    assert "<mark>Great people</mark>" in shown.html
    titles = [axis.get_title() for axis in labels.genai.plot().axes if axis.get_visible()]
    assert "tone_grounded (1 missing)" in titles
    assert not any("start" in title or "quote" in title for title in titles)


SPANS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 3)).filter(
    lambda span: span[0] < span[1]
)


@given(st.text(min_size=30, max_size=30), st.lists(SPANS, max_size=6))
def test_pieces_are_the_text_and_say_whose_they_are(text, spans):
    pieces = cut_at(text, spans)
    assert "".join(piece for piece, _ in pieces) == text
    marked = [fields for piece, fields in pieces for _ in piece]
    for at, fields in enumerate(marked):
        assert fields == sorted({field for start, end, field in spans if start <= at < end})
