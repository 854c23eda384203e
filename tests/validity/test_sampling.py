"""Which rows are drawn: with the probabilities that the design names, and kept when n grows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai.errors import UsageError
from pandas_genai.validity.sampling import draw, strata_of


def drawn(index, strata, n, seed=0, allocation="equal", has_text=None):
    has_text = np.ones(len(index), dtype=bool) if has_text is None else has_text
    return draw(index, strata, n, seed=seed, has_text=has_text, allocation=allocation)


@pytest.mark.parametrize("allocation", ["equal", "proportional"])
def test_rows_are_drawn_as_often_as_their_probability_says(allocation):
    strata = ["rare"] * 3 + ["some"] * 12 + ["often"] * 45
    index, draws = pd.RangeIndex(60), 4_000
    counts, together = np.zeros(60), np.zeros((60, 60))
    for seed in range(draws):
        positions, design = drawn(index, strata, 20, seed, allocation)
        counts[positions] += 1
        mask = np.zeros(60)
        mask[positions] = 1
        together += np.outer(mask, mask)
    by_name = design.table["probability"]
    expected = np.array([by_name[name] for name in strata])
    share = counts / draws
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (share[expected == 1] == 1).all()
    z = (share - expected)[expected < 1] / error[expected < 1]
    assert np.abs(z).max() < 4.5
    assert 0.7 < z.std() < 1.3
    # Two rows of one stratum are drawn together as without replacement, those of two apart.
    often = design.table.loc["often"]
    pair = often["probability"] * (often["sample"] - 1) / (often["population"] - 1)
    observed = together[15:, 15:][np.triu_indices(45, 1)].mean() / draws
    assert observed == pytest.approx(pair, rel=0.02)
    apart = together[15:, 3:15].mean() / draws
    assert apart == pytest.approx(expected[20] * expected[10], rel=0.02)


names = st.integers(-(10**12), 10**12) | st.text("abc\u00e9 1")
labels = st.lists(names, unique_by=repr, min_size=1)


@settings(max_examples=60, deadline=None)
@given(labels, st.data())
def test_a_larger_sample_holds_the_smaller_one_in_any_order_of_the_frame(labels, data):
    index = pd.Index(labels, dtype=object)
    strata = data.draw(st.lists(st.sampled_from("abc"), min_size=len(index), max_size=len(index)))
    has_text = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(index), max_size=len(index)))
    )
    has_text[0] = True
    population = int(has_text.sum())
    least = len({name for name, text in zip(strata, has_text, strict=True) if text})
    sizes = sorted(data.draw(st.lists(st.integers(least, population), min_size=2, max_size=2)))
    allocation = data.draw(st.sampled_from(["equal", "proportional"]))
    seed = data.draw(st.integers(0, 2**40))
    (small, _), (large, design) = [
        drawn(index, strata, n, seed, allocation, has_text) for n in sizes
    ]
    assert set(small) <= set(large)
    assert len(set(large)) == len(large) == design.sample == sizes[1]
    assert has_text[large].all()
    assert design.population == population
    assert all(stratum.probability > 0 for stratum in design.strata)
    counts = pd.Series(strata)[large].value_counts()
    assert counts.to_dict() == design.table["sample"].to_dict()
    shuffled = np.array(data.draw(st.permutations(range(len(index)))))
    again, same = drawn(
        index[shuffled],
        [strata[at] for at in shuffled],
        sizes[1],
        seed,
        allocation,
        has_text[shuffled],
    )
    assert [index[at] for at in large] == [index[shuffled][at] for at in again]
    assert same == design


def test_equal_allocation_takes_small_strata_whole_and_as_many_of_each_other():
    strata = ["a"] * 2 + ["b"] * 10 + ["c"] * 100 + ["d"] * 1000
    _, design = drawn(pd.RangeIndex(1112), strata, 50)
    assert design.table["sample"].to_dict() == {"a": 2, "b": 10, "c": 19, "d": 19}
    _, design = drawn(pd.RangeIndex(1112), strata, 50, allocation="proportional")
    assert design.table["sample"].to_dict() == {"a": 2, "b": 2, "c": 4, "d": 42}


def test_the_draw_is_the_same_in_every_version():
    positions, design = drawn(pd.RangeIndex(1000), ["all"] * 1000, 8, seed=7)
    assert positions.tolist() == PINNED
    assert design.population_id == "075a0cf4b4ad92ac"
    texts = pd.Index([f"doc{n}" for n in range(1000)])
    assert drawn(texts, ["all"] * 1000, 5)[0].tolist() == PINNED_TEXTS


PINNED = [624, 647, 298, 522, 879, 334, 509, 942]
PINNED_TEXTS = [22, 659, 252, 128, 854]


@pytest.mark.parametrize(
    ("index", "strata", "n", "sentence"),
    [
        ([1, 2, 2], ["x"] * 3, 2, "label 2 more than once"),
        ([1, 2, 3], ["x"] * 3, 4, "n=4 is more than the 3 rows"),
        ([1, 2, 3], ["x", "y", "z"], 2, "too small for 3 strata"),
        ([], [], 1, "no row of this frame has a text"),
    ],
)
def test_what_cannot_be_drawn_is_refused(index, strata, n, sentence):
    with pytest.raises(UsageError, match=sentence):
        drawn(pd.Index(index), strata, n)


def test_strata_are_crossed_and_missing_values_are_one_of_their_own():
    one = pd.Series(["a", None, "b"])
    two = pd.Series([1, 2, pd.NA], dtype="Int64")
    assert strata_of([one, two], 3) == ["a / 1", "(missing) / 2", "b / (missing)"]
    assert strata_of([], 2) == ["all", "all"]
