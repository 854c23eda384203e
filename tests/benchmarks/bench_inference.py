"""Coverage, widths and speed of regressions on labels.

``python tests/benchmarks/bench_inference.py coverage [draws] [processes]`` draws samples in every
design and writes a table; ``speed`` measures a million rows. The estimators are the package's own
on arrays, so that no formula is read in a draw.
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.validity.inference.estimators import Corrections, naive
from pandas_genai.validity.inference.problem import Labelled, Layout, Piece, Problem, Sample

ROWS, CODED, CLUSTERS = 1500, 300, 50
MODELS = ["linear x", "linear y", "logit x", "logit y", "poisson x", "multinomial y"]
ERRORS = ["none", "random", "correlated", "adversarial", "class never predicted"]
SAMPLING = ["simple", "stratified"]
EFFECT = 0.5


@dataclass(frozen=True)
class Design:
    """One way in which labels, errors and hand codes come about."""

    model: str
    clusters: bool
    sampling: str
    errors: str
    effect: float = EFFECT

    @property
    def family(self):
        return self.model.split()[0].replace("fixed", "linear").replace("2sls", "linear")


def designs(effect=EFFECT):
    """Return all designs; every second one has unequal probabilities."""
    crossed = itertools.product(MODELS, (False, True), ERRORS)
    found = [
        Design(model, clusters, SAMPLING[at % 2], errors, effect)
        for at, (model, clusters, errors) in enumerate(crossed)
    ]
    return found + effects_and_instruments(SAMPLING, effect)


def effects_and_instruments(sampling, effect=EFFECT):
    """Return the designs with fixed effects and 2SLS under each of some kinds of sampling."""
    more = itertools.product(sampling, ("fixed x", "fixed y", "2sls x"), (False, True), ERRORS[1:3])
    return [Design(one, clusters, kind, bad, effect) for kind, one, clusters, bad in more]


def uniform(rng, groups, share=0.15):
    """Uniform numbers, of which those of a cluster hang together; independent without clusters."""
    own = rng.normal(size=ROWS)
    if groups is not None:
        common = rng.normal(size=CLUSTERS)[groups]
        own = np.sqrt(share) * common + np.sqrt(1 - share) * own
    return stats.norm.cdf(own)


def classes_of(shares, chance):
    """Draw a class a row from rows of shares."""
    return (chance[:, None] > np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)


def mislabelled(design, truth, size, w, rng, groups):
    """Return labels with the design's errors."""
    chance = uniform(rng, groups)
    other = (truth + rng.integers(1, size, ROWS)) % size
    if design.errors == "none":
        return truth
    if design.errors == "random":
        return np.where(chance < 0.2, other, truth)
    if design.errors == "correlated":
        return np.where(chance < 0.4 / (1 + np.exp(-2 * w)), size - 1, truth)
    if design.errors == "adversarial":
        return np.where(chance < 0.85, (truth + 1) % size, truth)
    return np.where(truth == size - 1, size - 2, np.where(chance < 0.1, other, truth))


def blurred(design, truth, w, rng, groups):
    """Return predicted numbers with the design's errors."""
    noise = stats.norm.ppf(uniform(rng, groups))
    return {
        "none": truth,
        "random": truth + noise,
        "correlated": truth + 0.5 * w + 0.5 * noise,
        "adversarial": -truth + 0.5 * noise,
        "class never predicted": np.minimum(truth, np.median(truth)) + 0.3 * noise,
    }[design.errors]


