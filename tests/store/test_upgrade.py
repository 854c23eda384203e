"""Cache files and job folders of version 0.1 open as they are, and answer without a call.

``tests/data`` holds what version 0.1.0 wrote: a cache with one run of ``extract``, one of
``extract_df``, one row put by hand and one collected job, and that job's directory.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import RowsFailedWarning, SqliteCache, compute_prompt_hash, extract_df
from pandas_genai.testing import LoopbackProvider

DATA = Path(__file__).parents[1] / "data"
TEXTS = [f"text {number}" for number in range(12)] + ["text 3", None, "é 🎻 “quoted”"]
NOBODY = {"model": "gpt-6-luna", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-test"}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}

# What a kernel of version 0.1 runs on a file that another one has upgraded meanwhile.
OLD_INSERT = """
INSERT OR REPLACE INTO results (
    prompt_hash, text_hash, repeat, row_id, json_result, model, model_answered, created, run_id,
    request_id, input_tokens, cached_tokens, output_tokens
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
OLD_RUNS = (
    "run_id, prompt_hash, kind, status, started, ended, version, rows, ok, failed, cached, empty, "
    "twins, calls, retries, input_tokens, cached_tokens, cache_write_tokens, output_tokens, cost, "
    "currency, models, host, message"
)


@pytest.fixture
def old(tmp_path):
    """Copies of what version 0.1.0 wrote."""
    shutil.copy(DATA / "v1_cache.sqlite", tmp_path)
    shutil.copytree(DATA / "v1_jobs", tmp_path / "v1_jobs")
    return tmp_path / "v1_cache.sqlite"


@pytest.fixture
def frame():
    return pd.DataFrame({"text": TEXTS})


def version_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_cache_of_version_1_answers_without_a_call(old, frame):
    assert version_of(old) == 1
    with pytest.warns(RowsFailedWarning, match="empty text 1"):
        out = frame.genai.extract("Echo.", {"answer": str}, cache=old, progress=False, **NOBODY)
    assert out["answer"].fillna("").tolist() == [text or "" for text in TEXTS]
    assert version_of(old) == 2
    with pytest.warns(RowsFailedWarning, match="empty text 1"):
        again = frame.genai.extract("Echo.", {"answer": str}, cache=old, progress=False, **NOBODY)
    pd.testing.assert_frame_equal(again, out)
    runs = pandas_genai.runs(old)
    assert runs["calls"].tolist()[:2] == [0, 0]
    assert len(runs) == 5


def test_extract_df_and_ids_of_version_1_answer_without_a_call(old, frame):
    ids = frame.assign(id=[f"id{number}" for number in range(len(frame))])
    with pytest.warns(RowsFailedWarning, match="empty text 1"):
        out = extract_df(ids, prompt="Echo it.", cache_path=old, schema=SCHEMA, **NOBODY)
    assert out["answer"].fillna("").tolist() == [text or "" for text in TEXTS]
    assert "14 rows were answered before without a temperature" in repr(out.genai.report)
    with SqliteCache(old) as cache:
        assert cache.get("hand") == {"x": 1}
        assert cache.get("id3") == {"input_id": "id3", "answer": "text 3"}
        assert len(cache.all_ids(compute_prompt_hash("Echo it."))) == 14
        assert len(cache.all_ids()) == 15


def test_a_job_of_version_1_is_collected_without_a_call(old, frame):
    job = pandas_genai.open_job("night", old.parent / "v1_jobs", api_key="sk-test")
    with pytest.warns(RowsFailedWarning, match="empty text 1"):
        out = job.collect()
    assert out["answer"].fillna("").tolist() == [text or "" for text in TEXTS]


def test_a_job_of_version_1_fills_a_new_cache_from_its_results(old):
    old.unlink()
    job = pandas_genai.open_job("night", old.parent / "v1_jobs", api_key="sk-test")
    with pytest.warns(RowsFailedWarning, match="empty text 1"):
        out = job.collect()
    assert out["answer"].fillna("").tolist() == [text or "" for text in TEXTS]


def test_a_kernel_of_version_1_goes_on_writing_meanwhile(old):
    with closing(sqlite3.connect(old, isolation_level=None)) as kernel:
        columns = [name for name, *_ in kernel.execute("SELECT * FROM runs").description]
        with SqliteCache(old) as cache:
            key = ("a" * 32, "b" * 32)
            kernel.execute(OLD_INSERT, (*key, 0, None, '{"x": 1}', *[None] * 8))
            assert cache.read(key[0], [key[1]]) == {key[1]: '{"x": 1}'}
            # It reads every column of runs, and would trip over another.
            found = [name for name, *_ in kernel.execute("SELECT * FROM runs").description]
            assert found == columns == OLD_RUNS.split(", ")
            values = ("r", *[None] * 23)
            marks = ", ".join("?" * 24)
            kernel.execute(f"INSERT OR REPLACE INTO runs ({OLD_RUNS}) VALUES ({marks})", values)
            assert {"run_id": "r", "unknown_calls": 0}.items() <= cache.runs()[-1].items()
        assert kernel.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_an_upgrade_that_is_killed_leaves_version_1(old, child):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pandas_genai.store.sqlite.opening import connect\n"
        "from pandas_genai.store.sqlite.tables import create_tables\n"
        "connection = connect(Path(sys.argv[1]), 60)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "create_tables(connection, 'older')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert child(code, old).wait(60) == -9
    assert version_of(old) == 1
    with SqliteCache(old) as cache:
        assert cache.get("hand") == {"x": 1}
    assert version_of(old) == 2


def test_a_half_done_job_of_version_1_goes_on(old, tmp_path):
    """Its own files stay where they are; what is written from now on lies elsewhere."""
    folder = tmp_path / "v1_jobs" / "night"
    handle = folder / "job.json"
    journal = json.loads(handle.read_text(encoding="utf-8"))
    (results,) = (folder / "batch_output").glob("batch_result_*.jsonl")
    lines = results.read_text(encoding="utf-8").splitlines()
    results.write_text(lines[0] + "\n", encoding="utf-8")
    (folder / "batch_output" / "failures_1.jsonl").unlink()
    journal["parts"][0] |= {"stage": "stored", "answered": 0, "refused": 0}
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        journal["base_url"] = provider.openai_url
        handle.write_text(json.dumps(journal), encoding="utf-8")
        cache = tmp_path / "new.sqlite"
        where = {"api_key": "sk-test", "base_url": provider.openai_url}
        job = pandas_genai.open_job("night", folder.parent, **where)
        with pytest.warns(RowsFailedWarning, match="missing in results 8"):
            job.collect(cache=cache)
        job.resubmit_failed(cache=cache)
        with pytest.warns(RowsFailedWarning, match="empty text 1"):
            out = job.collect(cache=cache)
        assert [len(batch.texts) for batch in provider.batches] == [8]
    assert out["answer"].fillna("").tolist() == [text or "" for text in TEXTS]
    assert (folder / "state" / "keys_2.jsonl").exists()


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_job_finds_its_cache_by_path_or_url(tmp_path, scheme, is_relative):
    """Before manifests named a store by its URL, they named the path of a file."""
    project = tmp_path / "project"
    shutil.copytree(DATA / "path_jobs", project / "jobs")
    handle = project / "jobs" / "night" / "job.json"
    journal = json.loads(handle.read_text(encoding="utf-8"))
    assert journal["cache"] == "../../genai_cache.sqlite"
    named = journal["cache"] if is_relative else f"{project}/genai_cache.sqlite"
    handle.write_text(json.dumps(journal | {"cache": scheme + named}), encoding="utf-8")
    job = pandas_genai.open_job("night", project / "jobs", api_key="sk-test")
    assert job.collect()["answer"].tolist() == [f"text {number}" for number in range(4)]
    assert [path.name for path in tmp_path.rglob("*.sqlite")] == ["genai_cache.sqlite"]
    if is_relative:
        project = project.rename(tmp_path / "moved")
        shutil.rmtree(project / "jobs" / "night" / "batch_output")
        job = pandas_genai.open_job("night", project / "jobs", api_key="sk-test")
        assert job.collect()["answer"].tolist() == [f"text {number}" for number in range(4)]
    assert pandas_genai.runs(project / "genai_cache.sqlite")["ok"].tolist()[0] == 4


def test_a_manifest_names_its_store_by_a_url(frame, tmp_path):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        job = frame.genai.batch_submit(
            "Echo.",
            {"answer": str},
            name="n",
            folder=tmp_path / "jobs",
            cache=tmp_path / "c.sqlite",
            base_url=provider.openai_url,
            api_key="k",
        )
    journal = json.loads((job.path / "job.json").read_text(encoding="utf-8"))
    assert journal["cache"] == "sqlite:///../../c.sqlite"
