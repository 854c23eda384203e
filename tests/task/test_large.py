"""The distinct inputs of a large frame: the same as of a small one, with keys made when needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai import UsageError
from pandas_genai.batch.texts import FrameInputs
from pandas_genai.task.inputs import PartsInput, TextPart, as_inputs
from pandas_genai.task.large import LaterKeys, large_rows
from pandas_genai.task.rows import distinct_rows

texts = st.text(st.characters(codec="utf-8"), max_size=3)
odd = st.sampled_from(["\ud800", PartsInput([TextPart("a")]), PartsInput([TextPart("b")])])


def is_same(large, small):
    assert (large.empty, large.unsendable) == (small.empty, small.unsendable)
    for name in ("first", "copies", "codes", "sizes", "by_key"):
        assert getattr(large, name).tolist() == getattr(small, name).tolist(), name
    assert list(large.keys) == list(small.keys)
    assert list(large.key_blocks()) == list(small.key_blocks())


@given(st.lists(st.none() | texts | odd, max_size=30), st.sampled_from([hash, len, lambda _: 1]))
def test_it_finds_what_is_found_in_a_small_frame(values, hashed):
    """Where texts have one number, as all of one length here, their keys tell."""
    is_same(large_rows(as_inputs(values), hashed), distinct_rows(values))


@given(
    st.lists(texts, min_size=1, max_size=30, unique=True),
    st.lists(st.lists(st.integers(0, 29), max_size=10), max_size=5),
)
def test_keys_are_made_in_any_order(values, asked):
    large, small = large_rows(as_inputs(values)), distinct_rows(values)
    assert isinstance(large.keys, LaterKeys)
    for places in asked:
        there = [place % len(values) for place in places]
        assert large.keys.take(there) == small.keys.take(there)
        assert [large.keys[place] for place in there] == small.keys.take(there)
    for part in (slice(1, 3), slice(None, None, -2), slice(5, 2)):
        assert large.keys[part] == small.keys[part]
    is_same(large, small)


def test_by_several_threads_at_once():
    frame = pd.DataFrame({"text": [f"row {number}" for number in range(25_000)]})
    small = distinct_rows(frame["text"].tolist())
    large = large_rows(FrameInputs(frame, {"column": "text"}))
    spread = [np.arange(start, 25_000, 8) for start in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(large.keys.take, spread))
    assert found == [small.keys.take(places) for places in spread]
    is_same(large, small)


def test_a_frame_that_is_changed_meanwhile():
    values = pd.Series(["a", "b", "c"])
    large = large_rows(FrameInputs(values, {"series": True}))
    values[1] = None
    with pytest.raises(UsageError, match="was changed while its rows were asked"):
        large.keys[1]
    values[1] = "b"
    assert list(large.keys) == list(distinct_rows(["a", "b", "c"]).keys)
