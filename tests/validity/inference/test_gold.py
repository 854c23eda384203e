"""Hand codes with a design: labels.genai.regress, shares, power and multiverse."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
import pytest

import pandas_genai
from pandas_genai import Task, UsageError
from pandas_genai.testing import LoopbackProvider
from pandas_genai.validity.design import carry, design_of

ROWS = 1200


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    wrong = pd.Series(rng.random(ROWS) < 0.4, index=[f"r{at}" for at in range(ROWS)])
    frame = pd.DataFrame({"age": rng.normal(size=ROWS), "wrong": wrong}, index=wrong.index)
    frame["year"] = rng.integers(2000, 2005, ROWS)
    frame["y"] = 1.0 * wrong + frame.age + rng.normal(size=ROWS)
    frame["text"] = [f"Letter {at}" for at in range(ROWS)]
    return frame


@pytest.fixture
def labels(data):
    rng = np.random.default_rng(6)
    flipped = data.wrong ^ (rng.random(ROWS) < 0.15)
    return pd.DataFrame({"wrong": flipped})


def coded(labels, data, n=300, **options):
    """Return what coders say of a drawn sample."""
    sample = labels.genai.review_sample(n, text=data["text"], **options)
    gold = data.loc[sample.index, ["wrong"]]
    return carry(gold, sample.design)


def test_a_simple_sample_is_the_function_with_equal_probabilities(labels, data):
    gold = coded(labels, data)
    covariates = data.drop(columns="wrong")
    fit = labels.genai.regress("y ~ wrong + age", data=covariates, gold=gold)
    frame = covariates.join(gold).assign(label=labels.wrong)
    plain = pandas_genai.regress("y ~ wrong + age", frame, {"wrong": "label"})
    pd.testing.assert_series_equal(fit.params, plain.params)
    pd.testing.assert_series_equal(fit.bse, plain.bse)
    assert abs(fit.params["wrong[T.True]"] - 1) < 4 * fit.bse["wrong[T.True]"]


@pytest.mark.parametrize("strata", ["wrong", "unknown"])
def test_a_stratified_sample_has_its_probabilities(labels, data, strata):
    by = "wrong" if strata == "wrong" else data.age.round()
    gold = coded(labels, data, stratify=by)
    fit = labels.genai.regress("y ~ wrong + age", data=data, gold=gold)
    frame = data.drop(columns="wrong").join(gold).assign(label=labels.wrong)
    inside = labels.wrong if strata == "wrong" else by
    counts = inside.map(inside.value_counts())
    probability = inside.map(inside.loc[gold.index].value_counts()) / counts
    plain = pandas_genai.regress("y ~ wrong + age", frame, {"wrong": "label"}, probability)
    exact = strata == "wrong"  # where a row that was not drawn belongs is known
    np.testing.assert_allclose(fit.params, plain.params, atol=1e-8 if exact else 0.01)
    np.testing.assert_allclose(fit.bse, plain.bse, rtol=1e-8 if exact else 0.03)


def test_a_part_of_the_rows_is_taken_as_drawn_independently(labels, data):
    gold = coded(labels, data)
    fit = labels.genai.regress("y ~ wrong", data=data[data.year > 2001], gold=gold)
    assert fit.coded == int((data.loc[gold.index, "year"] > 2001).sum())
    assert any("as if rows had been drawn independently" in note for note in fit.notes)


def test_rows_without_text_are_left_out_and_named(labels, data):
    data.loc[data.index[:20], "text"] = ""
    labels["wrong"] = labels.wrong.astype("boolean").mask(data["text"] == "")
    gold = coded(labels, data)
    fit = labels.genai.regress("y ~ wrong", data=data, gold=gold)
    assert fit.nobs == ROWS - 20
    assert "Without 20 rows that have no text" in str(fit.summary())


def test_shares_and_power_of_labels(labels, data):
    gold = coded(labels, data)
    found = labels.genai.shares("wrong", by="year", data=data, gold=gold)
    assert found.index.names == ["year", "wrong"]
    totals = found.estimate.groupby("year").sum()
    np.testing.assert_allclose(totals, 1, atol=0.15)
    curve = labels.genai.power("y ~ wrong", data=data, gold=gold, n=[150, 300, 600])
    errors = curve.corrected.xs("wrong[T.True]", level="term")
    assert errors.is_monotonic_decreasing
    fit = labels.genai.regress("y ~ wrong", data=data, gold=gold)
    assert abs(errors[300] / fit.bse["wrong[T.True]"] - 1) < 0.05
    assert 150 <= curve.needed(float(errors[300]), "wrong[T.True]") <= 320


def test_multiverse_asks_nothing_that_the_store_has(data, tmp_path):
    data = data.iloc[:300]
    truth = dict(zip(data.text, data.wrong, strict=True))

    def answer(text):
        return {"wrong": bool(truth[text] ^ (zlib.crc32(text.encode()) % 7 == 0))}

    with LoopbackProvider(answer) as provider:
        options = {
            "cache": str(tmp_path / "answers.sqlite"),
            "base_url": provider.openai_url,
            "api_key": "k",
            "progress": False,
        }
        tasks = {
            "paraphrase": Task("Is it wrong at all?", {"wrong": bool}, text="text"),
            "model": Task("Is it wrong?", {"wrong": bool}, text="text", model="other"),
        }
        labels = data.genai.extract("Is it wrong?", {"wrong": bool}, text="text", **options)
        gold = coded(labels, data, 100)
        by_year = labels.genai.shares("wrong", by="year", gold=gold)  # of the frame that was asked
        assert by_year.index.unique(0).tolist() == sorted(data.year.unique())
        arguments = {"data": data.drop(columns="wrong"), "gold": gold, "options": options}
        found = labels.genai.multiverse(tasks, "y ~ wrong", **arguments)
        asked = len(provider.ledger.requests)
        again = labels.genai.multiverse(tasks, "y ~ wrong", **arguments)
        assert len(provider.ledger.requests) == asked
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(again))
    assert found.index.unique(0).tolist() == ["these labels", "paraphrase", "model"]
    flips = found.flips()
    assert flips.loc["wrong[T.True]", "runs"] == 2
    assert flips.loc["wrong[T.True]", ["sign", "naive_sign"]].tolist() == [0, 0]
    assert found.plot().axes


def refused(labels, data, gold, formula="y ~ wrong", **options):
    with pytest.raises(UsageError) as caught:
        labels.genai.regress(formula, data=data, gold=gold, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_hand_codes_get_one_sentence(labels, data):
    gold = coded(labels, data)
    design = design_of(gold)
    assert "no sampling design" in refused(labels, data, pd.DataFrame(gold.to_dict()))
    others = carry(gold.rename(index={gold.index[0]: "elsewhere"}), design)
    assert "'elsewhere'" in refused(labels, data, others)
    picked = pd.concat([gold, data.loc[~data.index.isin(gold.index), ["wrong"]].iloc[:3]])
    assert "convenience sample" in refused(labels, data, carry(picked, design))
    part = carry(gold.iloc[5:], design)
    assert "5 of the 300 rows drawn have no hand code" in refused(labels, data, part)
    twice = carry(pd.concat([gold, gold.iloc[:1]]), design)
    assert "twice in gold" in refused(labels, data, twice)
    uncoded = carry(gold.rename(columns={"wrong": "other"}), design)
    assert "Nobody coded 'wrong' by hand" in refused(labels, data, uncoded)
    assert "names no field" in refused(labels, data.assign(z=1.0), gold, "y ~ age")


def test_hand_codes_without_design_may_have_a_probability(labels, data):
    gold = pd.DataFrame(coded(labels, data).to_dict())
    fit = labels.genai.regress("y ~ wrong", data=data, gold=gold, probability=0.25)
    assert fit.coded == 300
