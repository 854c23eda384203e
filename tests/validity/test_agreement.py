"""Agreement: published figures, kept packages as oracles, coverage, speed, bad input."""

from __future__ import annotations

import importlib.util
import sys
import time
from itertools import combinations
from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats import inter_rater

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.validity.coefficients import COEFFICIENTS
from pandas_genai.validity.patterns import Patterns

NONE = np.nan
LEVELS = ["nominal", "ordinal", "interval", "ratio"]
# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C; also in Gwet (2014).
FOUR = pd.DataFrame(
    {
        "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        "C": [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    }
)
# Fleiss (1971) as printed in Wikipedia: 14 raters, 10 subjects, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def coders(frame):
    return [frame[name] for name in frame]


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_krippendorffs_example(level, alpha):
    found = pandas_genai.agreement(coders(FOUR), level=level)
    assert round(found.loc["alpha", "value"], 3) == alpha


def test_gwets_figures_for_the_same_data():
    found = pandas_genai.agreement(coders(FOUR)).round(5)
    assert found.loc["ac1", ["value", "se"]].tolist() == [0.77544, 0.14295]
    assert found.loc["alpha", ["value", "se"]].tolist() == [0.74342, 0.14557]
    assert found.loc["fleiss_kappa", ["value", "se"]].tolist() == [0.76117, 0.15302]
    assert found["n"].to_dict() == {
        "alpha": 11,
        "ac1": 12,
        "fleiss_kappa": 12,
        "cohen_kappa": 11,
        "percent": 11,
    }


# irrCAC 0.4.4, which is not installable beside this package, on the same data.
IRRCAC = {
    "ordinal": {"ac1": (0.89894, 0.10690), "fleiss_kappa": (0.85021, 0.14704)},
    "interval": {
        "ac1": (0.91400, 0.10396),
        "fleiss_kappa": (0.86494, 0.14603),
        "alpha": (0.84911, 0.12913),
    },
    "ratio": {
        "ac1": (0.85737, 0.12207),
        "fleiss_kappa": (0.82134, 0.15239),
        "alpha": (0.79740, 0.14048),
    },
}


@pytest.mark.parametrize("level", IRRCAC)
def test_weighted_coefficients_are_those_of_irrcac(level):
    found = pandas_genai.agreement(coders(FOUR), level=level).round(5)
    for name, expected in IRRCAC[level].items():
        assert found.loc[name, ["value", "se"]].tolist() == list(expected), name


def test_fleiss_table():
    rows = [np.repeat(np.arange(5), counts) for counts in FLEISS]
    found = pandas_genai.agreement(coders(pd.DataFrame(rows)))
    assert round(found.loc["fleiss_kappa", "value"], 3) == 0.210
    assert round(found.loc["percent", "value"], 3) == 0.378


@st.composite
def codings(draw, missing=True):
    units, many = draw(st.integers(2, 30)), draw(st.integers(2, 5))
    code = st.integers(1, draw(st.integers(2, 6)))
    code = st.one_of(st.none(), code) if missing else code
    column = st.lists(code, min_size=units, max_size=units)
    frame = pd.DataFrame({str(coder): draw(column) for coder in range(many)}, dtype="float")
    assume(frame.notna().any().all())
    assume(frame[frame.notna().sum(axis=1) >= 2].stack().nunique() >= 2)
    return frame


@pytest.mark.parametrize("level", LEVELS)
@given(frame=codings())
@settings(max_examples=40, deadline=None)
def test_alpha_is_that_of_the_package_krippendorff(level, frame):
    expected = krippendorff.alpha(frame.to_numpy().T, level_of_measurement=level)
    found = pandas_genai.agreement(coders(frame), level=level, bootstrap=0)
    assert found.loc["alpha", "value"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
@given(frame=codings())
@settings(max_examples=25, deadline=None)
def test_every_coefficient_lies_in_its_interval(level, frame):
    found = pandas_genai.agreement(coders(frame), level=level, bootstrap=20)
    defined = found[found["low"].notna()]
    assert (defined["low"] <= defined["value"] + 1e-9).all()
    assert (defined["value"] <= defined["high"] + 1e-9).all()
    assert (found["high"].dropna() <= 1 + 1e-9).all()
    paired = (frame.notna().sum(axis=1) >= 2).sum()
    assert found.loc["percent", ["value", "low", "high"]].notna().all() or paired < 3


@given(frame=codings(missing=False))
@settings(max_examples=40, deadline=None)
def test_kappas_are_those_of_statsmodels(frame):
    found = pandas_genai.agreement(coders(frame), bootstrap=0)
    table = inter_rater.aggregate_raters(frame.to_numpy())[0]
    assert found.loc["fleiss_kappa", "value"] == pytest.approx(
        inter_rater.fleiss_kappa(table), abs=1e-9
    )
    kinds = np.unique(frame.to_numpy())
    for one, other in combinations(frame, 2):
        both = pd.crosstab(frame[one], frame[other]).reindex(
            index=kinds, columns=kinds, fill_value=0
        )
        with np.errstate(all="ignore"):
            expected = inter_rater.cohens_kappa(both.to_numpy())
        pair = found.pairs.loc[(one, other, "cohen_kappa")]
        assert pair["value"] == pytest.approx(expected.kappa, abs=1e-9, nan_ok=True)
        if np.isfinite(expected.std_kappa):  # theirs divides by n, not by n - 1
            units = len(frame)
            assert pair["se"] == pytest.approx(
                expected.std_kappa * np.sqrt(units / (units - 1)), abs=1e-7
            )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_what_units_contribute_is_the_derivative(level, name):
    """Of the coefficient with respect to the weight of each pattern, by small differences."""
    rng = np.random.default_rng(3)
    truth = rng.integers(1, 5, 400)
    frame = pd.DataFrame(
        {coder: np.where(rng.random(400) < 0.7, truth, rng.integers(1, 5, 400)) for coder in "abc"}
    ).astype("float")
    frame = frame.mask(rng.random(frame.shape) < 0.2)
    patterns = Patterns.of(dict(frame.items()), level)
    # Many units, so that alpha's correction for few does not differ.
    counts = patterns.counts * 1e6
    found = COEFFICIENTS[name](patterns, counts[None])
    weights = counts * found.counted
    linear = np.where(found.counted, found.linear()[0], 0)
    moved = linear - linear @ weights / weights.sum()
    step = 1e-4 * counts.sum()
    for place in np.flatnonzero(found.counted)[::7]:
        more = counts.copy()
        more[place] += step
        by_step = (COEFFICIENTS[name](patterns, more[None]).value - found.value)[0]
        expected = step / (weights.sum() + step) * moved[place]
        assert by_step == pytest.approx(expected, rel=2e-2, abs=2e-6)


def test_units_are_found_by_their_index():
    apart = [FOUR["A"].dropna(), FOUR["B"].sample(frac=1, random_state=1), FOUR["C"], FOUR["D"]]
    expected = pandas_genai.agreement(coders(FOUR))
    pd.testing.assert_frame_equal(pandas_genai.agreement(apart), expected)


def test_categories_that_nobody_gave_count_where_they_are_declared():
    labels = FOUR.map(lambda code: code if pd.isna(code) else "abcde"[int(code) - 1])
    kind = pd.CategoricalDtype(list("abcdefg"))
    plain = pandas_genai.agreement(coders(labels))
    declared = pandas_genai.agreement(coders(labels.astype(kind)))
    assert declared.loc["alpha", "value"] == pytest.approx(plain.loc["alpha", "value"])
    assert declared.loc["ac1", "value"] > plain.loc["ac1", "value"]


def test_an_ordered_categorical_has_an_order():
    words = ["e", "d", "c", "b", "a"]
    labels = FOUR.map(lambda code: code if pd.isna(code) else words[int(code) - 1])
    ordered = labels.astype(pd.CategoricalDtype(words, ordered=True))
    found = pandas_genai.agreement(coders(ordered), level="ordinal")
    pd.testing.assert_frame_equal(found, pandas_genai.agreement(coders(FOUR), level="ordinal"))


@given(
    st.lists(st.tuples(*[st.sampled_from(["a", "b", "c", None])] * 3), min_size=6, max_size=30),
    st.permutations(["a", "b", "c"]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=30, deadline=None)
def test_the_order_of_categories_and_units_changes_nothing(codes, order, random):
    labels = pd.DataFrame(codes, columns=["ann", "ben", "cas"])
    given = labels.stack()
    assume(given.nunique() == 3)
    assume((labels.notna().sum(axis=1) >= 2).any() and labels.notna().any().all())
    moved = random.sample(range(len(labels)), len(labels))
    categories = labels.astype(pd.CategoricalDtype(order)).iloc[moved]
    found = [pandas_genai.agreement(coders(one), bootstrap=50) for one in (labels, categories)]
    pd.testing.assert_frame_equal(*found)


def test_a_sample_of_most_of_a_population_errs_less():
    whole = pandas_genai.agreement(coders(FOUR))
    part = pandas_genai.agreement(coders(FOUR), population=16)
    assert part.loc["ac1", "se"] == pytest.approx(whole.loc["ac1", "se"] * np.sqrt(1 - 12 / 16))
    assert part.loc["ac1", "low"] > whole.loc["ac1", "low"]


def test_truth_values_and_nullable_numbers():
    truth = FOUR > 2
    boolean = truth.astype("boolean").mask(FOUR.isna())
    numbers = truth.astype("Int64").mask(FOUR.isna())
    first = pandas_genai.agreement(coders(boolean))
    pd.testing.assert_frame_equal(first, pandas_genai.agreement(coders(numbers)))


BAD = {
    "no two coders": (lambda: [FOUR["A"]], "two coders"),
    "a frame": (lambda: FOUR, "a list of Series, one for each coder, not a DataFrame"),
    "frames": (lambda: [FOUR, FOUR], "Coder 1 is a DataFrame"),
    "a list of lists": (lambda: [[1, 2], [1, 2]], "Coder 1 is a list"),
    "another index": (lambda: [FOUR["A"], FOUR["B"].add_prefix("x")], "No unit was coded by two"),
    "duplicates": (
        lambda: [FOUR["A"], pd.Series([1, 2, 1], index=[0, 1, 1], name="B")],
        "The index of coder 'B' has '1' more than once",
    ),
    "all missing": (lambda: [FOUR["A"], FOUR["B"] * NONE], "Coder 'B' coded nothing"),
    "one class": (lambda: [FOUR["A"] * 0, FOUR["B"] * 0], "All coders gave 0.0 to every unit"),
    "lists": (lambda: [pd.Series([["a"], ["b"]]), pd.Series([["a"], ["b"]])], "type list"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case):
    make, message = BAD[case]
    with pytest.raises(UsageError, match=message) as error:
        pandas_genai.agreement(make())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("level", "codes", "message"),
    [
        ("ordinal", ["low", "high"], "ordered Categorical"),
        ("interval", ["low", "high"], "The level interval takes numbers, and one code is 'low'"),
        ("interval", [1.0, np.inf], "finite"),
        ("ratio", [-1, 2], "no number below 0"),
        ("metric", [1, 2], "level= is one of nominal, ordinal, interval, ratio, not 'metric'"),
    ],
)
def test_codes_that_have_no_place_at_a_level(level, codes, message):
    with pytest.raises(UsageError, match=message):
        pandas_genai.agreement([pd.Series(codes), pd.Series(codes)], level=level)


def test_a_million_units():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 5, 1_000_000)
    names = np.array(["politics", "economy", "sports", "culture", "other"])
    several = [
        pd.Series(names[np.where(rng.random(len(truth)) < 0.8, truth, rng.permutation(truth))])
        for _ in range(3)
    ]
    before = time.process_time()
    found = pandas_genai.agreement(several, bootstrap=0)
    assert time.process_time() - before < 2
    assert found["n"].eq(1_000_000).all()


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).parents[1] / "benchmarks" / "bench_agreement.py"
    spec = importlib.util.spec_from_file_location("bench_agreement", path)
    module = sys.modules["bench_agreement"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_intervals_hold_what_is_true(bench):
    """A few designs of the benchmark, with fewer samples: 250 have an error of 1.4 points."""
    rng = np.random.default_rng(5)
    designs = bench.DESIGNS[2:19:4]
    held = pd.concat([bench.coverage(design, 250, rng) for design in designs])
    assert held.between(0.90, 0.99).all(), held
    assert 0.935 < held.mean() < 0.965
