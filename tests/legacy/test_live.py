"""``extract_df``: the original toolkit's door."""

from __future__ import annotations

import json
import sqlite3

import pandas as pd
import pytest

from pandas_genai import (
    DuplicateIndexWarning,
    RowsFailedWarning,
    SqliteCache,
    UsageError,
    compute_prompt_hash,
    extract_df,
)
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}


# Two of the frame's rows have the same id: that is warned of, and one test is about it.
pytestmark = pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.DuplicateIndexWarning")


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
        assert cache.get("a") == {"input_id": "a", "answer": "two"}
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


@pytest.fixture
def singles():
    """Three ids, two texts."""
    return pd.DataFrame({"doc": [1, 2, 3], "body": ["one", "two", "one"]})


@pytest.mark.parametrize(
    ("model", "sent"),
    [("gpt-4.1-mini", 0.0), ("gpt-6-luna", 0.0), ("o3", 1.0), ("gpt-5-mini", 1.0)],
)
def test_the_temperature_is_what_the_original_sent(singles, tmp_path, model, sent):
    where = {"cache_path": tmp_path / "c.sqlite", "id_col": "doc", "text_col": "body"}
    with LoopbackProvider(echo) as provider:
        out = extract_df(
            singles,
            prompt="Echo.",
            model=model,
            schema=SCHEMA,
            base_url=provider.openai_url,
            api_key="k",
            **where,
        )
        assert [call.body["temperature"] for call in provider.ledger.requests] == [sent]
    assert out.genai.report.params_sent["temperature"] == sent


def test_anthropic_is_sent_no_temperature(singles, tmp_path):
    with LoopbackProvider(echo) as provider:
        extract_df(
            singles,
            prompt="Echo.",
            cache_path=tmp_path / "c.sqlite",
            model="claude-haiku-5-5",
            backend="anthropic",
            schema=SCHEMA,
            id_col="doc",
            text_col="body",
            base_url=provider.anthropic_url,
            api_key="k",
        )
        assert "temperature" not in provider.ledger.requests[0].body


def test_answers_without_a_temperature_are_taken_and_said(ask, singles, tmp_path):
    where = {"model": "gpt-6-luna", "api_key": "k", "text": "body", "progress": False}
    more = pd.concat([singles, pd.DataFrame({"doc": [4], "body": ["three"]})])
    with LoopbackProvider(echo) as provider:
        where |= {"base_url": provider.openai_url, "cache": tmp_path / "c.sqlite"}
        singles.genai.extract("Echo.", SCHEMA, **where)
        out = ask(more, provider)
        assert provider.ledger.rows == 3
        shown = repr(out.genai.report)
        assert "3 rows were answered before without a temperature" in shown
        assert out.genai.report.cached == 3
        # With the same temperature the two share their answers.
        more.iloc[3:].genai.extract("Echo.", SCHEMA, params={"temperature": 0.0}, **where)
        assert provider.ledger.rows == 3
        assert ask(more, provider, fresh=True)["answer"].tolist() == ["one", "two", "one", "three"]
        assert provider.ledger.rows == 6
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        assert cache.all_ids(compute_prompt_hash("Echo.")) == {"1", "2", "3", "4"}


def test_the_table_of_ids_is_what_the_original_kept(ask, singles, tmp_path):
    path = tmp_path / "c.sqlite"
    other = compute_prompt_hash("Another prompt.")
    with LoopbackProvider(echo) as provider:
        ask(singles, provider)
        with SqliteCache(path) as cache:
            for given in (None, compute_prompt_hash("Echo.")):
                assert cache.all_ids(given) == {"1", "2", "3"}
                assert cache.get("3", given) == {"input_id": "3", "answer": "one"}
            assert (cache.all_ids(other), cache.get("3", other)) == (set(), None)
        with sqlite3.connect(path) as connection:
            rows = connection.execute("SELECT row_id, json_result FROM ids ORDER BY row_id")
            assert [(name, json.loads(result)) for name, result in rows] == [
                ("1", {"input_id": "1", "answer": "one"}),
                ("2", {"input_id": "2", "answer": "two"}),
                ("3", {"input_id": "3", "answer": "one"}),
            ]
            shared = connection.execute("SELECT DISTINCT json_result FROM results").fetchall()
            assert all("input_id" not in json.loads(result) for (result,) in shared)
        connection.close()


def test_an_answer_to_another_text_under_the_id_is_not_kept(ask, singles, tmp_path):
    """What the table holds of an id is the answer to the text that it has now."""
    changed = singles.assign(body=["four", "two", "one"])
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        ask(singles, provider)
        ask(changed, provider)
        with SqliteCache(tmp_path / "c.sqlite") as cache:
            assert cache.get("1") == {"input_id": "1", "answer": "four"}
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        (found,) = connection.execute("SELECT json_result FROM ids WHERE row_id = '1'").fetchall()
    connection.close()
    assert json.loads(found[0])["answer"] == "four"


def test_what_is_asked_anew_stands_anew_in_the_table(ask, singles, tmp_path):
    answers = iter("abc")
    with LoopbackProvider(lambda text: {"answer": next(answers)}) as provider:
        ask(singles.iloc[:1], provider)
        ask(singles.iloc[:1], provider, fresh=True)
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        (found,) = connection.execute("SELECT json_result FROM ids").fetchall()
    connection.close()
    assert json.loads(found[0]) == {"input_id": "1", "answer": "b"}


def test_ids_that_repeat_are_warned_of(ask, frame):
    with LoopbackProvider(echo) as provider:
        with pytest.warns(DuplicateIndexWarning, match="1 row of the column 'doc' repeats"):
            ask(frame, provider)
