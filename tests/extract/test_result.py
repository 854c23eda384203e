"""The frame that comes back: index, order, dtypes, missing rows."""

from __future__ import annotations

import pandas as pd
import pandas.testing as pdt
import pytest

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai import RowsFailedError, RowsFailedWarning
from pandas_genai.testing import Fault, LoopbackProvider


def by_length(text):
    return {"length": len(text)}


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "empty",
        "one_row",
        "duplicate_index",
        "string_index",
        "multi_index",
        "duplicate_multi_index",
        "datetime_index",
        "twins",
        "emoji",
        "controls",
        "python_strings",
        "arrow_strings",
        "object",
        "categorical",
        "datetimes",
        "column_genai",
    ],
)
@pytest.mark.filterwarnings("ignore::pandas_genai.DuplicateIndexWarning")
def test_result_has_the_inputs_index_in_the_inputs_order(extract, frames, name):
    frame = frames[name]
    with LoopbackProvider(by_length) as provider:
        out = extract(frame, provider, {"length": int}, text="text")
    pdt.assert_index_equal(out.index, frame.index)
    assert out["length"].dtype == "Int64"
    assert out["length"].tolist() == [len(text) for text in frame["text"]]
    if frame.index.is_unique:
        assert frame.join(out)["length"].tolist() == out["length"].tolist()


@pytest.mark.parametrize("name", ["missing", "missing_object"])
def test_missing_texts_are_never_sent(extract, frames, name):
    frame = frames[name]
    with LoopbackProvider(by_length) as provider, pytest.warns(RowsFailedWarning):
        out = extract(frame, provider, {"length": int})
    assert provider.ledger.rows == 1
    assert out["length"].isna().tolist() == [False, True, True, True, True]
    errors = out.genai.errors
    assert errors["reason"].tolist() == ["empty text"] * 4
    assert errors.index.tolist() == [1, 2, 3, 4]
    assert errors["attempts"].tolist() == [0, 0, 0, 0]


def test_texts_go_out_as_they_are(extract):
    texts = ["  padded \n", "e\u0301", "\ufb01", "a\x00b", "\U0001f600", "<b>&amp;</b>"]
    with LoopbackProvider(lambda text: {"text": text}) as provider:
        out = extract(pd.DataFrame({"text": texts}), provider, {"text": str})
    assert sorted(provider.ledger.answered) == sorted(texts)
    assert out["text"].tolist() == texts


def test_a_half_surrogate_fails_its_own_row_only(extract):
    frame = pd.DataFrame({"text": ["fine", "broken \ud800"]}, dtype=object)
    with LoopbackProvider(by_length) as provider, pytest.warns(RowsFailedWarning):
        out = extract(frame, provider, {"length": int})
    assert out["length"].tolist()[0] == 4
    assert out.genai.errors["reason"].tolist() == ["unsendable text"]


def test_same_text_is_one_call(extract, frames):
    with LoopbackProvider(by_length) as provider:
        out = extract(frames["twins"], provider, {"length": int})
    assert provider.ledger.answered == {"same": 1, "other": 1}
    assert out.genai.report.twins == 2
    assert out["length"].tolist() == [4, 4, 5, 4]


def test_dtypes_follow_the_schema(extract):
    schema = {
        "tone": ["positive", "neutral", "negative"],
        "year": int | None,
        "score": float,
        "sure": bool,
        "note": str,
        "topics": [str],
    }
    answer = {
        "tone": "neutral",
        "year": None,
        "score": 0.5,
        "sure": True,
        "note": "n",
        "topics": ["a", "b"],
    }
    with LoopbackProvider(lambda text: answer) as provider:
        out = extract(pd.DataFrame({"text": ["a"]}), provider, schema)
    assert list(out.columns) == list(schema)
    assert out["tone"].cat.categories.tolist() == ["positive", "neutral", "negative"]
    assert [str(dtype) for dtype in out.dtypes] == [
        "category",
        "Int64",
        "Float64",
        "boolean",
        "str",
        "object",
    ]
    assert out["topics"].tolist() == [["a", "b"]]


def test_several_records_a_row(extract):
    def people(text):
        return [{"name": name} for name in text.split()]

    frame = pd.DataFrame({"text": ["Ann Bob", ".", "Cid"]}, index=["x", "y", "z"])
    with LoopbackProvider(lambda text: [] if text == "." else people(text)) as provider:
        out = extract(frame, provider, [{"name": str}])
    assert out.index.tolist() == ["x", "x", "z"]
    assert out["name"].tolist() == ["Ann", "Bob", "Cid"]
    assert out.genai.report.failed == 0
    assert out.genai.report.ok == 3


def test_without_schema_the_columns_are_what_comes_back(extract):
    with LoopbackProvider(lambda text: {"tone": "good", "n": len(text)}) as provider:
        out = extract(pd.DataFrame({"text": ["a", "bb"]}), provider, None)
    assert out["n"].tolist() == [1, 2]
    assert provider.ledger.requests[-1].body["response_format"] == {"type": "json_object"}


@pytest.mark.filterwarnings("ignore::pandas_genai.DuplicateIndexWarning")
def test_a_failed_row_is_missing_and_has_its_reason(extract, frame_of):
    frame = frame_of(10)
    faults = [Fault("bad_request", text="row 7")]
    with LoopbackProvider(by_length, faults=faults) as provider:
        with pytest.warns(RowsFailedWarning, match="1 of 10 rows have no answer") as caught:
            out = extract(frame, provider, {"length": int}, chunk_size=5)
    assert caught[0].filename == __file__ or "conftest" in caught[0].filename
    assert out["length"].isna().sum() == 1
    assert pd.isna(out["length"].iloc[7])
    errors = out.genai.errors
    assert errors.index.tolist() == [7]
    assert errors["reason"].tolist() == ["bad request"]
    assert errors["attempts"].iloc[0] >= 2
    assert errors["request_id"].notna().all()
    report = out.genai.report
    assert (report.rows, report.ok, report.failed, report.cached) == (10, 9, 1, 0)


def test_raise_comes_after_all_is_done_and_saved(extract, frame_of, tmp_path):
    faults = [Fault("refusal", text="row 3")]
    cache = tmp_path / "c.sqlite"
    with LoopbackProvider(by_length, faults=faults) as provider:
        with pytest.raises(RowsFailedError, match="1 of 20 rows failed") as caught:
            extract(frame_of(20), provider, {"length": int}, cache=cache, on_error="raise")
        assert caught.value.result["length"].notna().sum() == 19
        calls = provider.ledger.calls
        with pytest.raises(RowsFailedError):
            extract(frame_of(20), provider, {"length": int}, cache=cache, on_error="raise")
        assert provider.ledger.calls == calls + 1


def test_raise_is_not_for_empty_texts(extract, frames):
    with LoopbackProvider(by_length) as provider, pytest.warns(RowsFailedWarning):
        extract(frames["missing"], provider, {"length": int}, on_error="raise")


def test_only_a_small_id_lies_in_attrs(extract, frame_of):
    with LoopbackProvider(by_length) as provider:
        out = extract(frame_of(3), provider, {"length": int})
    assert list(out.attrs) == ["pandas_genai_run"]
    assert isinstance(out.attrs["pandas_genai_run"], str)
    assert len(out.attrs["pandas_genai_run"]) < 40
