"""What goes over the wire: valid for the vendors, adapted to lesser servers, paid and counted."""

from __future__ import annotations

import json
import logging

import pytest

from pandas_genai import ParameterLeftOutWarning
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.testing import LoopbackProvider

SCHEMA = {
    "tone": ["good", "bad"],
    "year": int | None,
    "score": float,
    "topics": [str],
    "who": {"name": str, "role": str | None},
}
ANSWER = {
    "tone": "good",
    "year": None,
    "score": 1.5,
    "topics": ["a"],
    "who": {"name": "Ann", "role": None},
}


def rule(text):
    return ANSWER


def calls_of(provider):
    return [request for request in provider.ledger.requests if request.number]


@pytest.mark.parametrize(
    ("backend", "model", "schema", "params"),
    [
        ("openai", "gpt-6-luna", SCHEMA, None),
        ("openai", "gpt-6-luna", [SCHEMA], {"seed": 1}),
        ("openai", "gpt-4.1-mini", ["good", "bad"], {"temperature": 0.0}),
        ("openai", "gpt-5-mini", None, None),
        ("anthropic", "claude-haiku-5-5", SCHEMA, None),
        ("anthropic", "claude-haiku-4-5", [SCHEMA], {"max_tokens": 900}),
        ("anthropic", "claude-3-haiku-20240307", ["good", "bad"], {"temperature": 0.5}),
        ("anthropic", "claude-haiku-4-5", SCHEMA, {"structured": "tool"}),
        ("anthropic", "claude-haiku-5-5", None, None),
    ],
)
def test_every_request_and_answer_is_what_the_vendor_publishes(
    extract, frame_of, specs, backend, model, schema, params
):
    def fitting(text):
        if schema is None or isinstance(schema, dict):
            return ANSWER
        return [ANSWER] if isinstance(schema[0], dict) else {"label": "good"}

    with LoopbackProvider(fitting) as provider:
        out = extract(frame_of(12), provider, schema, backend=backend, model=model, params=params)
    assert len(out) == 12
    assert out.genai.report.failed == 0
    for call in calls_of(provider):
        assert call.status == 200, call
        specs.request(backend, call.path, call.body)


def test_the_system_message_is_cached_on_the_vendors_own_api(frame_of, specs):
    (request,) = frame_of(3).genai.preview("Tone?", SCHEMA)
    assert request["url"] == "https://api.openai.com/v1/chat/completions"
    assert request["body"]["prompt_cache_options"] == {"mode": "explicit"}
    specs.request("openai", "/chat/completions", request["body"])


@pytest.mark.parametrize(
    ("dialect", "fenced", "mode"),
    [
        ("ollama", False, "json_schema"),
        ("bare", False, "json_schema"),
        ("openrouter", False, "json_schema"),
        ("no_strict", False, "json_schema"),
        ("no_json_schema", True, "json_object"),
        ("no_response_format", True, "text"),
        ("gemini", False, "json_schema"),
    ],
)
def test_a_compatible_server_is_met_where_it_stands(extract, frame_of, dialect, fenced, mode):
    endpoints = Endpoints()
    with LoopbackProvider(rule, dialect=dialect, fenced=fenced) as provider:
        out = extract(
            frame_of(30), provider, SCHEMA, endpoints=endpoints, params={"max_tokens": 2000}
        )
        assert out["who"].tolist() == [ANSWER["who"]] * 30
        refused = sum(call.status == 400 for call in calls_of(provider))
        before = provider.ledger.calls
        out = extract(
            frame_of(30, "more"), provider, SCHEMA, endpoints=endpoints, params={"max_tokens": 2000}
        )
        last = calls_of(provider)[-1].body
        assert sum(call.status == 400 for call in calls_of(provider)) == refused
        assert provider.ledger.calls == before + 6
    asked = last.get("response_format", {}).get("type", "text")
    assert asked == mode
    assert last["max_tokens"] == 2000
    assert refused <= 4


