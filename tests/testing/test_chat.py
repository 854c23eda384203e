"""OpenAI's wire, asked by the real SDK."""

from __future__ import annotations

import json
import re

import openai
import pytest

from pandas_genai.testing import LoopbackProvider, Refuse


def length(text):
    return {"length": len(text)}


def test_a_strict_request_is_answered_by_id(sdk, strict, text):
    with LoopbackProvider(length) as provider:
        answer = sdk.chat(provider, "four", '🎻 quote " \\ and \u2028', response_format=strict)
    assert json.loads(text(answer)) == {
        "all_results": [{"input_id": "id-0", "length": 4}, {"input_id": "id-1", "length": 17}]
    }
    assert answer.model == "gpt-6-luna"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.refusal is None


def test_records_and_rows_left_out(sdk):
    def words(text):
        return [{"word": word} for word in text.split()] if text else None

    with LoopbackProvider(words) as provider:
        found = sdk.results("openai", provider, "a b", "", " ")
        assert found == [
            {"input_id": "id-0", "records": [{"word": "a"}, {"word": "b"}]},
            {"input_id": "id-2", "records": []},
        ]
        assert provider.ledger.rows == 2


def test_a_rule_may_refuse(sdk):
    def rule(text):
        raise Refuse("Not this one.")

    with LoopbackProvider(rule) as provider:
        answer = sdk.chat(provider, "a")
        assert provider.ledger.rows == 0
    assert answer.choices[0].message.refusal == "Not this one."
    assert answer.choices[0].message.content is None


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (lambda text: {}["x"], "KeyError"),
        (lambda text: 3, "answered int"),
        (lambda text: {"a": {1}}, "no JSON"),
        (None, "neither a rule nor an upstream"),
    ],
)
def test_a_rule_that_fails_is_the_tests_fault(sdk, rule, match):
    def use():
        with LoopbackProvider(rule) as provider:
            with pytest.raises(openai.InternalServerError):
                sdk.chat(provider, "a")

    with pytest.raises(Exception, match=match):
        use()


def test_the_tests_own_error_is_not_hidden_by_the_rules(sdk):
    with pytest.raises(openai.InternalServerError):
        with LoopbackProvider(lambda text: 3) as provider:
            sdk.chat(provider, "a")


