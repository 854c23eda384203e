"""One data set in any dtype, index and order of columns gives one estimate, or one sentence."""

from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import UsageError

ROWS = 240
LABELS = {"flag": "p_flag", "tone": "p_tone", "score": "p_score"}
FORMULA = "y ~ flag + tone + score + w + group + C(year) + sure"


def made():
    rng = np.random.default_rng(11)
    coded = rng.permutation(ROWS) < 140
    flag, tone = rng.random(ROWS) < 0.5, rng.choice(["neg", "neu", "pos"], ROWS)
    score = rng.integers(0, 30, ROWS)
    data = pd.DataFrame(
        {
            "w": rng.normal(size=ROWS).round(3),
            "group": rng.choice(["a", "b"], ROWS),
            "year": rng.integers(2000, 2003, ROWS),
            "sure": rng.random(ROWS) < 0.5,
            "county": rng.integers(0, 20, ROWS),
            "p_flag": flag ^ (rng.random(ROWS) < 0.1),
            "p_tone": np.where(rng.random(ROWS) < 0.8, tone, "neu"),
            "p_score": score + rng.integers(-2, 3, ROWS),
        }
    )
    data["y"] = flag + (tone == "pos") + 0.1 * score + rng.normal(size=ROWS).round(3)
    data["flag"] = pd.Series(flag, dtype=object).where(coded)
    data["tone"] = pd.Series(tone, dtype=object).where(coded)
    data["score"] = pd.Series(score, dtype=float).where(coded)
    return data


DATA = made()


def arrow(kind):
    return lambda values: values.astype(pd.ArrowDtype(kind))


def unused(values):
    named = sorted(values.dropna().unique().tolist())
    return values.astype(pd.CategoricalDtype(["aa", *named, "zz"]))


def whole(values):
    return values.astype("Float64").astype("Int64")


def as_objects(values):
    return values.astype(object).where(values.notna(), pd.NA)


def as_none(values):
    return pd.Series([None if pd.isna(one) else one for one in values], dtype=object)


def same(values):
    return values


def decimals(values):
    return values.map(lambda one: Decimal(str(one)), na_action="ignore").astype(object)


TEXT = {
    "as it is": same,
    "string": lambda values: values.astype("string"),
    "str": lambda values: values.astype(pd.StringDtype(na_value=np.nan)),
    "arrow": arrow(pa.string()),
    "dictionary": arrow(pa.dictionary(pa.int32(), pa.string())),
    "category": lambda values: values.astype("category"),
    "unused category": unused,
    "NA": as_objects,
    "None": as_none,
}
TRUTH = {
    "as it is": same,
    "boolean": lambda values: values.astype("boolean"),
    "arrow": lambda values: values.astype("boolean").astype(pd.ArrowDtype(pa.bool_())),
    "category": lambda values: values.astype("category"),
    "NA": as_objects,
    "None": as_none,
}
NUMBERS = {
    "as it is": same,
    "Float64": lambda values: values.astype("Float64"),
    "arrow": arrow(pa.float64()),
    "NA": as_objects,
    "None": as_none,
    "decimal": decimals,
}
WHOLE = {
    **NUMBERS,
    "Int64": whole,
    "arrow whole": lambda v: whole(v).astype(pd.ArrowDtype(pa.int64())),
}
YEARS = {"as it is": same, "Int16": lambda v: v.astype("Int16"), "object": as_objects}

