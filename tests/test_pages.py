"""Every code block of README and docs runs as it stands, in the order of its page.

A page is one namespace and one empty directory. Vendors are found as a reader's would be, through
``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``: behind them stands a loopback provider. Blocks of
``>>>`` lines are compared with the outputs that the page shows.
"""

import doctest
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pandas_genai.testing import LoopbackProvider

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "howto").glob("*.md"))
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
RUNS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Servers that are not here: only their addresses are replaced, by that of the loopback provider.
ELSEWHERE = [
    "http://localhost:11434/v1",
    "http://gpu-server:8000/v1",
    "https://openrouter.ai/api/v1",
    "https://my-resource.openai.azure.com/openai/v1/",
    "https://generativelanguage.googleapis.com/v1beta/openai/",
]
# A database that is not here: in its place stands a schema of the tests' own server.
DATABASE = "postgresql://study@db.example.org/study"
# What a page needs that only an extra installs.
NEEDS = {"excel.md": "openpyxl", "export.md": "pyarrow", "inference.md": "patsy"}

ANSWERS = {
    "I love my colleagues.": {"topic": "colleagues", "tone": "positive", "stars": 5},
    "The pay is terrible.": {"topic": "pay", "tone": "negative", "stars": 1},
    "The food in the canteen is awful.": {"topic": "food", "tone": "negative", "stars": 2},
    "Goal: whether a review is positive or negative\n\nText 1:\nI love my colleagues.\n\n"
    "Text 2:\nThe pay is terrible.": {
        "prompt": "Read the review.\n1. tone: positive or negative.",
        "fields": [
            {"name": "tone", "kind": "one of some labels", "labels": ["positive", "negative"]}
        ],
        "tone": "positive",
    },
    "My colleagues: I love them.": {"topic": "colleagues", "tone": "positive"},
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


def answer(text):
    """Answer as the pages show; texts that stand nowhere above by their words."""
    if text in ANSWERS:
        found = ANSWERS[text]
    else:
        found = {"tone": "positive" if "love" in text else "negative", "topic": "pay", "stars": 3}
    return {"topics": [found.get("topic", "pay")], "label": found["tone"], **found}


def blocks_of(page, url="", database=DATABASE):
    """Each block, and the line where it begins."""
    text = page.read_text(encoding="utf-8").replace(DATABASE, database)
    for address in ELSEWHERE:
        text = text.replace(address, url)
    return [
        (text.count("\n", 0, match.start(1)) + 1, match.group(1)) for match in RUNS.finditer(text)
    ]


@pytest.fixture(scope="module")
def provider():
    with LoopbackProvider(answer) as provider:
        yield provider


@pytest.fixture
def reader(provider, monkeypatch):
    """A reader's settings."""
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.anthropic_url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")


WITH_CODE = [page for page in PAGES if RUNS.search(page.read_text(encoding="utf-8"))]
LOCAL = {page for page in WITH_CODE if any('model="local"' in code for _, code in blocks_of(page))}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.local_model] if page in LOCAL else [], id=page.stem)
        for page in WITH_CODE
    ],
)
def test_the_blocks_of_a_page_run_in_order(page, provider, request):
    if page.name in NEEDS and importlib.util.find_spec(NEEDS[page.name]) is None:
        pytest.skip(f"{NEEDS[page.name]} is not installed")
    if page in LOCAL:
        request.getfixturevalue("weights")
    names = {"__name__": "page"}
    said = []
    asks_database = any(DATABASE in code for _, code in blocks_of(page))
    database = request.getfixturevalue("postgres_url") if asks_database else DATABASE
    for line, code in blocks_of(page, provider.openai_url, database):
        where = f"{page.name}, line {line}"
        if code.startswith(">>>"):
            runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
            test = doctest.DocTestParser().get_doctest(code, names, where, page.name, line)
            runner.run(test, out=said.append, clear_globs=False)
            names.update(test.globs)
            assert not runner.failures, "".join(said)
        else:
            exec(compile("\n" * line + code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page(page):
    """They parse, and name extras and modules that there are."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = extras["optional-dependencies"]
    text = page.read_text(encoding="utf-8")
    for code in SHELL.findall(text):
        done = subprocess.run(
            ["bash", "-n"], input=code, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for target in re.findall(r"\S*\.venv/bin/jupyter lab (\S+)", code):
            assert (ROOT / target).exists()
            assert any(one.startswith("jupyterlab") for one in extras["local"])
        for module in re.findall(r"-m (pandas_genai[\w.]*)", code):
            assert importlib.util.find_spec(f"{module}.__main__")
    for named in re.findall(r"(?:pandas-genai|'\.)\[([\w,]+)\]", text):
        assert set(named.split(",")) <= set(extras)


def test_no_block_is_in_another_language():
    """A block that no test runs would not be noticed: these are the languages that there are."""
    known = {"python", "sh", "sql", "text", "{toctree}", "{eval-rst}", "{image}", "{raw}"}
    fences = {
        fence
        for page in PAGES
        for fence in re.findall(r"^```(\S+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert fences <= known
