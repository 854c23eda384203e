"""A run as a person sees it: the bar, the last line, Stop, and the notebook on the next day."""

import json
import time

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider
provider = LoopbackProvider(lambda text: {"label": "good"}, latency=0.02).start()
df = pd.DataFrame({"text": [f"row {n}" for n in range(2000)]})
options = {"base_url": provider.openai_url, "api_key": "k", "chunk_size": 2}
"""
RUN = "out = df.genai.extract('Tone?', ['good', 'bad'], max_workers=4, **options)"
LONG = """
provider.hold_after(1)
df.genai.extract('Tone?', ['good', 'bad'], max_workers=64, **options)
"""
IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
THEME = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
REOPEN = """async (path) => {
    await window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown();
    window.jupyterapp.shell.currentWidget.close();
    await window.jupyterapp.commands.execute('docmanager:open', {
        path, kernelPreference: {shouldStart: false, canStart: false, autoStartDefault: false},
    });
}"""
OPENED = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    return Boolean(panel?.context?.isReady && document.querySelector('.jp-OutputArea-output'));
}"""


def text_of(notebook):
    return notebook.page.locator(".jp-OutputArea-output").all_inner_texts()


def test_the_bar_moves_ends_and_leaves_a_line_that_lasts(lab, notebook, saved):
    saved("run.ipynb", SETUP, RUN, "out.genai.report", "out.genai.join(df).genai.show(2)")
    notebook.open(lab, "run.ipynb")
    notebook.run_all()
    assert len(set(notebook.bars)) > 3
    assert any("/2000" in one for one in notebook.bars)
    assert notebook.bar() is None
    shown = "\n".join(text_of(notebook))
    assert "2,000 rows done" in shown
    assert "2,000 answered (0 of them from the cache)" in shown
    notebook.screenshot("run_light")

    notebook.page.evaluate(SAVE)
    notebook.page.evaluate(REOPEN, "run.ipynb")
    notebook.page.wait_for_function(OPENED, timeout=30_000)
    notebook.page.wait_for_timeout(1_000)  # a widget would look for its model now
    shown = "\n".join(text_of(notebook))
    assert "2,000 rows done" in shown
    assert "2,000 answered (0 of them from the cache)" in shown
    page = notebook.page.locator("body").inner_text()
    assert "model not found" not in page.lower()
    assert "Error displaying widget" not in page
    notebook.page.evaluate(THEME, "JupyterLab Dark")
    notebook.screenshot("run_reopened_dark")


def test_stop_gives_control_back_and_nothing_is_printed_later(lab, notebook, saved, artifacts):
    saved("stop.ipynb", SETUP, LONG, "print('never')")
    notebook.open(lab, "stop.ipynb")
    notebook.start()
    while notebook.bar() is None:
        notebook.page.wait_for_timeout(50)
    notebook.page.wait_for_timeout(1_500)
    since = time.monotonic()
    notebook.page.click(
        '[data-command="notebook:interrupt-kernel"], [title*="Interrupt the kernel"]'
    )
    notebook.page.wait_for_function(IDLE, timeout=20_000, polling=20)
    seconds = time.monotonic() - since
    artifacts.joinpath("stop.json").write_text(json.dumps({"seconds_to_control": seconds}))
    assert seconds < 10  # the calls hang for ever; the figure itself is in the artifact
    notebook.page.wait_for_function("() => window.finished !== null", timeout=20_000)
    # What the kernel said last may not be drawn yet.
    last = notebook.page.get_by_text("rows are answered and kept. Run the cell again").first
    last.wait_for(timeout=20_000)
    shown = text_of(notebook)
    assert not any("Traceback" in one for one in shown)
    assert not any("never" in one for one in shown)
    assert notebook.bar() is None
    notebook.screenshot("stopped")

    notebook.insert_and_run("provider.release()\nimport time\ntime.sleep(2)\nprint('next')")
    cells = notebook.cells()
    assert "".join(cells[-1]["outputs"][0]["text"]) == "next\n"
    assert len(cells[-1]["outputs"]) == 1
    notebook.insert_and_run(
        "import threading\n"
        "print([t.name for t in threading.enumerate() if t.name.startswith('genai')])"
    )
    assert "".join(notebook.cells()[-1]["outputs"][0]["text"]) == "[]\n"
