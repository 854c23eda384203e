"""A second store behind every verb: nothing outside the package of stores knows which one it is."""

import ast
import json
from pathlib import Path

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import RowsFailedError, SqliteCache, StopRunError, UsageError
from pandas_genai.runs.report import find_report
from pandas_genai.store import file_of, in_folder, is_there, open_store, relative_url, url_of
from pandas_genai.testing import Fault, LoopbackProvider

URL = "memory://study"
SCHEMA = {"answer": str}


def echo(text):
    return {"answer": text}


@pytest.fixture
def frame():
    return pd.DataFrame({"text": [f"row {number}" for number in range(12)]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, and see that no SQLite file is made there."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.rglob("*sqlite*"))


def options(provider, **others):
    return {"base_url": provider.openai_url, "api_key": "k", "cache": URL, **others}


def test_extract_pays_each_row_once(frame):
    with LoopbackProvider(echo) as provider:
        first = frame.genai.extract("Echo.", SCHEMA, **options(provider))
        again = frame.iloc[::-1].genai.extract("Echo.", SCHEMA, **options(provider))
        assert set(provider.ledger.answered.values()) == {1}
        plan = frame.genai.estimate("Echo.", SCHEMA, **options(provider))
    assert first["answer"].tolist() == frame["text"].tolist()
    assert again["answer"].tolist() == frame["text"].tolist()[::-1]
    assert plan.cached == 12
    assert again.genai.report.cached == 12
    assert again.genai.report.answered_from is not None
    assert first.genai.join(frame)["answer"].tolist() == frame["text"].tolist()
    doubled = pd.concat([frame, frame])
    with pytest.warns(pandas_genai.DuplicateIndexWarning):
        out = doubled.genai.extract("Echo.", SCHEMA, **options(provider))
    assert out.genai.join(doubled)["answer"].tolist() == doubled["text"].tolist()


def test_an_open_store_is_taken_as_it_is(frame):
    with LoopbackProvider(echo) as provider, open_store(URL)[0] as store:
        frame.genai.extract("Echo.", SCHEMA, **options(provider, cache=store))
        out = frame.genai.extract("Echo.", SCHEMA, **options(provider, cache=URL))
        assert provider.ledger.rows == 12
        assert pandas_genai.runs(store).index[0] == out.genai.report.run_id


def test_runs_and_reports_are_in_it(frame):
    faults = [Fault("refusal", text="row 3")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.raises(RowsFailedError):
        frame.genai.extract("Echo.", SCHEMA, **options(provider, on_error="raise"))
    runs = pandas_genai.runs(URL)
    assert runs[["rows", "ok", "failed"]].to_numpy().tolist() == [[12, 11, 1]]
    with open_store(URL)[0] as store:
        (recorded,) = store.runs()
        store.start_run(pandas_genai.store.RunRecord(**{**recorded, "run_id": "of-another-kernel"}))
        failure = store.failures(recorded["run_id"])[0]
        store.save_failures("of-another-kernel", [pandas_genai.store.FailureRecord(**failure)])
        assert len(store.requests(recorded["run_id"])) == recorded["calls"]
    report = find_report("of-another-kernel", URL)
    assert (report.ok, report.failed, report.reasons) == (11, 1, "refusal 1")


def test_an_error_that_ends_a_run_has_the_answers_so_far(frame):
    faults = [Fault("error", status=401, calls=[2])]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.raises(StopRunError) as caught:
        frame.genai.extract("Echo.", SCHEMA, **options(provider, chunk_size=4, max_workers=1))
    assert caught.value.result["answer"].notna().sum() == 4


def test_a_job_is_submitted_and_collected_through_it(frame, folder):
    with LoopbackProvider(echo, faults=[Fault("refusal", text="row 3")]) as provider:
        job = frame.genai.batch_submit("Echo.", SCHEMA, name="n", **options(provider, chunk_size=1))
        assert json.loads((job.path / "job.json").read_bytes())["cache"] == URL
        provider.advance(100_000)
        later = pandas_genai.open_job("n", api_key="k", base_url=provider.openai_url)
        with pytest.warns(pandas_genai.RowsFailedWarning):
            out = later.collect()
        assert out["answer"].isna().tolist() == [number == 3 for number in range(12)]
        assert later.report.failed == 1
        later.resubmit_failed()
        provider.advance(200_000)
        with pytest.warns(pandas_genai.RowsFailedWarning):
            later.collect(cache=URL)
    assert pandas_genai.runs(URL)["kind"].tolist() == ["batch_collect"] * 2
    with open_store(URL)[0] as store:
        (task,) = store.tasks()
        assert store.leasing_jobs(task["prompt_hash"]) == {}


def test_a_password_is_in_no_file_and_no_message(frame, folder):
    url = "memory://me:secret@study"
    with pytest.raises(UsageError) as none:
        pandas_genai.runs(url)
    with pytest.raises(UsageError) as no_report:
        find_report("r1", url)
    with LoopbackProvider(echo) as provider:
        job = frame.genai.batch_submit("Echo.", SCHEMA, name="n", **options(provider, cache=url))
        provider.advance(100_000)
        out = pandas_genai.open_job("n", api_key="k", base_url=provider.openai_url).collect()
    assert out["answer"].tolist() == frame["text"].tolist()
    for text in (none.value, no_report.value, repr(job.report), repr(job)):
        assert "secret" not in str(text)
    for path in folder.rglob("*"):
        assert path.is_dir() or b"secret" not in path.read_bytes()


def test_a_store_that_is_nowhere_is_not_made_by_looking(frame):
    with pytest.raises(UsageError, match="no cache"):
        pandas_genai.runs(URL)
    with LoopbackProvider(echo) as provider:
        frame.genai.estimate("Echo.", SCHEMA, **options(provider))
    assert not is_there(URL)


@pytest.mark.parametrize("cache", ["redis://me:secret@host/0", "sqlite:///", "sqlite://", 7, True])
def test_what_names_no_store_is_refused_without_its_password(frame, cache):
    with LoopbackProvider(echo) as provider, pytest.raises(UsageError, match="cache=") as caught:
        frame.genai.extract("Echo.", SCHEMA, **options(provider, cache=cache))
    assert "secret" not in str(caught.value)


def test_a_file_has_a_url(folder):
    for named in ("c.db", folder / "c.db", f"sqlite:///{folder}/c.db", "sqlite:///c.db"):
        url = url_of(named)
        assert url == f"sqlite:///{folder}/c.db"
        assert file_of(url) == folder / "c.db"
        assert not is_there(named)
    with open_store("sqlite:///c.db")[0] as store:
        assert isinstance(store, SqliteCache)
        assert url_of(store) == store.url == url
        assert is_there("c.db")
    assert url_of(False) is None


def test_a_manifest_names_a_file_relative_to_its_folder(folder):
    job = folder / "jobs" / "n"
    odd = folder / "ü ? # %20.db"
    named = relative_url(url_of(odd), job)
    assert named == "sqlite:///../../ü ? # %20.db"
    moved = folder / "elsewhere"
    assert file_of(in_folder(named, moved / "jobs" / "n")) == moved / odd.name
    for earlier in ("../../c.db", f"{folder}/c.db"):  # as version 0.1 wrote it
        assert file_of(in_folder(earlier, job)) == folder / "c.db"
    assert relative_url(URL, job) == in_folder(URL, job) == URL


def test_who_opens_a_store_does_not_choose_which():
    """The original toolkit's part alone opens cache files, which is what it is given."""
    package, found = Path(pandas_genai.__file__).parent, set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SqliteCache":
                found.add(path.relative_to(package).parts[0])
    assert found == {"store", "legacy"}
