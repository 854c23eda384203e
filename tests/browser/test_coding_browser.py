"""Coding by hand in JupyterLab: with the keyboard alone, blind, and kept whatever happens."""

import json
import os
import signal
import sqlite3

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import pandas as pd, pandas_genai
texts = [f"Text number {n}: " + ("good" if n % 3 else "bad") for n in range(200)]
labels = pd.DataFrame({"tone": pd.Categorical(["bad"] * 150 + ["good"] * 50)})
sample = labels.genai.review_sample(100, text=pd.Series(texts))
"""
MANY = """
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider
schema = {
    "tone": ["\u0637\u064a\u0628", "\u0633\u064a\u0626", "\u6df7\u5408"],
    "topics": [["pay", "food", "people"]],
    "year": int | None,
    "why": str,
    "code": [f"c{n}" for n in range(1, 13)],
}
answer = {"tone": "\u0637\u064a\u0628", "topics": ["pay"], "year": 1999, "why": "said the model"}
answer["code"] = "c7"
texts = [f"\u0647\u0630\u0627 \u0646\u0635 {n} " + "long " * 400 for n in range(6)]
df = pd.DataFrame({"text": texts})
provider = LoopbackProvider(lambda text: answer).start()
labels = df.genai.extract("What does it say?", schema, base_url=provider.openai_url, api_key="k",
                          cache=False, progress=False)
sample = labels.genai.review_sample(4)
"""
LOOKS = """
import pandas as pd, pandas_genai
arabic = "\u0627\u0644\u0645\u0648\u0638\u0641\u0648\u0646. " * 100
english = ("The staff were kind, and the canteen is good.\\n\\nBut the pay is far too low for "
           "the hours, and nobody listens when you say so.")
labels = pd.DataFrame({"tone": pd.Categorical(["good", "bad", "mixed", "good"]),
                       "about": pd.Categorical(["pay", "food", "colleagues", "pay"]),
                       "why": ["said the model"] * 4})
