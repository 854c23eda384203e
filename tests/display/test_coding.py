"""Coding in a notebook, as far as it needs no browser: the widget's messages, and what is saved."""

import re

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

import pandas_genai
from pandas_genai.display.coding_widget import CodingWidget
from pandas_genai.validity.coding import Coding

CELLS = """
import pandas as pd, pandas_genai
labels = pd.DataFrame({"tone": pd.Categorical(["bad", "good"] * 3)})
sample = labels.genai.review_sample(4, text=pd.Series([f"<b>text</b> {n}" for n in range(6)]))
sample

sample.code("mine", coder="anna")

from ipywidgets import Widget
import ipywidgets
(widget,) = [one for one in ipywidgets.widgets.widget._instances.values() if hasattr(one, "view")]
for at, value in enumerate(["good", "bad", "great"]):
    widget._handle_custom_msg({"do": "set", "at": at, "field": "tone", "value": value}, [])
print(widget.view["error"])
print(sample.codes("mine", coder="anna")["tone"].notna().sum())
""".strip().split("\n\n")


def run(folder):
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(
        notebook, resources={"metadata": {"path": folder}}, store_widget_state=False
    ).execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_saved_notebook_says_how_far_the_coding_is(tmp_path):
    shown, coded, said = run(tmp_path)
    card = shown[0]["data"]["text/html"]
    assert "4 of 6 rows, to code: tone" in card
    assert "&lt;b&gt;text&lt;/b&gt;" in card
    assert "stratum" not in card
    summary, widget = coded
    html = re.sub(r"<[^>]+>", " ", summary["data"]["text/html"])
    assert "Coded by hand: 2 of 4 texts coded" in html
    assert "bad: 1" in html
    assert summary["data"]["text/plain"] == "2 of 4 texts coded"
    assert "application/vnd.jupyter.widget-view+json" in widget["data"]
    assert "to_excel" in widget["data"]["text/plain"]
    lines = said[0]["text"].splitlines()
    assert "'great'" in lines[0] or '"great"' in lines[0]
    assert lines[1] == "2"
    gold = pandas_genai.read_review(tmp_path / "genai_reviews" / "mine.sqlite")
    assert sorted(gold["tone"].dropna()) == ["bad", "good"]


def test_the_page_is_told_whatever_happens(tmp_path):
    labels = pd.DataFrame({"tone": pd.Categorical(["bad", "good"])})
    sample = labels.genai.review_sample(2, text=pd.Series(["one", "two"]))
    coding = Coding(sample.review, sample["text"].tolist(), tmp_path / "a.sqlite")
    told = []
    widget = CodingWidget(coding, lambda: told.append(coding.line))
    assert widget.fields[0]["labels"] == ["bad", "good"]
    assert "model" not in str(widget.view)
    widget._handle_custom_msg({"do": "set", "at": 0, "field": "tone", "value": "bad"}, [])
    assert (widget.view["at"], widget.view["turn"]) == (1, 1)
    coding.path.unlink()
    widget._handle_custom_msg({"do": "set", "at": 1, "field": "tone", "value": "bad"}, [])
    assert "review file" in widget.view["error"]
    assert (widget.view["at"], widget.view["turn"]) == (1, 2)
    assert told == ["1 of 2 texts coded"] * 2
    widget.close()


@pytest.mark.parametrize("key", ["do", "field", "value"])
def test_a_message_that_makes_no_sense_changes_nothing(tmp_path, key):
    labels = pd.DataFrame({"tone": pd.Categorical(["bad", "good"])})
    sample = labels.genai.review_sample(2, text=pd.Series(["one", "two"]))
    coding = Coding(sample.review, sample["text"].tolist(), tmp_path / "a.sqlite")
    message = {"do": "set", "at": 0, "field": "tone", "value": "bad", key: "nothing such"}
    view = coding.step(message)
    assert view["error"]
    assert (view["at"], view["codes"]) == (0, {})
