"""What the pages show is true: the queries run, the code parses."""

import ast
import doctest
import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_parses(page):
    for code in blocks(page, "python"):
        if not code.startswith(">>>"):
            ast.parse(code)


FIXED = {
    "one": {
        "label": "good",
        "tone": "good",
        "stars": 5,
        "confidence": 0.9,
        "rumour": False,
        "name": "a",
        "year": 2001,
        "topics": ["staff", "prices"],
        "day": "2001-02-03",
        "records": [{"firm": "Acme", "amount": 10.0}, {"firm": "Bolt", "amount": None}],
    },
    "two": {
        "label": "bad",
        "tone": "bad",
        "stars": 1,
        "confidence": 0.8,
        "rumour": True,
        "name": "b",
        "year": None,
        "topics": [],
        "day": "2002-02-03",
        "records": [],
    },
    "three": {
        "label": "good",
        "tone": "good",
        "stars": 4,
        "confidence": 0.5,
        "rumour": False,
        "name": "c",
        "year": 1999,
        "topics": ["staff"],
        "day": "2003-02-03",
        "records": [{"firm": "Acme", "amount": 2.5}],
    },
}


def test_the_examples_of_schemas_run():
    import pandas_genai  # noqa: F401 - registers df.genai
    from pandas_genai.testing import LoopbackProvider

    page = ROOT / "docs" / "schemas.md"
    frame = pd.DataFrame({"text": list(FIXED)})
    with LoopbackProvider(FIXED.get) as provider:

        def ask(schema):
            where = {"base_url": provider.openai_url, "api_key": "k", "cache": False}
            return frame.genai.extract("?", schema, progress=False, **where)

        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        code = "\n".join(blocks(page, "python"))
        examples = doctest.DocTestParser().get_doctest(code, {"ask": ask}, page.name, None, None)
        said = []
        found = runner.run(examples, out=said.append)
    assert found.attempted > 10
    assert not found.failed, "".join(said)


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
    from pandas_genai.backends import anthropic_batches, classify, openai_batches
    from pandas_genai.report import failures

    package = ROOT / "src" / "pandas_genai"
    rooms = ("backends", "task", "report", "live", "batch", "extract")
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
