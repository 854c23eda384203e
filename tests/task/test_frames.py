"""The frame: every answer on its row, in a real dtype."""

import json
import tracemalloc
from datetime import date, datetime
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict, Field

from pandas_genai.task.frames import build_frame
from pandas_genai.task.schema import compile_schema

EVERY = {
    "tone": ["good", "bad", None],
    "year": int | None,
    "score": float | None,
    "flag": bool | None,
    "why": str | None,
    "day": date | None,
    "at": datetime | None,
    "tags": list[str] | None,
}
FULL = {
    "tone": "bad",
    "year": 2**53 + 1,
    "score": 0.1,
    "flag": False,
    "why": "naïve 🎻",
    "day": "1066-10-14",
    "at": "2024-01-31T12:00:00.123456",
    "tags": ["x"],
}
DTYPES = {
    "tone": "category",
    "year": "Int64",
    "score": "Float64",
    "flag": "boolean",
    "why": "str",
    "day": "datetime64[us]",
    "at": "datetime64[us]",
    "tags": "object",
}


def built(spec, index, codes, answers):
    """The frame of answers that are checked first, as a run does."""
    schema = compile_schema(spec)
    texts = [None if one is None else json.dumps(schema.validate(one)) for one in answers]
    return build_frame(schema, index, np.array(codes, dtype=np.int64), iter(texts))


def dtypes_of(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_every_kind_has_its_dtype():
    index = pd.Index([7, 7, 3], name="doc")
    frame = built(EVERY, index, [0, 1, -1], [FULL, {}])
    assert dtypes_of(frame) == DTYPES
    assert frame.index is index
    assert list(frame.columns) == list(EVERY)
    assert frame["tone"].cat.categories.tolist() == ["good", "bad"]
    assert not frame["tone"].cat.ordered
    row = frame.iloc[0]
    assert (row["tone"], row["year"], row["score"]) == ("bad", 2**53 + 1, 0.1)
    assert (row["flag"], row["why"], row["tags"]) == (False, "naïve 🎻", ["x"])
    assert row["day"] == pd.Timestamp("1066-10-14").as_unit("us")
    assert row["at"] == pd.Timestamp("2024-01-31T12:00:00.123456")
    assert frame.iloc[1:].isna().all(axis=None)


@pytest.mark.parametrize("answers", [[], [None], [{}]])
def test_dtypes_do_not_depend_on_the_answers(answers):
    frame = built(EVERY, pd.RangeIndex(2), [len(answers) - 1] * 2, answers)
    assert dtypes_of(frame) == DTYPES
    assert frame.shape == (2, 8)
    assert frame.isna().all(axis=None)
    empty = built(EVERY, pd.RangeIndex(0), [], answers)
    assert dtypes_of(empty) == DTYPES
    assert empty.shape == (0, 8)


def test_rows_share_answers_and_keep_their_order():
    frame = built({"n": int, "l": [int]}, pd.Index(list("abcde")), [2, 0, -1, 1, 2], [
        {"n": 0, "l": [0]}, None, {"n": 2, "l": []},
    ])  # fmt: skip
    assert frame["n"].tolist() == [2, 0, pd.NA, pd.NA, 2]
    assert frame["l"].tolist() == [[], [0], None, None, []]


def test_any_index(frames):
    for name, given in frames.items():
        frame = built(["a", "b"], given.index, [0] * len(given), [{"label": "b"}])
        pd.testing.assert_index_equal(frame.index, given.index)
        assert frame["label"].tolist() == ["b"] * len(given), name
        if given.columns.nlevels == 1:
            assert given.join(frame, how="left").shape[0] >= len(given)


def test_many_records_are_a_long_frame():
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["firm", "year"])
    answers = [
        {"records": [{"n": 1, "s": "x"}, {"n": 2}]},
        {"records": []},
        None,
        {"records": [{"n": 3}]},
    ]
    frame = built(list[{"n": int, "s": str | None}], index, [3, 1, 0, -1, 2, 0], answers)  # noqa: F821 - texts, not types
    assert frame["n"].tolist() == [3, 1, 2, pd.NA, pd.NA, 1, 2]
    assert dtypes_of(frame) == {"n": "Int64", "s": "str"}
    rows = [("a", 1), ("a", 3), ("a", 3), ("b", 1), ("b", 2), ("b", 3), ("b", 3)]
    assert frame.index.tolist() == rows
    assert frame.index.names == ["firm", "year"]
    assert frame["s"].isna().tolist() == [True, False, True, True, True, False, True]


@pytest.mark.parametrize(
    ("codes", "answers", "length"),
    [([], [], 0), ([-1, -1], [], 2), ([0], [{"records": []}], 0), ([0, 0], [None], 2)],
)
def test_many_records_of_little(codes, answers, length):
    frame = built([BaseNumber], pd.RangeIndex(len(codes)), codes, answers)
    assert dtypes_of(frame) == {"n": "Int64"}
    assert len(frame) == length


class BaseNumber(BaseModel):
    n: int


def test_codes_are_not_changed():
    codes = np.array([0, -1, 1])
    schema = compile_schema([BaseNumber])
    build_frame(schema, pd.RangeIndex(3), codes, ['[{"n":1}]', None])
    assert codes.tolist() == [0, -1, 1]