def test_usage_counts_characters_and_a_cached_prefix(sdk, text):
    long = "instruction " * 400
    with LoopbackProvider(length) as provider:
        first = sdk.chat(provider, "a", system=long)
        second = sdk.chat(provider, "b", system=long)
        short = sdk.chat(provider, "b")
        also = sdk.chat(provider, "b")
    tokens = len(long) // 4
    assert first.usage.prompt_tokens > tokens
    assert first.usage.completion_tokens == -(-len(text(first)) // 4)
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
    cached = [answer.usage.prompt_tokens_details.cached_tokens for answer in (first, second)]
    assert cached == [0, tokens]
    assert first.usage.prompt_tokens_details.cache_write_tokens == tokens
    assert short.usage.prompt_tokens_details.cached_tokens == 0
    assert also.usage.prompt_tokens_details.cached_tokens == 0


def test_the_token_limit_cuts(sdk, strict):
    with LoopbackProvider(length) as provider:
        answer = sdk.chat(provider, "a", "b", response_format=strict, max_completion_tokens=5)
        assert provider.ledger.rows == 0
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert answer.choices[0].message.content == '{"all_results": [{"i'


def test_headers(sdk):
    with LoopbackProvider(length) as provider:
        answers = [sdk.chat(provider, "a", raw=True) for _ in range(2)]
    headers = answers[0].headers
    assert headers["x-request-id"] != answers[1].headers["x-request-id"]
    assert answers[0].parse()._request_id == headers["x-request-id"]
    for what in ("requests", "tokens"):
        assert int(headers[f"x-ratelimit-remaining-{what}"]) > 0
        assert int(headers[f"x-ratelimit-limit-{what}"]) > 0
        assert re.fullmatch(r"(\d+m)?[\d.]+s|\d+ms", headers[f"x-ratelimit-reset-{what}"])


def test_answers_as_another_model(sdk):
    with LoopbackProvider(length, answers_as={"gpt-6-luna": "gpt-6-luna-2026-09-01"}) as provider:
        assert sdk.chat(provider, "a").model == "gpt-6-luna-2026-09-01"
        assert sdk.chat(provider, "a", model="gpt-5.4-mini").model == "gpt-5.4-mini"


@pytest.mark.parametrize("key", ["sk-wrong", "sk-a-wrong-key-that-is-long"])
def test_a_wrong_key(sdk, key):
    with LoopbackProvider(length, keys={"right"}) as provider:
        with pytest.raises(openai.AuthenticationError) as caught:
            sdk.chat(provider, "a", key=key)
        assert caught.value.code == "invalid_api_key"
        assert key not in str(caught.value)
        sdk.chat(provider, "a", key="right")
    assert provider.ledger.statuses == {401: 1, 200: 1}
    assert provider.ledger.calls == 2


def test_no_key(sdk):
    import httpx2

    with LoopbackProvider(length) as provider:
        url = f"{provider.openai_url}/chat/completions"
        for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Basic x"}):
            assert httpx2.post(url, json={}, headers=headers).status_code == 401


def test_models(sdk):
    with LoopbackProvider(length, models={"a-model", "another"}) as provider:
        with pytest.raises(openai.NotFoundError) as caught:
            sdk.chat(provider, "a", model="third")
        assert caught.value.code == "model_not_found"
        models = sdk.client(provider, "openai").models
        assert [model.id for model in models.list()] == ["a-model", "another"]
        assert models.retrieve("another").owned_by == "system"
        with pytest.raises(openai.NotFoundError):
            models.retrieve("third")
        with pytest.raises(openai.AuthenticationError):
            provider._script.keys = {"other"}
            models.list()
    assert provider.ledger.calls == 1
    with LoopbackProvider(length) as provider:
        models = sdk.client(provider, "openai").models
        assert "gpt-6-luna" in [model.id for model in models.list()]
        assert models.retrieve("whatever").id == "whatever"


@pytest.mark.parametrize(
    ("model", "more", "param", "code"),
    [
        ("gpt-6-luna", {"temperature": 0.0}, "temperature", "unsupported_value"),
        ("gpt-5", {"top_p": 0.5}, "top_p", "unsupported_value"),
        ("o3", {"temperature": 0.2}, "temperature", "unsupported_value"),
        ("o1", {"max_tokens": 100}, "max_tokens", "unsupported_parameter"),
        ("gpt-5", {"reasoning_effort": "none"}, "reasoning_effort", "unsupported_value"),
        (
            "gpt-4.1-mini",
            {"reasoning_effort": "low"},
            "reasoning_effort",
            "unsupported_parameter",
        ),
        ("gpt-4.1-mini", {"extra_body": {"novel": 1}}, "novel", "unknown_parameter"),
        ("gpt-4.1-mini", {"stream": True}, "stream", None),
    ],
)
def test_parameters_that_a_model_does_not_take(sdk, model, more, param, code):
    with LoopbackProvider(length) as provider:
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat(provider, "a", model=model, **more)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("gpt-6-luna", {"temperature": 0.0, "top_p": 0.9, "reasoning_effort": "none"}),
        (
            "gpt-6-luna",
            {"max_completion_tokens": 500, "prompt_cache_options": {"mode": "explicit"}},
        ),
        ("gpt-5", {"temperature": 1.0}),
        ("gpt-4.1-mini", {"temperature": 0.0, "max_tokens": 500}),
        ("gpt-4.1-mini", {"response_format": {"type": "text"}}),
        ("gpt-4.1-mini", {"response_format": {"type": "json_object"}}),
    ],
)
def test_parameters_that_a_model_takes(sdk, model, more):
    with LoopbackProvider(length) as provider:
        assert sdk.results("openai", provider, "a", model=model, **more)[0]["length"] == 1


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"type": "json_schema"}, "Invalid value"),
        ({"type": "nonsense"}, "Invalid value"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}, "name"),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}},
            },
            "additionalProperties",
        ),
    ],
)
def test_formats_that_are_refused(sdk, given, match):
    with LoopbackProvider(length) as provider:
        with pytest.raises(openai.BadRequestError, match=match) as caught:
            sdk.chat(provider, "a", response_format=given)
    assert caught.value.param == "response_format"


def test_a_json_object_must_be_asked_for_in_words(sdk):
    with LoopbackProvider(length) as provider:
        with pytest.raises(openai.BadRequestError, match="must contain the word 'json'"):
            sdk.chat(provider, "a", system="Hi.", response_format={"type": "json_object"})


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"model": "m"},
        {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]},
        {"model": "m", "messages": [{"role": "user", "content": '[{"id": 1}]'}]},
        {"model": "m", "messages": [{"role": "user"}]},
        [],
        "x",
    ],
)
def test_what_is_no_request_is_a_400(specs, body):
    import httpx2

    with LoopbackProvider(length) as provider:
        answer = httpx2.post(
            f"{provider.openai_url}/chat/completions",
            content=body if isinstance(body, str) else json.dumps(body),
            headers={"authorization": "Bearer k"},
        )
    assert answer.status_code == 400
    specs.answer("openai", "/v1/chat/completions", 400, answer.json())


def test_content_in_blocks_is_read(sdk):
    import httpx2

    blocks = [
        {"type": "text", "text": '[{"input_id": "x", '},
        {"type": "text", "text": '"input_text": "four"}]'},
    ]
    body = {"model": "m", "messages": [{"role": "user", "content": blocks}]}
    with LoopbackProvider(length) as provider:
        answer = httpx2.post(
            f"{provider.openai_url}/chat/completions",
            json=body,
            headers={"authorization": "Bearer k"},
        )
    assert json.loads(answer.json()["choices"][0]["message"]["content"])["all_results"] == [
        {"input_id": "x", "length": 4}
    ]


@pytest.mark.parametrize(("path", "shape"), [("v1/nothing", "code"), ("v1/responses", "code")])
def test_other_addresses_are_404(path, shape):
    import httpx2

    with LoopbackProvider(length) as provider:
        answer = httpx2.get(f"{provider.anthropic_url}/{path}")
        assert answer.status_code == 404
        assert shape in answer.json()["error"]
        answer = httpx2.get(
            f"{provider.anthropic_url}/{path}", headers={"anthropic-version": "2026-10-21"}
        )
        assert answer.json()["error"]["type"] == "not_found_error"
