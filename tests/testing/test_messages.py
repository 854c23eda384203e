"""Anthropic's wire, asked by the real SDK."""

from __future__ import annotations

import json
import re

import anthropic
import httpx2
import pytest

from pandas_genai.testing import Fault, LoopbackProvider, Refuse


def length(text):
    return {"length": len(text)}


RIGHT = [{"input_id": "id-0", "length": 4}, {"input_id": "id-1", "length": 0}]


def test_native_structured_output(sdk, native):
    with LoopbackProvider(length) as provider:
        answer = sdk.message(provider, "four", "", output_config=native)
    assert [block.type for block in answer.content] == ["text"]
    assert json.loads(answer.content[0].text)["all_results"] == RIGHT
    assert answer.stop_reason == "end_turn"
    assert answer.model == "claude-haiku-4-5"


def test_a_forced_tool(sdk, forced):
    with LoopbackProvider(length) as provider:
        answer = sdk.message(provider, "four", "", **forced)
        (block,) = answer.content
        assert (block.type, block.name) == ("tool_use", "extract_results")
        assert block.input == {"all_results": RIGHT}
        assert answer.stop_reason == "tool_use"
        any_tool = {**forced, "tool_choice": {"type": "any"}}
        assert sdk.message(provider, "four", **any_tool).content[0].name == "extract_results"
        offered = {**forced, "tool_choice": {"type": "auto"}}
        assert sdk.message(provider, "four", **offered).content[0].type == "text"


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"])
def test_some_models_cannot_be_forced(sdk, forced, model):
    with LoopbackProvider(length) as provider:
        with pytest.raises(anthropic.BadRequestError, match="tool_choice"):
            sdk.message(provider, "a", model=model, **forced)


def test_a_tool_that_is_not_there(sdk, forced):
    with LoopbackProvider(length) as provider:
        with pytest.raises(anthropic.BadRequestError, match="not found"):
            sdk.message(provider, "a", tools=[], tool_choice=forced["tool_choice"])


def test_thinking_comes_first(sdk, native, text):
    with LoopbackProvider(length) as provider:
        answer = sdk.message(provider, "four", model="claude-haiku-5-5", output_config=native)
        assert [block.type for block in answer.content] == ["thinking", "text"]
        off = {"thinking": {"type": "disabled"}}
        answer = sdk.message(provider, "four", model="claude-haiku-5-5", **off)
        assert [block.type for block in answer.content] == ["text"]
        on = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        answer = sdk.message(provider, "four", **on)
        assert [block.type for block in answer.content] == ["thinking", "text"]


def test_versions(sdk):
    with LoopbackProvider(length) as provider:
        sdk.message(provider, "a")
        (sent,) = provider.ledger.requests
        assert sent.headers["anthropic-version"] == "2026-10-21"
        with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs"):
            sdk.message(provider, "a", extra_body={"temperature": 0})
        old = {"anthropic-version": "2023-06-01"}
        sdk.message(provider, "a", extra_body={"temperature": 0, "top_k": 3}, extra_headers=old)
        with pytest.raises(anthropic.BadRequestError, match="novel: Extra inputs"):
            sdk.message(provider, "a", extra_body={"novel": 0}, extra_headers=old)
        with pytest.raises(anthropic.BadRequestError, match="not a valid version"):
            sdk.message(provider, "a", extra_headers={"anthropic-version": "2020-01-01"})


def post(provider, body, **headers):
    return httpx2.post(
        f"{provider.anthropic_url}/v1/messages",
        content=json.dumps(body),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def test_which_header_holds_the_key():
    with LoopbackProvider(length, keys={"k"}) as provider:
        ok = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "[]"}]}
        new, old = "2026-10-21", "2023-06-01"
        assert post(provider, ok, x_api_key="k", anthropic_version=old).status_code == 200
        assert post(provider, ok, x_api_key="k", anthropic_version=new).status_code == 401
        assert post(provider, ok, x_api_key="x", anthropic_version=old).status_code == 401
        assert post(provider, ok, authorization="Bearer k", anthropic_version=new).is_success
        assert post(provider, ok, authorization="Bearer k", anthropic_version=old).is_success
        assert post(provider, ok, authorization="Bearer k").status_code == 400
        assert post(provider, ok, anthropic_version=new).status_code == 401


