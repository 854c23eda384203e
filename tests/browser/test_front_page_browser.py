"""The pictures of the docs' front page: its own example, typed into JupyterLab, in both themes."""

import json
import re
from pathlib import Path

import pytest

from pandas_genai.testing import LoopbackProvider

pytestmark = pytest.mark.browser
PAGE = Path(__file__).parents[2] / "docs" / "index.md"
THEME = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
ANSWERS = {
    "I love my colleagues.": {"topic": "colleagues", "tone": "positive"},
    "The pay is terrible.": {"topic": "pay", "tone": "negative"},
    "The food in the canteen is awful.": {"topic": "food", "tone": "negative"},
}


@pytest.fixture
def provider(monkeypatch):
    """A vendor as the kernel finds it: through its environment. It comes before ``lab``."""
    with LoopbackProvider(ANSWERS.get) as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        yield provider


def test_the_example_of_the_front_page_in_both_themes(provider, lab, notebook, tmp_path):
    asked, joined = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    joined = joined.splitlines()[0].removeprefix(">>> ")
    sources = [asked.strip(), joined, "labels.genai.show()", "labels.genai.report"]
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**cell, "id": f"c{n}", "source": one} for n, one in enumerate(sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    page = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "notebooks" / "front.ipynb").write_text(json.dumps(page))
    notebook.open(lab, "front.ipynb")
    notebook.run_all()
    shown = "\n".join(notebook.page.locator(".jp-OutputArea-output").all_inner_texts())
    assert "3 rows done" in shown
    assert "3 answered (0 of them from the cache)" in shown
    for name in ("light", "dark"):
        notebook.page.evaluate(THEME, f"JupyterLab {name.title()}")
        notebook.screenshot(f"front_{name}", width=1100)
    assert provider.ledger.rows == 3