def test_an_optional_parameter_is_dropped_once_and_said(extract, frame_of, caplog):
    caplog.set_level(logging.WARNING, logger="pandas_genai")
    asked = {"model": "gpt-5-mini", "params": {"temperature": 0.0}}
    with LoopbackProvider(rule) as provider:
        with pytest.warns(ParameterLeftOutWarning, match="does not take temperature=0.0"):
            out = extract(frame_of(50), provider, SCHEMA, **asked)
        bodies = [call.body for call in calls_of(provider)]
    assert sum("temperature" in body for body in bodies) == 1
    assert not caplog.text  # one place says it: the cell that asked
    report = out.genai.report
    assert report.params_dropped == {"temperature": 0.0}
    assert report.params_sent == {"structured": "strict"}
    assert "structured='strict'; left out: temperature=0.0" in str(report)


def test_forced_tools_that_a_model_refuses_are_given_up(extract, frame_of):
    with LoopbackProvider(rule) as provider:
        out = extract(
            frame_of(10),
            provider,
            SCHEMA,
            backend="anthropic",
            model="claude-sonnet-5-5",
            params={"structured": "tool"},
        )
    assert out["tone"].tolist() == ["good"] * 10
    assert [call.status for call in calls_of(provider)] == [400, 200, 200]


def test_output_config_that_a_server_refuses_becomes_a_forced_tool(extract, frame_of):
    with LoopbackProvider(rule, dialect="no_json_schema") as provider:
        out = extract(frame_of(10), provider, SCHEMA, backend="anthropic", model="claude-haiku-4-5")
        assert out["tone"].tolist() == ["good"] * 10
        assert "tool_choice" in calls_of(provider)[-1].body


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_tokens_and_cost_are_the_providers(extract, frame_of, backend):
    prompt = "Classify the tone. " + "Consider every word with care. " * 200
    with LoopbackProvider(rule) as provider:
        out = extract(frame_of(30), provider, SCHEMA, prompt=prompt, backend=backend)
        ledger = provider.ledger
    report = out.genai.report
    assert report.input_tokens == ledger.tokens_in
    assert report.output_tokens == ledger.tokens_out
    assert 0 < report.cached_tokens < report.input_tokens
    assert 0 < report.cost < 0.01
    assert report.cost_text.startswith("$0.00")


def test_an_unknown_model_has_no_price_not_a_price_of_zero(extract, frame_of):
    with LoopbackProvider(rule) as provider:
        out = extract(frame_of(5), provider, SCHEMA, model="my-own-model")
    assert out.genai.report.cost is None
    assert "cost: unknown" in str(out.genai.report)


def test_the_model_that_answered_is_told(extract, frame_of, tmp_path):
    answered = {"gpt-6-luna": "gpt-6-luna-2026-10-01"}
    with LoopbackProvider(rule, answers_as=answered) as provider:
        out = extract(frame_of(5), provider, SCHEMA)
    assert out.genai.report.models == ["gpt-6-luna-2026-10-01"]


def test_rows_are_sent_under_ids_of_ours(extract, frame_of):
    frame = frame_of(5).set_index([["secret-1", "secret-2", "secret-3", "secret-4", "secret-5"]])
    with LoopbackProvider(rule) as provider:
        extract(frame, provider, SCHEMA)
        (call,) = calls_of(provider)
    assert "secret" not in json.dumps(call.body)


def test_a_client_of_ones_own_is_used_and_left_open(frame_of):
    import openai

    with (
        LoopbackProvider(rule, keys={"mine"}) as provider,
        openai.OpenAI(api_key="mine", base_url=provider.openai_url) as client,
    ):
        for prompt in ("One?", "Two?"):
            out = frame_of(5).genai.extract(
                prompt, SCHEMA, client=client, cache=False, progress=False
            )
            assert out["tone"].tolist() == ["good"] * 5
        assert not client.is_closed()