KINDS = {
    "w": NUMBERS,
    "y": NUMBERS,
    "group": TEXT,
    "year": YEARS,
    "sure": TRUTH,
    "county": {**WHOLE, "text": lambda values: values.astype(str)},
    "flag": TRUTH,
    "p_flag": TRUTH,
    "tone": TEXT,
    "p_tone": TEXT,
    "score": WHOLE,
    "p_score": WHOLE,
}
INDEXES = {
    "range": lambda order: pd.RangeIndex(ROWS),
    "numbers in any order": pd.Index,
    "texts": lambda order: pd.Index([f"r{at}" for at in order]),
    "twice": lambda order: pd.Index(order // 2),
    "two levels": lambda order: pd.MultiIndex.from_arrays([order // 7, order % 7]),
    "dates": lambda order: pd.Timestamp("2020") + pd.to_timedelta(order, unit="D"),
}


@st.composite
def variants(draw):
    """The data set in other dtypes, under another index, its columns in another order."""
    columns = {name: draw(st.sampled_from(sorted(kinds))) for name, kinds in KINDS.items()}
    data = pd.DataFrame({name: KINDS[name][kind](DATA[name]) for name, kind in columns.items()})
    order = np.random.default_rng(draw(st.integers(0, 9))).permutation(ROWS)
    data.index = INDEXES[draw(st.sampled_from(sorted(INDEXES)))](order)
    return data[draw(st.permutations(list(data.columns)))]


def numbers(fit):
    every = (fit, fit.naive, fit.gold_only)
    return np.concatenate([np.r_[one.params.to_numpy(), one.bse.to_numpy()] for one in every])


PLAIN = pandas_genai.regress(FORMULA, DATA, LABELS, cluster="county")
ABSORBED = pandas_genai.regress("score ~ w + sure", DATA, LABELS, fixed_effects="county")
SHARES = pandas_genai.shares("tone", DATA, LABELS, by="group")


@settings(max_examples=15, deadline=None)
@given(variants(), st.booleans())
def test_estimates_depend_on_values_alone(data, as_series):
    before = data.copy(deep=True)
    labels = {name: data[one] if as_series else one for name, one in LABELS.items()}
    cluster = data["county"] if as_series else "county"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = pandas_genai.regress(FORMULA, data, labels, cluster=cluster)
        absorbed = pandas_genai.regress("score ~ w + sure", data, labels, fixed_effects="county")
        shares = pandas_genai.shares("tone", data, labels, by="group")
    assert fit.params.index.tolist() == PLAIN.params.index.tolist()
    np.testing.assert_allclose(numbers(fit), numbers(PLAIN), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(numbers(absorbed), numbers(ABSORBED), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(shares.to_numpy(float), SHARES.to_numpy(float), rtol=1e-7)
    pd.testing.assert_frame_equal(data, before)


@pytest.mark.parametrize("kind", ["boolean", "as it is", "category"])
def test_truth_values_and_0_and_1_are_the_same_labels(kind):
    plain = DATA.assign(flag=DATA.flag.astype(float), p_flag=DATA.p_flag.astype(float))
    expected = pandas_genai.regress("y ~ flag + w", plain, LABELS)
    for name in ("flag", "p_flag"):
        mixed = plain.assign(**{name: TRUTH[kind](DATA[name])})
        fit = pandas_genai.regress("y ~ flag + w", mixed, LABELS)
        np.testing.assert_allclose(numbers(fit), numbers(expected), rtol=1e-9)


NAMES = ["a name", "it's", 'a"b', "größe", "日本", "class", "C", "Q", "I", "np", "", "2020", "x.y"]


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(name):
    quoted = f"Q({name!r})"
    plain = pandas_genai.regress("y ~ flag + w", DATA, LABELS, fixed_effects="year")
    data = DATA.rename(columns={"year": name})
    fit = pandas_genai.regress("y ~ flag + w", data, LABELS, fixed_effects=name)
    np.testing.assert_allclose(numbers(fit), numbers(plain), rtol=1e-9)
    data = DATA.assign(send=DATA.y > DATA.y.median())
    plain = pandas_genai.regress("send ~ flag", data, LABELS, family="logit", fixed_effects="year")
    data = data.rename(columns={"year": name})
    fit = pandas_genai.regress("send ~ flag", data, LABELS, family="logit", fixed_effects=name)
    np.testing.assert_allclose(numbers(fit), numbers(plain), rtol=1e-9)
    if name != "Q":
        plain = pandas_genai.regress("y ~ flag + w", DATA, LABELS)
        data = DATA.rename(columns={"flag": name})
        fit = pandas_genai.regress(f"y ~ {quoted} + w", data, {name: "p_flag"})
        np.testing.assert_allclose(numbers(fit), numbers(plain), rtol=1e-9)


def test_a_variable_of_the_caller_does_not_hide_a_function_of_formulas():
    C = Q = 5  # noqa: N806 - what a notebook may have
    fit = pandas_genai.regress("y ~ flag + C(year) + Q('w')", DATA, LABELS)
    assert (C, Q) == (5, 5)
    assert len(fit.params) == 5


def test_what_is_taken_of_all_rows_is_taken_of_all_rows():
    data = DATA.assign(centred=DATA.w - DATA.w.mean(), rank=DATA.w.rank())
    for inside, column in {"I(w - w.mean())": "centred", "w.rank()": "rank"}.items():
        ours = pandas_genai.regress(f"y ~ flag + {inside}", data, LABELS)
        theirs = pandas_genai.regress(f"y ~ flag + {column}", data, LABELS)
        np.testing.assert_allclose(numbers(ours), numbers(theirs), rtol=1e-9)


def failing(values):
    if len(values) < ROWS:
        raise KeyError("not this\none")
    return values


BESIDE = DATA["w"].sort_values()
ONES = np.ones(ROWS)
BAD = {
    "no text": ({"formula": None}, "A formula is text"),
    "nothing right": ({"formula": "flag ~ 0"}, "nothing on its right side"),
    "two pairs": ({"formula": "y ~ [flag ~ w] + [year ~ county]"}, "one pair of brackets"),
    "half a pair": ({"formula": "y ~ [flag ~ ]"}, "one pair of brackets"),
    "keyword": ({"formula": "y ~ flag + class"}, "written Q('the name')"),
    "no function": ({"formula": "y ~ flag + nope(w)"}, "calls 'nope'"),
    "Q of a variable": ({"formula": "y ~ flag + Q(w)"}, "Write the column's name into Q(w)"),
    "beside": ({"formula": "y ~ flag + BESIDE"}, "put it into data first"),
    "array beside": ({"formula": "y ~ flag + np.log(ONES)"}, "put it into data first"),
    "fails": ({"formula": "failing(y) ~ failing(score)"}, "cannot be evaluated: Error evaluating"),
    "other rows": ({"formula": "y ~ score.rank()"}, "depends on what other rows hold"),
    "mean": ({"formula": "y ~ I(score - score.mean())"}, "depends on what other rows hold"),
    "cuts": ({"formula": "y ~ pd.cut(score, 3)"}, "Give the cuts as numbers"),
    "periods": (
        {"data": DATA.assign(w=pd.period_range("2020", periods=ROWS))},
        "holds values of the dtype period[D]",
    ),
    "C twice": ({"data": DATA.assign(C=DATA.w), "formula": "y ~ flag + C + C(year)"}, "rename"),
    "no frame": ({"data": DATA.to_dict()}, "data must be a DataFrame, not a dict"),
    "lists": ({"data": DATA.assign(w=[[1]] * ROWS)}, "holds a list in row 0"),
    "dicts": ({"data": DATA.assign(p_flag=[{}] * ROWS)}, "hold values of the type dict"),
    "complex": ({"data": DATA.assign(w=DATA.w + 1j)}, "complex numbers"),
    "huge": ({"data": DATA.assign(w=DATA.w * 1e300)}, "too large to compute with"),
    "tiny": ({"data": DATA.assign(y=DATA.y * 1e-300)}, "too small to compute with"),
    "huge label": (
        {"formula": "y ~ score", "data": DATA.assign(p_score=DATA.p_score * 1e300)},
        "'score' has values too large",
    ),
    "mixed label": (
        {"formula": "y ~ tone", "data": DATA.assign(tone=DATA.tone.replace("neg", 1))},
        "the type int and str",
    ),
    "dates as labels": (
        {"formula": "y ~ tone", "data": DATA.assign(p_tone=pd.Timestamp("2020"))},
        "the type Timestamp",
    ),
    "other labels": (
        {"formula": "y ~ tone", "data": DATA.assign(p_tone=DATA.p_tone.str.upper())},
        "no label is among the hand codes",
    ),
    "yes for True": (
        {"data": DATA.assign(p_flag=np.where(DATA.p_flag, "yes", "no"))},
        "the labels are text, but the hand codes are numbers or truth values",
    ),
    "labels of nothing": ({"predicted": {"flag": {}}}, "a dict, which is no column"),
    "a frame of labels": ({"predicted": {"flag": DATA[["p_flag"]]}}, "no column of data"),
    "no mapping": ({"predicted": "p_flag"}, "is a mapping"),
    "probability in a mapping": ({"probability": {"a": 1}}, "no column of data"),
    "probability two wide": ({"probability": np.full((ROWS, 2), 0.5)}, "has 240 by 2 values"),
    "probability as text": ({"probability": "group"}, "must be numbers"),
    "complex probability": ({"probability": np.full(ROWS, 0.5j)}, "must be numbers"),
    "cluster of lists": ({"data": DATA.assign(c=[[1]] * ROWS), "cluster": "c"}, "type list"),
    "number of effects": ({"fixed_effects": 5}, "takes the name of a column"),
    "effects twice": ({"fixed_effects": ["year", "year"]}, "names 'year' twice"),
    "effects in lists": ({"fixed_effects": [["year"]]}, "not a list"),
    "explained": (
        {"formula": "score ~ w + year", "fixed_effects": "year"},
        "'year' does not vary within the levels",
    ),
    "negative seed": ({"rng": -1}, "rng=-1 is neither"),
    "seed as text": ({"rng": "a"}, "rng='a' is neither"),
    "no calibrator": ({"calibrator": dict}, "takes an estimator of scikit-learn"),
}


@pytest.mark.parametrize("case", BAD)
def test_odd_input_gets_one_sentence(case):
    options, message = BAD[case]
    arguments = {"formula": "y ~ flag + w", "data": DATA, "predicted": LABELS, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError) as caught:
            pandas_genai.regress(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_that_nobody_coded_may_have_rows():
    data = DATA.assign(p_tone=DATA.p_tone.where(DATA.index > 3, "odd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pandas_genai.shares("tone", data, LABELS).loc[("all", "odd")]
    assert (found.estimate, found.se, found.low) == (0, 0, 0)
    assert 0.02 < found.high < 0.04  # of 140 rows
    with pytest.raises(UsageError, match="by= names 'tone', whose shares are asked for"):
        pandas_genai.shares("tone", data, LABELS, by="tone")


def test_labels_that_are_no_probabilities_leave_the_other_estimates():
    data = DATA.assign(flag=DATA.flag.astype(float), p_flag=DATA.p_flag * 2)
    fit = pandas_genai.regress("flag ~ w", data, LABELS, family="logit")
    assert fit.naive.params.isna().all()
    assert fit.params.notna().all()


def test_calibrators_that_cannot_learn_are_named():
    from sklearn.svm import SVC

    data = DATA.assign(score=DATA.score + DATA.w)
    with pytest.raises(UsageError, match="cannot learn the hand codes of 'score', a number"):
        pandas_genai.regress("y ~ score", data, LABELS, calibrator=SVC())


def test_one_label_throughout_leaves_the_other_estimates():
    data = DATA.assign(p_tone="neg")
    fit = pandas_genai.regress("tone ~ w", data, LABELS, family="multinomial")
    assert fit.naive.params.isna().all(axis=None)
    assert fit.params.notna().all(axis=None)
