"""Every fault on both wires, as the real SDKs see it."""

from __future__ import annotations

import json
import threading
from collections import Counter

import anthropic
import openai
import pytest

from pandas_genai.testing import Fault, LoopbackProvider

WIRES = ["openai", "anthropic"]
SDKS = {"openai": openai, "anthropic": anthropic}


def length(text):
    return {"length": len(text)}


def provider_with(kind, rule=length, **conditions):
    return LoopbackProvider(rule, faults=[Fault(kind, **conditions)])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no fault 'swapped'"):
        Fault("swapped")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("body", [{"detail": [{"msg": "no"}]}, [1], "<html>no</html>"])
def test_an_error_of_any_body(wire, body):
    with provider_with("error", status=418, body=body, times=1) as provider:
        where = provider.openai_url if wire == "openai" else provider.anthropic_url
        make = openai.OpenAI if wire == "openai" else anthropic.Anthropic
        path = "/chat/completions" if wire == "openai" else "/v1/messages"
        user = {"role": "user", "content": '[{"input_id": "a", "input_text": "b"}]'}
        asked = {"model": "m", "max_tokens": 9, "messages": [user]}
        with make(api_key="k", base_url=where, max_retries=0) as client:
            with pytest.raises(SDKS[wire].APIStatusError) as caught:
                client.post(path, body=asked, cast_to=object)
    assert (caught.value.status_code, caught.value.body) == (418, body)


def test_garbage_in_words_of_ones_own(sdk):
    with provider_with("garbage", message="I would rather not.") as provider:
        assert sdk.ask("openai", provider, "a").choices[0].message.content == "I would rather not."


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("rate_limit", "RateLimitError", 429),
        ("insufficient_quota", "RateLimitError", 429),
        ("server_error", "InternalServerError", 500),
        ("overloaded", "InternalServerError", {"openai": 503, "anthropic": 529}),
        ("timeout_408", "APIStatusError", 408),
        ("conflict", "ConflictError", 409),
        ("payment_required", "APIStatusError", 402),
        ("forbidden", "PermissionDeniedError", 403),
        ("bad_request", "BadRequestError", 400),
        ("context_length", "BadRequestError", 400),
        ("too_large", "RateLimitError", 429),
        ("moderation", "PermissionDeniedError", 403),
    ],
)
def test_errors(sdk, wire, kind, error, status):
    expected = status if isinstance(status, int) else status[wire]
    with provider_with(kind, times=1) as provider:
        with pytest.raises(getattr(SDKS[wire], error)) as caught:
            sdk.ask(wire, provider, "a")
        assert caught.value.status_code == expected
        assert caught.value.request_id
        sdk.ask(wire, provider, "a")
    assert provider.ledger.statuses == {expected: 1, 200: 1}
    assert provider.ledger.answered == {"a": 1}
    assert provider.ledger.sent == {"a": 2}


def test_what_the_errors_of_openai_say(sdk):
    def raised(kind, **more):
        with provider_with(kind, **more) as provider, pytest.raises(openai.APIStatusError) as e:
            sdk.chat(provider, "a")
        return e.value

    quota = raised("insufficient_quota")
    assert (quota.type, quota.code) == ("insufficient_quota", "insufficient_quota")
    assert raised("insufficient_quota", code="credit_balance_exhausted").code.startswith("credit")
    long = raised("context_length")
    assert (long.code, long.param) == ("context_length_exceeded", "messages")
    other = raised("bad_request", message="Not so.", param="seed")
    assert (other.body["message"], other.param) == ("Not so.", "seed")


def test_what_the_errors_of_anthropic_say(sdk):
    def raised(kind, **more):
        with provider_with(kind, **more) as provider, pytest.raises(anthropic.APIStatusError) as e:
            sdk.message(provider, "a")
        return e.value

    assert raised("insufficient_quota").error_code == "enforced_spend_limit_reached"
    assert raised("overloaded").type == "overloaded_error"
    assert raised("payment_required").type == "billing_error"
    assert raised("context_length").api_message.startswith("prompt is too long")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("kind", "after", "expected"),
    [
        ("rate_limit", None, "1"),
        ("rate_limit", 20, "20"),
        ("rate_limit", 0.5, "0.5"),
        ("rate_limit", "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("rate_limit", "", None),
        ("server_error", None, None),
        ("overloaded", 7, "7"),
    ],
)
def test_retry_after(sdk, wire, kind, after, expected):
    with provider_with(kind, retry_after=after, retry_after_ms=150) as provider:
        with pytest.raises(SDKS[wire].APIStatusError) as caught:
            sdk.ask(wire, provider, "a")
    headers = caught.value.response.headers
    assert headers.get("retry-after") == expected
    assert headers.get("retry-after-ms") == ("150" if wire == "openai" else None)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["reset", "reset_after"])
