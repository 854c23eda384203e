"""Jobs, runs, warnings and errors as a reader of a notebook meets them."""

from __future__ import annotations

import re

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

import pandas_genai
from pandas_genai.testing import Fault, LoopbackProvider

FRAME = pd.DataFrame({"text": ["a", "b", "a"]})


@pytest.fixture
def night():
    with LoopbackProvider(lambda text: {"label": "good"}, batch_seconds=3600) as provider:
        yield provider, {"base_url": provider.openai_url, "api_key": "k"}


def test_status_cancel_and_a_report_before_collecting(night, tmp_path, capsys):
    _, where = night
    job = FRAME.genai.batch_submit("Tone?", ["good"], name="tone", folder=tmp_path, **where)
    state = job.status()
    assert repr(state).startswith("Job 'tone': in progress; 0 of 2 rows collected")
    assert "JobState(" not in repr(state)
    assert "in progress" in state._repr_html_()
    assert "0 of 1 batch" in state._repr_html_()
    assert "tone" in job._repr_html_()
    report = job.report
    assert "none was asked" not in repr(report)
    assert "$0.0000" not in repr(report)
    assert "model: gpt-6-luna" in repr(report)
    assert "known once the results are collected" in repr(report)
    assert "known once the results are collected" in report._repr_html_()
    assert "none was asked" not in report._repr_html_()
    assert report.rows == 3
    (row,) = pandas_genai.jobs(tmp_path).to_dict("records")
    assert row["stage"] == "in progress"
    cancelled = job.cancel()
    assert repr(cancelled).startswith("Job 'tone': ")
    assert "Job <b>" not in cancelled._repr_html_()


def test_jobs_can_be_asked_all_at_once(tmp_path, capsys):
    with LoopbackProvider(lambda text: {"label": "good"}, batch_seconds=0.0) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k"}
        FRAME.genai.batch_submit("Tone?", ["good"], name="tone", folder=tmp_path, **where)
        assert pandas_genai.jobs(tmp_path)["stage"].tolist() == ["in progress"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", "k")
            shown = pandas_genai.jobs(tmp_path, refresh=True)
        assert shown["stage"].tolist() == ["ended"]
    with LoopbackProvider(lambda text: {"label": "good"}, batch_seconds=3600) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k"}
        FRAME.genai.batch_submit("Other?", ["good"], name="lost", folder=tmp_path, **where)
        provider.faults = [Fault("forbidden", path="GET /v1/batches")]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", "k")
            with pytest.warns(UserWarning, match="'lost' was not refreshed"):
                assert len(pandas_genai.jobs(tmp_path, refresh=True)) == 2


def test_runs_lead_with_what_a_person_looks_for(tmp_path):
    path = tmp_path / "c.sqlite"
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": path}
        for _ in range(2):
            FRAME.genai.extract("Tone?", ["good"], progress=False, **where)
    shown = pandas_genai.runs(path)
    assert list(shown.columns[:7]) == ["started", "model", "rows", "ok", "failed", "cached", "cost"]
    assert shown.columns[-1] == "prompt_hash"
    assert set(shown["model"]) == {"gpt-6-luna"}  # of the second, which asked nobody, the task's


CELLS = [
    """
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider
provider = LoopbackProvider(lambda text: {"label": "good"}, keys=["k"]).start()
df = pd.DataFrame({"review": ["row", None], "n": [1, 2]})
where = {"base_url": provider.openai_url, "cache": False, "progress": False}
""",
    "df.genai.extract('Tone?', ['good'], api_key='k', **where)",
    "1 + 1\ndf.genai.extract('Tone?', ['good'], text='reveiw', api_key='k', **where)",
    "df.genai.extract('Tone?', ['good'], api_key='wrong', **where)",
    "def mine():\n  return df.genai.extract('Tone?', {'a': {1}}, api_key='k', **where)\nmine()",
    "provider.stop()",
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jupyter's own
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the same
def test_warnings_and_errors_show_the_readers_own_line_only(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources=place, allow_errors=True
    ).execute()
    _, warned, use, run, nested, _ = [cell.outputs for cell in notebook.cells]
    shown = "".join(output.get("text", "") for output in warned)
    assert "this cell:1: RowsFailedWarning: 1 of 2 rows have no answer (empty text 1)" in shown
    assert "ipykernel" not in shown
    for outputs, line, says in (
        (use, "----> 2 df.genai.extract(", "UsageError: text='reveiw' names no column"),
        (run, "----> 1 df.genai.extract(", "StopRunError: "),
        (nested, "----> 2 return df.genai.extract(", 'SchemaError: Field "a" is a set'),
    ):
        (error,) = [output for output in outputs if output.output_type == "error"]
        lines = "\n".join(error.traceback).splitlines()
        assert len(lines) == 2
        assert lines[0].startswith(line)
        assert lines[1].startswith(says)
        assert not re.search(r"site-packages|pandas_genai/", "\n".join(lines))