def test_without_a_schema_the_columns_are_what_came_back():
    answers = [
        None,
        {"a": 1, "same": 1},
        {"b": "x", "a": 2, "mix": 1, "none": None, "number": 1},
        {"flag": True, "share": 0.5, "mix": "y", "number": 0.5, "list": [1], "big": 2**70},
        {"flag": None, "object": {"k": 1}, "a": None},
    ]
    frame = built(None, pd.RangeIndex(6), [0, 1, 2, 3, 4, -1], answers)
    assert dtypes_of(frame) == {
        "a": "Int64",
        "same": "Int64",
        "b": "str",
        "mix": "object",
        "none": "object",
        "number": "Float64",
        "flag": "boolean",
        "share": "Float64",
        "list": "object",
        "big": "object",
        "object": "object",
    }
    assert frame["a"].tolist() == [pd.NA, 1, 2, pd.NA, pd.NA, pd.NA]
    assert frame["mix"].tolist() == [None, None, 1, "y", None, None]
    assert frame["big"].tolist()[3] == 2**70
    assert frame.iloc[[0, 5]].isna().all(axis=None)


def test_without_a_schema_and_without_answers():
    frame = built(None, pd.Index(["a", "b"]), [-1, 0], [None])
    assert frame.shape == (2, 0)
    assert frame.index.tolist() == ["a", "b"]


def test_names_without_end_do_not_fill_the_memory():
    answers = [{f"name{n}": n, "more": 1} for n in range(300)]
    frame = built(None, pd.RangeIndex(300), range(300), answers)
    assert frame.shape == (300, 201)
    assert frame.columns[-1] == "more_"
    assert frame["more_"].tolist()[-1] == {"name299": 299}
    assert frame["more_"].tolist()[0] is None
    assert frame["name0"].tolist()[0] == 0


def test_times_with_a_zone_are_in_utc():
    moments = ["2024-01-31T12:00:00Z", "2024-01-31T12:00:00+02:00", "2024-01-31T12:00:00"]
    moments += ["2024-01-31T12:00:00-05:30", "0001-01-01T00:00:00", "9999-12-31T23:59:59"]
    frame = built({"at": datetime}, pd.RangeIndex(6), range(6), [{"at": at} for at in moments])
    assert dtypes_of(frame) == {"at": "datetime64[us]"}
    assert frame["at"].dt.strftime("%H:%M").tolist()[:4] == ["12:00", "10:00", "12:00", "17:30"]
    assert frame["at"].dt.year.tolist()[4:] == [1, 9999]


def test_labels_of_other_types():
    for labels in ([1, 2, 3], [True, False], [0.5, 1], ["a", 1, 0.5], ["1", 1]):
        answers = [{"label": label} for label in labels]
        frame = built(labels, pd.RangeIndex(len(labels)), range(len(labels)), answers)
        assert frame["label"].cat.categories.tolist() == labels
        assert frame["label"].tolist() == labels


def test_decimals_are_numbers():
    from decimal import Decimal

    answers = [{"x": "1.50"}, {"x": 2}]
    frame = built({"x": Decimal}, pd.RangeIndex(2), [0, 1], answers)
    assert dtypes_of(frame) == {"x": "Float64"}
    assert frame["x"].tolist() == [1.5, 2.0]


def test_what_no_schema_foresaw_is_kept_as_it_is():
    schema = compile_schema(EVERY)
    odd = {"tone": "ugly", "year": 2**64, "score": [1], "flag": "yes", "why": 5, "day": "never"}
    odd |= {"at": 5}
    texts = [json.dumps(FULL)] * 50_000 + [json.dumps(odd)]
    frame = build_frame(schema, pd.RangeIndex(2), np.array([0, 50_000]), texts)
    assert set(dtypes_of(frame).values()) == {"object"}
    assert frame.iloc[1, :7].tolist() == list(odd.values())
    assert frame.iloc[0, :5].tolist() == list(FULL.values())[:5]


def test_many_blocks_are_one_column():
    size = 120_000
    schema = compile_schema(EVERY)
    texts = [json.dumps({**FULL, "year": n, "why": str(n)}) if n % 7 else None for n in range(size)]
    codes = np.random.default_rng(0).permutation(size)
    frame = build_frame(schema, pd.RangeIndex(size), codes, texts)
    assert dtypes_of(frame) == DTYPES
    failed = pd.Series(codes % 7 == 0)
    assert (frame["year"].isna() == failed).all()
    assert frame["year"][~failed].astype("int64").eq(codes[~failed]).all()
    assert frame["why"][~failed].astype(object).eq(list(map(str, codes[~failed]))).all()
    assert frame["tags"][~failed].map(len).eq(1).all()


def test_results_are_not_held_together():
    schema = compile_schema({"tone": ["good", "bad"], "year": int})
    padding = "x" * 2_000

    def texts(count):
        for n in range(count):
            yield f'{{"tone":"good","year":{n},"padding":"{padding}{n}"}}'

    tracemalloc.start()
    build_frame(schema, pd.RangeIndex(60_000), np.arange(60_000), texts(60_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_user_may_name_a_column_anything():
    class Loose(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        index: Annotated[int, Field(alias="Index No")]
        copy_: str

    frame = built(Loose, pd.RangeIndex(1), [0], [{"Index No": 1, "copy_": "x"}])
    assert dtypes_of(frame) == {"Index No": "Int64", "copy_": "str"}