def test_lost_connections(sdk, wire, kind):
    with provider_with(kind, calls={2}) as provider:
        sdk.ask(wire, provider, "a")
        with pytest.raises(SDKS[wire].APIConnectionError):
            sdk.ask(wire, provider, "b")
        sdk.ask(wire, provider, "c")
    paid = {"b": 1} if kind == "reset_after" else {}
    assert provider.ledger.answered == {"a": 1, "c": 1, **paid}
    assert provider.ledger.statuses == {200: 2, 0: 1}
    assert provider.ledger.in_flight == 0


def test_html_is_a_plain_string_to_the_sdk(sdk):
    with provider_with("html") as provider:
        assert sdk.chat(provider, "a", checked=False).startswith("<!DOCTYPE html>")
    assert provider.ledger.rows == 0


def test_an_error_in_a_200(sdk):
    with provider_with("error_200") as provider:
        assert sdk.chat(provider, "a", checked=False).choices is None
        answer = sdk.message(provider, "a", checked=False, raw=True)
    assert json.loads(answer.text())["error"]["type"] == "api_error"
    assert provider.ledger.statuses == {200: 2}
    assert provider.ledger.rows == 0


@pytest.mark.parametrize("wire", WIRES)
def test_a_held_call_waits_for_release(sdk, wire):
    with provider_with("hang", calls={1}) as provider:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(sdk.ask(wire, provider, "a")))
        thread.start()
        provider.wait_for_in_flight(1)
        sdk.ask(wire, provider, "b")
        assert not answers
        assert provider.ledger.answered == {"b": 1}
        provider.release()
        thread.join(10)
        assert len(answers) == 1
    assert provider.ledger.most_in_flight == 2


def test_a_held_call_is_lost_when_the_provider_stops(sdk):
    failures = []

    def ask():
        try:
            sdk.chat(provider, "a")
        except openai.APIConnectionError as error:
            failures.append(error)

    with provider_with("hang") as provider:
        thread = threading.Thread(target=ask)
        thread.start()
        provider.wait_for_in_flight(1)
    thread.join(10)
    assert len(failures) == 1
    assert provider.ledger.rows == 0


def test_a_hang_may_end_by_itself(sdk):
    with provider_with("hang", seconds=0.01) as provider:
        sdk.chat(provider, "a")


def outcomes(sdk, seed, faults, calls=60):
    def outcome(provider):
        try:
            return len(sdk.results("openai", provider, "a", "b"))
        except openai.APIStatusError as error:
            return error.status_code

    with LoopbackProvider(length, faults=faults, seed=seed) as provider:
        return [outcome(provider) for _ in range(calls)]


def test_rates_are_drawn_from_the_seed_and_the_calls_number(sdk):
    faults = [Fault("rate_limit", rate=0.2), Fault("missing", rate=0.3)]
    first = outcomes(sdk, 1, faults)
    assert first == outcomes(sdk, 1, faults)
    assert first != outcomes(sdk, 2, faults)
    counts = Counter(first)
    assert set(counts) == {429, 1, 2}
    assert 4 <= counts[429] <= 22
    # What comes before a fault does not move its luck.
    early = [Fault("rate_limit", rate=0.2, calls={1, 2}), *faults[1:]]
    later = outcomes(sdk, 1, early)
    assert [a for a, b in zip(later, first, strict=True) if b != 429][3:] == [
        b for b in first if b != 429
    ][3:]


def test_conditions_hold_together_and_the_first_fault_wins(sdk):
    faults = [
        Fault("server_error", text="x", calls={2, 3}, times=1),
        Fault("overloaded", calls={2, 3}),
    ]
    with LoopbackProvider(length, faults=faults) as provider:
        statuses = []
        for words in ("x", "y", "x", "x"):
            try:
                sdk.chat(provider, words)
                statuses.append(200)
            except openai.InternalServerError as error:
                statuses.append(error.status_code)
    assert statuses == [200, 503, 500, 200]


def test_faults_may_be_set_while_it_runs(sdk):
    with LoopbackProvider(length) as provider:
        assert provider.faults == ()
        provider.faults = [Fault("forbidden")]
        with pytest.raises(openai.PermissionDeniedError):
            sdk.chat(provider, "a")
        provider.faults = []
        sdk.chat(provider, "a")
