"""The sampling design, and how a frame of hand codes carries it."""

import io

import pandas as pd
import pytest

from pandas_genai.validity.design import (
    Design,
    Stratum,
    carry,
    coder_of,
    design_of,
    notes_of,
    population_id,
    probability_of,
    row_ids,
)


def drawn(index, seed=0):
    """Every other row, the first of them in a stratum of its own."""
    ids = row_ids(index)[::2]
    strata = (Stratum("first", 1, 1), Stratum("others", len(index) - 1, len(ids) - 1))
    rows = {row: min(place, 1) for place, row in enumerate(ids)}
    return Design(strata, rows, seed, population_id(index), ("place",), "proportional", 3, "r", "h")


INDEXES = {
    "range": pd.RangeIndex(6),
    "text": pd.Index(list("fedcba"), name="doc"),
    "floats": pd.Index([0.5, 1.0, 2.0, 1e300, -1.5, 7.0]),
    "dates": pd.date_range("2026-01-01", periods=6, tz="UTC"),
    "multi": pd.MultiIndex.from_product([["a", "ü"], [1, 2, 3]], names=["firm", "year"]),
    "mixed": pd.Index([1, "1", True, None, ("a", 2), 2.5], tupleize_cols=False),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES.keys())
def test_a_design_is_read_as_it_was_written(index):
    design = drawn(index)
    assert Design.from_json(design.to_json()) == design
    assert len(set(row_ids(index))) == len(index)
    probability = design.probability(index)
    assert probability.index.equals(index)
    assert probability.iloc[::2].tolist() == [1.0, 0.4, 0.4]
    assert probability.iloc[1::2].isna().all(), "never drawn"
    assert design.stratum(index).iloc[[0, 2, 3]].tolist()[:2] == ["first", "others"]
    assert design.stratum(index).iloc[1::2].isna().all()


@pytest.mark.parametrize("text", ["{}", "[]", "1", '{"strata": [1]}', "{", '{"strata": []}'])
def test_what_is_no_design_is_no_design(text):
    with pytest.raises(ValueError, match=r"."):
        Design.from_json(text)


def test_a_frame_carries_its_design_through_slices_copies_and_parquet():
    index = INDEXES["multi"]
    design = drawn(index)
    codes = pd.DataFrame({"tone": ["good", None, "bad"]}, index=index[::2])
    gold = carry(codes, design, "anna", {row_ids(index)[2]: "unsure"})
    file = io.BytesIO()
    gold.to_parquet(file)
    for one in (gold, gold.copy(), gold.iloc[[2, 0]], gold[["tone"]], pd.read_parquet(file)):
        assert design_of(one) == design
        assert coder_of(one) == "anna"
        expected = design.probability(one.index)
        pd.testing.assert_series_equal(probability_of(one), expected)
        assert expected.notna().all()
    assert notes_of(gold).tolist() == ["", "unsure", ""]


def test_rows_that_were_never_drawn_are_told_from_drawn_ones():
    index = pd.RangeIndex(6)
    gold = carry(pd.DataFrame({"tone": ["good"] * 6}, index=index), drawn(index))
    assert probability_of(gold).isna().tolist() == [False, True] * 3


def test_codes_from_elsewhere_have_no_design():
    gold = pd.DataFrame({"tone": ["good"]})
    assert design_of(gold) is None
    assert probability_of(gold) is None
    assert coder_of(gold) == ""


def test_a_population_is_named_by_its_labels_in_any_order():
    index = pd.RangeIndex(10)
    assert population_id(index) == population_id(index[::-1])
    assert population_id(index) != population_id(index[:9])