sample = labels.genai.review_sample(4, text=pd.Series([english, arabic] * 2))
"""
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
THEME = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
SHUTDOWN = "() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"
SESSION = "window.jupyterapp.shell.currentWidget.sessionContext.session"
RESTART = f"() => {SESSION}.kernel.restart()"
READY = f"() => {SESSION}.kernel.status === 'idle'"
NO_SIDEBARS = """async () => {
    const commands = window.jupyterapp.commands;
    if (document.querySelector('#jp-left-stack')?.checkVisibility()) {
        await commands.execute('application:toggle-left-area');
    }
    await commands.execute('application:toggle-mode');
}"""
FOCUSED = "() => document.activeElement?.closest('.pandas-genai-coding') !== null"
SHOWS = """(words) => {
    const shown = document.querySelector('.pandas-genai-coding');
    return Boolean(shown?.innerText.includes(words) && shown.getAttribute('aria-busy') === null);
}"""
ACTIVE = """(name) =>
    document.querySelector('.pandas-genai-coding .active legend').innerText === name"""
ON = ".pandas-genai-coding button[aria-pressed=true] span"
PRESSED = "(on) => [...document.querySelectorAll(on)].map((one) => one.textContent)"


def shows(notebook, words):
    notebook.page.wait_for_function(SHOWS, arg=words, timeout=30_000)


def press(notebook, *keys):
    for key in keys:
        notebook.page.keyboard.press(key)


def go_to(notebook, words, start="text 1"):
    for place in range(int(start.split()[1]), 5):
        shows(notebook, f"text {place}")
        if words in notebook.page.locator(".pandas-genai-coding .text").inner_text():
            return
        press(notebook, "ArrowRight")
    pytest.fail(f"no text has {words!r}")


def decisions(folder):
    (path,) = (folder / "genai_reviews").glob("*.sqlite")
    rows = sqlite3.connect(path).execute("SELECT row, answers, state FROM decisions ORDER BY id")
    return {row: (json.loads(answers), state) for row, answers, state in rows}


def sources(notebook):
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook.cells()]


def test_a_hundred_texts_are_coded_without_a_mouse(lab, notebook, saved):
    folder = saved("code.ipynb", SETUP, "sample.code()")
    notebook.open(lab, "code.ipynb")
    notebook.run_all()
    before = sources(notebook)
    notebook.page.wait_for_function(FOCUSED, timeout=20_000)
    shows(notebook, "0 of 100 coded")
    expected = {}
    for place in range(100):
        shows(notebook, f"text {place + 1}")
        shown = notebook.page.locator(".pandas-genai-coding .text").inner_text()
        tone = shown.rsplit(" ", 1)[1]
        expected[shown.split()[2].strip(":")] = tone
        if place == 5:  # keys that JupyterLab would take: none of them reaches the notebook
            press(notebook, "a", "b", "d", "d", "x", "m", "y", "z", "Shift+M", "c", "v", "j", "k")
        press(notebook, "1" if tone == "bad" else "2")
        if place + 1 < 100:  # what was decided is on the disk before the next text shows
            shows(notebook, f"text {place + 2}")
            assert len(decisions(folder)) == place + 1
    shows(notebook, "All texts are coded")
    assert sources(notebook) == before
    kept = {row: answers["tone"] for row, (answers, _) in decisions(folder).items()}
    assert kept == expected
    notebook.insert_and_run("print((sample.codes()['tone'].notna()).sum(), len(sample.codes()))")
    assert "100 100" in "\n".join(notebook.page.locator(".jp-OutputArea-output").all_inner_texts())
    strangers = [url for url in notebook.requests if not url.startswith((lab, "blob:", "data:"))]
    assert [url for url in strangers if "127.0.0.1" not in url] == []


def test_a_kernel_that_is_killed_at_a_key_loses_at_most_one_decision(lab, notebook, saved):
    pid = "import os, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))"
    folder = saved("killed.ipynb", SETUP, pid, "sample.code()")
    notebook.open(lab, "killed.ipynb")
    seen = 0
    for kill in range(3):
        notebook.run_all()
        notebook.page.wait_for_function(FOCUSED, timeout=20_000)
        shows(notebook, f"text {seen + 1}")
        for _ in range(3 + kill):
            press(notebook, "1")
            seen += 1
            shows(notebook, f"text {seen + 1}")
        press(notebook, "1")
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
        kept = len(decisions(folder))
        assert seen <= kept <= seen + 1
        seen = kept
        notebook.page.wait_for_selector(".jp-Dialog", timeout=30_000)
        notebook.page.keyboard.press("Enter")  # the note that the kernel has died
        notebook.page.wait_for_function(READY, timeout=60_000)
    assert seen >= 12
    assert all(state == "done" for _, state in decisions(folder).values())


def test_every_kind_of_field_back_skip_note_and_a_later_kernel(lab, notebook, saved):
    folder = saved("fields.ipynb", MANY, "sample.code(coder='anna')")
    notebook.open(lab, "fields.ipynb")
    notebook.run_all()
    notebook.page.wait_for_function(FOCUSED, timeout=20_000)
    shows(notebook, "text 1")
    page = notebook.page.locator(".pandas-genai-coding").inner_text()
    assert "said the model" not in page
    assert "1999" not in page
    assert notebook.page.evaluate(PRESSED, ON) == []
    press(notebook, "3")
    shows(notebook, "topics")
    notebook.page.wait_for_function("() => document.activeElement.tagName !== 'INPUT'")
    notebook.page.wait_for_function(ACTIVE, arg="topics")
    press(notebook, "1", "3", "1", "2")
    assert notebook.page.evaluate(PRESSED, ON) == ["food", "people"]
    press(notebook, "Enter")
    notebook.page.wait_for_function("() => document.activeElement.ariaLabel === 'year'")
    notebook.page.keyboard.type("soon")
    press(notebook, "Enter")
    shows(notebook, "is no value of the field 'year'")
    notebook.page.wait_for_function("() => document.activeElement.value === 'soon'")
    press(notebook, *["Backspace"] * 4)
    notebook.page.keyboard.type("2001")
    press(notebook, "Enter")
    notebook.page.wait_for_function("() => document.activeElement.ariaLabel === 'why'")
    notebook.page.keyboard.type("no reason, s n 1 2")
    press(notebook, "Enter")
    notebook.page.wait_for_function(ACTIVE, arg="code")
    press(notebook, "1")
    shows(notebook, "1_ (another digit, or Enter)")
    press(notebook, "2")
    shows(notebook, "text 2")
    press(notebook, "n")
    notebook.page.wait_for_function("() => document.activeElement.ariaLabel === 'note'")
    notebook.page.keyboard.type("read again")
    press(notebook, "Enter")
    shows(notebook, "read again")
    press(notebook, "s")
    shows(notebook, "text 3")
    shows(notebook, "1 skipped")
    press(notebook, "1")
    notebook.page.wait_for_function(ACTIVE, arg="topics")
    press(notebook, "ArrowLeft")
    shows(notebook, "text 2 · skipped")
    press(notebook, "ArrowLeft")
    shows(notebook, "text 1 · coded")
    press(notebook, "1")
    notebook.page.wait_for_function(ACTIVE, arg="topics")
    notebook.page.evaluate(RESTART)
    notebook.page.wait_for_function(READY, timeout=30_000)
    notebook.run_all()
    notebook.page.wait_for_function(FOCUSED, timeout=20_000)
    shows(notebook, "text 3")
    shows(notebook, "1 of 4 coded")
    kept = list(decisions(folder).values())
    assert kept[0][0]["tone"] == "\u0637\u064a\u0628"
    assert kept[0][0]["topics"] == ["food", "people"]
    assert kept[0][0]["why"] == "no reason, s n 1 2"
    assert kept[0][0]["code"] == "c12"
    assert [state for _, state in kept] == ["done", "skipped", "begun"]


def test_both_themes_480_pixels_and_a_saved_notebook(lab, notebook, saved, tmp_path):
    folder = saved("looks.ipynb", LOOKS, "sample.code()")
    notebook.page.set_viewport_size({"width": 900, "height": 900})
    notebook.open(lab, "looks.ipynb")
    notebook.page.evaluate(NO_SIDEBARS)
    notebook.run_all()
    notebook.page.wait_for_function(FOCUSED, timeout=20_000)
    shows(notebook, "text 1")
    go_to(notebook, "The staff")
    press(notebook, "3")
    notebook.page.wait_for_function(ACTIVE, arg="about")
    widget = notebook.page.locator(".pandas-genai-coding")
    widget.screenshot(path=notebook.artifact("coding_light"))
    notebook.page.evaluate(THEME, "JupyterLab Dark")
    notebook.page.wait_for_timeout(1_000)
    widget.screenshot(path=notebook.artifact("coding_dark"))
    notebook.page.set_viewport_size({"width": 480, "height": 900})
    notebook.page.wait_for_timeout(500)
    overflow = "(one) => one.scrollWidth - one.clientWidth"
    assert widget.evaluate(overflow) <= 1
    assert notebook.page.locator(".pandas-genai-coding .text").evaluate(overflow) <= 1
    assert widget.evaluate("(one) => one.getBoundingClientRect().right") <= 480
    widget.focus()  # a change of the theme takes it away
    go_to(notebook, "\u0627", notebook.page.locator(".head .quiet").inner_text())
    direction = "(one) => getComputedStyle(one).direction"
    assert notebook.page.locator(".pandas-genai-coding .text").evaluate(direction) == "rtl"
    notebook.screenshot("coding_narrow", width=480)
    assert not notebook.page.locator(".pandas-genai-bar").is_visible(), "the widget stands there"

    notebook.page.evaluate(SAVE)
    notebook.page.evaluate(SHUTDOWN)
    notebook.page.set_viewport_size({"width": 900, "height": 900})
    notebook.page.goto("about:blank")
    notebook.page.goto(f"{lab}/lab/tree/looks.ipynb")
    notebook.page.wait_for_selector(".jp-OutputArea-output", timeout=90_000)
    notebook.page.wait_for_timeout(4_000)
    shown = notebook.page.locator("body").inner_text()
    assert "Coded by hand: 0 of 4 texts coded" in shown
    assert "model not found" not in shown.lower()

    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_filename(folder / "looks.ipynb")
    assert "Coded by hand: 0 of 4 texts coded" in html
