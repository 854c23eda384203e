"""Shares, power and plots on plain frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pandas_genai
from pandas_genai import UsageError

TONES = ["neg", "neu", "pos"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    rows = 3000
    data = pd.DataFrame({"year": rng.integers(2000, 2005, rows)})
    rising = rng.random(rows) < 0.2 + 0.05 * (data.year - 2000)
    truth = np.where(rising, "neg", rng.choice(["neu", "pos"], rows))
    data["label"] = np.where(rng.random(rows) < 0.75, truth, "pos")
    coded = pd.Series(rng.random(rows) < 0.15)
    data["tone"] = pd.Series(truth).where(coded)
    score = data.year - 2000 + rng.normal(size=rows)
    data["guess"] = 2 * score + rng.normal(size=rows)
    data["score"] = score.where(coded)
    data["side"] = np.where(rng.random(rows) < 0.5, "left", "right")
    data["full"] = truth
    return data


def test_shares_hold_the_truth_where_labels_do_not(frame):
    found = pandas_genai.shares("tone", frame, {"tone": "label"}, by="year")
    assert found.index.names == ["year", "tone"]
    truth = frame.groupby("year").full.value_counts(normalize=True)
    truth.index.names = found.index.names
    inside = found.low.le(truth) & found.high.ge(truth)
    assert inside.mean() > 0.8
    naive = (found.naive - truth).abs() <= 2 * found.naive_se
    assert naive.mean() < 0.5
    assert found.low.between(0, 1).all()
    assert (found.se < found.gold_only_se).all()
    assert found.n.groupby("year").first().sum() == len(frame)


@pytest.mark.parametrize("power_tuning", [True, False])
def test_shares_of_two_classes_sum_to_one(frame, power_tuning):
    two = frame.replace({"label": {"neu": "pos"}, "tone": {"neu": "pos"}})
    found = pandas_genai.shares(
        "tone", two, {"tone": "label"}, by="year", power_tuning=power_tuning
    )
    assert found["estimate"].groupby("year").sum().to_numpy() == pytest.approx(1)


def test_with_every_row_coded_shares_are_means(frame):
    every = frame.assign(tone=frame.full)
    found = pandas_genai.shares("tone", every, {"tone": "label"}, by="side")
    means = frame.groupby("side").full.value_counts(normalize=True)
    means.index.names = found.index.names
    pd.testing.assert_series_equal(found.estimate, means.reindex(found.index), check_names=False)


def test_differences_and_trends(frame):
    found = pandas_genai.shares("tone", frame, {"tone": "label"}, by="year")
    change = found.differences(2000).loc[(2004, "neg")]
    expected = found.estimate[2004, "neg"] - found.estimate[2000, "neg"]
    assert change.estimate == pytest.approx(expected)
    assert change.low < 0.2 < change.high
    trend = found.trend()
    assert trend.loc["neg", "low"] < 0.05 < trend.loc["neg", "high"]
    assert trend.loc["neg", "p"] < 0.01
    assert trend.estimate.sum() == pytest.approx(0, abs=0.02)
    means = pandas_genai.shares("score", frame, {"score": "guess"}, by="year").trend()
    assert means.loc["mean", "low"] < 1 < means.loc["mean", "high"]


def test_groups_without_hand_codes_have_no_estimate(frame):
    gone = frame.assign(tone=frame.tone.where(frame.year != 2002))
    found = pandas_genai.shares("tone", gone, {"tone": "label"}, by="year")
    assert found.loc[2002, "estimate"].isna().all()
    assert found.drop(2002, level=0)["estimate"].notna().all()
    assert found.trend().estimate.notna().all()


def test_what_shares_refuse(frame):
    with pytest.raises(UsageError, match="names no labels of 'tone'"):
        pandas_genai.shares("tone", frame, {"other": "label"})
    with pytest.raises(UsageError, match="no group"):
        pandas_genai.shares("tone", frame, {"tone": "label"}, by="side").differences("middle")
    with pytest.raises(UsageError, match="groups that are numbers"):
        pandas_genai.shares("tone", frame, {"tone": "label"}, by="side").trend()
    with pytest.raises(UsageError, match="by= is missing in row 4"):
        gap = frame.assign(side=frame.side.where(frame.index != 4))
        pandas_genai.shares("tone", gap, {"tone": "label"}, by="side")


def test_power_foresees_what_is_found(frame):
    data = frame.assign(y=frame.full.eq("neg") + np.random.default_rng(1).normal(size=len(frame)))
    order = np.random.default_rng(2).permutation(len(frame))

    def coded(n):
        hand = data.full.where(pd.Series(np.isin(np.arange(len(data)), order[:n])))
        return data.assign(tone=hand)

    formula, name = "y ~ I(tone == 'neg')", "I(tone == 'neg')[T.True]"
    curve = pandas_genai.power(formula, coded(300), {"tone": "label"}, n=[300, 1200])
    for n in (300, 1200):
        fit = pandas_genai.regress(formula, coded(n), {"tone": "label"})
        assert curve.corrected[n, name] == pytest.approx(fit.bse[name], rel=0.15)
        assert curve.gold_only[n, name] == pytest.approx(fit.gold_only.bse[name], rel=0.15)
    needed = curve.needed(float(curve.corrected[1200, name]), name)
    assert needed == pytest.approx(1200, rel=0.02)
    assert curve.needed(1e-6, name) is None
    beyond = pandas_genai.power(formula, coded(300), {"tone": "label"}, n=[300, 10_000])
    assert beyond.index.unique(0).tolist() == [300, len(frame)]
    with pytest.raises(UsageError, match="no coefficient"):
        curve.needed(0.1, "nope")
    with pytest.raises(UsageError, match="at least 10"):
        pandas_genai.power(formula, coded(300), {"tone": "label"}, n=[5])


def test_plots(frame):
    shares = pandas_genai.shares("tone", frame, {"tone": "label"}, by="year").plot()
    assert [text.get_text() for text in shares.legends[0].get_texts()] == TONES
    sides = pandas_genai.shares("tone", frame, {"tone": "label"}, by="side").plot()
    ticks = [tick.get_text() for tick in sides.axes[0].get_xticklabels()]
    assert ticks == ["left", "right"]
    data = frame.assign(y=1.0 * frame.full.eq("neg"))
    fit = pandas_genai.regress("y ~ tone + C(side)", data, {"tone": "label"})
    figure = fit.plot()
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == [name for name in fit.params.index if name != "Intercept"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "labels as they are",
        "hand-coded rows only",
        "corrected",
    ]
    curve = pandas_genai.power("y ~ tone", data, {"tone": "label"}, n=[100, 200, 400]).plot()
    assert len(curve.axes[0].lines) == 4
    arabic = frame.assign(side=np.where(frame.side == "left", "يسار", "左"))
    drawn = pandas_genai.shares("tone", arabic, {"tone": "label"}, by="side").plot()
    assert drawn._repr_png_()
