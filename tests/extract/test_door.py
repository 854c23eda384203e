"""The public door: arguments that are refused before anything is sent."""

from __future__ import annotations

import inspect

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import CredentialsError, SchemaError, UsageError, genai
from pandas_genai.runs.progress import Silent
from pandas_genai.testing import LoopbackProvider


@pytest.fixture
def frame():
    return pd.DataFrame({"text": ["good", "bad"]}, index=["x", "y"])


def rule(text):
    return {"label": text}


LABELS = ["good", "bad"]


def test_the_signature_is_the_promised_one():
    signature = inspect.signature(pd.DataFrame.genai.extract)
    assert list(signature.parameters) == [
        *("self", "prompt", "schema", "text", "model", "backend", "base_url", "api_key", "client"),
        *("cache", "chunk_size", "max_workers", "fresh", "on_error", "params", "examples"),
        *("evidence", "progress", "max_cost", "prices", "keep_replies", "rpm", "tpm"),
        *("offline", "retry_failed", "repeats"),
    ]
    assert signature.parameters["chunk_size"].default == 5
    assert signature.parameters["max_workers"].default == 20
    assert signature.parameters["on_error"].default == "keep"


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_size": 0},
        {"chunk_size": 2.5},
        {"max_workers": -1},
        {"max_workers": True},
        {"on_error": "ignore"},
        {"max_cost": -1},
        {"max_cost": float("nan")},
        {"max_cost": "1"},
        {"max_cost": 1.0, "model": "nobodys-model"},
        {"prices": 0.5},
        {"prices": {"input": 1}},
        {"prices": {"input": 1, "output": True}},
        {"prices": {"input": 1, "output": 1, "reading": 1}},
        {"text": "nope"},
        {"params": {"messages": []}},
        {"schema": {}},
        {"prompt": " "},
        {"base_url": "nowhere"},
        {"backend": "x"},
        {"cache": True},
        {"schema": {"counts": dict[str, int]}},
    ],
)
def test_nonsense_is_refused_in_one_sentence_before_anything_is_opened(frame, wrong, tmp_path):
    given = {"prompt": "Tone?", "schema": LABELS, "base_url": "http://127.0.0.1:1/v1"} | wrong
    with pytest.raises(UsageError) as caught:
        frame.genai.extract(**given)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_recursion_is_refused_where_the_vendor_cannot_enforce_it(frame):
    from pydantic import BaseModel

    class Node(BaseModel):
        name: str
        children: list[Node]

    with pytest.raises(SchemaError, match="refers to itself"):
        frame.genai.preview("p", Node, backend="anthropic")


def test_without_a_key_nothing_is_sent(frame):
    with pytest.raises(CredentialsError, match="OPENAI_API_KEY"):
        frame.genai.extract("Tone?", LABELS, progress=False)


def test_preview_needs_no_key_and_sends_nothing(frame, no_network):
    requests = frame.genai.preview("Tone?", LABELS, n=5, chunk_size=1)
    assert len(requests) == 2
    assert requests[0]["method"] == "POST"
    assert "Tone?" in repr(requests)
    for n in (0, "2", 1.5):
        with pytest.raises(UsageError, match="n= must be a whole number of at least 1"):
            frame.genai.preview("Tone?", LABELS, n=n)
    nothing = frame.iloc[:0].genai.preview("Tone?", LABELS)
    assert repr(nothing) == "Nothing would be sent: no row has a text."
    assert repr(nothing) in nothing._repr_html_()


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_preview_is_exactly_what_is_sent(frame, backend):
    with LoopbackProvider(rule) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        where = {"backend": backend, "base_url": url}
        (request,) = frame.genai.preview("Tone?", LABELS, **where)
        frame.genai.extract("Tone?", LABELS, **where, api_key="k", cache=False, progress=False)
        (sent,) = provider.ledger.requests
    assert sent.body == request["body"]
    assert request["url"].endswith(sent.path)


def test_a_series_is_its_own_text(frame):
    with LoopbackProvider(rule) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": False}
        out = frame["text"].genai.extract("Tone?", LABELS, **where, progress=False)
        (request,) = frame["text"].genai.preview("Tone?", LABELS, base_url=provider.openai_url)
    assert out["label"].tolist() == ["good", "bad"]
    assert out.index.tolist() == ["x", "y"]
    assert "good" in request["body"]["messages"][1]["content"]


def test_the_typed_function_is_the_accessor(frame):
    assert genai(frame).preview("Tone?", LABELS) == frame.genai.preview("Tone?", LABELS)


def test_the_cache_lies_beside_the_notebook_unless_told(frame, tmp_path, monkeypatch):
    elsewhere = tmp_path / "notebooks"
    elsewhere.mkdir()
    monkeypatch.setenv("PANDAS_GENAI_DIR", str(elsewhere))
    with LoopbackProvider(rule) as provider:
        out = frame.genai.extract(
            "Tone?", LABELS, base_url=provider.openai_url, api_key="k", progress=False
        )
    assert (elsewhere / "genai_cache.sqlite").exists()
    runs = pandas_genai.runs()
    assert runs.index.tolist() == [out.genai.report.run_id]
    assert runs["ok"].tolist() == [2]


def test_runs_without_a_file():
    with pytest.raises(UsageError, match="There is no cache file"):
        pandas_genai.runs("nowhere.sqlite")


def test_a_cache_of_ones_own_stays_open(frame):
    with LoopbackProvider(rule) as provider, pandas_genai.SqliteCache(None) as cache:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": cache}
        assert pandas_genai.runs(cache).empty
        for _ in range(2):
            frame.genai.extract("Tone?", LABELS, **where, progress=False)
        assert provider.ledger.calls == 1
        assert len(pandas_genai.runs(cache)) == 2


def test_a_frame_that_no_run_made_has_no_report(frame):
    with pytest.raises(UsageError, match="not the result of a run"):
        _ = frame.genai.report


def test_an_observer_of_ones_own_takes_the_events(frame):
    class Watching(Silent):
        def __init__(self):
            self.events = []

        def started(self, progress):
            self.events.append(("started", progress.total, progress.done))

        def ended(self, progress, outcome):
            self.events.append((outcome, progress.total, progress.done))

    watching = Watching()
    with LoopbackProvider(rule) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": False}
        frame.genai.extract("Tone?", LABELS, **where, progress=watching)
    assert watching.events == [("started", 2, 0), ("completed", 2, 2)]


def test_the_settings_decide_where_nobody_chose(frame, monkeypatch):
    monkeypatch.setenv("CHUNK_SIZE", "1")
    assert len(frame.genai.preview("Tone?", LABELS, n=9)) == 2
    assert len(frame.genai.preview("Tone?", LABELS, n=9, chunk_size=5)) == 1


def test_a_closed_cache_says_so(frame):
    cache = pandas_genai.SqliteCache(None)
    cache.close()
    with pytest.raises(pandas_genai.CacheError, match="closed"):
        frame.genai.extract(
            "Tone?", LABELS, cache=cache, base_url="http://127.0.0.1:1/v1", progress=False
        )
