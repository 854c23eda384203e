"""Texts gone through in JupyterLab: by keyboard, searched, filtered, marked, without delay."""

import statistics
import time

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider
def rule(text):
    bad = "Awful" in text
    return {"tone": "bad" if bad else "good", "tone_quote": "awful" if bad else "Great people",
            "why": "said so", "why_quote": "people", "year": 1999}
texts = ["Great people <b id='evil'>here</b>.", "Awful people. Awful food.", "سعيد Great people"]
df = pd.DataFrame({"review": texts})
with LoopbackProvider(rule) as provider:
    labels = df.genai.extract("Tone?", {"tone": ["good", "bad"], "why": str, "year": int},
                              evidence=["tone", "why"], base_url=provider.openai_url, api_key="k",
                              cache=False, progress=False)
gold = pd.Series(["bad", "bad"], index=[0, 1], name="tone")
"""
BROWSE = "labels.genai.browse(gold=gold)"
MANY = """
import pandas as pd, pandas_genai
texts = [f"Row {n}. " + "Some words of a text. " * 60 for n in range(10_000)]
labels = pd.DataFrame({"tone": pd.Categorical(["good", "bad"] * 5_000)})
labels.genai.browse(text=pd.Series(texts))
"""
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
THEME = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
REOPEN = """async (path) => {
    await window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown();
    window.jupyterapp.shell.currentWidget.close();
    await window.jupyterapp.commands.execute('docmanager:open', {
        path, kernelPreference: {shouldStart: false, canStart: false, autoStartDefault: false},
    });
}"""
SHOWS = "(words) => document.querySelector('.pandas-genai-browse')?.innerText.includes(words)"
MARKS = """() => [...document.querySelectorAll('.pandas-genai-browse .part mark')]
    .map((one) => [one.textContent, one.title])"""
HIDDEN = """() => [...document.querySelectorAll('.jp-OutputArea-child')]
    .filter((one) => !one.checkVisibility()).length"""


def shows(notebook, words):
    notebook.page.wait_for_function(SHOWS, arg=words, timeout=30_000)


def press(notebook, *keys):
    for key in keys:
        notebook.page.keyboard.press(key)


def sources(notebook):
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook.cells()]


def test_texts_are_gone_through_with_the_keyboard(lab, notebook, saved):
    saved("browse.ipynb", SETUP, BROWSE)
    notebook.open(lab, "browse.ipynb")
    notebook.run_all()
    shows(notebook, "1 of 3")
    page = notebook.page
    assert page.evaluate(HIDDEN) == 1  # the card that stands in
    # A text is a text: what looks like HTML is shown, and nothing of it is made.
    shows(notebook, "<b id='evil'>")
    assert page.locator("#evil").count() == 0
    assert page.evaluate(MARKS) == [["Great ", "tone"], ["people", "tone, why"]]
    assert page.locator(".pandas-genai-browse .legend mark").all_inner_texts() == ["tone", "why"]
    assert "gold: bad" in page.locator(".pandas-genai-browse .differs").inner_text()
    before = sources(notebook)
    page.locator(".pandas-genai-browse").focus()
    press(notebook, "ArrowRight")
    shows(notebook, "2 of 3")
    assert page.evaluate(MARKS) == [["people", "why"]]  # "awful" stands there twice
    shows(notebook, "ambiguous: awful")
    press(notebook, "a", "b", "d", "d", "x", "m", "y", "z", "c", "v", "j", "k", "Shift+M")
    press(notebook, "End")
    shows(notebook, "3 of 3")
    part = page.locator(".pandas-genai-browse .part")
    assert part.evaluate("(one) => getComputedStyle(one).direction") == "rtl"
    press(notebook, "Home")
    shows(notebook, "1 of 3")
    assert sources(notebook) == before  # no key reached the notebook
    press(notebook, "/")
    page.keyboard.type("FOOD")
    shows(notebook, "1 of 1 (of all 3)")
    shows(notebook, "Awful food")
    for _ in range(4):
        press(notebook, "Backspace")
    shows(notebook, "1 of 3")
    press(notebook, "Enter", "f")
    options = page.locator(".pandas-genai-browse option").all_inner_texts()
    assert options == [
        *("all rows (3)", "not grounded (1)", "differs from gold (1)"),
        *("tone: good (2)", "tone: bad (1)"),
    ]
    page.locator(".pandas-genai-browse select").select_option("not grounded")
    shows(notebook, "1 of 1 (of all 3)")
    strangers = [url for url in notebook.requests if not url.startswith((lab, "blob:", "data:"))]
    assert [url for url in strangers if "127.0.0.1" not in url] == []

    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate(THEME, theme)
        page.wait_for_timeout(500)
        ink, ground = page.locator(".pandas-genai-browse").evaluate(
            "(one) => [getComputedStyle(one).color, getComputedStyle(document.querySelector("
            "'.jp-Notebook')).backgroundColor]"
        )
        assert contrast(ink, ground) > 4.5
        notebook.screenshot(f"browse_{theme.split()[1].lower()}")

    page.evaluate(SAVE)
    page.evaluate(REOPEN, "browse.ipynb")
    page.wait_for_function("() => document.querySelectorAll('.jp-OutputArea mark').length > 2")
    shown = page.locator(".jp-OutputArea").last.inner_text()
    assert "3 rows" in shown
    assert "differs from gold: 1" in shown
    assert "model not found" not in page.locator("body").inner_text().lower()


def contrast(first, second):
    """The ratio that WCAG asks for."""

    def luminance(color):
        parts = [float(one) / 255 for one in color[color.index("(") + 1 : -1].split(",")[:3]]
        linear = [
            one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def test_ten_thousand_rows_come_without_delay(lab, notebook, saved, artifacts):
    saved("many.ipynb", MANY)
    notebook.open(lab, "many.ipynb")
    notebook.run_all()
    shows(notebook, "1 of 10,000")
    page = notebook.page
    page.locator(".pandas-genai-browse").focus()
    steps = []
    for at in range(2, 32):
        began = time.perf_counter()
        press(notebook, "ArrowRight")
        shows(notebook, f"{at} of 10,000")
        steps.append(time.perf_counter() - began)
    press(notebook, "End")
    shows(notebook, "10,000 of 10,000")
    press(notebook, "/")
    began = time.perf_counter()
    page.keyboard.type("Row 7777.")
    shows(notebook, "1 of 1 (of all 10,000)")
    search = time.perf_counter() - began
    figures = f"a step {statistics.median(steps) * 1000:.0f} ms, a search {search * 1000:.0f} ms"
    (artifacts / "browse.txt").write_text(figures)
    assert statistics.median(steps) < 0.3, figures
    assert search < 3, figures
