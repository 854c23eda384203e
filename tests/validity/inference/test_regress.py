"""Regressions on labels: what they equal, what they say, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from linearmodels import IV2SLS, AbsorbingLS, PanelOLS
from statsmodels.iolib.summary2 import summary_col

import pandas_genai
from pandas_genai import UsageError

LABELS = {"wrong": "p_wrong", "tone": "p_tone", "score": "p_score", "flag": "p_flag"}
TONES = ["neg", "neu", "pos"]


@pytest.fixture(scope="module")
def full():
    """Rows that are all coded by hand, and labelled with errors."""
    rng = np.random.default_rng(1)
    rows = 1500
    data = pd.DataFrame(
        {
            "w": rng.normal(size=rows),
            "z": rng.normal(size=rows),
            "region": rng.choice(list("abc"), rows),
            "county": rng.integers(0, 50, rows),
            "year": rng.integers(2000, 2006, rows),
            "wrong": (rng.random(rows) < 0.4).astype(float),
            "tone": rng.choice(TONES, rows),
            "score": rng.gamma(3, 1, rows) + 0.2,
            "flag": rng.random(rows) < 0.5,
        }
    )
    data["y"] = 1 + data.wrong + 0.5 * data.w + 0.7 * (data.tone == "pos") + rng.normal(size=rows)
    data["send"] = (rng.random(rows) < 1 / (1 + np.exp(0.5 * data.w - data.wrong))).astype(int)
    data["count"] = rng.poisson(np.exp(0.2 + 0.4 * data.wrong + 0.2 * data.w))
    data["x"] = data.z + data.wrong + rng.normal(size=rows)
    data["p_wrong"] = np.where(rng.random(rows) < 0.85, data.wrong, 1 - data.wrong)
    data["p_tone"] = np.where(rng.random(rows) < 0.8, data.tone, rng.choice(TONES, rows))
    data["p_score"] = (data.score * 1.2 + 0.5 * rng.normal(size=rows)).clip(0.05)
    data["p_flag"] = np.where(rng.random(rows) < 0.8, data.flag, ~data.flag)
    return data


@pytest.fixture
def part(full):
    """The same rows; a seventh is coded by hand."""
    data = full.copy()
    coded = np.random.default_rng(2).permutation(len(data)) < 250
    for name in LABELS:
        data[name] = data[name].where(coded)
    return data


CASES = [
    ("y ~ wrong + w + C(region)", "linear", smf.ols),
    ("y ~ tone * w + np.log(score) + I(score ** 2)", "linear", smf.ols),
    ("np.log(score) ~ w + flag", "linear", smf.ols),
    ("send ~ wrong * w", "logit", smf.logit),
    ("wrong ~ w + C(region)", "logit", smf.logit),
    ("count ~ wrong + w", "poisson", smf.poisson),
]


@pytest.mark.parametrize("cluster", [None, "county"])
@pytest.mark.parametrize(("formula", "family", "theirs"), CASES)
def test_with_every_row_coded_it_is_statsmodels(full, formula, family, theirs, cluster):
    fit = pandas_genai.regress(formula, full, LABELS, family=family, cluster=cluster)
    options = {} if family == "linear" else {"disp": 0, "tol": 1e-13}
    if cluster is None:
        expected = theirs(formula, full).fit(cov_type="HC1", **options)
    else:
        groups = {"groups": full[cluster]}
        expected = theirs(formula, full).fit(cov_type="cluster", cov_kwds=groups, **options)
    for ours in (fit, fit.gold_only):
        pd.testing.assert_series_equal(ours.params, expected.params, rtol=0, atol=1e-8)
        pd.testing.assert_series_equal(ours.bse, expected.bse, rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.cov_params(), expected.cov_params(), atol=1e-10)


@pytest.mark.parametrize("cluster", [None, "county"])
def test_multinomial(full, cluster):
    fit = pandas_genai.regress(
        "tone ~ w + wrong", full, LABELS, family="multinomial", cluster=cluster
    )
    model = sm.MNLogit(pd.Categorical(full.tone).codes, sm.add_constant(full[["w", "wrong"]]))
    options = {"cov_type": "HC1"}
    if cluster is not None:
        options = {"cov_type": "cluster", "cov_kwds": {"groups": full[cluster]}}
    expected = model.fit(disp=0, tol=1e-13, **options)
    np.testing.assert_allclose(fit.params, expected.params, atol=1e-8)
    np.testing.assert_allclose(fit.bse, expected.bse, atol=1e-8)
    assert fit.params.columns.tolist() == ["neu", "pos"]
    assert fit.params.index.tolist() == ["Intercept", "w", "wrong"]


@pytest.mark.parametrize("labelled_left", [False, True])
def test_fixed_effects(full, labelled_left):
    formula, left, right = "y ~ wrong + w", full.y, full[["wrong", "w"]]
    if labelled_left:
        formula, left, right = "score ~ w + x", full.score, full[["w", "x"]]
    both = full[["county", "year"]].astype("category")
    expected = AbsorbingLS(left, right, absorb=both).fit(cov_type="robust", debiased=True)
    fit = pandas_genai.regress(formula, full, LABELS, fixed_effects=["county", "year"])
    np.testing.assert_allclose(fit.params, expected.params, atol=1e-8)
    np.testing.assert_allclose(fit.bse, expected.std_errors, atol=1e-8)
    panel = full.assign(row=np.arange(len(full))).set_index(["county", "row"])
    expected = PanelOLS(panel[left.name], panel[list(right)], entity_effects=True).fit(
        cov_type="clustered", cluster_entity=True, group_debias=True
    )
    fit = pandas_genai.regress(formula, full, LABELS, fixed_effects="county", cluster="county")
    np.testing.assert_allclose(fit.params, expected.params, atol=1e-8)
    np.testing.assert_allclose(fit.bse, expected.std_errors, atol=1e-8)


def test_two_stages(full):
    fit = pandas_genai.regress("y ~ wrong + [x ~ z + w]", full, LABELS, family="2sls")
    model = IV2SLS.from_formula("y ~ 1 + wrong + [x ~ z + w]", full)
    expected = model.fit(cov_type="robust", debiased=True)
    pd.testing.assert_series_equal(fit.params, expected.params, check_names=False, atol=1e-8)
    np.testing.assert_allclose(fit.bse, expected.std_errors, atol=1e-8)
    fit = pandas_genai.regress("y ~ wrong + [x ~ z + w]", full, LABELS, cluster="county")
    expected = model.fit(cov_type="clustered", clusters=full.county, debiased=True)
    np.testing.assert_allclose(fit.bse, expected.std_errors, atol=1e-8)


def test_the_other_columns_are_what_statsmodels_gives(part):
    fit = pandas_genai.regress("y ~ wrong + w", part, LABELS)
    alone = smf.ols("y ~ wrong + w", part.dropna(subset=["wrong"])).fit(cov_type="HC1")
    np.testing.assert_allclose(fit.gold_only.params, alone.params, atol=1e-8)
    np.testing.assert_allclose(fit.gold_only.bse, alone.bse, atol=1e-8)
    taken = smf.ols("y ~ p_wrong + w", part).fit(cov_type="HC1")
    np.testing.assert_allclose(fit.naive.params, taken.params, atol=1e-8)
    np.testing.assert_allclose(fit.naive.bse, taken.bse, atol=1e-8)
    assert (fit.bse < fit.gold_only.bse).all()
    assert (fit.effective_n > 250).all()
    assert np.allclose(fit.bought, fit.effective_n / 250)


def test_the_result_has_statsmodels_attributes(part):
    fit = pandas_genai.regress("y ~ wrong + w", part, LABELS)
    np.testing.assert_allclose(fit.tvalues, fit.params / fit.bse)
    low, high = fit.conf_int().loc["wrong"]
    assert low < fit.params["wrong"] < high
    assert fit.conf_int(0.32).loc["wrong", 0] > low
    null = pandas_genai.regress("y ~ wrong + z", part, LABELS)
    assert 0 <= null.pvalues["z"] <= 1
    assert "wrong" in str(summary_col([fit.naive, fit.gold_only, fit], stars=True))
    text = str(fit.summary())
    for column in ("labels as they are", "hand-coded rows only", "corrected", "250 rows coded"):
        assert column in text
    latex = fit.to_latex()
    assert latex.count("\\\\") == len(fit.params) * 2 + 2
    assert latex.startswith("\\begin{tabular}{lccc}")
    assert "<table" in fit._repr_html_()


def test_the_same_seed_gives_the_same_estimates(part):
    fits = [pandas_genai.regress("y ~ wrong + w", part, LABELS, rng=seed) for seed in (3, 3, 4)]
    assert (fits[0].params == fits[1].params).all()
    assert (fits[0].params != fits[2].params).any()


def test_labels_without_information_cost_nothing(part):
    part["p_wrong"] = np.random.default_rng(3).permutation(part.p_wrong)
    fit = pandas_genai.regress("y ~ wrong + w", part, LABELS)
    assert (fit.bse <= 1.05 * fit.gold_only.bse).all()
    assert fit.label_weight.between(0, 1).all()


def test_several_labels_both_sides_and_calibrators(part):
    from sklearn.linear_model import LinearRegression, LogisticRegression

    plain = pandas_genai.regress("score ~ tone * wrong + C(region)", part, LABELS)
    assert plain.params.notna().all()
    for calibrator in (LogisticRegression(max_iter=500), LinearRegression()):
        fit = pandas_genai.regress("y ~ wrong + w", part, LABELS, calibrator=calibrator)
        assert abs(fit.params["wrong"] - 1) < 4 * fit.bse["wrong"]
    fit = pandas_genai.regress("y ~ score", part, LABELS, calibrator=LinearRegression())
    assert fit.params.notna().all()


def test_rows_without_a_label_stay_and_are_named(part):
    part.loc[part.index[::10], "p_wrong"] = np.nan
    fit = pandas_genai.regress("y ~ wrong + w", part, LABELS)
    assert fit.nobs == len(part)
    assert fit.naive.nobs == len(part) - 150
    assert any("150 rows without a label" in note for note in fit.notes)


def test_a_class_that_no_label_names_is_estimated_from_hand_codes(part):
    part["p_tone"] = part.p_tone.replace("pos", "neu")
    fit = pandas_genai.regress("y ~ tone + w", part, LABELS)
    assert np.isnan(fit.naive.params["tone[T.pos]"])
    assert abs(fit.params["tone[T.pos]"] - 0.7) < 4 * fit.bse["tone[T.pos]"]


def test_functions_of_the_caller_may_stand_in_a_formula(part):
    def doubled(values):
        return 2 * values

    fit = pandas_genai.regress("y ~ wrong + doubled(w)", part, LABELS)
    assert abs(fit.params["doubled(w)"] - 0.25) < 4 * fit.bse["doubled(w)"]


def with_value(data, name, value):
    data = data.copy()
    data[name] = data[name].astype(object)
    data.loc[data.index[3], name] = value
    return data if isinstance(value, str) else data.infer_objects()


BAD = {
    "no gold": (lambda d: (d.assign(wrong=np.nan), {}), "No row is coded by hand"),
    "few": (lambda d: (d.assign(wrong=d.wrong.where(d.index < 30)), {}), "at least 10"),
    "zero": (lambda d: (d, {"probability": 0}), "above 0 and not above 1"),
    "above one": (lambda d: (d, {"probability": 1.5}), "above 0 and not above 1"),
    "zero in a row": (
        lambda d: (d.assign(p=np.where(d.index == 5, 0, 1 / 6)), {"probability": "p"}),
        "The probability of row 5 is 0.0",
    ),
    "not those": (lambda d: (d, {"probability": 0.8}), "add up to 1,200 rows, but 250 are coded"),
    "other rows": (
        lambda d: (d, {"predicted": {"wrong": d.p_wrong.sort_index(ascending=False)}}),
        "another index",
    ),
    "missing column": (lambda d: (d, {"formula": "y ~ wrong + nope"}), "names 'nope'"),
    "no labels": (lambda d: (d, {"predicted": {"wrong": "nope"}}), "no column of data"),
    "constant": (lambda d: (d.assign(w=1.0), {}), "'w' is constant"),
    "singular": (lambda d: (d.assign(z=2 * d.w), {"formula": "y ~ wrong + w + z"}), "singular"),
    "not finite": (lambda d: (with_value(d, "w", np.inf), {}), "'w' is infinite in row 3"),
    "missing": (lambda d: (with_value(d, "w", np.nan), {}), "'w' is missing in 1 row"),
    "text": (lambda d: (with_value(d, "w", "n/a"), {}), "holds text ('n/a' in row 3)"),
    "log of 0": (lambda d: (d, {"formula": "y ~ wrong + np.log(p_wrong)"}), "not finite"),
    "one cluster": (lambda d: (d.assign(c=1), {"cluster": "c"}), "in one cluster"),
    "cluster missing": (
        lambda d: (with_value(d, "county", np.nan), {"cluster": "county"}),
        "'county' is missing in row 3",
    ),
    "family": (lambda d: (d, {"family": "probit"}), "family='probit' is none of"),
    "no formula": (lambda d: (d, {"formula": "wrong"}), "no formula with an outcome"),
    "bad formula": (lambda d: (d, {"formula": "y ~ wrong +* w"}), "cannot be read"),
    "nothing labelled": (lambda d: (d, {"formula": "y ~ w"}), "nothing to correct"),
    "coded in part": (
        lambda d: (d.assign(flag=d.flag.shift(1)), {"formula": "y ~ wrong + flag"}),
        "coded by hand in part",
    ),
    "never coded": (
        lambda d: (d.assign(wrong=d.wrong * 0), {}),
        "is the same in all 250 rows coded by hand",
    ),
    "no class": (
        lambda d: (
            d.assign(tone=d.tone.replace("pos", "neu")),
            {"formula": "y ~ tone", "family": "linear"},
        ),
        "nobody coded by hand",
    ),
    "separation": (
        lambda d: (
            (d.assign(send=d.wrong.fillna(d.send)), {"formula": "send ~ wrong + w"})
            and (
                d.assign(send=d.wrong.fillna(d.send)),
                {"formula": "send ~ wrong + w", "family": "logit"},
            )
        ),
        "perfectly separated",
    ),
    "too many effects": (
        lambda d: (d, {"fixed_effects": ["county", "year", "region"]}),
        "At most two fixed effects",
    ),
    "few codes a level": (
        lambda d: (d, {"fixed_effects": ["county"]}),
        "fewer than 5 rows coded by hand",
    ),
    "text for numbers": (
        lambda d: (d.assign(p_wrong="yes"), {}),
        "the labels are text, but the hand codes are numbers",
    ),
    "two columns": (
        lambda d: (pd.concat([d, d[["w"]]], axis=1), {}),
        "two columns named 'w'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence(part, case):
    make, message = BAD[case]
    data, options = make(part)
    arguments = {"formula": "y ~ wrong + w", "predicted": LABELS, **options}
    with pytest.raises(UsageError) as caught:
        pandas_genai.regress(data=data, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_few_codes_a_level_do_not_matter_on_the_left(part):
    fit = pandas_genai.regress("score ~ w", part, LABELS, fixed_effects=["county", "year"])
    assert fit.params.index.tolist() == ["w"]
    assert fit.bse["w"] > 0


def test_hand_codes_of_any_dtype_are_the_same(part):
    plain = pandas_genai.regress("y ~ wrong", part, LABELS)
    for kind in (object, "Int64", "category"):
        fit = pandas_genai.regress("y ~ wrong", part.astype({"wrong": kind}), LABELS)
        pd.testing.assert_series_equal(fit.params, plain.params)
    flags = [part.flag, part.flag.astype("boolean"), part.flag.astype("category")]
    fits = [pandas_genai.regress("y ~ flag", part.assign(flag=one), LABELS) for one in flags]
    assert fits[0].params.index.tolist() == ["Intercept", "flag[T.True]"]
    for fit in fits[1:]:
        pd.testing.assert_series_equal(fit.params, fits[0].params)
    text = part.assign(tone=part.tone.astype("category"), p_tone=part.p_tone.astype("category"))
    for frame in (part, text):
        fit = pandas_genai.regress("tone ~ w", frame, LABELS, family="multinomial")
        assert fit.params.columns.tolist() == ["neu", "pos"]


def test_a_logit_with_fixed_effects_hides_their_dummies(part):
    fit = pandas_genai.regress(
        "send ~ wrong + w", part, LABELS, family="logit", fixed_effects="year"
    )
    dummies = pandas_genai.regress("send ~ wrong + w + C(year)", part, LABELS, family="logit")
    assert fit.params.index.tolist() == ["Intercept", "wrong", "w"]
    pd.testing.assert_series_equal(fit.params, dummies.params[fit.params.index])
    pd.testing.assert_series_equal(fit.bse, dummies.bse[fit.bse.index])


def test_rows_may_be_drawn_one_by_one_with_probabilities_of_their_own(full):
    rng = np.random.default_rng(5)
    chance = 0.15 + 0.3 / (1 + np.exp(-full.w))
    coded = rng.random(len(full)) < chance
    data = full.assign(**{"is wrong": full.wrong.where(coded), "chance": chance})
    fit = pandas_genai.regress("y ~ Q('is wrong') + w", data, {"is wrong": "p_wrong"}, "chance")
    name = "Q('is wrong')"
    assert abs(fit.params[name] - 1) < 4 * fit.bse[name]
    assert fit.bse[name] < fit.gold_only.bse[name]
