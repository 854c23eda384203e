"""Every billed call is in the cache, with its rows, usage and, if asked for, its body."""

import json

import pandas as pd
import pytest

from pandas_genai import RowsFailedWarning, SqliteCache
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {"answer": str}


@pytest.fixture(params=["openai", "anthropic"])
def ask(request, tmp_path):
    def asking(provider, frame, **options):
        url = provider.openai_url if request.param == "openai" else provider.anthropic_url
        frame.genai.extract(
            "Repeat.",
            SCHEMA,
            backend=request.param,
            base_url=url,
            api_key="sk-test",
            cache=tmp_path / "c.sqlite",
            progress=False,
            **options,
        )
        with SqliteCache(tmp_path / "c.sqlite") as cache:
            return cache.requests(), cache.runs()[0], cache

    return asking


def frame_of(rows):
    return pd.DataFrame({"text": [f"row {number}" for number in range(rows)] + [None, "row 0"]})


def echo(text):
    return {"answer": text}


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_each_call_names_its_rows_and_usage(ask, tmp_path):
    with LoopbackProvider(echo, faults=[Fault("server_error", calls={2})]) as provider:
        requests, run, _ = ask(provider, frame_of(12), max_workers=1)
    assert len(requests) == 3
    assert sorted(request["attempts"] for request in requests) == [1, 1, 2]
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        keys = cache.run_rows(run["run_id"])
    assert len(keys) == 14
    assert keys[12] is None
    assert keys[13] == keys[0]
    assert sorted(key for request in requests for key in request["rows"]) == sorted(keys[:12])
    for column in ("input_tokens", "output_tokens"):
        assert sum(request[column] for request in requests) == run[column]
    for request in requests:
        assert request["run_id"] == run["run_id"]
        assert request["request_id"]
        assert request["reply"] is None
        assert request["refused"] == 0
        assert request["cost"] > 0


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_a_call_whose_answers_were_refused_is_recorded_too(ask):
    with LoopbackProvider(echo, faults=[Fault("truncated", calls={1})]) as provider:
        requests, run, _ = ask(provider, frame_of(5), max_workers=1)
    assert requests[0]["refused"] == 5
    assert requests[0]["reason"]
    assert sum(request["output_tokens"] or 0 for request in requests) == run["output_tokens"]


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_replies_are_kept_where_that_is_asked_for(ask):
    with LoopbackProvider(echo) as provider:
        requests, _, _ = ask(provider, frame_of(5), keep_replies=True)
    bodies = [json.loads(request["reply"]) for request in requests]
    assert all(body["usage"] for body in bodies)
    assert "row 3" in json.dumps(bodies)


def test_an_answer_names_its_call(ask, tmp_path):
    with LoopbackProvider(echo) as provider, pytest.warns(RowsFailedWarning):
        ask(provider, frame_of(7))
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        found = cache._database.query(
            "SELECT results.text_hash, requests.rows FROM results "
            "JOIN requests ON requests.id = results.request"
        )
    assert len(found) == 7
    assert all(bytes.fromhex(key) in rows for key, rows in found)
