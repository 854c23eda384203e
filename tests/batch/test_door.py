"""df.genai.batch_submit and batch_collect, jobs and open_job, as a user meets them."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import warnings
from contextlib import closing
from pathlib import Path
from typing import TypedDict

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import CredentialsError, JobError, Stopped, UsageError
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.clock import Clock
from pandas_genai.extract.under_way import RowsUnderWayWarning
from pandas_genai.testing import Fault, LoopbackProvider

KEY = "sk-secret-key-of-a-user-12345"
SCHEMA = {"answer": str}


class Word(TypedDict):
    word: str


@pytest.fixture
def provider(backend, monkeypatch):
    with LoopbackProvider(lambda text: {"answer": text}) as running:
        running.url = running.openai_url if backend == "openai" else running.anthropic_url
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        yield running


@pytest.fixture
def submit(provider, backend):
    def run(frame, prompt="Echo.", schema=None, **options):
        options = {"backend": backend, "base_url": provider.url, **options}
        return frame.genai.batch_submit(prompt, schema or SCHEMA, **options)

    return run


def test_submit_today_collect_tomorrow(submit, frame_of, capsys):
    frame = frame_of(12)
    job = submit(frame)
    said = capsys.readouterr().out
    assert "12 of 12 rows submitted in 1 batch" in said
    assert f"genai_batches{os.sep}{job.name}" in said
    assert job.name.startswith("echo-20")
    assert (Path("genai_batches") / job.name / "job.json").exists()
    out = frame.genai.batch_collect()
    assert out["answer"].tolist() == frame["text"].tolist()
    assert out.index.equals(frame.index)
    assert len(out.genai.errors) == 0
    assert out.genai.report.ok == 12


@pytest.mark.filterwarnings("ignore::pandas_genai.DuplicateIndexWarning")
def test_the_frame_is_what_extract_would_have_returned(submit, provider, backend, frames):
    for name in ("plain", "duplicate_index", "multi_index", "datetime_index", "twins", "emoji"):
        frame = frames[name]
        submit(frame, name=name)
        collected = frame.genai.batch_collect(name)
        live = frame.genai.extract(
            "Echo.", SCHEMA, backend=backend, base_url=provider.url, progress=False
        )
        assert provider.ledger.calls == 0
        pd.testing.assert_frame_equal(collected, live)


@pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")
def test_rows_are_matched_by_their_text(submit, frame_of):
    frame = frame_of(20)
    submit(frame, name="night")
    for changed in (frame.iloc[::-1], frame[frame.index % 3 == 0], frame.iloc[5:15].reset_index()):
        out = changed.genai.batch_collect()
        assert out["answer"].tolist() == changed["text"].tolist()
        assert out.index.equals(changed.index)
    grown = pd.concat([frame, pd.DataFrame({"text": ["new", None]})], ignore_index=True)
    out = grown.genai.batch_collect()
    assert out["answer"].notna().sum() == 20
    assert out.genai.errors["reason"].to_dict() == {20: "not submitted", 21: "empty text"}


def test_a_live_run_warns_of_what_a_job_has_under_way(frame_of, backend, monkeypatch, recwarn):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with LoopbackProvider(lambda text: {"answer": text}, batch_seconds=3600) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        options = {"backend": backend, "base_url": url}
        frame_of(6).genai.batch_submit("Echo.", SCHEMA, name="night", **options)
        ask = {**options, "progress": False}
        frame_of(4, "other").genai.extract("Echo.", SCHEMA, **ask)
        frame_of(4).genai.extract("Another question.", SCHEMA, **ask)
        assert not list(recwarn)
        calls = provider.ledger.calls
        said = (
            r"^4 of the texts that are asked now are under way in the job 'night', .*paid for twi"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RowsUnderWayWarning, match=said):
                frame_of(4).genai.extract("Echo.", SCHEMA, **ask)
        assert provider.ledger.calls == calls
        provider.advance(3600)
        frame_of(6).genai.batch_collect()
        frame_of(6).genai.extract("Echo.", SCHEMA, **ask)
        assert provider.ledger.calls == calls


def test_more_columns_than_on_the_day_before(submit, frame_of):
    frame = frame_of(5)
    submit(frame)
    more = frame.assign(title=["t"] * 5, other=["o"] * 5)[["title", "other", "text"]]
    assert more.genai.batch_collect()["answer"].tolist() == frame["text"].tolist()


@pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")
def test_what_needs_no_request_is_not_submitted(submit, provider, backend, capsys):
    frame = pd.DataFrame({"text": ["a", "b", "a", None, "c", " "]})
    options = {"backend": backend, "base_url": provider.url, "progress": False}
    frame.iloc[:1].genai.extract("Echo.", SCHEMA, **options)
    submit(frame)
    said = capsys.readouterr().out
    assert "2 of 6 rows submitted" in said
    assert "1 answered before, 1 duplicate of another row, 2 empty" in said
    (batch,) = provider.batches
    assert sorted(batch.texts) == ["b", "c"]
    out = frame.genai.batch_collect()
    assert out["answer"].fillna("").tolist() == ["a", "b", "a", "", "c", ""]


def test_everything_answered_already(submit, provider, backend, frame_of):
    frame = frame_of(5)
    options = {"backend": backend, "base_url": provider.url, "progress": False}
    frame.genai.extract("Echo.", SCHEMA, **options)
    job = submit(frame)
    assert provider.batches == []
    assert frame.genai.batch_collect()["answer"].notna().all()
    assert job.status().stage == "collected"


@pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")
def test_a_finished_job_says_what_to_do_about_its_failed_rows(submit, provider, frame_of, capsys):
    provider.faults = [Fault("bad_request", text="row 1")]
    frame = frame_of(3)
    submit(frame, chunk_size=1)
    frame.genai.batch_collect()
    capsys.readouterr()
    submit(frame, chunk_size=1)
    said = capsys.readouterr().out
    assert "collected; 2 of 3 rows collected, 1 failed. Nothing new was submitted" in said
    assert "resubmit_failed() sends the failed rows again" in said
    assert len(provider.batches) == 1


@pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")
def test_an_empty_frame(submit, provider, frames):
    submit(frames["empty"], name="empty")
    out = frames["empty"].genai.batch_collect("empty")
    assert (len(out), list(out.columns)) == (0, ["answer"])
    submit(frames["missing"], name="missing", text="text")
    assert frames["missing"].genai.batch_collect("missing")["answer"].notna().sum() == 1
    assert len(provider.batches) == 1


def test_which_job_is_meant(submit, frame_of):
    frame = frame_of(10)
    with pytest.raises(
        JobError, match=r"There is no job in .*genai_batches.*batch_submit\(\) first"
    ):
        frame.genai.batch_collect()
    submit(frame, name="one")
    submit(frame, "Echo twice.", name="two")
    with pytest.raises(JobError, match=r"Several jobs fit these rows(.|\n)*'one'(.|\n)*'two'"):
        frame.genai.batch_collect()
    assert frame.genai.batch_collect("two")["answer"].notna().all()
    with pytest.raises(JobError, match=r"No job fits these rows(.|\n)*'one'"):
        frame_of(10, "other").genai.batch_collect()
    with pytest.raises(JobError, match=r"There is no job 'three' in .*: there are 'one', 'two'"):
        frame.genai.batch_collect("three")


def test_a_name_belongs_to_one_job(submit, frame_of, provider):
    submit(frame_of(10), name="night")
    with pytest.raises(UsageError, match=r"There is a job 'night'.*choose another name"):
        submit(frame_of(11), name="night")
    with pytest.raises(UsageError, match=r"There is a job 'night'"):
        submit(frame_of(10), "Another task.", name="night")
    assert len(provider.batches) == 1


def test_a_job_that_had_nothing_to_submit_keeps_nothing_from_being_submitted(
    submit, frame_of, provider
):
    frame = frame_of(6)
    submit(frame.iloc[:0], name="night")  # a filter that let nothing through
    submit(frame, name="night")
    assert frame.genai.batch_collect("night")["answer"].tolist() == frame["text"].tolist()
    submit(frame, name="again")
    assert len(provider.batches) == 1
    Path("genai_cache.sqlite").unlink()
    submit(frame, name="again")  # what the cache had when it was submitted first is gone
    assert len(provider.batches) == 2
    assert frame.genai.batch_collect("again")["answer"].tolist() == frame["text"].tolist()


def test_a_folder_that_cannot_be_made(submit, frame_of, provider, tmp_path):
    (tmp_path / "notes.txt").touch()
    for path in ("notes.txt", "notes.txt/jobs"):
        with pytest.raises(UsageError, match=r"Jobs cannot lie in .*notes.txt.* pass as folder="):
            submit(frame_of(3), folder=path)
    assert provider.batches == []


def test_default_names_do_not_collide(submit, frame_of):
    first, second = submit(frame_of(5)), submit(frame_of(5, "other"))
    assert second.name == f"{first.name}-2"


def test_jobs_and_open_job(submit, frame_of):
    assert len(pandas_genai.jobs()) == 0
    frame = frame_of(10).set_index(pd.Index([f"id-{n}" for n in range(10)], name="doc"))
    submit(frame, name="night")
    table = pandas_genai.jobs()
    assert table.index.tolist() == ["night"]
    expected = ["backend", "model", "rows", "stage", "done", "failed", "expired"]
    assert table.columns.tolist() == [*expected, "submitted", "ends_by", "cost"]
    assert table.loc["night", "stage"] == "in progress"
    assert (table["ends_by"] - table["submitted"]).dt.total_seconds().between(80_000, 90_000).all()
    job = pandas_genai.open_job("night")
    out = job.collect()
    assert out.index.equals(frame.index)
    assert out["answer"].tolist() == frame["text"].tolist()
    row = pandas_genai.jobs().loc["night"]
    assert (row["stage"], row["done"], row["failed"]) == ("collected", 10, 0)
    assert row["cost"] == job.report.cost > 0
    assert "10 of 10 rows collected" in repr(job)
    assert "10 answered" in job.report._repr_html_()
    assert "<table" in pandas_genai.jobs()._repr_html_()


# pandas 3 compares the frequency of dates too, which no file keeps.
WITHOUT_FREQUENCY = {"check_freq": False} if pd.__version__ >= "3" else {}


@pytest.mark.filterwarnings("ignore::pandas_genai.DuplicateIndexWarning")
@pytest.mark.parametrize(
    "index",
    [
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["firm", "year"]),
        pd.MultiIndex.from_product([["a"], pd.date_range("2026-01-01", periods=3)]),
        pd.Index([7, 7, 8]),
        pd.Index([1, None, 3], dtype="Int64"),
        pd.Index([("a", 1), ("b", 2), ("c", 3)], tupleize_cols=False),
        pd.DatetimeIndex(["2026-01-01", None, "2026-01-03"], name="day"),
        pd.date_range("2026-03-28", periods=3, tz="Europe/Berlin"),
        pd.period_range("2026-01", periods=3, freq="Q"),
        pd.CategoricalIndex(["x", "y", "x"]),
    ],
)
def test_without_the_frame_the_labels_come_from_the_job(submit, index):
    frame = pd.DataFrame({"text": ["x", "y", "z"]}, index=index)
    submit(frame, name="labelled")
    out = pandas_genai.open_job("labelled").collect()
    pd.testing.assert_index_equal(out.index, index, **WITHOUT_FREQUENCY)
    assert out["answer"].tolist() == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (None, ["0", "1"]),
        (pd.Index([-7, 8], dtype="int8"), ["-7", "8"]),
        (pd.Index([1, None], dtype="Int64"), ["1", "<NA>"]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pd.date_range("2026-01-01", periods=2), ["2026-01-01 00:00:00", "2026-01-02 00:00:00"]),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]), ["('a', 1)", "('b', 2)"]),
    ],
)
def test_an_answer_in_the_cache_names_its_row(submit, index, names):
    frame = pd.DataFrame({"text": ["x", "y"]}, index=index)
    submit(frame)
    frame.genai.batch_collect()
    with closing(sqlite3.connect("genai_cache.sqlite")) as cache:
        named = cache.execute("SELECT row_id, json_result ->> 'answer' FROM results").fetchall()
    assert sorted(named, key=lambda row: row[1]) == list(zip(names, ["x", "y"], strict=True))


def test_labels_of_a_type_that_cannot_be_read_back_stay_as_written(submit):
    frame = pd.DataFrame({"text": ["x", "y"]}, index=pd.interval_range(0, 2))
    submit(frame, name="labelled")
    out = pandas_genai.open_job("labelled").collect()
    assert out.index.tolist() == ["(0, 1]", "(1, 2]"]


def test_another_folder_and_cache(submit, frame_of, tmp_path):
    frame, folder = frame_of(4), tmp_path / "mine"
    submit(frame, folder=folder, cache=tmp_path / "mine.sqlite", name="x")
    assert not Path("genai_batches").exists()
    assert not Path("genai_cache.sqlite").exists()
    assert frame.genai.batch_collect(folder=folder)["answer"].notna().all()
    assert pandas_genai.jobs(folder).index.tolist() == ["x"]
    assert pandas_genai.open_job("x", folder).path == folder / "x"
    assert len(pandas_genai.runs(tmp_path / "mine.sqlite")) == 1
    assert not Path("genai_cache.sqlite").exists()


def test_a_moved_project_goes_on(submit, frame_of, tmp_path, monkeypatch):
    (tmp_path / "before").mkdir()
    monkeypatch.chdir(tmp_path / "before")
    submit(frame_of(4))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "before").rename(tmp_path / "after")
    monkeypatch.chdir(tmp_path / "after")
    assert frame_of(4).genai.batch_collect()["answer"].notna().all()
    assert sorted(path.name for path in Path().iterdir()) == ["genai_batches", "genai_cache.sqlite"]


def test_a_series(submit, provider, backend):
    series = pd.Series(["a", "b"], index=["x", "y"], name="t")
    series.genai.batch_submit("Echo.", SCHEMA, backend=backend, base_url=provider.url)
    out = series.genai.batch_collect()
    assert out["answer"].to_dict() == {"x": "a", "y": "b"}


def test_several_records_a_row(submit, provider):
    provider.rule = lambda text: [{"word": word} for word in text.split()]
    frame = pd.DataFrame({"text": ["a b", "c", "d e f"]})
    submit(frame, schema=list[Word], name="words")
    out = frame.genai.batch_collect("words")
    assert out.index.tolist() == [0, 0, 1, 2, 2, 2]
    assert out["word"].tolist() == list("abcdef")


def test_no_key_lies_in_any_file_and_only_the_owner_reads(submit, frame_of, tmp_path):
    submit(frame_of(6), api_key=KEY, name="night")
    frame_of(6).genai.batch_collect()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        data = path.read_bytes()
        assert KEY.encode() not in data, path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    folder = Path("genai_batches")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    assert "job.json" in (folder / "README.md").read_text()


def test_errors_come_before_anything_is_written(provider, backend, frame_of, monkeypatch):
    frame = frame_of(3)
    options = {"backend": backend, "base_url": "https://api.example.org"}
    with pytest.raises(UsageError, match="prompt="):
        frame.genai.batch_submit("", SCHEMA, **options)
    with pytest.raises(UsageError, match="chunk_size="):
        frame.genai.batch_submit("Echo.", SCHEMA, chunk_size=0, **options)
    with pytest.raises(UsageError, match="no batch API"):
        frame.genai.batch_submit("Echo.", SCHEMA, model="local")
    with pytest.raises(UsageError, match="cache= must be a file"):
        frame.genai.batch_submit("Echo.", SCHEMA, cache=False, **options)
    with pytest.raises(UsageError, match="text="):
        frame.genai.batch_submit("Echo.", SCHEMA, text="nowhere", **options)
    with pytest.raises(UsageError, match="poll_s="):
        frame.genai.batch_collect(wait=True, poll_s=0)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(CredentialsError, match="No key for"):
        frame.genai.batch_submit("Echo.", SCHEMA, backend=backend)
    assert not Path("genai_batches").exists()
    assert provider.ledger.requests == []


def test_a_bad_key_is_said_and_nothing_is_lost(backend, frame_of):
    with LoopbackProvider(lambda text: {"answer": text}, keys=["right"]) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        options = {"backend": backend, "base_url": url}
        with pytest.raises(pandas_genai.StopRunError):
            frame_of(3).genai.batch_submit("Echo.", SCHEMA, api_key="wrong", **options)
        frame_of(3).genai.batch_submit("Echo.", SCHEMA, api_key="right", **options)
        assert len(provider.batches) == 1


def test_a_key_meets_no_address_that_only_the_handle_names(submit, frame_of, monkeypatch):
    job = submit(frame_of(3), name="night")
    manifest = job.path / "job.json"
    said = json.loads(manifest.read_text())
    said["base_url"] = "https://evil.example.org/v1"
    manifest.write_text(json.dumps(said))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "another-key")
    with pytest.raises(CredentialsError, match=r"evil\.example\.org.*another key"):
        frame_of(3).genai.batch_collect("night")


def test_a_later_kernel_has_no_key(submit, frame_of, monkeypatch):
    submit(frame_of(3), name="night", api_key=KEY)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    # A loopback server is asked without a key, as on the live path.
    assert frame_of(3).genai.batch_collect()["answer"].notna().all()


def test_every_answer_names_the_run_that_brought_it(submit, frame_of):
    submit(frame_of(3))
    out = frame_of(3).genai.batch_collect()
    with sqlite3.connect("genai_cache.sqlite") as connection:
        rows = connection.execute(
            "SELECT row_id, kind, request_id FROM results JOIN runs USING (run_id)"
        ).fetchall()
    connection.close()
    assert sorted(row[:2] for row in rows) == [(str(n), "batch_collect") for n in range(3)]
    assert all(request_id for _, _, request_id in rows)
    assert out.attrs["pandas_genai_run"] == pandas_genai.runs().index[0]


def test_a_damaged_handle_is_said(submit, frame_of, provider):
    job = submit(frame_of(3), name="night")
    manifest = job.path / "job.json"
    good = manifest.read_bytes()
    manifest.write_bytes(good[:100])
    with pytest.raises(JobError, match=r"job\.json cannot be read.*restore it"):
        frame_of(3).genai.batch_collect("night")
    manifest.write_bytes(good.replace(b'"format": 1', b'"format": 99'))
    with pytest.raises(JobError, match=r"newer pandas-genai.*format 99"):
        frame_of(3).genai.batch_collect("night")
    manifest.write_bytes(good.replace(b'"format": 1', b'"format": 1, "of_tomorrow": 3'))
    assert frame_of(3).genai.batch_collect("night")["answer"].notna().all()
    assert len(provider.batches) == 1


def test_a_job_that_was_never_submitted_is_said(submit, frame_of):
    job = submit(frame_of(3), name="night")
    manifest = job.folder.read_manifest()
    manifest.ready = False
    job.folder.save(manifest)
    with pytest.raises(JobError, match=r"run the cell with batch_submit\(\) again"):
        frame_of(3).genai.batch_collect("night")


def test_stop_while_waiting(backend, frame_of):
    class Pressed(Clock):
        def sleep(self, seconds):
            raise KeyboardInterrupt

    with LoopbackProvider(lambda text: {"answer": text}, batch_seconds=60) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        options = {"backend": backend, "base_url": url, "api_key": KEY}
        job = frame_of(3).genai.batch_submit("Echo.", SCHEMA, **options)
        waiting = pandas_genai.BatchJob(job.folder, ConnectionOptions(KEY, clock=Pressed()))
        with pytest.raises(Stopped, match=r"Stopped waiting.*0 of 3 rows.*Nothing is lost"):
            waiting.collect(wait=True)
        assert pandas_genai.runs()["status"].tolist() == ["stopped"]
        provider.advance(60)
        assert frame_of(3).genai.batch_collect()["answer"].notna().all()


def test_who_answered_is_said_when_the_results_are_collected_again(night, frame_of):
    with night() as kernel:
        job = kernel.submit(frame_of(4))
        first = job.collect().genai.report
        again = job.collect().genai.report
    assert (first.calls, again.calls) == (1, 0)
    assert again.models == first.models
    assert first.answered_from is None
    assert again.answered_from is not None
    assert again.answered_from <= again.answered_to
