"""Other prompts and other models: what changed, how far they agree, what they cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pandas_genai
from pandas_genai import RowsFailedWarning, UsageError
from pandas_genai.testing import Fault, LoopbackProvider

TONES = ["good", "bad"]
KAPPA = ["cohen_kappa", "percent"]


@pytest.fixture
def runs():
    """The same rows asked twice: the second prompt gives five other labels, and a row fails."""
    df = pd.DataFrame({"review": [f"Review {number}." for number in range(40)]})

    def answer(text):
        number = int(text.split()[1].strip("."))
        return {"tone": TONES[number % 2], "stars": 1 + number % 5}

    def other(text):
        number = int(text.split()[1].strip("."))
        return {"tone": TONES[number % 2 if number >= 5 else 1 - number % 2], "stars": 3}

    schema = {"tone": TONES, "stars": int}
    options = {"api_key": "k", "progress": False, "cache": False, "chunk_size": 1}
    with LoopbackProvider(answer) as provider:
        first = df.genai.extract("A?", schema, base_url=provider.openai_url, **options)
    fault = Fault("refusal", text="Review 39.")
    with LoopbackProvider(other, faults=[fault]) as provider, pytest.warns(RowsFailedWarning):
        second = df.genai.extract("B?", schema, base_url=provider.openai_url, **options)
    return df, first, second


def coefficients(found, field, first, second):
    table = found.agreement.set_index(["field", "first", "second", "coefficient"]).sort_index()
    return table.loc[(field, first, second)].reindex(["alpha", "ac1", "fleiss_kappa", *KAPPA])


def test_runs_are_compared(runs):
    _, first, second = runs
    found = pandas_genai.compare({"prompt A": first, "prompt B": second})
    assert found.fields == ["tone", "stars"]
    tone = coefficients(found, "tone", "prompt A", "prompt B")
    expected = pandas_genai.agreement([first["tone"], second["tone"]], bootstrap=0)
    pd.testing.assert_frame_equal(tone, pd.DataFrame(expected))
    assert tone.loc["percent", "value"] == 34 / 39
    assert found.runs["failed"].tolist() == [0, 1]
    assert found.runs[["rows", "answered", "failed", "calls"]].dtypes.eq("int64").all()
    assert found.runs["answered"].tolist() == [40, 39]
    assert (found.runs["seconds"] > 0).all()
    assert (found.runs["cost"] >= 0).all()
    matrix = found.confusion("prompt A", "prompt B")["tone"]
    assert matrix.index.name == "prompt A"
    assert matrix.loc["good", "bad"] == 3
    assert matrix.to_numpy().sum() == 39


def test_the_rows_that_changed_come_with_their_texts(runs):
    df, first, second = runs
    found = pandas_genai.compare({"A": first[["tone"]], "B": second[["tone"]]}, text=df["review"])
    changed = found.changed("A", "B")
    assert changed.index.tolist() == [0, 1, 2, 3, 4, 39]
    assert changed["text"].tolist() == df.loc[changed.index, "review"].tolist()
    assert changed["tone (A)"].tolist() == ["good", "bad"] * 2 + ["good", "bad"]
    assert pd.isna(changed["tone (B)"].iloc[-1])
    known = pandas_genai.compare({"A": first, "B": second}).changed("A", "B")
    assert known["text"].tolist()[:2] == ["Review 0.", "Review 1."]
    with pytest.raises(UsageError, match="There is no result 'C' in this comparison"):
        found.changed("A", "C")


def test_against_gold(runs):
    _, first, second = runs
    gold = pd.Series(["good", "bad"] * 20, name="tone")
    found = pandas_genai.compare({"A": first, "B": second}, gold=gold).gold
    accuracy = found[found["metric"] == "accuracy"].set_index("run")["value"]
    assert accuracy.to_dict() == {"A": 1.0, "B": 34 / 39}


def test_frames_in_another_order(runs):
    _, first, second = runs
    expected = pandas_genai.compare({"A": first, "B": second})
    turned = pandas_genai.compare({"A": first, "B": second.iloc[::-1]})
    pd.testing.assert_frame_equal(turned.agreement, expected.agreement)
    assert turned.changed("A", "B").index.equals(expected.changed("A", "B").index)


def test_results_that_agree_wholly(runs):
    _, first, _ = runs
    one = first.assign(tone=first["tone"].cat.set_categories(TONES).where(lambda x: x == "good"))
    found = pandas_genai.compare({"A": one, "B": one, "C": one})
    tone = coefficients(found, "tone", "A", "C")
    assert tone.loc["percent", "value"] == 1
    assert np.isnan(tone.loc["alpha", "value"])
    assert "not defined" in repr(found)
    assert not len(found.changed("A", "B"))


def test_lists_and_texts_are_equal_or_not():
    one = pd.DataFrame({"topics": [["a", "b"], [], ["c"], None], "name": list("wxyz")})
    other = pd.DataFrame({"topics": [["b", "a"], ["c"], ["c"], ["d"]], "name": list("wxyy")})
    found = pandas_genai.compare({"A": one, "B": other})
    values = found.agreement.set_index(["field", "coefficient"])["value"]
    assert values.to_dict() == {
        ("topics", "percent"): pytest.approx(2 / 3),
        ("name", "percent"): 0.75,
    }
    assert found.changed("A", "B").index.tolist() == [1, 3]


def test_a_card(runs):
    _, first, second = runs
    gold = pd.Series(["good", "bad"] * 20, name="tone")
    found = pandas_genai.compare({"<A>": first, "B": second}, gold=gold)
    shown = found._repr_html_()
    assert f"&lt;A&gt; and B: {len(found.changed('<A>', 'B'))} rows differ" in shown
    assert "accuracy" in shown
    assert "<script" not in shown
    assert "2 results: <A>, B" in repr(found)


def some(index, **columns):
    return pd.DataFrame(columns or {"tone": ["good"] * len(index)}, index=index)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([some([1])], "compare takes results under their names"),
        ({"A": some([1])}, "compare needs two results or more, and there is 1"),
        ({"A": some([1]), "B": ["good"]}, "'B' is a list, not a DataFrame"),
        ({"A": some([1, 2]), "B": some([1, 3])}, "'2' is only in 'A' .2 such in all."),
        ({"A": some([1, 1]), "B": some([1, 1])}, "The index of 'A' has '1' more than once"),
        ({"A": some([1]), "B": some([1], label=["x"])}, "have no column in common: 'A' has 'tone'"),
    ],
)
def test_results_that_cannot_be_compared(results, message):
    with pytest.raises(UsageError, match=message) as error:
        pandas_genai.compare(results)
    assert "\n" not in str(error.value)
