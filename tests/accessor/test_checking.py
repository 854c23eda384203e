"""``labels.genai.review_sample``: which rows, which texts, which fields, in which kernel."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai.errors import UsageError
from pandas_genai.testing import LoopbackProvider
from pandas_genai.validity.design import design_of, probability_of

SCHEMA = {"tone": ["good", "bad"], "topics": [["pay", "food"]], "year": int | None}


def reviews(count=60):
    texts = [f"Review {n} {'good' if n % 6 == 0 else 'bad'}" for n in range(count)]
    regions = [["north", "south", None][n % 3] for n in range(count)]
    index = pd.Index([f"d{n}" for n in range(count)], name="doc")
    return pd.DataFrame({"review": texts, "region": regions, "title": "t"}, index=index)


_ALIVE = []
"""Frames that were asked: a result does not keep them."""


def asked(df, schema=SCHEMA, text="review", **options):
    def answer(one):
        if "FAIL" in one:
            return {"tone": "neither", "topics": [], "year": None}
        return {"tone": "good" if "good" in one else "bad", "topics": ["pay"], "year": 1999}

    _ALIVE.append(df)
    options = {"cache": False, "progress": False, **options}
    with LoopbackProvider(answer) as provider:
        return df.genai.extract(
            "What does it say?", schema, text=text, base_url=provider.openai_url, api_key="k",
            **options,
        )  # fmt: skip


def test_the_same_call_draws_the_same_rows_with_their_own_texts():
    df = reviews()
    labels = asked(df)
    sample = labels.genai.review_sample(20)
    assert sample["text"].tolist() == df.loc[sample.index, "review"].tolist()
    assert (sample["probability"] == 20 / 60).all()
    assert design_of(sample).population == 60
    again = asked(df.sample(frac=1, random_state=1)).genai.review_sample(20)
    pd.testing.assert_frame_equal(pd.DataFrame(sample), pd.DataFrame(again))
    larger = labels.genai.review_sample(30)
    assert larger.index[:20].equals(sample.index)
    assert not labels.genai.review_sample(20, rng=1).index.equals(sample.index)
    assert design_of(sample).run_id == labels.genai.report.run_id
    assert design_of(sample).prompt_hash == labels.genai.report.prompt_hash


def test_rare_labels_are_drawn_more_often_and_the_design_says_so():
    labels = asked(reviews())
    sample = labels.genai.review_sample(20, stratify="tone")
    assert sample.design.table["sample"].to_dict() == {"bad": 10, "good": 10}
    assert sample["stratum"].astype(str).equals(labels.loc[sample.index, "tone"].astype(str))
    proportional = labels.genai.review_sample(20, stratify="tone", allocation="proportional")
    assert proportional.design.table["sample"].to_dict() == {"bad": 17, "good": 3}
    weights = 1 / probability_of(sample)
    assert weights.sum() == pytest.approx(60)


def test_strata_of_any_column_series_list_and_of_failed_rows():
    df = reviews()
    df.loc[["d3", "d4"], "review"] = ["FAIL one", "FAIL two"]
    df.loc["d9", "review"] = "  "
    with pytest.warns(pandas_genai.RowsFailedWarning):
        labels = asked(df)
    failed = labels.genai.review_sample(10, stratify="failed")
    assert failed.design.table["population"].to_dict() == {"answered": 57, "failed": 2}
    assert failed.design.table["sample"].to_dict() == {"answered": 8, "failed": 2}
    assert failed.design.without_text == 1
    assert "d9" not in labels.genai.review_sample(59).index
    joined = labels.genai.join(df)
    by_region = joined.genai.review_sample(10, stratify="region")
    assert list(by_region.design.table.index) == ["(missing)", "north", "south"]
    crossed = joined.genai.review_sample(30, stratify=["tone", df["region"]])
    assert "good / north" in crossed.design.table.index
    assert crossed.design.stratified_by == ("tone", "region")


def test_rows_whose_quotes_were_not_found_are_strata():
    labels = asked(reviews(9))
    labels["tone_grounded"] = ["exact", "not found", "ambiguous"] * 3
    sample = labels.genai.review_sample(4, stratify="ungrounded")
    assert sample.design.table["population"].to_dict() == {"grounded": 3, "ungrounded": 6}
    assert sample.review.codebook.names == ["tone", "topics", "year"]


def test_texts_are_found_where_they_are():
    df = reviews()
    labels = asked(df)
    expected = df["review"]
    joined = labels.genai.join(df)
    for sample in (
        labels.genai.review_sample(5),
        labels.genai.review_sample(5, text="review"),
        labels.genai.review_sample(5, text=expected.sample(frac=1, random_state=2)),
        joined.genai.review_sample(5, text="review"),
        labels.head(30).genai.review_sample(5),
    ):
        assert sample["text"].tolist() == expected[sample.index].tolist()
    both = joined.genai.review_sample(5, text="{title}: {review}")
    assert both["text"].tolist() == ("t: " + expected[both.index]).tolist()
    of_series = asked(df["review"], text=None).genai.review_sample(5)
    assert of_series["text"].tolist() == expected[of_series.index].tolist()
    del df
    with pytest.raises(UsageError, match="text="):
        pd.DataFrame({"tone": [1]}).genai.review_sample(1)


def test_fields_are_chosen_and_labels_hidden_unless_asked(tmp_path):
    labels = asked(reviews())
    sample = labels.genai.review_sample(5, fields="tone", show_labels=True)
    assert sample.review.codebook.names == ["tone"]
    assert sample["model: tone"].equals(labels.loc[sample.index, "tone"].rename("model: tone"))
    sheet = pd.read_excel(sample.to_excel(tmp_path / "shown.xlsx"))
    assert list(sheet.columns) == ["id", "text", "model: tone", "tone", "note"]
    assert sheet["model: tone"].tolist() == sample["model: tone"].tolist()
    hidden = labels.genai.review_sample(5, stratify="tone")
    sheet = pd.read_excel(
        hidden.to_excel(tmp_path / "hidden.xlsx"), sheet_name=["codes", "codebook"]
    )
    assert list(sheet["codes"].columns) == ["id", "text", "tone", "topics", "year", "note"]
    assert sheet["codes"].iloc[:, 2:].isna().all().all()
    for shown in (repr(hidden), hidden._repr_html_()):
        assert "Review" in shown
        assert "stratum" not in shown
        assert "probability" not in shown
    assert "model: tone" in sample._repr_html_()
    assert isinstance(hidden, pd.DataFrame)
    assert type(hidden.head(2)) is pd.DataFrame
    assert design_of(hidden.head(2)) == hidden.design


LATER = """
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider
df = pd.read_pickle("df.pickle")
labels = pd.read_pickle("labels.pickle")
sample = labels.genai.review_sample(7, text=df["review"])
print(list(sample.index))
print(sample.review.codebook.instructions, sample.review.codebook.fields[1].labels)
"""


def test_a_later_kernel_draws_the_same_and_knows_the_schema_from_the_cache(tmp_path):
    df = reviews()
    labels = asked(df, cache=None)
    df.to_pickle("df.pickle")
    labels.to_pickle("labels.pickle")
    done = subprocess.run(
        [sys.executable, "-c", LATER], capture_output=True, text=True, check=True, env=os.environ
    )
    drawn, known = done.stdout.splitlines()
    assert drawn == str(list(labels.genai.review_sample(7).index))
    assert known == "What does it say? ('pay', 'food')"


def test_without_a_schema_the_columns_say_what_is_allowed(tmp_path):
    labels = pd.DataFrame(
        {
            "tone": pd.Categorical(["a", "b"]),
            "stars": pd.array([1, None], "Int64"),
            "score": [0.5, 1.5],
            "ok": [True, False],
            "topics": [["x"], None],
            "when": pd.to_datetime(["2026-01-01", None]),
            "why": ["because", None],
        }
    )
    sample = labels.genai.review_sample(2, text=pd.Series(["one", "two"]))
    kinds = [(one.name, one.column.kind, one.is_list) for one in sample.review.codebook.fields]
    assert kinds == [
        ("tone", "category", False),
        ("stars", "int", False),
        ("score", "float", False),
        ("ok", "bool", False),
        ("topics", "object", True),
        ("when", "datetime", False),
        ("why", "str", False),
    ]
    gold = pandas_genai.read_review(sample.to_excel(tmp_path / "a.xlsx"))
    assert gold.isna().all().all()
    assert gold["when"].dtype.kind == "M"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0}, "n= must be a whole number"),
        ({"n": 61}, "n=61 is more than the 60 rows"),
        ({"n": 5, "rng": "x"}, "rng='x' is no whole number"),
        ({"n": 5, "allocation": "even"}, "neither 'equal' nor 'proportional'"),
        ({"n": 5, "stratify": "tonne"}, "stratify='tonne' names no column"),
        ({"n": 5, "stratify": pd.Series([1])}, "stratify= must be a Series with the index"),
        ({"n": 1, "stratify": "tone"}, "too small for 2 strata"),
        ({"n": 5, "stratify": "ungrounded"}, "needs labels with quotes"),
        ({"n": 5, "fields": "tonne"}, "fields='tonne' is no field"),
        ({"n": 5, "fields": []}, "no field to code"),
        ({"n": 5, "text": pd.Series(["x"])}, "text= must be a Series with the index labels"),
        ({"n": 5, "text": "body"}, "text='body' names no column"),
        ({"n": 5, "stratify_by": "tone"}, "stratify_by"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(arguments, sentence):
    df = reviews()
    labels = asked(df)
    with pytest.raises(UsageError, match=sentence) as raised:
        labels.genai.review_sample(**arguments)
    assert "\n" not in str(raised.value)


def test_records_duplicates_and_labels_that_no_file_carries_are_refused():
    df = reviews(4)
    with pytest.warns(pandas_genai.RowsFailedWarning):  # the answers here are single records
        many = asked(df, [{"tone": str}])
    with pytest.raises(UsageError, match="several records a row"):
        many.genai.review_sample(2, text=df["review"])
    doubled = df.set_index(pd.Index([1, 1, 2, 3]))
    with pytest.warns(pandas_genai.DuplicateIndexWarning):
        labels = asked(doubled)
    with pytest.raises(UsageError, match="label 1 more than once"):
        labels.genai.review_sample(2)
    intervals = df.set_index(pd.interval_range(0, 4))
    with pytest.raises(UsageError, match="labels that no file can carry"):
        asked(intervals).genai.review_sample(2)


def test_code_outside_a_notebook_says_what_to_do_instead():
    df = reviews(4)
    sample = asked(df).genai.review_sample(2)
    with pytest.raises(UsageError, match="needs a notebook"):
        sample.code()
    with pytest.raises(UsageError, match="Nothing was coded yet"):
        sample.codes()
    with pytest.raises(UsageError, match="plain name"):
        sample.codes("../x")


@given(first=st.lists(st.sampled_from(["good", "bad"]), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_a_longer_frame_is_no_earlier_result_whose_rows_it_begins_with(first):
    """Frames of answers are known by their values: nobody's labels are taken for another run's."""
    asked = pd.DataFrame({"text": [f"{tone} {n}" for n, tone in enumerate(first)]})
    with LoopbackProvider(lambda text: {"tone": text.split()[0]}) as provider:
        result = asked.genai.extract(
            *("Tone?", {"tone": ["good", "bad"]}),
            base_url=provider.openai_url,
            api_key="k",
            cache=False,
            progress=False,
        )
    longer = pd.DataFrame({"tone": [*result["tone"], *["good"] * 9], "stars": 1})
    with pytest.raises(UsageError, match="not the result of a run"):
        longer.genai.report  # noqa: B018 - the property is what is asked
    gold = pd.DataFrame({"tone": ["good", "bad"] * 7, "stars": [1, 2] * 7}).head(len(longer))
    assert set(longer.genai.evaluate(gold)["field"]) == {"tone", "stars"}
    other = pd.DataFrame({"tone": pd.Categorical(result["tone"], ["bad", "good"])})
    assert other["tone"].tolist() == result["tone"].tolist()
    with pytest.raises(UsageError, match="not the result of a run"):
        other.genai.report  # noqa: B018 - equal values, but no labels of this schema
    fewer = other.assign(tone=result["tone"].cat.remove_unused_categories())
    assert fewer.genai.report.run_id == result.genai.report.run_id
    joined = asked.reindex(range(len(longer))).join(result)  # pandas' own join keeps no attrs
    joined.attrs.clear()
    assert joined.genai.report.run_id == result.genai.report.run_id
