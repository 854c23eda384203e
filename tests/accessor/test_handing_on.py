"""Labels in the words of a paper, and in files of other programs."""

from __future__ import annotations

import json

import openpyxl
import pandas as pd
import pytest

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.testing import LoopbackProvider

SCHEMA = {
    "tone": ["good", "bad & ugly"],
    "year": int | None,
    "sure": bool,
    "topics": [str],
    "why": str,
}
pytestmark = pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")


def rule(text):
    if "odd" in text:
        return {"tone": "neither"}
    return {
        "tone": "good" if "Great" in text else "bad & ugly",
        "year": 2001 if "Great" in text else None,
        "sure": "Great" in text,
        "topics": ["pay", "hours"],
        "why": "=1+1" if "Great" in text else "x" * 3000,
    }


@pytest.fixture
def labels(tmp_path):
    texts = ["Great people.", "Awful.", "odd", None]
    frame = pd.DataFrame({"review": texts}, index=pd.Index(["a", "b", "c", "d"], name="doc id"))
    with LoopbackProvider(rule) as provider:
        return frame.genai.extract(
            *("Tone of 100 % of it?", SCHEMA),
            cache=tmp_path / "c.sqlite",
            progress=False,
            model="m",
            api_key="k",
            base_url=provider.openai_url,
            params={"temperature": 0},
        )


def test_a_paragraph_for_the_paper(labels):
    report = labels.genai.report
    text = report.methods()
    day = f"{report.started.day} {report.started:%B %Y}"
    version = pandas_genai.__version__
    assert f"4 texts were labelled by m on {day} with pandas-genai {version}." in text
    assert report.prompt_hash[:12] in text
    assert "temperature = 0" in text
    assert "2 (50.0%) were answered, 1 had no text and 1 failed" in text
    assert "invalid answer" in text
    assert r"(50.0\%)" in report.methods(latex=True)


def test_the_paragraph_has_the_agreement(tmp_path):
    frame = pd.DataFrame({"review": [f"{'Great' if n % 2 else 'Bad'} {n}" for n in range(30)]})
    answer = {"tone": "good"}
    with LoopbackProvider(lambda text: answer if "Great" in text else {"tone": "bad"}) as provider:
        labels = frame.genai.extract(
            *("Tone?", {"tone": ["good", "bad"]}),
            cache=tmp_path / "c.sqlite",
            progress=False,
            api_key="k",
            base_url=provider.openai_url,
        )
    gold = labels[["tone"]].iloc[:20].copy()
    gold.iloc[0, 0] = "good"
    text = labels.genai.report.methods(labels.genai.evaluate(gold))
    assert "Against 20 hand-coded texts, tone has accuracy 0.95 (95 % interval 0." in text
    assert "Cohen's kappa 0.90" in text


def test_the_codebook(labels):
    report = labels.genai.report
    lines = report.codebook().splitlines()
    assert lines[:2] == ["Tone of 100 % of it?", ""]
    assert lines[2] == "tone: good, bad & ugly"
    assert [line.partition(":")[0] for line in lines[2:]] == list(SCHEMA)
    latex = report.codebook(latex=True)
    assert r"Tone of 100 \% of it?" in latex
    assert r"bad \& ugly" in latex
    assert r"\toprule" in latex
    with pytest.raises(UsageError, match="What was asked is not known"):
        type(report).showing(report).codebook()


def test_excel(labels, tmp_path):
    path = labels.genai.to_excel(tmp_path / "l.xlsx")
    workbook = openpyxl.load_workbook(path)
    rows = [list(row) for row in workbook["labels"].iter_rows()]
    assert [cell.value for cell in rows[0]] == ["doc id", *SCHEMA]
    assert [cell.value for cell in rows[1]] == [
        *("a", "good", 2001, True, '["pay", "hours"]', "=1+1"),
    ]
    assert rows[1][5].data_type == "s"  # no formula
    assert [cell.value for cell in rows[3]] == ["c", *[None] * 5]
    facts = {row[0].value: row[1].value for row in workbook["provenance"].iter_rows()}
    assert facts["model"] == "m"
    assert "were labelled by m" in facts["how"]
    assert facts["instructions"] == "Tone of 100 % of it?"


def test_stata(labels, tmp_path):
    path = labels.genai.to_stata(tmp_path / "l.dta")
    back = pd.read_stata(path)
    assert back.columns.tolist() == ["doc_id", *SCHEMA]
    assert back["tone"].cat.categories.tolist() == ["good", "bad & ugly"]
    assert back["tone"].tolist()[:2] == ["good", "bad & ugly"]
    assert back["tone"].isna().tolist() == [False, False, True, True]
    assert back["sure"].tolist()[:2] == [1.0, 0.0]
    assert back["year"].isna().tolist() == [False, True, True, True]
    assert back["topics"].tolist() == ['["pay", "hours"]'] * 2 + [""] * 2
    assert back["why"].str.len().tolist() == [4, 3000, 0, 0]
    with pd.io.stata.StataReader(path) as reader:
        assert reader.variable_labels()["doc_id"] == "doc id"
    facts = json.loads((tmp_path / "l.provenance.json").read_text())
    assert facts["run"] == labels.genai.report.run_id


def test_csv(labels, tmp_path):
    path = labels.genai.to_csv(tmp_path / "l.csv")
    back = pd.read_csv(path, index_col="doc id")
    assert back["tone"].tolist()[:2] == ["good", "bad & ugly"]
    assert back["why"]["a"] == "'=1+1"
    assert json.loads(back["topics"]["b"]) == ["pay", "hours"]
    assert back.loc[["c", "d"]].isna().all(axis=None)
    assert (tmp_path / "l.provenance.json").exists()


@pytest.mark.parametrize("verb", ["to_csv", "to_excel", "to_stata"])
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": []}),
        pd.DataFrame({"x": [1.5, None]}, index=pd.Index([1, 1], name="x")),
        pd.DataFrame({"a b": ["z"], "a.b": ["y"], "2": [["\x01", {"k": 1}]]}),
        pd.DataFrame(
            {"when": pd.to_datetime(["2020-01-01T10:00Z", None])},
            index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]),
        ),
        pd.DataFrame({"tone": pd.Categorical([True, False]), "n": pd.array([1, None], "Int64")}),
    ],
    ids=["empty", "twice", "names", "moments", "booleans"],
)
def test_any_frame_is_written(tmp_path, verb, frame):
    path = getattr(frame.genai, verb)(tmp_path / "file")
    read = {"to_csv": pd.read_csv, "to_excel": pd.read_excel, "to_stata": pd.read_stata}[verb]
    assert len(read(path, **({"engine": "openpyxl"} if verb == "to_excel" else {}))) == len(frame)
    with pytest.raises(UsageError, match="There is no directory"):
        getattr(frame.genai, verb)(tmp_path / "nowhere" / "file")
