"""The campaign of tests/benchmarks/bench_inference.py in small, with fixed seeds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pandas_genai

PATH = Path(__file__).parents[2] / "benchmarks" / "bench_inference.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_inference", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_inference"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_inference"]


@pytest.fixture(scope="module")
def table(bench):
    return pd.DataFrame([bench.measured(design, 30) for design in bench.designs()[::4]])


def test_there_are_sixty_designs(bench):
    designs = bench.designs()
    assert len(designs) >= 60
    assert len(set(designs)) == len(designs)
    assert {design.errors for design in designs} == set(bench.ERRORS)


def test_corrected_intervals_hold_the_truth_and_naive_ones_do_not(table):
    draws = 30 * len(table)
    error = np.sqrt(0.05 * 0.95 / draws)
    for column in ("coverage full", "coverage tuned", "coverage hand"):
        assert abs(table[column].mean() - 0.95) < 4 * error
        assert table[column].min() >= 24 / 30  # one in 100,000 below
    wrong = table[table.errors == "adversarial"]
    assert wrong["coverage naive"].max() < 0.1
    assert not table.failed.any()


def test_tuned_intervals_are_never_wider_than_those_of_hand_codes(table):
    assert (table["width tuned/hand"] <= 1.05).all()
    informative = table[table.errors.isin(["none", "random", "correlated", "adversarial"])]
    assert (informative["width tuned/hand"] < 0.95).all()


def test_a_null_is_rejected_as_often_as_it_should(table):
    draws = 30 * len(table)
    assert abs(table.rejected.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / draws)


def plain_dsl(data, folds):
    """Least squares of Egami et al. (2023), equation by equation: no code of the package."""
    truth, label = data.x.to_numpy(), data.label.to_numpy()
    coded = ~np.isnan(truth)
    share = coded.mean()
    guess = np.empty(len(data))
    for fold in np.unique(folds):
        for value in (0, 1):
            train = coded & (folds != fold) & (label == value)
            guess[(folds == fold) & (label == value)] = truth[train].mean()
    predicted = np.column_stack([np.ones(len(data)), guess, data.w])
    gold = np.column_stack([np.ones(len(data)), np.where(coded, truth, 0), data.w])
    weight = (coded / share)[:, None]
    y = data.y.to_numpy()
    left = (predicted * (1 - weight)).T @ predicted + (gold * weight).T @ gold
    right = (predicted * (1 - weight)).T @ y + (gold * weight).T @ y
    params = np.linalg.solve(left, right)
    moments = predicted * (1 - weight) * (y - predicted @ params)[:, None]
    moments += gold * weight * (y - gold @ params)[:, None]
    bread = np.linalg.inv(left)
    return params, np.sqrt(np.diag(bread @ moments.T @ moments @ bread.T))


def test_without_tuning_it_is_the_published_estimator():
    rng = np.random.default_rng(8)
    rows = 4000
    x = (rng.random(rows) < 0.4).astype(float)
    data = pd.DataFrame({"w": rng.normal(size=rows)})
    data["y"] = x + data.w + rng.normal(size=rows)
    data["label"] = np.where(rng.random(rows) < 0.8, x, 1 - x)
    data["x"] = pd.Series(x).where(pd.Series(rng.permutation(rows) < 500))
    fit = pandas_genai.regress("y ~ x + w", data, {"x": "label"}, power_tuning=False)
    theirs = [plain_dsl(data, rng.integers(0, 5, rows)) for _ in range(21)]
    params = np.median([one[0] for one in theirs], axis=0)
    errors = np.median([one[1] for one in theirs], axis=0)
    assert (np.abs(fit.params - params) < 0.1 * errors).all()
    np.testing.assert_allclose(fit.bse, errors, rtol=0.02)
    assert "power_tuning=True" in str(fit.summary()) or (fit.bse <= fit.gold_only.bse * 1.05).all()
