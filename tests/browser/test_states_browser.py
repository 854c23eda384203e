"""The states in which a person may find a notebook: narrow, dark, left alone, without widgets."""

import json
import time

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider
provider = LoopbackProvider(lambda text: {"label": "good"}, latency=0.05).start()
df = pd.DataFrame({"text": [f"row {n}" for n in range(2000)]})
options = {"base_url": provider.openai_url, "api_key": "k", "chunk_size": 2}
"""
RUN = "out = df.genai.extract('Tone?', ['good', 'bad'], max_workers=4, **options)"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
THEME = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
SHUTDOWN = "() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"
OPENED = """() => {
    const panel = window.jupyterapp?.shell?.currentWidget;
    return Boolean(panel?.context?.isReady && document.querySelector('.jp-OutputArea-output'));
}"""
WIDTH = """() => {
    const bar = document.querySelector('.jp-OutputArea .progress');
    return bar ? bar.getBoundingClientRect().width : null;
}"""
STAND_IN = """() => {
    const found = [...document.querySelectorAll('.jp-OutputArea .pandas-genai-bar')];
    return found.filter((one) => one.checkVisibility()).map((one) => one.innerText).join() || null;
}"""
OVERFLOW = """() => {
    const outputs = [...document.querySelectorAll('.jp-OutputArea-output .mathjax_ignore > div')];
    return Math.max(...outputs.map((one) => one.scrollWidth - one.clientWidth));
}"""
NO_SIDEBARS = """async () => {
    const commands = window.jupyterapp.commands;
    if (document.querySelector('#jp-left-stack')?.checkVisibility()) {
        await commands.execute('application:toggle-left-area');
    }
    await commands.execute('application:toggle-mode');
}"""


@pytest.fixture
def without_widgets(tmp_path):
    """Switch the widget manager of the JupyterLab off that is started next."""
    path = tmp_path / "JUPYTER_CONFIG_DIR" / "labconfig" / "page_config.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"disabledExtensions": {"@jupyter-widgets/jupyterlab-manager": True}})
    )


def text_of(notebook):
    return "\n".join(notebook.page.locator(".jp-OutputArea-output:visible").all_inner_texts())


def wait_until(notebook, is_so, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        notebook.page.wait_for_timeout(50)


def test_left_in_mid_run_it_says_how_far_it_was(lab, notebook, saved, browser):
    saved("left.ipynb", SETUP, RUN)
    notebook.open(lab, "left.ipynb")
    notebook.start()
    wait_until(notebook, lambda: notebook.bar() and "/2000" in notebook.bar())
    notebook.page.wait_for_timeout(2_500)
    assert notebook.page.evaluate(STAND_IN) is None, "beside the living bar there is no other"
    notebook.page.evaluate(SAVE)
    notebook.page.goto("about:blank")  # the tab is closed; the kernel goes on
    time.sleep(12)

    notebook.page.goto(f"{lab}/lab/tree/left.ipynb")
    notebook.page.wait_for_function(OPENED, timeout=90_000)
    notebook.page.wait_for_timeout(4_000)  # a widget would look for its model now
    notebook.screenshot("left_in_mid_run")
    page = notebook.page.locator("body").inner_text()
    assert "model not found" not in page.lower()
    assert "Loading widget" not in page
    assert "(under way)" in (notebook.page.evaluate(STAND_IN) or "")

    notebook.page.evaluate(SHUTDOWN)
    notebook.page.goto(f"{lab}/lab/tree/left.ipynb")
    notebook.page.wait_for_function(OPENED, timeout=90_000)
    notebook.page.wait_for_timeout(4_000)
    page = notebook.page.locator("body").inner_text()
    assert "model not found" not in page.lower()
    assert "Loading widget" not in page
    assert "(under way)" in (notebook.page.evaluate(STAND_IN) or "")


def test_without_a_widget_manager_an_html_bar_moves(without_widgets, lab, notebook, saved):
    saved("plain.ipynb", SETUP, RUN)
    notebook.open(lab, "plain.ipynb")
    notebook.start()
    seen = set()
    while notebook.page.evaluate("() => window.finished === null"):
        shown = notebook.page.evaluate(STAND_IN)
        if shown and shown not in seen and len(seen) == 2:
            notebook.screenshot("no_widget_manager")
        seen.add(shown)
        notebook.page.wait_for_timeout(100)
    seen.discard(None)
    assert len(seen) >= 2
    assert all("of 2,000 rows" in one and "(under way)" in one for one in seen)
    assert notebook.page.evaluate(STAND_IN) is None
    assert "2,000 rows done" in text_of(notebook)


def test_at_480_pixels_the_bar_is_seen_and_cards_stay_inside(lab, notebook, saved):
    saved("narrow.ipynb", SETUP, RUN, CARDS)
    notebook.page.set_viewport_size({"width": 480, "height": 900})
    notebook.open(lab, "narrow.ipynb")
    notebook.page.evaluate(NO_SIDEBARS)
    notebook.start()
    wait_until(notebook, lambda: notebook.bar() and "/2000" in notebook.bar())
    wait_until(notebook, lambda: "tokens" in notebook.bar())
    assert notebook.page.evaluate(WIDTH) > 60
    notebook.page.screenshot(path=notebook.artifact("narrow_bar"))
    notebook.page.wait_for_function("() => window.finished !== null", timeout=120_000)
    notebook.page.wait_for_function(IDLE)
    notebook.screenshot("narrow_cards", width=480)
    assert notebook.page.evaluate(OVERFLOW) <= 1


CARDS = """
reviews = pd.DataFrame({
    "id": [1, 2, 3],
    "review": ["Net sales rose to $5.2 million from $4.1 million.",
               "See https://example.org/" + "a" * 400,
               "The staff were kind. " * 40],
})
answers = LoopbackProvider(lambda text: {"tone": "kind", "quote": "The staff were kind."}).start()
labels = reviews.genai.extract(
    "Did sales rise by $1 or $2?", {"tone": ["kind", "rude"], "quote": str}, text="review",
    base_url=answers.openai_url, api_key="k", cache=False, progress=False)
labels.genai.join(reviews).genai.show()
"""


def test_dollars_are_no_formulas_and_cards_and_plots_stand_in_both_themes(lab, notebook, saved):
    plot = """
import numpy as np
pd.DataFrame({
    "tone": pd.Categorical(["good", "bad", "good"], categories=["bad", "mixed", "good"]),
    "year": pd.array([1999, 2000, 2001], dtype="Int64"),
    "lang": pd.Categorical(["日本語", "中文", "English"]),
}).genai.plot()
"""
    preview = "reviews.genai.preview('Is $5 more than $4?', ['yes', 'no'], text='review')"
    saved("cards.ipynb", SETUP, CARDS, preview, "labels.genai.report", plot)
    notebook.open(lab, "cards.ipynb")
    notebook.run_all()
    notebook.page.wait_for_timeout(2_000)  # MathJax would be at work now
    shown = text_of(notebook)
    assert "rose to $5.2 million from $4.1 million." in shown
    assert "Is $5 more than $4?" in shown
    formulas = notebook.page.locator(".jp-OutputArea .MathJax, .jp-OutputArea mjx-container")
    assert formulas.count() == 0
    assert notebook.page.evaluate(OVERFLOW) <= 1
    notebook.screenshot("cards_light")
    notebook.page.evaluate(THEME, "JupyterLab Dark")
    notebook.page.wait_for_timeout(1_000)
    notebook.screenshot("cards_dark")
