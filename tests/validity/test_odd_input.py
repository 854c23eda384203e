"""Odd input to what comes after the labels: the right figures, or one sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import Task, UsageError
from pandas_genai.validity.design import carry

ROWS = 200


def made():
    rng = np.random.default_rng(8)
    index = pd.Index([f"r{at}" for at in range(ROWS)])
    tone = rng.choice(["neg", "neu", "pos"], ROWS)
    ok = rng.random(ROWS) < 0.5
    truth = pd.DataFrame({"tone": tone, "ok": ok, "score": rng.integers(0, 9, ROWS)}, index=index)
    labels = truth.assign(
        tone=np.where(rng.random(ROWS) < 0.8, tone, "neu"), ok=ok ^ (rng.random(ROWS) < 0.1)
    )
    labels["score"] = truth.score + rng.integers(-1, 2, ROWS)
    beside = pd.DataFrame({"w": rng.normal(size=ROWS), "text": index}, index=index)
    beside["y"] = ok + beside.w + rng.normal(size=ROWS)
    beside["year"] = rng.integers(2000, 2003, ROWS)
    return labels, truth, beside


LABELS, TRUTH, BESIDE = made()
SAMPLE = LABELS.genai.review_sample(90, text=BESIDE["text"], stratify="tone")
DRAWN = TRUTH.loc[SAMPLE.index]


def coded(frame):
    return carry(frame, SAMPLE.design)


GOLD = coded(DRAWN.copy())
NAMES = {
    "tone": [
        pd.StringDtype(na_value=np.nan),
        "string",
        "object",
        "category",
        pd.ArrowDtype(pa.string()),
    ],
    "ok": ["bool", "boolean", "object", pd.ArrowDtype(pa.bool_())],
    "score": ["int64", "Int64", "Float64", "float32", pd.ArrowDtype(pa.int64())],
}
FIGURES = LABELS.genai.evaluate(GOLD)
FIT = LABELS.genai.regress("y ~ tone + ok + w", BESIDE, gold=GOLD)


@settings(max_examples=12, deadline=None)
@given(
    st.fixed_dictionaries({name: st.sampled_from(kinds) for name, kinds in NAMES.items()}),
    st.integers(0, 9),
    st.booleans(),
)
def test_hand_codes_of_any_dtype_and_order_find_their_rows(kinds, seed, with_open_rows):
    rows = DRAWN.reindex(LABELS.index) if with_open_rows else DRAWN
    rows = rows.astype({"tone": object, "ok": "boolean", "score": "Int64"})
    loose = {"bool": "boolean", "int64": "Int64"}
    kinds = {name: loose.get(kind, kind) for name, kind in kinds.items()}
    gold = rows.astype(kinds).sample(frac=1, random_state=seed)
    before = gold.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = LABELS.genai.evaluate(coded(gold))
        fit = LABELS.genai.regress("y ~ tone + ok + w", BESIDE, gold=coded(gold))
    assert figures["metric"].tolist() == FIGURES["metric"].tolist()
    columns = ["value", "low", "high", "n"]
    np.testing.assert_allclose(figures[columns], FIGURES[columns], rtol=1e-9)
    np.testing.assert_allclose(fit.params, FIT.params, rtol=1e-7)
    np.testing.assert_allclose(fit.bse, FIT.bse, rtol=1e-7)
    pd.testing.assert_frame_equal(gold, before)


def test_data_in_another_order_keeps_the_estimates_without_folds():
    shuffled = BESIDE.sample(frac=1, random_state=3)
    fit = LABELS.genai.regress("y ~ tone + ok + w", shuffled, gold=GOLD)
    for ours, theirs in ((fit.naive, FIT.naive), (fit.gold_only, FIT.gold_only)):
        np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-9)
        np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-9)


def test_labels_of_failed_rows_leak_no_warning():
    failed = LABELS.assign(tone=LABELS.tone.where(np.arange(ROWS) > 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = failed.genai.regress("y ~ tone", BESIDE, gold=GOLD)
    assert fit.nobs == ROWS


def test_hand_codes_may_be_a_series_and_counts_of_numpy():
    fit = LABELS.genai.regress("y ~ ok", BESIDE, gold=GOLD["ok"])
    assert fit.coded == 90
    drawn = LABELS.genai.review_sample(np.int64(90), text=BESIDE["text"], rng=np.int64(0))
    assert len(drawn) == 90
    curve = LABELS.genai.power("y ~ ok", BESIDE, gold=GOLD, n=np.int64(100))
    assert curve.index.unique(0).tolist() == [100]


def changed(**columns):
    return coded(DRAWN.assign(**columns))


def twice(frame):
    return pd.concat([frame, frame[["tone"]]], axis=1)


def evaluated(gold=GOLD, labels=LABELS, by=None):
    return labels.genai.evaluate(gold, by=by)


def agreed(*coders, **options):
    return pandas_genai.agreement(list(coders), **options)


def regressed(formula="y ~ ok", data=BESIDE, gold=GOLD, **options):
    return LABELS.genai.regress(formula, data, gold=gold, **options)


def sampled(n=5, **options):
    return LABELS.genai.review_sample(n, text=BESIDE["text"], **options)


DEEP = LABELS.set_axis(pd.MultiIndex.from_product([LABELS.index, [0]]))
BAD = {
    "text against truth": (lambda: evaluated(changed(tone=True)), "has True at"),
    "lists against text": (lambda: evaluated(changed(tone=[["a"]] * 90)), "has ['a'] at"),
    "records": (lambda: evaluated(labels=LABELS.assign(tone=[{}] * ROWS)), "labels['tone'] has {}"),
    "infinite label": (lambda: evaluated(labels=LABELS.assign(score=np.inf)), "has inf at"),
    "huge label": (lambda: evaluated(labels=LABELS.assign(score=1e300)), "too large"),
    "complex": (lambda: evaluated(labels=LABELS.assign(score=1j)), "complex numbers"),
    "two columns of gold": (lambda: evaluated(twice(GOLD)), "Gold has two columns 'tone'"),
    "two columns": (lambda: evaluated(labels=twice(LABELS)), "labels has two columns 'tone'"),
    "by a list": (lambda: evaluated(by=["tone"]), "by=a list is no column"),
    "by lists": (lambda: evaluated(by=pd.Series([[1]] * ROWS, LABELS.index)), "make no groups"),
    "by a name of the result": (
        lambda: evaluated(by=BESIDE["year"].rename("value")),
        "by= is called 'value'",
    ),
    "seed": (lambda: agreed(TRUTH.tone, LABELS.tone, rng="a"), "rng='a' is neither"),
    "resamples": (lambda: agreed(TRUTH.tone, LABELS.tone, bootstrap=1.5), "bootstrap= takes"),
    "few resamples": (lambda: agreed(TRUTH.tone, LABELS.tone, bootstrap=-1), "bootstrap= takes"),
    "population": (lambda: agreed(TRUTH.tone, LABELS.tone, population=0), "population= takes"),
    "small population": (
        lambda: agreed(TRUTH.tone, LABELS.tone, population=10),
        "population=10 is less than the 200 units coded",
    ),
    "text and truth": (lambda: agreed(TRUTH.ok, TRUTH.ok.astype(str)), "none are equal"),
    "other levels": (lambda: agreed(TRUTH.tone, DEEP.tone), "must be alike"),
    "huge codes": (
        lambda: agreed(TRUTH.score * 1e300, LABELS.score * 1.0, level="interval"),
        "too large to compute with",
    ),
    "compared levels": (lambda: pandas_genai.compare({"a": LABELS, "b": DEEP}), "must be alike"),
    "compared columns": (
        lambda: pandas_genai.compare({"a": LABELS, "b": twice(LABELS)}),
        "'b' has two columns 'tone'",
    ),
    "no hand codes": (lambda: regressed(gold=None), "not a NoneType"),
    "no data": (lambda: regressed(data=[1]), "data must be a DataFrame, not a list"),
    "probability beside a design": (lambda: regressed(probability=0.3), "leave probability= out"),
    "none coded": (
        lambda: regressed(data=BESIDE.drop(SAMPLE.index)),
        "No row is coded by hand",
    ),
    "data of another depth": (lambda: regressed(data=BESIDE.set_axis(DEEP.index)), "another frame"),
    "fields in a list": (
        lambda: LABELS.genai.shares(["tone"], data=BESIDE, gold=GOLD),
        "is no field of these labels",
    ),
    "no tasks": (
        lambda: LABELS.genai.multiverse([], "y ~ ok", BESIDE, gold=GOLD),
        "takes tasks by their names",
    ),
    "texts for tasks": (
        lambda: LABELS.genai.multiverse(["Is it?"], "y ~ ok", BESIDE, gold=GOLD),
        "is a str, not a Task",
    ),
    "said before a task is asked": (
        lambda: LABELS.genai.multiverse(
            [Task("Is it?", {"ok": bool}, text="text")], "y ~ nope + ok", BESIDE, gold=GOLD
        ),
        "names 'nope'",
    ),
    "strata of frames": (lambda: sampled(stratify=BESIDE[["year"]]), "not a DataFrame"),
    "fields": (lambda: sampled(fields=5), "fields=5 is no field"),
    "allocation": (lambda: sampled(allocation=[]), "allocation=[] is neither"),
    "no path": (lambda: pandas_genai.read_review(None), "'None' is no path of a file with codes"),
    "a long path": (lambda: pandas_genai.read_review("x" * 5000), "is no path of a file"),
    "no path of an archive": (lambda: pandas_genai.replicate(5, BESIDE), "is no path of an"),
    "an archive of no frame": (lambda: pandas_genai.replicate("a.zip", [1]), "not of a list"),
}


@pytest.mark.parametrize("case", BAD)
def test_odd_input_gets_one_sentence(case):
    call, message = BAD[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError) as caught:
            call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_coded_rows_without_a_group_are_named():
    groups = BESIDE["year"].where(BESIDE["year"] > 2000)
    with pytest.warns(UserWarning, match="coded rows have no 'year' and count in no group"):
        evaluated(by=groups)


def test_intervals_and_dates_are_labels_too():
    cut = pd.cut(BESIDE["w"], 3), pd.cut(BESIDE["y"], 3)
    assert agreed(*cut, bootstrap=0).loc["percent", "n"] == ROWS
    dates = pd.Series(pd.Timestamp("2020"), TRUTH.index)
    labels = pd.DataFrame({"day": dates})
    figures = labels.genai.evaluate(dates.to_frame("day")).set_index("metric")
    assert figures.loc["exact_match", "value"].tolist() == 1


def test_results_without_rows_can_be_compared():
    found = pandas_genai.compare({"a": LABELS.iloc[:0], "b": LABELS.iloc[:0]})
    assert (found.agreement["n"] == 0).all()


def test_shares_by_truth_values_can_be_drawn():
    by = BESIDE["year"] > 2000
    found = LABELS.genai.shares("tone", by=by, data=BESIDE, gold=GOLD)
    assert found.plot().axes
