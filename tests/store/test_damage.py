"""Whatever happens to the bytes of a cache file: right answers, fewer answers, or one sentence."""

import os
import re
import shutil
import sqlite3
import tempfile
import warnings
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai.errors import CacheError
from pandas_genai.runs.answers import DamagedAnswersWarning
from pandas_genai.store import (
    Answer,
    FailureRecord,
    RequestRecord,
    RunRecord,
    SqliteCache,
    TaskRecord,
)
from pandas_genai.testing import Fault, LoopbackProvider

TASK = "a" * 32
KEYS = [f"{number:032x}" for number in range(80)]
ANSWERS = {key: f'{{"tone": "good", "words": "{"word " * 20}{key}"}}' for key in KEYS}


def answers(keys):
    request = RequestRecord("r1", TASK, list(keys), "req_1", "m", "m-1", "{}", reply=b"{}")
    return [Answer(TASK, key, ANSWERS[key], request=request) for key in keys]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A closed cache file with answers, a task, a run, its rows and a failure."""
    path = tmp_path_factory.mktemp("whole") / "c.sqlite"
    with SqliteCache(path) as cache:
        cache.save_task(TaskRecord(TASK, "Tone?", "{}", "m", "openai", "host", "{}", "You …"))
        cache.start_run(RunRecord("r1", TASK, "extract", "running", "2026-11-01"))
        cache.save_run_rows("r1", [b"".join(bytes.fromhex(key) for key in KEYS)])
        cache.save_failures("r1", [FailureRecord("r1", 1, '"b"', None, "refusal", "No.")])
        writer = cache.writer()
        writer.put(answers(KEYS))
        writer.close()
        cache.put("hand", {"tone": "good"})
        cache.end_run("r1", status="completed")
    return path


def use(path):
    """Do with a cache what a run does; every answer that comes back is right."""
    with SqliteCache(path) as cache:
        found = cache.read(TASK, KEYS)
        assert all(ANSWERS[key] == text for key, text in found.items())
        assert cache.present(TASK, KEYS) == found.keys()
        assert cache.get("hand") in (None, {"tone": "good"})
        cache.tasks()
        cache.failures("r1")
        cache.requests()
        cache.run_rows("r1")
        cache.answer_tokens(TASK)
        cache.start_run(RunRecord("r2", TASK, "extract", "running", "2026-11-02"))
        leases = cache.leases(TASK)
        leases.acquire(KEYS)
        writer = cache.writer()
        failed = []
        missing = [key for key in KEYS if key not in found]
        writer.put(answers(missing or KEYS[:1]), failed.append)
        writer.close()
        leases.close()
        for error in failed:
            if error is not None:
                raise error
        again = cache.read(TASK, KEYS)
        assert all(ANSWERS[key] == text for key, text in again.items())
        cache.end_run("r2", status="completed")
        cache.runs()
    return len(found)


def mutated(content, changes):
    changed = bytearray(content)
    for place, value, length in changes:
        start = int(place * len(changed))
        changed[start : start + length] = bytes([value]) * len(changed[start : start + length])
    return bytes(changed)


change = st.tuples(st.floats(0, 0.999999), st.integers(0, 255), st.sampled_from([1, 1, 2, 8, 300]))


@settings(
    max_examples=80,  # ten times as many in a campaign
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.lists(change, min_size=1, max_size=6))
@example(changes=[(0.0, 0, 1)])
def test_no_change_of_bytes_brings_a_wrong_answer_or_a_raw_error(whole, changes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.sqlite"
        path.write_bytes(mutated(whole.read_bytes(), changes))
        error = None
        try:
            use(path)
        except CacheError as raised:
            error = raised
        assert error is None or str(path) in str(error)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """What asks a cache file, and the bytes of one that a run with a failed row has left."""
    path = tmp_path_factory.mktemp("asked") / "c.sqlite"
    frame = pd.DataFrame({"text": [f"row {number}." for number in range(20)]})

    def ask(path):
        """Ask twice, and look at what is told of it; every answer is right."""
        for _ in range(2):
            out = frame.genai.extract(
                "Repeat.", {"answer": str}, base_url=provider.openai_url, api_key="k", cache=path,
                progress=False, max_workers=2,
            )  # fmt: skip
            answered = out["answer"].notna()
            assert (out["answer"][answered] == frame["text"][answered]).all()
            assert out.genai.errors.index.tolist() == out.index[~answered].tolist()
            assert str(out.genai.report)
            assert len(pandas_genai.runs(path))

    faults = [Fault("refusal", text="row 7.")]
    with LoopbackProvider(lambda text: {"answer": text}, faults=faults) as provider:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask(path)
        provider.faults = ()
        yield ask, path.read_bytes()


def damaged(ask, path):
    """Ask a damaged file; an error is one sentence that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask(path)
    except CacheError as error:
        assert str(path) in str(error)  # noqa: PT017 - or none at all


