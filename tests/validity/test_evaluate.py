"""Labels against hand codes: the figures, their weights, their intervals, bad input."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from pandas_genai import UsageError
from pandas_genai.validity.design import Design, Stratum, carry, row_ids

TONES = ["good", "bad", "mixed"]


def kinds(rng, n=400):
    """Hand codes of every kind, and labels that are wrong now and then."""
    wrong = rng.random(n) < 0.2
    tone = rng.choice(TONES, n, p=[0.6, 0.3, 0.1])
    topics = [sorted(set(rng.choice(list("abcd"), 2))) for _ in range(n)]
    gold = pd.DataFrame(
        {
            "tone": tone,
            "flag": rng.random(n) < 0.3,
            "stars": rng.integers(1, 6, n),
            "amount": rng.gamma(2.0, 3.0, n),
            "topics": topics,
            "name": [f"Person  {number}" for number in range(n)],
        }
    )
    labels = pd.DataFrame(
        {
            "tone": pd.Categorical(np.where(wrong, rng.choice(TONES, n), tone), TONES),
            "flag": (gold["flag"] ^ (rng.random(n) < 0.1)).astype("boolean"),
            "stars": (gold["stars"] + rng.choice([-1, 0, 0, 0, 2], n)).astype("Int64"),
            "amount": gold["amount"] + rng.normal(0.5, 1.0, n),
            "topics": [
                items[:1] + ["e"] * bool(bad) for items, bad in zip(topics, wrong, strict=True)
            ],
            "name": [f"person {number}." for number in range(n)],
        }
    )
    return labels, gold


@pytest.fixture
def pair():
    return kinds(np.random.default_rng(1))


def value(found, metric, field=None, label=None, column="value"):
    rows = found[found["metric"] == metric]
    rows = rows if field is None else rows[rows["field"] == field]
    rows = rows[rows["class"].isna()] if label is None else rows[rows["class"] == label]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_figures_of_labels_are_those_of_scikit_learn(pair):
    labels, gold = pair
    found = labels.genai.evaluate(gold)
    y, p = gold["tone"], labels["tone"].astype(str)
    table = metrics.precision_recall_fscore_support(y, p, labels=TONES)
    for label, precision, recall, f1, _ in zip(TONES, *table, strict=True):
        assert value(found, "precision", "tone", label) == pytest.approx(precision)
        assert value(found, "recall", "tone", label) == pytest.approx(recall)
        assert value(found, "f1", "tone", label) == pytest.approx(f1)
    assert value(found, "accuracy", "tone") == pytest.approx(metrics.accuracy_score(y, p))
    assert value(found, "macro_f1", "tone") == pytest.approx(
        metrics.f1_score(y, p, average="macro")
    )
    assert value(found, "cohen_kappa", "tone") == pytest.approx(metrics.cohen_kappa_score(y, p))
    matrix = found.confusion["tone"]
    assert matrix.to_numpy().tolist() == metrics.confusion_matrix(y, p, labels=TONES).tolist()
    assert (matrix.index.name, matrix.columns.name) == ("gold", "label")
    assert value(found, "recall", "flag", True) == pytest.approx(
        metrics.recall_score(gold["flag"], labels["flag"].astype(bool))
    )


def icc(x, y):
    """ICC(2,1) by the mean squares of Shrout and Fleiss (1979)."""
    both = np.column_stack([x, y]).astype(float)
    n, k = both.shape
    rows, columns, whole = both.mean(axis=1), both.mean(axis=0), both.mean()
    between = k * ((rows - whole) ** 2).sum() / (n - 1)
    raters = n * ((columns - whole) ** 2).sum() / (k - 1)
    rest = ((both - rows[:, None] - columns + whole) ** 2).sum() / ((n - 1) * (k - 1))
    return (between - rest) / (between + (k - 1) * rest + k * (raters - rest) / n)


@pytest.mark.parametrize("field", ["stars", "amount"])
def test_figures_of_numbers(pair, field):
    labels, gold = pair
    found = labels.genai.evaluate(gold)
    x, y = gold[field].to_numpy(dtype=float), labels[field].to_numpy(dtype=float)
    expected = {
        "mae": np.abs(y - x).mean(),
        "rmse": math.sqrt(((y - x) ** 2).mean()),
        "bias": (y - x).mean(),
        "pearson": np.corrcoef(x, y)[0, 1],
        "spearman": stats.spearmanr(x, y).statistic,
        "icc": icc(x, y),
    }
    for metric, figure in expected.items():
        assert value(found, metric, field) == pytest.approx(figure), metric
        low, high = (value(found, metric, field, column=end) for end in ("low", "high"))
        assert low < figure < high


def test_the_published_icc():
    """Shrout and Fleiss (1979), table 2, judges 1 and 2."""
    x, y = [9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2]
    found = pd.DataFrame({"score": x}).genai.evaluate(pd.Series(y, name="score"))
    assert value(found, "icc") == pytest.approx(icc(y, x))


def test_figures_of_lists_and_texts(pair):
    labels, gold = pair
    found = labels.genai.evaluate(gold)
    pairs = [(set(g), set(p)) for g, p in zip(gold["topics"], labels["topics"], strict=True)]
    both = sum(len(g & p) for g, p in pairs)
    assert value(found, "precision", "topics") == both / sum(len(p) for _, p in pairs)
    assert value(found, "recall", "topics") == both / sum(len(g) for g, _ in pairs)
    assert value(found, "exact_match", "topics") == np.mean([g == p for g, p in pairs])
    assert value(found, "exact_match", "name") == 0
    assert value(found, "normalised_match", "name") == 1
    assert value(found, "normalised_match", "name", column="low") > 0.98


def test_texts_of_a_few_kinds_are_labels_too():
    labels = pd.DataFrame({"tone": ["good", "bad"] * 20})
    found = labels.genai.evaluate(pd.Series(["good", "bad", "bad", "bad"] * 10, name="tone"))
    assert value(found, "accuracy") == value(found, "exact_match") == 0.75


def test_rows_without_an_answer_and_rows_without_a_code_count_apart(pair):
    labels, gold = pair
    gold = gold.astype(object)
    labels.loc[:9, "flag"] = pd.NA
    gold.loc[390:, "flag"] = None
    found = labels.genai.evaluate(gold[["flag"]])
    assert (value(found, "n"), value(found, "unanswered")) == (380, 10)
    rest = labels.loc[10:389].genai.evaluate(gold.loc[10:389, ["flag"]])
    assert value(found, "accuracy") == value(rest, "accuracy")


def test_gold_is_found_by_its_index_whatever_its_order(pair):
    labels, gold = pair
    some = gold.sample(100, random_state=1)
    expected = labels.loc[some.index].genai.evaluate(some)
    pd.testing.assert_frame_equal(labels.genai.evaluate(some), expected)


def test_groups(pair):
    labels, gold = pair
    year = pd.Series(np.repeat([2001, 2002], 200), name="year")
    found = labels.genai.evaluate(gold[["tone"]], by=year)
    assert list(found.columns) == ["year", "field", "metric", "class", "value", "low", "high", "n"]
    second = found[found["year"] == 2002].drop(columns="year").reset_index(drop=True)
    alone = labels.loc[200:].genai.evaluate(gold.loc[200:, ["tone"]])
    assert second["value"].tolist() == pytest.approx(alone["value"].tolist(), nan_ok=True)
    joined = labels.assign(year=year).genai.evaluate(gold[["tone"]], by="year")
    pd.testing.assert_frame_equal(joined, found)
    assert set(found.confusion) == {("tone", 2001), ("tone", 2002)}


def drawn(population, sizes, rng):
    """Gold of a stratified sample, with its design."""
    strata, rows, parts = [], {}, []
    for place, (name, group) in enumerate(population.groupby("stratum", sort=True)):
        some = group.loc[rng.choice(group.index, sizes[place], replace=False)]
        strata.append(Stratum(str(name), len(group), len(some)))
        rows |= dict.fromkeys(row_ids(some.index), place)
        parts.append(some)
    gold = pd.concat(parts)[["gold"]].rename(columns={"gold": "tone"})
    return carry(gold, Design(tuple(strata), rows, 0, "x"))


def stratified(rng, n=10_000):
    """A population with a rare label that is often wrong, stratified by the label."""
    label = np.where(rng.random(n) < 0.1, "bad", "good")
    wrong = rng.random(n) < np.where(label == "bad", 0.5, 0.04)
    gold = np.where(wrong, np.where(label == "bad", "good", "bad"), label)
    return pd.DataFrame({"label": label, "gold": gold, "stratum": label})


def test_an_unweighted_accuracy_of_a_stratified_sample_is_wrong():
    rng = np.random.default_rng(2)
    population = stratified(rng)
    labels = pd.DataFrame({"tone": pd.Categorical(population["label"])})
    gold = drawn(population, [300, 300], rng)
    weighted, plain = labels.genai.evaluate(gold), labels.genai.evaluate(pd.DataFrame(dict(gold)))
    true = (population["label"] == population["gold"]).mean()
    assert plain.weighted is False
    assert weighted.weighted is True
    assert value(weighted, "accuracy") == pytest.approx(true, abs=0.02)
    assert value(plain, "accuracy") < true - 0.1
    assert value(weighted, "accuracy", column="low") < true
    assert true < value(weighted, "accuracy", column="high")
    assert not value(plain, "accuracy", column="high") > true
    estimated = weighted.confusion["tone"]
    assert estimated.to_numpy().sum() == pytest.approx(len(population))
    counts = pd.crosstab(population["gold"], population["label"])
    assert estimated.loc["bad", "bad"] == pytest.approx(counts.loc["bad", "bad"], rel=0.15)


def test_intervals_of_a_stratified_sample_hold_what_is_true():
    rng = np.random.default_rng(3)
    population = stratified(rng)
    labels = pd.DataFrame({"tone": pd.Categorical(population["label"])})
    whole = labels.genai.evaluate(population["gold"].rename("tone"))
    true = whole.set_index(["metric", "class"])["value"]
    held = 0
    for _ in range(200):
        found = labels.genai.evaluate(drawn(population, [60, 90], rng))
        rows = found.set_index(["metric", "class"])
        held = held + (rows["low"] <= true + 1e-9) * (true <= rows["high"] + 1e-9)
    share = (held / 200).sort_index().drop(["n", "unanswered"], level=0)
    assert share.between(0.90, 0.995).all(), share
    assert 0.93 < share.mean() < 0.98


@pytest.mark.parametrize("right", [1.0, 0.0, 0.97])
def test_intervals_of_a_simple_sample_hold_what_is_true(right):
    rng = np.random.default_rng(4)
    held = {"accuracy": 0, "mae": 0, "spearman": 0, "icc": 0, "cohen_kappa": 0}
    big = 50_000
    gold = pd.DataFrame({"tone": rng.choice(TONES, big), "stars": rng.integers(1, 8, big)})
    other = gold["tone"].map({"good": "bad", "bad": "mixed", "mixed": "good"})
    labels = pd.DataFrame(
        {
            "tone": pd.Categorical(np.where(rng.random(big) < right, gold["tone"], other), TONES),
            "stars": gold["stars"] + rng.choice([-1, 0, 0, 1, 2], big),
        }
    )
    true = labels.genai.evaluate(gold)
    for _ in range(150):
        some = rng.integers(0, big, 120)
        found = (
            labels.iloc[some]
            .reset_index(drop=True)
            .genai.evaluate(gold.iloc[some].reset_index(drop=True))
        )
        for metric in held:
            low, high = (value(found, metric, column=end) for end in ("low", "high"))
            held[metric] += low - 1e-9 <= value(true, metric) <= high + 1e-9
    shares = {metric: count / 150 for metric, count in held.items()}
    assert all(0.9 <= share <= 1 for share in shares.values()), shares
    if right not in {0.0, 1.0}:
        assert 0.92 <= np.mean(list(shares.values())) <= 0.98, shares


def test_the_rows_of_a_stratum_that_nobody_coded():
    population = stratified(np.random.default_rng(5))
    labels = pd.DataFrame({"tone": pd.Categorical(population["label"])})
    gold = drawn(population, [20, 90], np.random.default_rng(6))
    gold.loc[labels.loc[gold.index, "tone"] == "bad", "tone"] = None
    with pytest.warns(UserWarning, match="No row of 'bad' was coded"):
        labels.genai.evaluate(gold)


def test_latex_and_card(pair):
    labels, gold = pair
    found = labels.rename(columns={"tone": "a_tone"}).genai.evaluate(gold["tone"].rename("a_tone"))
    latex = found.to_latex()
    assert latex.startswith("\\begin{tabular}")
    assert r"a\_tone & accuracy &  & 0." in latex
    shown = found._repr_html_()
    assert "accuracy" in shown
    assert "Confusion" in shown
    assert "<script" not in shown


BAD = {
    "another label": (
        lambda gold: gold["tone"].replace("bad", "Bad"),
        r"gold\['tone'\] has 'Bad' at '\d+', which is no label of this field: 'good', 'bad'",
    ),
    "another index": (lambda gold: gold["tone"].add_prefix("x"), "such as 'x0'"),
    "a row more": (
        lambda gold: pd.concat([gold["tone"], pd.Series(["good"], index=[999], name="tone")]),
        "1 of 401 rows of gold are not among the labels, such as '999'",
    ),
    "duplicates": (
        lambda gold: pd.concat([gold["tone"], gold["tone"].iloc[:1]]),
        "The index of gold has '0' more than once",
    ),
    "all missing": (
        lambda gold: gold[["tone"]].where(gold["tone"] == ""),
        "is missing in all rows",
    ),
    "one class": (
        lambda gold: gold["tone"].where(gold["tone"] == "good"),
        r"gold\['tone'\] has one class only, 'good', in all",
    ),
    "no field": (lambda gold: gold.rename(columns=str.upper), "gold has no column of these labels"),
    "a list": (lambda gold: gold["tone"].tolist(), "gold= is a DataFrame of hand codes"),
    "words for numbers": (
        lambda gold: gold["stars"].astype(object).replace(3, "three"),
        "has 'three' at",
    ),
    "text for lists": (lambda gold: gold["topics"].map(str), "where the labels are lists"),
    "words for truth": (
        lambda gold: gold["flag"].map({True: "yes", False: "no"}),
        "is no label of this field: False, True",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_gold_is_one_sentence(pair, case):
    labels, gold = pair
    make, message = BAD[case]
    with pytest.raises(UsageError, match=message) as error:
        labels.genai.evaluate(make(gold))
    assert "\n" not in str(error.value)


def test_rows_that_were_not_drawn_stand_for_nothing():
    population = stratified(np.random.default_rng(5))
    labels = pd.DataFrame({"tone": pd.Categorical(population["label"])})
    gold = drawn(population, [20, 20], np.random.default_rng(6))
    more = pd.concat([gold, pd.DataFrame({"tone": ["good"]}, index=[10_000 - 1])])
    more.attrs = gold.attrs
    assert 9_999 not in gold.index
    with pytest.raises(UsageError, match="1 row of gold were not drawn by its sampling design"):
        labels.genai.evaluate(more)


def test_groups_that_are_no_column(pair):
    labels, gold = pair
    with pytest.raises(UsageError, match="by='year' is no column"):
        labels.genai.evaluate(gold, by="year")