@pytest.mark.parametrize("missing", ["model", "max_tokens", "messages"])
def test_what_is_required(missing):
    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "[]"}]}
    del body[missing]
    with LoopbackProvider(length) as provider:
        answer = post(provider, body, authorization="Bearer k", anthropic_version="2026-10-21")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"{missing}: Field required"


def test_streams_are_not_spoken(sdk):
    with LoopbackProvider(length) as provider:
        with pytest.raises(anthropic.BadRequestError, match="stream"):
            sdk.message(provider, "a", stream=True)


@pytest.mark.parametrize(
    ("config", "model", "match"),
    [
        ({"format": {"type": "xml"}}, "claude-haiku-5-5", "json_schema"),
        (
            {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "claude-haiku-5-5",
            "additionalProperties",
        ),
        (None, "claude-3-5-haiku", "does not support"),
    ],
)
def test_output_configs_that_are_refused(sdk, native, config, model, match):
    with LoopbackProvider(length) as provider:
        with pytest.raises(anthropic.BadRequestError, match=match):
            sdk.message(provider, "a", model=model, output_config=config or native)


def test_an_effort_alone_is_no_format(sdk):
    with LoopbackProvider(length) as provider:
        answer = sdk.message(provider, "a", output_config={"effort": "low"})
    assert answer.content[0].type == "text"


def test_usage_and_the_prompt_cache(sdk):
    long = "instruction " * 400
    marked = [{"type": "text", "text": long, "cache_control": {"type": "ephemeral"}}]
    plain = [{"type": "text", "text": long}]
    with LoopbackProvider(length) as provider:
        first, second, other = (
            sdk.message(provider, "a", system=system).usage for system in (marked, marked, plain)
        )
    tokens = len(long) // 4
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (tokens, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, tokens)
    assert first.input_tokens == second.input_tokens < 100
    assert other.input_tokens == first.input_tokens + tokens
    assert other.cache_read_input_tokens == 0


@pytest.mark.parametrize("tool", [False, True])
def test_the_token_limit_cuts(sdk, forced, tool):
    with LoopbackProvider(length) as provider:
        answer = sdk.message(provider, "a", "b", max_tokens=5, **(forced if tool else {}))
        assert provider.ledger.rows == 0
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 5
    (block,) = answer.content
    assert block.input == {} if tool else block.text == '{"all_results": [{"i'


def test_a_refusal_has_no_content(sdk):
    def rule(text):
        raise Refuse

    with LoopbackProvider(rule) as provider:
        answer = sdk.message(provider, "a", model="claude-haiku-5-5")
    assert (answer.stop_reason, answer.content) == ("refusal", [])
    assert answer.stop_details.explanation == "I can't help with that."


def test_headers_and_ids(sdk):
    with LoopbackProvider(length) as provider:
        answer = sdk.message(provider, "a", raw=True)
        assert answer.headers["request-id"] == answer.parse()._request_id
        provider.faults = [Fault("server_error")]
        with pytest.raises(anthropic.InternalServerError) as caught:
            sdk.message(provider, "a")
        assert caught.value.body["request_id"] == caught.value.request_id
    for what in ("requests", "tokens", "input-tokens", "output-tokens"):
        name = f"anthropic-ratelimit-{what}"
        assert int(answer.headers[f"{name}-remaining"]) <= int(answer.headers[f"{name}-limit"])
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", answer.headers[f"{name}-reset"])


def test_wrong_key_and_unknown_model(sdk):
    with LoopbackProvider(length, keys={"right"}, models={"m"}) as provider:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            sdk.message(provider, "a", key="wrong")
        assert caught.value.type == "authentication_error"
        with pytest.raises(anthropic.NotFoundError) as caught:
            sdk.message(provider, "a", key="right", model="other")
        assert caught.value.type == "not_found_error"


def test_models(sdk):
    with LoopbackProvider(length, models={"b", "a"}) as provider:
        models = sdk.client(provider, "anthropic").models
        assert [model.id for model in models.list()] == ["a", "b"]
        assert models.retrieve("a").lifecycle == "active"
        with pytest.raises(anthropic.NotFoundError):
            models.retrieve("c")
    with LoopbackProvider(length) as provider:
        models = sdk.client(provider, "anthropic").models
        assert "claude-haiku-5-5" in [model.id for model in models.list()]
    with LoopbackProvider(length, models=set()) as provider:
        assert list(sdk.client(provider, "anthropic").models.list()) == []
