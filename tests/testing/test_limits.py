"""Requests and tokens a minute, on a clock that the test moves."""

from __future__ import annotations

import anthropic
import openai
import pytest

from pandas_genai.testing import LoopbackProvider


class Hands:
    now = 100.0

    def __call__(self):
        return self.now


def length(text):
    return {"length": len(text)}


def test_over_the_limit_it_says_when_to_come_back(sdk):
    clock = Hands()
    with LoopbackProvider(length, requests_per_minute=6, clock=clock) as provider:
        answers = [sdk.chat(provider, "a", raw=True) for _ in range(6)]
        left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
        assert left == [5, 4, 3, 2, 1, 0]
        assert answers[5].headers["x-ratelimit-reset-requests"] == "1m0s"
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat(provider, "a")
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == "10"
        clock.now += 9.9
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat(provider, "a")
        assert caught.value.response.headers["retry-after"] == "1"
        clock.now += 0.1
        sdk.chat(provider, "a")
        clock.now += 1_000
        again = sdk.chat(provider, "a", raw=True)
        assert again.headers["x-ratelimit-remaining-requests"] == "5"


def test_tokens_are_limited_too(sdk):
    clock = Hands()
    with LoopbackProvider(length, tokens_per_minute=600, clock=clock) as provider:
        sdk.message(provider, "word " * 300)
        with pytest.raises(anthropic.RateLimitError) as caught:
            sdk.message(provider, "word " * 300)
        assert caught.value.type == "rate_limit_error"
        clock.now += float(caught.value.response.headers["retry-after"])
        answer = sdk.message(provider, "word " * 300, raw=True)
        assert answer.headers["anthropic-ratelimit-tokens-limit"] == "600"
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "30000"


def test_a_call_larger_than_the_limit_passes_when_the_bucket_is_full(sdk):
    clock = Hands()
    with LoopbackProvider(length, tokens_per_minute=100, clock=clock) as provider:
        sdk.chat(provider, "word " * 1_000)
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat(provider, "a")
        assert caught.value.type == "tokens"
        clock.now += float(caught.value.response.headers["retry-after"])
        sdk.chat(provider, "a")


def test_openrouter_puts_the_limit_into_a_200(sdk):
    with LoopbackProvider(length, requests_per_minute=1, dialect="openrouter") as provider:
        sdk.chat(provider, "a")
        assert sdk.chat(provider, "a", checked=False).error["code"] == 429