@settings(max_examples=30, deadline=None)  # ten times as many in a campaign
@given(changes=st.lists(change, min_size=1, max_size=6))
def test_whatever_is_damaged_a_run_is_right_or_ends_with_one_sentence(asked, changes):
    ask, content = asked
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.sqlite"
        path.write_bytes(mutated(content, changes))
        damaged(ask, path)


@pytest.mark.parametrize("value", ["'2026-11-29T08:32:30.\x1343+00:00'", "x'ff00'"])
@pytest.mark.parametrize(
    "column",
    ["results.created", "results.model", "results.model_answered", "results.input_tokens",
     "runs.models", "runs.started", "runs.ended", "run_details.answered_from",
     "run_details.params_sent", "requests.cost", "requests.created", "failures.label",
     "failures.reason", "tasks.schema"],
)  # fmt: skip
def test_a_run_outlives_damaged_records_of_earlier_ones(asked, tmp_path, column, value):
    ask, content = asked
    path, (table, name) = tmp_path / "c.sqlite", column.split(".")
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {name} = {value}")
    damaged(ask, path)


@pytest.mark.parametrize(
    ("table", "column"), [("requests", "rows"), ("tasks", "prompt"), ("failures", "label")]
)
def test_a_column_whose_name_is_damaged_is_an_error_of_the_file(whole, tmp_path, table, column):
    path = tmp_path / "c.sqlite"
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO damaged")
    with SqliteCache(path) as cache:
        look = {"requests": cache.requests, "tasks": cache.tasks}.get(table, cache.failures)
        with pytest.raises(CacheError, match=re.escape(str(path))):
            look("r1") if table != "tasks" else look()


def test_an_undamaged_file_brings_every_answer(whole, tmp_path):
    shutil.copy(whole, tmp_path / "c.sqlite")
    assert use(tmp_path / "c.sqlite") == len(KEYS)


@pytest.mark.parametrize(
    "value",
    ['\'{"tone": "bad"}\'', "'{'", "x'ff00'", "7", "(SELECT json_result FROM results LIMIT 1)"],
)
def test_a_damaged_answer_is_asked_again_and_reported(tmp_path, value):
    path, frame = tmp_path / "c.sqlite", pd.DataFrame({"text": [f"row {n}" for n in range(20)]})

    def ask(provider):
        return frame.genai.extract(
            "Repeat.",
            {"answer": str},
            base_url=provider.openai_url,
            api_key="sk-test",
            cache=path,
            progress=False,
        )

    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        ask(provider)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                f"UPDATE results SET json_result = {value} WHERE row_id IN ('3', '4', '17')"
            )
        before = provider.ledger.rows
        with pytest.warns(DamagedAnswersWarning, match=r"[23] of the answers") as caught:
            out = ask(provider)
        assert len(caught) == 1
        assert str(path) in str(caught[0].message)
        assert out["answer"].tolist() == frame["text"].tolist()
        assert provider.ledger.rows - before in (2, 3)
        ask(provider)
        assert provider.ledger.rows - before in (2, 3)


@pytest.mark.parametrize("value", ["'{'", "'7'", "'{}'", "x''", "x'ff'", "NULL"])
def test_a_damaged_record_of_a_request_takes_no_answer_along(tmp_path, value):
    path, frame = tmp_path / "c.sqlite", pd.DataFrame({"text": ["a", "b"]})
    options = {"api_key": "sk-test", "cache": path, "progress": False}
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        options["base_url"] = provider.openai_url
        first = frame.genai.extract("Repeat.", {"answer": str}, **options)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE requests SET rows = {value}, cost = 0.5")
        again = frame.genai.extract("Repeat.", {"answer": str}, **options)
        assert again.equals(first)
        assert "These answers took" in again.genai.report.message
        assert provider.ledger.rows == 2


def test_an_answer_nested_too_deep_for_reading_is_asked_again(tmp_path):
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        deep = '{"a":' * 400 + "1" + "}" * 400
        cache._database.write(
            "INSERT INTO results (prompt_hash, text_hash, json_result) VALUES (?, ?, ?)",
            [(TASK, KEYS[0], deep), (TASK, KEYS[1], '{"a": 1}')],
        )
        assert cache.present(TASK, KEYS) == {KEYS[1]}
        assert cache.damaged() == 1
        assert cache.damaged() == 0


@pytest.mark.skipif(os.name == "nt", reason="a file in use cannot be deleted there")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_goes_away_in_the_middle_is_noticed(tmp_path, whole, replaced):
    path = tmp_path / "c.sqlite"
    with SqliteCache(path) as cache:
        writer = cache.writer()
        writer.put(answers(KEYS[:10]))
        assert writer.flush(60)
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink()
        if replaced:
            shutil.copy(whole, path)
        failed = []
        writer.put(answers(KEYS[10:20]), failed.append)
        writer.close()
    (error,) = failed
    assert isinstance(error, CacheError)
    assert "deleted or replaced" in str(error)
    assert str(path) in str(error)
    rescued = path.with_name("c.sqlite.rescued")
    with SqliteCache(rescued) as cache:
        assert cache.present(TASK, KEYS) == set(KEYS[:20])
    if replaced:
        assert path.read_bytes() == whole.read_bytes()
