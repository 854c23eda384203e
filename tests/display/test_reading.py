"""Reading answers beside their texts: whose texts, which columns, what is marked, how much."""

from __future__ import annotations

import gc

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.testing import LoopbackProvider

SCHEMA = {"tone": ["kind", "rude"], "quote": str}


@pytest.fixture
def ask():
    with LoopbackProvider(lambda text: {"tone": "kind", "quote": text[:12]}) as provider:

        def run(frame, schema=SCHEMA, **options):
            where = {"base_url": provider.openai_url, "api_key": "k", "cache": False}
            return frame.genai.extract("Tone?", schema, progress=False, **where, **options)

        yield run


def frame():
    return pd.DataFrame(
        {
            "id": [7, 8, 9],
            "review": ["A kind waiter, $5 to $6.", "The rude one.", "So kind of them."],
            "note": ["first note", "second", "third"],
        },
        index=["a", "b", "c"],
    )


def test_a_bare_result_shows_the_texts_of_the_frame_that_was_asked(ask):
    df = frame()
    labels = ask(df, text="review")
    shown = labels.genai.show()
    assert "A kind waiter" in repr(shown)
    assert "first note" not in repr(shown)
    again = ask(df, text="{note}: {review}")
    assert "[b] second: The rude one." in repr(again.sort_index(ascending=False).genai.show(2))
    assert "The rude one." in repr(ask(df["review"]).genai.show())
    assert "The rude one." in repr(labels.genai.show(text=df["review"]))


def test_the_frame_is_not_kept_alive(ask):
    df = frame()
    labels = ask(df, text="review")
    del df
    gc.collect()
    shown = labels.genai.show(1)
    assert "A kind waiter, $5" not in repr(shown)
    assert "tone: kind" in repr(shown)


@pytest.mark.parametrize("name", ["join", "merge", "concat", "assign"])
def test_a_joined_frame_knows_its_answers_its_run_and_its_errors(ask, name):
    df = frame()
    labels = ask(df, text="review")
    joined = {
        "join": lambda: df.join(labels),
        "merge": lambda: df.merge(labels, left_index=True, right_index=True),
        "concat": lambda: pd.concat([df, labels], axis=1),
        "assign": lambda: df.assign(**labels),
    }[name]()
    shown = repr(joined.genai.show(1))
    assert shown.startswith("[a] A kind waiter, $5 to $6.\n  tone: kind\n  quote: A kind waite")
    assert "id:" not in shown
    assert "note:" not in shown
    assert joined.genai.report.run_id == labels.genai.report.run_id
    assert joined.sort_values("id", ascending=False).genai.report.rows == 3
    assert joined.query("id == 8").genai.errors.empty
    assert [axis.get_title() for axis in joined.genai.plot().axes] == ["tone"]


def test_of_several_runs_the_one_whose_answers_these_are(ask):
    first, second = frame(), frame().assign(review=["x y", "z", "w"])
    one, two = ask(first, text="review"), ask(second, text="review")
    assert first.join(one).genai.report.run_id == one.genai.report.run_id
    assert second.join(two).genai.report.run_id == two.genai.report.run_id
    changed = first.join(one)
    changed["quote"] = "mine"
    with pytest.raises(UsageError, match=r"labels\.genai\.join\(df\)"):
        _ = changed.genai.report
    for stranger in (first, pd.DataFrame(), pd.DataFrame({"tone": [], "quote": []})):
        with pytest.raises(UsageError, match="not the result of a run"):
            _ = stranger.genai.report


def test_after_a_join_the_result_may_go(ask):
    df = frame()
    joined = df.join(ask(df, text="review"))
    gc.collect()
    assert joined.genai.report.ok == 3


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_filtered_and_reordered_join_is_known(data):
    size = data.draw(st.integers(1, 90))
    df = pd.DataFrame({"text": [f"row {number}" for number in range(size)]})
    with LoopbackProvider(lambda text: {"quote": text}) as provider:
        labels = df.genai.extract(
            "Quote.",
            {"quote": str},
            base_url=provider.openai_url,
            api_key="k",
            cache=False,
            progress=False,
        )
    kept = data.draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True))
    part = df.join(labels).iloc[kept]
    assert part.genai.report.run_id == labels.genai.report.run_id
    part = part.assign(quote="other")
    with pytest.raises(UsageError):
        _ = part.genai.report


def test_a_label_that_is_a_word_of_the_text_is_no_evidence():
    df = pd.DataFrame(
        {
            "text": ["The kind waiter was kind to us.", "Good 很好的服务 here"],
            "tone": pd.Categorical(["kind", "Good"]),
            "word": ["waiter", "here"],
            "quote": ["kind waiter", "很好的服务"],
            "phrase": pd.Categorical(["was kind", "was kind"]),
        }
    )
    html = df.genai.show(text="text")._repr_html_()
    assert html.count("<mark>") == 2
    assert "<mark>kind waiter</mark>" in html
    assert "<mark>很好的服务</mark>" in html


def test_many_rows_come_a_page_at_a_time():
    df = pd.DataFrame({"text": [f"row {number}" for number in range(1_000)], "n": range(1_000)})
    shown = df.genai.show(1_000)
    assert repr(shown).count("\n  n: ") == 200
    assert repr(shown).endswith("(show(start=200) shows the next, at most 200 at once)")
    assert "rows 1 to 200 of 1,000" in shown._repr_html_()
    assert "show(start=200) shows the next, at most 200 at once" in shown._repr_html_()
    page = repr(df.genai.show(3, start=998))
    assert page.startswith("[998] row 998")
    assert "shows the next" not in page
    assert repr(df.genai.show(3, start=2_000)) == "no rows"
    assert df.head(1).genai.show()._repr_html_().count("1 row<") == 1
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(UsageError, match="start= must be"):
            df.genai.show(start=wrong)


def test_a_long_url_breaks_and_an_unknown_column_has_a_neighbour():
    df = pd.DataFrame({"review": ["https://example.org/" + "a" * 900], "tone": ["kind"]})
    assert "overflow-wrap:anywhere" in df.genai.show(text="review")._repr_html_()
    with pytest.raises(UsageError, match="did you mean 'review'"):
        df.genai.show(text="reviw")
    with pytest.raises(UsageError, match="did you mean 'review'"):
        df.genai.preview("Tone?", ["kind"], text="reveiw")


def test_the_functions_beside_know_joined_frames_too(ask):
    df = frame()
    labels = ask(df, text="review")
    assert pandas_genai.genai(df.join(labels)).report.run_id == labels.genai.report.run_id
