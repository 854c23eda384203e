"""What a saved notebook keeps of a run: one line, and no widget that died with its kernel."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from pandas_genai.display.html import NO_MATH

SETUP = """
import pandas as pd, pandas_genai
from pandas_genai.testing import Fault, LoopbackProvider
provider = LoopbackProvider(lambda text: {"label": "good"}, keys=["k"]).start()
df = pd.DataFrame({"text": [f"row {n}" for n in range(40)]})
def ask(**options):
    return df.genai.extract("Tone?", ["good", "bad"], base_url=provider.openai_url,
                            **{"api_key": "k", "cache": False, **options})
"""
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # jupyter's own
    "ignore::ResourceWarning",  # the same
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def execute(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *sources)]
        cells.append(nbformat.v4.new_code_cell("provider.stop()"))
        notebook = nbformat.v4.new_notebook(cells=cells)
        place = {"metadata": {"path": str(tmp_path)}}
        client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources=place)
        with contextlib.suppress(CellExecutionError):
            client.execute()
        nbformat.validate(notebook)
        nbformat.write(notebook, tmp_path / "saved.ipynb")
        return [cell.outputs for cell in notebook.cells[1:-1]]

    return execute


def shown(outputs):
    """The texts of a cell's displays; what holds nothing shows nothing."""
    assert not [output for output in outputs if WIDGET in output.get("data", {})]
    return [
        output["data"]["text/plain"]
        for output in outputs
        if output["output_type"] == "display_data" and output["data"]["text/plain"]
    ]


def test_a_finished_run(run):
    (outputs,) = run("out = ask()")
    (line,) = shown(outputs)
    assert line.startswith("40 rows done · ")
    assert "tokens" in line
    assert "cost $" in line
    html = [output["data"]["text/html"] for output in outputs if "text/html" in output["data"]]
    assert html == [f'<div class="{NO_MATH}">{line}</div>']


def test_two_runs_say_the_same_word_for_word(run, tmp_path):
    run("out = ask()")
    options = ["-c", os.devnull, "-p", "no:cacheprovider", "--nbval", "-q", "saved.ipynb"]
    nbval = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COVERAGE_PROCESS_START": ""},
    )
    assert nbval.returncode == 0, nbval.stdout


def test_cached_rows_and_no_bar(run):
    first, second, third = run(
        "out = ask(cache='c.sqlite')", "out = ask(cache='c.sqlite')", "out = ask(progress=False)"
    )
    assert shown(first)[0].startswith("40 rows done")
    assert shown(second) == ["40 rows done · 40 from the cache"]
    assert third == []


def test_a_run_that_fails_leaves_its_line_and_its_error(run):
    (outputs,) = run("ask(api_key='wrong')")
    assert shown(outputs) == ["0 of 40 rows done, then failed"]
    assert [output["ename"] for output in outputs if output["output_type"] == "error"] == [
        "StopRunError"
    ]


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ("'c.sqlite'", "are answered and kept. Run the cell again to go on with the rest."),
        ("False", "were answered; cache=False keeps them in this error's .result alone."),
    ],
)
def test_a_stopped_run_leaves_its_line(run, cache, message):
    stop = f"""
import _thread, threading
provider.hold_after(2)
def press():
    provider.wait_for(calls=4)
    _thread.interrupt_main()
threading.Thread(target=press).start()
try:
    ask(chunk_size=5, cache={cache})
except pandas_genai.Stopped as stopped:
    print(stopped)
provider.release()
"""
    (outputs,) = run(stop)
    assert re.match(r"(5|10) of 40 rows done, then stopped · ", shown(outputs)[0])
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert re.search(f"(5|10) of 40 rows {message}", printed)


def test_waiting_for_a_job(run):
    (outputs,) = run("""
night = LoopbackProvider(lambda text: {"label": "good"}, batch_seconds=3).start()
job = df.genai.batch_submit("Tone?", ["good", "bad"], base_url=night.openai_url, api_key="k")
out = df.genai.batch_collect(wait=True, poll_s=0.05)
night.stop()
""")
    assert shown(outputs)[0].startswith("40 rows done · ")


def test_the_line_is_in_the_exported_page(run, tmp_path):
    run("out = ask()")
    page, _ = HTMLExporter().from_filename(str(tmp_path / "saved.ipynb"))
    assert "40 rows done · " in page
    assert "application/vnd.jupyter.widget-view" not in page.partition("<main")[2]
