"""The recipes of the page for Spark and Ray, as they stand there."""

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

import pandas_genai
from pandas_genai.testing import LoopbackProvider

PAGE = Path(__file__).parents[2] / "docs" / "past_one_machine.md"
TEXTS = [f"I {'love' if number % 3 else 'hate'} it {number % 40}." for number in range(120)]


def recipe(title):
    """The code below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.search(r"```text\n(def ask.*?)```", section, re.DOTALL)[1]


def run(title, reviews, provider, store, monkeypatch):
    """Run it as a reader would; return what it makes, lazily."""
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    names = {"reviews": reviews, "store": store, "prompt": "Positive or negative?"}
    exec(compile(recipe(title), str(PAGE), "exec"), names)
    return names["labelled"]


def tone(text):
    return {"tone": "positive" if "love" in text else "negative"}


def check(found, rows, provider, store):
    assert len(found) == rows
    assert (found["tone"] == found["review"].map(lambda text: tone(text)["tone"])).all()
    assert set(provider.ledger.answered.values()) == {1}
    assert len(provider.ledger.answered) == len(set(TEXTS))
    assert len(pandas_genai.runs(store)) > 1


# Spark 4.3 says so of every pandas from 3.0 on; the recipe uses nothing that differs.
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
@pytest.mark.skipif(
    not importlib.util.find_spec("pyspark") or not shutil.which("java"), reason="needs Spark"
)
def test_spark(tmp_path, monkeypatch):
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    store = str(tmp_path / "c.sqlite")
    with LoopbackProvider(tone) as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        session = spark.getOrCreate()
        try:
            reviews = session.createDataFrame([(text,) for text in TEXTS], "review string")
            labelled = run("Spark", reviews.repartition(4), provider, store, monkeypatch)
            rows = [row.asDict() for row in labelled.collect()]
        finally:
            session.stop()
        check(pd.DataFrame(rows), len(TEXTS), provider, store)


# Ray 2.60 warns of its own settings, each time it makes them.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray")
def test_ray(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # a token would be written to the home folder
    import ray

    texts = TEXTS * 200  # several batches of the recipe's 10,000 rows
    store = str(tmp_path / "c.sqlite")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with LoopbackProvider(tone) as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        ray.init(num_cpus=2, include_dashboard=False)
        try:
            reviews = ray.data.from_items([{"review": text} for text in texts]).repartition(4)
            rows = run("Ray", reviews, provider, store, monkeypatch).take_all()
        finally:
            ray.shutdown()
        check(pd.DataFrame(rows), len(texts), provider, store)
