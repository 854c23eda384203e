"""The record is true: what was sent, what nobody counted, who answered what the cache had."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import ParameterLeftOutWarning, UsageError
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.params import check_params, known_params
from pandas_genai.runs.parameters import left_out, together
from pandas_genai.testing import LoopbackProvider

SCHEMA = {"answer": ["yes", "no"]}


def rule(text):
    return {"answer": "yes"}


def frame_of(count):
    return pd.DataFrame({"text": [f"The row {number}." for number in range(count)]})


def where(provider, **more):
    return {"base_url": provider.openai_url, "api_key": "k", "progress": False, **more}


def calls_of(provider):
    return [call for call in provider.ledger.requests if "chat" in call.path]


def test_run_report_row_and_card_hold_what_was_sent(tmp_path):
    asked = {"model": "gpt-5-mini", "params": {"temperature": 0.0, "max_tokens": 800}}
    path = tmp_path / "c.sqlite"
    with LoopbackProvider(rule) as provider:
        with pytest.warns(ParameterLeftOutWarning) as caught:
            out = frame_of(40).genai.extract("Yes?", SCHEMA, cache=path, **asked, **where(provider))
        last = calls_of(provider)[-1].body
    assert len(caught) == 1
    assert str(caught[0].message).startswith("loopback (gpt-5-mini) does not take temperature=0.0")
    assert caught[0].filename == __file__
    report = out.genai.report
    assert report.params_dropped == {"temperature": 0.0}
    assert "temperature" not in last
    assert report.params_sent == {"max_completion_tokens": 800, "structured": "strict"}
    (run,) = pandas_genai.runs(path).to_dict("records")
    assert json.loads(run["params_sent"]) == report.params_sent
    assert json.loads(run["params_dropped"]) == report.params_dropped
    assert "left out: temperature=0.0" in re.sub("<[^>]*>", "", report._repr_html_())
    with pandas_genai.SqliteCache(path) as cache:
        (task,) = cache.tasks()
    assert json.loads(task["params"])["temperature"] == 0.0  # what was asked stays what was asked


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_misspelt_parameter_is_found_before_anything_is_sent(backend):
    frame = frame_of(3)
    with LoopbackProvider(rule) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        here = {"base_url": url, "backend": backend, "params": {"temprature": 0}}
        for verb in (frame.genai.extract, frame.genai.estimate, frame.genai.batch_submit):
            with pytest.raises(UsageError, match="Did you mean 'temperature'"):
                verb("Yes?", SCHEMA, api_key="k", **here)
        with pytest.raises(UsageError, match="Did you mean 'temperature'"):
            frame.genai.preview("Yes?", SCHEMA, **here)
        assert not provider.ledger.requests


VENDORS = {
    "openai": Endpoint("openai", "https://api.openai.com/v1", "k"),
    "anthropic": Endpoint("anthropic", "https://api.anthropic.com", "k"),
}
COMPATIBLE = Endpoint("openai", "http://127.0.0.1:8000/v1", "k")


@settings(max_examples=60, deadline=None)
@given(backend=st.sampled_from(["openai", "anthropic"]), data=st.data())
def test_one_wrong_letter_is_found_and_the_right_name_never(backend, data):
    name = data.draw(st.sampled_from(sorted(known_params(backend))))
    check_params({name: 1}, VENDORS[backend])
    if len(name) < 6:
        return
    place = data.draw(st.integers(0, len(name) - 1))
    wrong = name[:place] + name[place + 1 :]
    if wrong in known_params(backend):
        return
    for endpoint in {VENDORS[backend], Endpoint(backend, COMPATIBLE.base_url, "k")}:
        with pytest.raises(UsageError, match="Did you mean"):
            check_params({wrong: 1}, endpoint)
    check_params({"extra_body": {wrong: 1}}, VENDORS[backend])


def test_compatible_servers_take_names_of_their_own():
    own = ["top_k", "min_p", "repetition_penalty", "guided_json", "chat_template_kwargs", "think"]
    own += ["provider", "models", "transforms", "options", "keep_alive", "seed", "our_own_thing"]
    check_params(dict.fromkeys(own, 1), COMPATIBLE)
    with pytest.raises(UsageError, match=r"no parameter that api\.openai\.com is known to take"):
        check_params({"our_own_thing": 1}, VENDORS["openai"])


def test_what_stands_in_extra_body_is_sent_as_it_is():
    params = {"extra_body": {"temprature": 0, "our_own": [1]}}
    (request,) = frame_of(1).genai.preview("Yes?", SCHEMA, params=params)
    assert request["body"]["temprature"] == 0
    assert request["body"]["our_own"] == [1]
    assert "extra_body" not in request["body"]
    for wrong in ({"extra_body": 5}, {"extra_body": {"messages": []}}):
        with pytest.raises(UsageError):
            frame_of(1).genai.preview("Yes?", SCHEMA, params=wrong)


VALUES = st.one_of(st.booleans(), st.integers(0, 9), st.text(max_size=3), st.none())
PARAMS = st.dictionaries(st.sampled_from(["a", "b", "max_tokens", "structured"]), VALUES)


@settings(max_examples=60, deadline=None)
@given(asked=PARAMS, calls=st.lists(PARAMS, min_size=1, max_size=4))
def test_nothing_that_was_left_out_of_a_call_is_missing_in_the_record(asked, calls):
    kinds = [json.dumps(call) for call in calls]
    sent, dropped = together(kinds), left_out(asked, kinds, ["max_tokens"])
    for name in asked.keys() - {"max_tokens", "structured"}:
        assert (name in dropped) == any(name not in call for call in calls)
    for call in calls:
        for name, value in call.items():
            assert sent[name] == value or value in sent[name]


def test_calls_that_nobody_counted_are_unknown_and_not_free(tmp_path):
    path = tmp_path / "c.sqlite"
    with LoopbackProvider(rule, dialect="bare") as provider:
        out = frame_of(40).genai.extract("Yes?", SCHEMA, cache=path, **where(provider))
        plan = frame_of(90).genai.estimate(
            "Yes?", SCHEMA, cache=False, sample=10, base_url=provider.openai_url, api_key="k"
        )
        again = frame_of(40).genai.extract("Yes?", SCHEMA, cache=path, **where(provider))
    report = out.genai.report
    assert report.unknown_calls == report.calls == 8
    assert report.cost is None
    for shown in (str(report), re.sub("<[^>]*>", " ", report._repr_html_())):
        assert "$" not in shown
        assert "unknown (8 calls without a count)" in shown
    assert plan.sample_cost is None
    assert "the cost of the sample is unknown: 2 calls without a count of tokens" in str(plan)
    assert "$0.0000" not in str(plan)
    assert "is unknown: nobody counted" in str(again.genai.report)


def test_a_fully_cached_run_names_who_answered_and_when(tmp_path):
    path, models = tmp_path / "c.sqlite", {"gpt-6-luna": "gpt-6-luna-2026-10-01"}
    before = datetime.now(UTC) - timedelta(seconds=1)
    with LoopbackProvider(rule, answers_as=models) as provider:
        asked = where(provider, cache=path)
        first = frame_of(40).genai.extract("Yes?", SCHEMA, **asked).genai.report
        report = frame_of(40).genai.extract("Yes?", SCHEMA, **asked).genai.report
    assert (report.calls, report.cost) == (0, 0.0)
    assert report.models == ["gpt-6-luna-2026-10-01"]
    assert before < report.answered_from <= report.answered_to < datetime.now(UTC)
    assert f"{first.input_tokens:,} tokens in and {first.output_tokens:,} out" in str(report)
    assert f"gpt-6-luna-2026-10-01, answered {report.answered_from:%Y-%m-%d}" in str(report)
    runs = pandas_genai.runs(path)
    assert runs["answered_from"].notna().tolist() == [True, False]


def test_a_job_bills_by_the_prices_that_it_was_given(tmp_path):
    prices = {"input": 1.0, "output": 2.0, "batch": 0.5}
    with LoopbackProvider(rule) as provider:
        here = {"base_url": provider.openai_url, "api_key": "k", "name": "night"}
        frame_of(40).genai.batch_submit("Yes?", SCHEMA, model="my-own", prices=prices, **here)
        out = frame_of(40).genai.batch_collect("night")
        job = pandas_genai.open_job("night")
        report = job.report
        assert report.params_sent["structured"] == "strict"
        frame_of(20).genai.batch_submit(
            "No?", SCHEMA, model="my-own", prices=prices, **here | {"name": "other"}
        )
        dear = frame_of(20).genai.batch_collect("other", prices={"input": 9.0, "output": 9.0})
    expected = 0.5 * (report.input_tokens * 1.0 + report.output_tokens * 2.0) / 1e6
    assert report.cost == pytest.approx(expected)
    assert out.genai.report.cost == pytest.approx(expected)
    other = dear.genai.report
    assert other.cost == pytest.approx(0.5 * 9.0 * (other.input_tokens + other.output_tokens) / 1e6)


@pytest.mark.parametrize(
    ("backend", "params"),
    [("openai", {}), ("openai", {"structured": "text"}), ("anthropic", {})],
)
def test_the_instructions_are_kept_as_they_were_sent(tmp_path, backend, params):
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "maxLength": 40}},
    }
    dialect = "ollama" if backend == "openai" else "openai"  # whose grammar takes bounds
    with LoopbackProvider(rule, dialect=dialect) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        here = {"backend": backend, "base_url": url, "api_key": "k", "params": params}
        here["model"] = "gpt-6-luna" if backend == "openai" else "claude-haiku-5-5"
        frame, path = frame_of(3), tmp_path / "live.sqlite"
        frame.genai.extract("Yes?", schema, cache=path, progress=False, **here)
        (call,) = [one for one in provider.ledger.requests if one.number]
        for kept, folder in ((tmp_path / "job.sqlite", "jobs"), (tmp_path / "new.sqlite", None)):
            if folder:
                job = frame.genai.batch_submit(
                    "Yes?", schema, cache=kept, name="j", folder=tmp_path / folder, **here
                )
            else:
                job.collect(cache=kept)
        files = [path, tmp_path / "job.sqlite", tmp_path / "new.sqlite"]
    sent = call.body.get("system") or call.body["messages"][0]["content"]
    sent = sent if isinstance(sent, str) else sent[0]["text"]
    if backend == "openai":
        assert "Keep to these limits: " in sent or "JSON schema" in sent
    for file in files:
        with pandas_genai.SqliteCache(file) as cache:
            assert [task["system"] for task in cache.tasks()] == [sent]
