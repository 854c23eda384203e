"""What the pages say is true: the queries run, every reason and every name is explained."""

import ast
import json
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


QUERIES = blocks(ROOT / "docs" / "cache_file.md", "sql")


@pytest.fixture
def cache_file(tmp_path):
    """A cache with two tasks over the same texts, one row of which failed."""
    import pandas_genai
    from pandas_genai.testing import LoopbackProvider

    path = tmp_path / "answers.sqlite"
    df = pd.DataFrame({"text": ["good day", "bad day", "good night", "unspeakable"]})
    tones = {"tone": ["good", "bad", "mixed"]}

    def rule(text):
        return {"tone": text.split()[0]}  # "unspeakable" is no label: that row fails

    with LoopbackProvider(rule) as provider:
        for prompt in ("Which tone?", "Which tone, all in all?"):
            with pytest.warns(pandas_genai.RowsFailedWarning):
                df.genai.extract(
                    prompt,
                    tones,
                    model="gpt-6-luna",
                    base_url=provider.openai_url,
                    api_key="k",
                    cache=path,
                    progress=False,
                )
    return path


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_page_answers(cache_file, query):
    connection = sqlite3.connect(cache_file)
    try:
        answer = pd.read_sql(query, connection)
    finally:
        connection.close()
    assert len(answer) >= 1
    assert answer.notna().any().any()


def test_the_page_names_every_column_of_every_table(cache_file):
    text = (ROOT / "docs" / "cache_file.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    connection = sqlite3.connect(cache_file)
    try:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        columns = {
            (table, column[1])
            for (table,) in tables.fetchall()
            for column in connection.execute(f"PRAGMA table_info({table})").fetchall()
        }
    finally:
        connection.close()
    assert {entry for entry in columns if not set(entry) <= named} == set()


def reasons_in(path):
    """Every reason that a row may be given in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        values = [word.value for word in node.keywords if word.arg == "reason"]
        name = getattr(node.func, "id", "")
        if name in ("Refusal", "_RefusedError", "FailedRow", "_all") and node.args:
            values += node.args[:1] if name in ("Refusal", "_RefusedError") else node.args[1:3]
        constants = [one for value in values for one in ast.walk(value)]
        found |= {
            one.value
            for one in constants
            if isinstance(one, ast.Constant) and re.fullmatch("[a-z ]+", str(one.value))
        }
    return found


def test_every_reason_of_a_row_is_explained():
    from pandas_genai.backends import classify
    from pandas_genai.backends.anthropic import batches as anthropic_batches
    from pandas_genai.backends.openai import batches as openai_batches
    from pandas_genai.runs import failures

    package = ROOT / "src" / "pandas_genai"
    rooms = ("backends", "task", "runs", "workers", "batch", "extract")
    reasons = {
        reason
        for room in rooms
        for path in (package / room).rglob("*.py")
        for reason in reasons_in(path)
    }
    reasons |= {rule.reason for rule in classify.RULES}
    reasons |= {*openai_batches._UNFINISHED.values(), *anthropic_batches._UNFINISHED.values()}
    reasons |= failures.NOT_FAILED | {failures.NOT_SUBMITTED}
    assert {"missing in reply", "truncated", "expired", "in progress", "server error"} <= reasons
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()


def documented():
    """The names that have an entry in the reference, by their path from the module they are of."""
    found = set()
    for page in ("api.md", "errors.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for directive in re.findall(
            r"^```\{eval-rst\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
        ):
            module = re.search(r"currentmodule:: (\w+)", directive)
            names = re.findall(r"^   (\w[\w.]*)$|auto\w+:: ([\w.]+)$", directive, re.MULTILINE)
            found |= {f"{module.group(1)}.{a or b}" for a, b in names if module}
    return found


def public(owner):
    return [name for name in dir(owner) if not name.startswith("_")]


def test_everything_public_is_in_the_reference():
    import pandas_genai
    from pandas_genai import errors, testing

    wanted = {f"pandas_genai.{name}" for name in pandas_genai.__all__ if name not in errors.__all__}
    wanted |= {f"pandas_genai.testing.{name}" for name in testing.__all__}
    wanted |= {f"pandas.DataFrame.genai.{name}" for name in public(pd.DataFrame.genai)}
    wanted |= {f"pandas.Series.genai.{name}" for name in public(pd.Series.genai)}
    # Steps of the accessors' verbs, and what a job works with.
    own = {"collect_rows", "folder", "observer", "submit"}
    wanted |= {f"pandas_genai.BatchJob.{one}" for one in set(public(pandas_genai.BatchJob)) - own}
    assert wanted - documented() == set()
    assert "pandas_genai.errors" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def test_no_file_names_one_that_is_not_in_the_repository():
    """Working papers are named in no file; the brackets keep this one from finding itself."""
    papers = re.compile(r"\b(?:FACT[S]|DESIG[N]|COMPA[T]|STYL[E])(?:\.md\b|[,:;) ])")
    kinds = {".py", ".md", ".toml", ".ipynb"}
    places = [
        path for top in ("src", "tests", "docs", "notebooks") for path in (ROOT / top).rglob("*")
    ]
    files = [path for path in [*places, *ROOT.iterdir()] if path.suffix in kinds]
    naming = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in files
        if not {"_build", "output", ".ipynb_checkpoints"} & set(path.parts)
        for match in papers.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not naming


def cells_of_notebooks():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        yield from json.loads(path.read_text("utf-8"))["cells"]


def test_every_plot_of_a_notebook_is_seen():
    """A cell that ends in our plot shows it; a semicolon behind it would hide it."""
    plots = [
        cell
        for cell in cells_of_notebooks()
        if re.search(r"^\w+(\.genai)?\.plot\(.*\);?\Z", "".join(cell["source"]), re.MULTILINE)
    ]
    assert len(plots) >= 2
    for cell in plots:
        assert any("image/png" in one.get("data", ()) for one in cell["outputs"]), cell["source"]


def test_no_test_comment_stands_in_a_cell():
    """What nbval is to do stands in the cells' tags: a reader does not see those."""
    cells = list(cells_of_notebooks())
    assert not [cell["source"] for cell in cells if "NBVAL" in "".join(cell["source"])]
    checked = [one for one in cells if "nbval-check-output" in one["metadata"].get("tags", ())]
    assert len(checked) >= 15


def test_every_file_of_ours_that_a_page_names_is_there():
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "howto").glob("*"),
    ]
    package = ROOT / "src" / "pandas_genai"
    missing = [
        f"{page.name}: {name}"
        for page in pages
        for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|ipynb|md))`", page.read_text("utf-8"))
        if not any((place / name).exists() for place in (ROOT, package))
    ]
    assert not missing
