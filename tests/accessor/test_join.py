"""Labels put back: every row gets the answer to its own text, whatever happened to the index."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import DuplicateIndexWarning, UsageError
from pandas_genai.testing import LoopbackProvider

SCHEMA = {"echo": str}

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.DuplicateIndexWarning",
    "ignore::pandas_genai.RowsFailedWarning",  # of empty texts
)


@pytest.fixture(scope="module")
def provider():
    def answer(text):
        return {"echo": text}

    with LoopbackProvider(answer) as running:
        yield running


@pytest.fixture
def ask(provider):
    def run(frame, schema=SCHEMA, **options):
        where = {"base_url": provider.openai_url, "api_key": "k", "progress": False}
        return frame.genai.extract("Echo.", schema, **{**where, **options})

    return run


def right(joined, column="echo", text="text"):
    """Whether every answer stands beside its own text."""
    return [
        bool(pd.isna(answer)) if pd.isna(said) else answer == said
        for said, answer in zip(joined[text], joined[column], strict=True)
    ]


def repeated():
    part = pd.DataFrame({"text": ["a", "b"]})
    return pd.concat([part, part.assign(text=["c", "d"])])


def test_a_repeated_index_multiplies_nothing(ask):
    df = repeated()
    labels = ask(df)
    assert len(df.join(labels)) == 8  # pandas' own
    joined = labels.genai.join(df)
    assert joined.index.tolist() == [0, 1, 0, 1]
    assert all(right(joined))
    assert joined.genai.report.run_id == labels.genai.report.run_id
    assert repr(joined.genai.show(1)) == "[0] a\n  echo: a\n\n(show(start=1) shows the next)"
    again = labels.genai.join(joined)
    pd.testing.assert_frame_equal(again, joined)
    shuffled = df.iloc[[3, 1, 0]]
    assert all(right(labels.genai.join(shuffled)))


def test_extract_warns_of_a_repeated_index(ask):
    with pytest.warns(DuplicateIndexWarning, match=r"2 labels .* labels\.genai\.join\(df\)"):
        ask(repeated())


def test_run_all_twice_changes_nothing(ask):
    df = pd.DataFrame({"text": ["a", "b", "b"]})
    df = ask(df).genai.join(df)
    first = df.copy()
    df = ask(df, text="text").genai.join(df)
    assert df.columns.tolist() == ["text", "echo"]
    pd.testing.assert_frame_equal(df, first)


def test_a_column_of_ones_own_is_kept(ask):
    df = pd.DataFrame({"text": ["a", "b"], "echo": [1, 2]})
    labels = ask(df, text="text")
    with pytest.raises(UsageError, match="column 'echo' of its own: write join"):
        labels.genai.join(df)
    joined = labels.genai.join(df, suffix="_model")
    assert joined.columns.tolist() == ["text", "echo", "echo_model"]
    assert all(right(joined, "echo_model"))
    assert labels.genai.join(joined, suffix="_model").columns.tolist() == list(joined.columns)
    assert joined.genai.report.ok == 2
    assert "echo:" not in repr(joined.genai.show())


def test_two_questions_stand_side_by_side(ask):
    df = pd.DataFrame({"text": ["a", "b"]})
    one = ask(df)
    with LoopbackProvider(lambda text: {"label": text}) as other:
        two = ask(df, ["a", "b", "x"], base_url=other.openai_url)
    joined = two.genai.join(one.genai.join(df))
    assert joined.columns.tolist() == ["text", "echo", "label"]
    assert joined.genai.report.run_id == two.genai.report.run_id
    assert repr(joined.genai.show(1)).startswith("[0] a\n  echo: a\n  label: a")


def test_sorted_filtered_and_uncached_results_are_found_by_a_unique_index(ask):
    df = pd.DataFrame({"text": ["a", "b", None, "d"]}, index=list("wxyz"))
    for options in ({}, {"cache": False}):
        labels = ask(df, **options)
        assert all(right(labels.genai.join(df)))
        assert all(right(labels.sort_values("echo", ascending=False).genai.join(df)))
        assert all(right(labels.genai.join(df.sort_values("text", ascending=False))))
        assert labels.query("echo == 'b'").genai.join(df)["echo"].dropna().to_dict() == {"x": "b"}


def test_where_nobody_can_tell_one_sentence_says_why(ask):
    df = repeated()
    with pytest.raises(UsageError, match="no cache file kept the order"):
        ask(df, cache=False).genai.join(df)
    labels = ask(df)
    with pytest.raises(UsageError, match="sorted, filtered or changed since"):
        labels.sort_values("echo", ascending=False).genai.join(df)
    with pytest.raises(UsageError, match="No row of this frame has a label"):
        ask(df.set_axis(list("wxyz"))).genai.join(df.set_axis([7, 8, 9, 10]).assign(text="e"))
    with pytest.raises(UsageError, match=r"write labels\.genai\.join\(df\)"):
        df.genai.join(labels)
    with pytest.raises(UsageError, match=r"write labels\.genai\.join\(df\)"):
        labels.genai.join(df).genai.join(df)


def test_a_frame_whose_index_was_reset_gets_its_own_answers_or_none(ask):
    df = pd.DataFrame({"text": ["a", "b", "c"]})
    labels = ask(df)
    turned = df.iloc[::-1].reset_index(drop=True)
    assert all(right(labels.genai.join(turned)))
    with pytest.raises(UsageError, match="not the frame that was asked: 1 row of it"):
        labels.genai.join(df.assign(text=["a", "b", "changed"]))


def test_a_frame_without_the_texts_is_joined_by_its_index(ask):
    df = pd.DataFrame({"text": ["a", "b", "c"]}, index=["x", "y", "z"])
    gold = pd.DataFrame({"gold": ["good", "bad", "good"]}, index=["z", "x", "y"])
    joined = ask(df).genai.join(gold)
    assert list(joined["echo"]) == ["c", "a", "b"]
    assert list(joined["gold"]) == list(gold["gold"])


def test_several_records_a_row():
    df = pd.DataFrame({"text": ["one", "two two", "none"]}, index=["x", "y", "z"])
    many = {"one": 1, "two two": 2, "none": 0}
    with LoopbackProvider(lambda text: [{"n": at} for at in range(many[text])]) as running:
        where = {"base_url": running.openai_url, "api_key": "k", "progress": False}
        labels = df.genai.extract("How many?", [{"n": int}], **where)
    joined = labels.genai.join(df)
    assert joined.index.tolist() == ["x", "y", "y", "z"]
    assert joined["text"].tolist() == ["one", "two two", "two two", "none"]
    assert joined["n"].tolist()[:3] == [0, 0, 1]
    assert pd.isna(joined["n"].iloc[3])
    pd.testing.assert_frame_equal(labels.genai.join(joined), joined)


def test_a_series_and_a_saved_result(ask, tmp_path):
    texts = pd.Series(["a", "b"], index=["p", "q"], name="said")
    labels = ask(texts)
    assert all(right(labels.genai.join(texts), text="said"))
    labels.to_parquet(tmp_path / "labels.parquet")
    again = pd.read_parquet(tmp_path / "labels.parquet")
    pandas_genai.accessor.origin._remembered.clear()  # as in a later kernel
    assert all(right(again.genai.join(texts), text="said"))
    frame = pd.DataFrame({"id": ["7", "8"], "said": ["b", "a"]})
    assert all(right(again.genai.join(frame), text="said"))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_row_ever_gets_the_answer_of_another_text(ask, data):
    texts = data.draw(st.lists(st.sampled_from(["a", "b", "c", None, " "]), min_size=1, max_size=8))
    repeated_labels = st.lists(st.integers(0, 3), min_size=len(texts), max_size=len(texts))
    index = data.draw(st.one_of(st.just(list(range(len(texts)))), repeated_labels))
    df = pd.DataFrame({"text": pd.array(texts, dtype="str")}, index=index)
    labels = ask(df, cache=data.draw(st.sampled_from([None, False])))
    order = data.draw(st.permutations(range(len(texts))))
    kept = order[: data.draw(st.integers(1, len(texts)))]
    part = df.iloc[kept]
    if data.draw(st.booleans()):
        part = part.reset_index(drop=True)
    if data.draw(st.booleans()):
        labels = labels.iloc[data.draw(st.permutations(range(len(texts))))]
    try:
        joined = labels.genai.join(part)
    except UsageError:
        return
    assert joined.index.equals(part.index)
    for said, answer in zip(joined["text"], joined["echo"], strict=True):
        blank = pd.isna(said) or not said.strip()
        assert pd.isna(answer) or (not blank and answer == said)
