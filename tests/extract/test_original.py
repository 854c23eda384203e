"""``extract_df``: the original toolkit's door."""

from __future__ import annotations

import sqlite3

import pandas as pd
import pytest

from pandas_genai import RowsFailedWarning, SqliteCache, UsageError, extract_df
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}


def echo(text):
    return {"answer": text}


@pytest.fixture
def frame():
    return pd.DataFrame(
        {"doc": ["b", "a", "b"], "body": ["one", "two", "one"], "other": 1}, index=[9, 9, 3]
    )


@pytest.fixture
def ask(tmp_path):
    def run(frame, provider, **options):
        return extract_df(
            frame,
            prompt="Echo.",
            cache_path=tmp_path / "c.sqlite",
            model="gpt-6-luna",
            base_url=provider.openai_url,
            api_key="k",
            **{"schema": SCHEMA, "id_col": "doc", "text_col": "body"} | options,
        )

    return run


def test_ids_are_carried_along_as_they_were_given(ask, frame, tmp_path):
    with LoopbackProvider(echo) as provider:
        out = ask(frame, provider)
    assert out.to_dict("list") == {"input_id": ["b", "a", "b"], "answer": ["one", "two", "one"]}
    assert out.index.tolist() == [0, 1, 2]
    assert out.genai.report.ok == 3
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        assert cache.all_ids() == {"a", "b"}
        assert cache.get("a") == {"answer": "two"}
        (task,) = cache.tasks()
        assert cache.all_ids(task["prompt_hash"]) == {"a", "b"}


def test_numbers_stay_numbers(ask, frame):
    with LoopbackProvider(echo) as provider:
        out = ask(frame.assign(doc=[3, 1, 2]), provider)
    assert out["input_id"].tolist() == [3, 1, 2]
    assert out["input_id"].dtype == "int64"


def test_a_changed_text_under_the_same_id_is_asked_anew(ask, frame):
    with LoopbackProvider(echo) as provider:
        ask(frame, provider)
        out = ask(frame.assign(body=["one", "three", "one"]), provider)
    assert out["answer"].tolist() == ["one", "three", "one"]
    assert provider.ledger.rows == 3


def test_a_failed_row_is_named_by_its_id(ask, frame):
    faults = [Fault("refusal", text="two")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.warns(RowsFailedWarning):
        out = ask(frame, provider)
    assert out["answer"].isna().tolist() == [False, True, False]
    assert out.genai.errors.index.tolist() == ["a"]


def original_file(path, rows):
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE results (row_id TEXT PRIMARY KEY, json_result TEXT NOT NULL, "
            "prompt_hash TEXT)"
        )
        connection.executemany("INSERT INTO results VALUES (?, ?, 'abc')", rows)
    connection.close()


def test_rows_of_the_original_count_only_when_told(ask, frame, tmp_path):
    rows = [("a", '{"input_id": "a", "answer": "old"}'), ("b", '{"nonsense": 1}')]
    original_file(tmp_path / "c.sqlite", rows)
    with LoopbackProvider(echo) as provider:
        out = ask(frame, provider, ignore_prompt_hash=True)
        assert out["answer"].tolist() == ["one", "old", "one"]
        assert provider.ledger.rows == 1
        assert out.genai.report.cached == 1
        out = ask(frame, provider)
    assert out["answer"].tolist() == ["one", "two", "one"]
    assert provider.ledger.rows == 2


def test_missing_columns(ask, frame):
    with LoopbackProvider(echo) as provider, pytest.raises(UsageError, match="no column 'id'"):
        ask(frame, provider, id_col="id")


def test_the_local_model_goes_by_its_name(frame, tmp_path):
    with SqliteCache(tmp_path / "c.sqlite"):
        pass
    with pytest.raises(UsageError, match="leave base_url= out"):
        extract_df(
            frame,
            prompt="p",
            cache_path=tmp_path / "c.sqlite",
            model="local",
            base_url="http://127.0.0.1:1/v1",
            id_col="doc",
            text_col="body",
        )