def drawn(design, strata, groups, rng):
    """Draw rows: of each stratum as many as of the others, or in proportion."""
    if design.sampling == "simple":
        strata = np.zeros(ROWS, dtype=int)
    _, strata = np.unique(strata, return_inverse=True)
    counts = np.bincount(strata)
    wanted = np.minimum(np.full(len(counts), CODED // len(counts)), counts)
    order = rng.permutation(ROWS)
    coded = np.sort(
        np.concatenate([order[strata[order] == at][:size] for at, size in enumerate(wanted)])
    )
    probability = (wanted / counts)[strata]
    return Sample(coded, probability[coded], strata, None, groups)


def problem(design, rng):
    """Return a draw, the true value of a coefficient, its place and that of one that is 0."""
    groups = rng.permutation(np.arange(ROWS) % CLUSTERS) if design.clusters else None
    w = stats.norm.ppf(uniform(rng, groups))
    v = (uniform(rng, groups) < 0.4).astype(float)
    one = np.ones(ROWS)
    if design.model == "linear y":
        return _numbers(design, rng, groups, w, v)
    if design.model.endswith(" y"):
        return _labelled_outcome(design, rng, groups, w, v)
    x = (uniform(rng, groups) < 1 / (1 + np.exp(0.4 - 0.6 * w))).astype(int)
    label = mislabelled(design, x, 2, w, rng, groups)
    chance = uniform(rng, groups)
    linear = -0.3 + design.effect * x + 0.4 * w
    columns = [one, x, w, v]
    effects = ()
    instruments = None
    if design.model == "logit x":
        y = (chance < 1 / (1 + np.exp(-linear))).astype(float)
    elif design.model == "poisson x":
        y = stats.poisson.ppf(chance, np.exp(linear))
    else:
        y = linear + stats.norm.ppf(chance) * (0.7 + 0.3 * np.abs(w))
    if design.model == "fixed x":
        level = np.arange(ROWS) % 25 if groups is None else groups // 2
        y = y + 0.2 * (level % 5)
        effects, columns = (level,), [x, w, v]
    if design.model == "2sls x":
        z = rng.normal(size=ROWS)
        endogenous = z + 0.5 * stats.norm.ppf(chance) + rng.normal(size=ROWS)
        y = y + 0.7 * endogenous
        columns, instruments = [one, x, w, v, endogenous, z], [0, 1, 2, 3, 5]
    wide = np.column_stack([y, *columns])
    column = 1 if effects else 2
    regressors = np.arange(1, wide.shape[1] - (instruments is not None))
    right = regressors if instruments is None else 1 + np.array(instruments)
    layout = Layout([""] * wide.shape[1], np.array([0]), regressors, right)
    sample = drawn(design, label, groups, rng)
    return _problem(layout, wide, column, x, label, [0, 1], sample, effects), (
        design.effect,
        column - 1,
        column + 1,
    )


def _labelled_outcome(design, rng, groups, w, v):
    """A labelled outcome: two classes, or three."""
    size = 3 if design.family == "multinomial" else 2
    chance = uniform(rng, groups)
    powers = [np.zeros(ROWS), -0.3 + design.effect * w, -0.8 + 0.3 * w]
    powers = np.exp(np.column_stack(powers[:size]))
    shares = powers / powers.sum(axis=1, keepdims=True)
    effects = ()
    if design.model == "fixed y":
        level = np.arange(ROWS) % 150 if groups is None else groups * 3 + np.arange(ROWS) % 3
        second = 0.35 + 0.03 * (level % 5) + 0.1 * design.effect * np.clip(w, -2.5, 2.5)
        shares, effects = np.column_stack([1 - second, second]), (level,)
        w = np.clip(w, -2.5, 2.5)
    y = classes_of(shares, chance)
    label = mislabelled(design, y, size, w, rng, groups)
    columns = [w, v] if effects else [np.ones(ROWS), w, v]
    dummies = [(y == one).astype(float) for one in range(1, size)]
    wide = np.column_stack([*dummies, *columns])
    outcome = np.arange(size - 1)
    regressors = np.arange(size - 1, wide.shape[1])
    layout = Layout([""] * wide.shape[1], outcome, regressors, regressors)
    sample = drawn(design, label, groups, rng)
    truth = 0.1 * design.effect if effects else design.effect
    found = _problem(layout, wide, outcome, y, label, list(range(size)), sample, effects)
    return found, (truth, *((0, 1) if effects else (1, 2)))


def _numbers(design, rng, groups, w, v):
    """A labelled number as the outcome."""
    noise = stats.norm.ppf(uniform(rng, groups)) * (0.7 + 0.3 * np.abs(w))
    y = 0.2 + design.effect * w + noise
    label = blurred(design, y, w, rng, groups)
    wide = np.column_stack([y, np.ones(ROWS), w, v])
    layout = Layout([""] * 4, np.array([0]), np.arange(1, 4), np.arange(1, 4))
    layout = Layout(layout.names, layout.outcome, layout.regressors, layout.regressors)
    sample = drawn(design, v + 2 * (label > np.median(label)), groups, rng)
    predicted = wide.copy()
    predicted[:, 0] = label
    labelled = {"l": Labelled("l", None, label, y[sample.coded])}
    piece = Piece(np.array([0]), ("l",), lambda given: given["l"][:, None])
    found = Problem(layout, predicted, wide[sample.coded], sample, labelled, [piece])
    return found, (design.effect, 1, 2)


def _problem(layout, wide, columns, truth, label, classes, sample, effects):
    columns = np.atleast_1d(columns)

    def values(given):
        if len(columns) == 1:
            return np.full((ROWS, 1), float(given["l"]))
        return np.tile(np.equal(np.arange(1, len(classes)), given["l"]), (ROWS, 1)).astype(float)

    predicted = wide.copy()
    if len(columns) == 1:
        predicted[:, columns[0]] = label
    else:
        predicted[:, columns] = np.equal.outer(label, np.arange(1, len(classes)))
    labelled = {"l": Labelled("l", classes, label, truth[sample.coded])}
    piece = Piece(columns, ("l",), values)
    return Problem(layout, predicted, wide[sample.coded], sample, labelled, [piece], effects)


def one_draw(design, seed):
    """Return covered and width by estimator: naive, hand codes, full correction, tuned."""
    rng = np.random.default_rng([seed, 7])
    data, (truth, place, null) = problem(design, rng)
    found = []
    corrections = Corrections(data, design.family, rng)
    for estimate in (
        naive(data, design.family),
        corrections.gold_only,
        corrections.estimate(power_tuning=False),
        corrections.estimate(),
    ):
        half = stats.t.ppf(0.975, estimate.df) * estimate.cov[place, place] ** 0.5
        found += [abs(estimate.params[place] - truth) <= half, half]
    nothing = stats.t.ppf(0.975, estimate.df) * estimate.cov[null, null] ** 0.5
    return [*found, abs(estimate.params[null]) > nothing]


NAMES = [
    f"{what}_{which}"
    for which in ("naive", "hand", "full", "tuned")
    for what in ("covered", "half")
] + ["rejected"]


def measured(design, draws, first=0):
    """Return a row of the table."""
    rows, failed = [], 0
    for seed in range(first, first + draws):
        try:
            rows.append(one_draw(design, seed))
        except UsageError:
            failed += 1
    mean = pd.DataFrame(rows, columns=NAMES).mean()
    return {
        "model": design.model,
        "clusters": CLUSTERS if design.clusters else 0,
        "sampling": design.sampling,
        "errors": design.errors,
        "effect": design.effect,
        **{f"coverage {name}": mean[f"covered_{name}"] for name in ("naive", "hand")},
        **{f"coverage {name}": mean[f"covered_{name}"] for name in ("full", "tuned")},
        "width full/hand": mean["half_full"] / mean["half_hand"],
        "width tuned/hand": mean["half_tuned"] / mean["half_hand"],
        "rejected": mean["rejected"],
        "failed": failed,
    }


def coverage(draws=1000, processes=2, effect=EFFECT, path="coverage.csv"):
    """Measure every design; rows are written as they come."""
    every = designs(effect)
    rows = []
    with ProcessPoolExecutor(processes) as pool:
        for row in pool.map(measured, every, itertools.repeat(draws)):
            rows.append(row)
            pd.DataFrame(rows).to_csv(path, index=False)
    return pd.DataFrame(rows)


def million(kind):
    """Return a million rows with 2,000 hand codes, and how to regress them."""
    rng = np.random.default_rng(0)
    rows = 1_000_000
    columns = 3 if kind == "two fixed effects" else 19
    data = pd.DataFrame(rng.normal(size=(rows, columns)), columns=[f"x{i}" for i in range(columns)])
    truth = (rng.random(rows) < 0.3).astype(float)
    data["label"] = np.where(rng.random(rows) < 0.85, truth, 1 - truth)
    data["wrong"] = pd.Series(truth).where(pd.Series(rng.permutation(rows) < 2000))
    linear = truth + data.x0
    data["y"] = linear + rng.normal(size=rows)
    data["sent"] = (rng.random(rows) < 1 / (1 + np.exp(1 - linear))).astype(float)
    data["county"], data["year"] = rng.integers(0, 10_000, rows), rng.integers(0, 50, rows)
    others = " + ".join(f"x{i}" for i in range(columns))
    return data, {
        "20 regressors": (f"y ~ wrong + {others}", {}),
        "20 regressors, by cluster": (f"y ~ wrong + {others}", {"cluster": "county"}),
        "20 regressors, logit": (f"sent ~ wrong + {others}", {"family": "logit"}),
        "two fixed effects": (
            f"wrong ~ {others}",
            {"fixed_effects": ["county", "year"], "cluster": "county"},
        ),
    }[kind]


def speed(kind):
    """Regress a million rows once; the process's own seconds count little of what else runs."""
    data, (formula, options) = million(kind)
    wall, own = time.perf_counter(), time.process_time()
    pandas_genai.regress(formula, data, {"wrong": "label"}, **options)
    return {
        "what": kind,
        "seconds": time.perf_counter() - wall,
        "CPU seconds": time.process_time() - own,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    if what == "coverage":
        print(coverage(*map(int, numbers)).to_string())
    else:
        kinds = ["20 regressors", "20 regressors, by cluster", "20 regressors, logit"]
        for kind in [*kinds, "two fixed effects"]:
            with ProcessPoolExecutor(1) as pool:  # each with a peak of its own
                print(pool.submit(speed, kind).result())
