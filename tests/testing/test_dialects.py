"""How compatible servers differ."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from pandas_genai.testing import Fault, LoopbackProvider


def length(text):
    return {"length": len(text)}


def serving(dialect, **more):
    return LoopbackProvider(length, dialect=dialect, **more)


def test_an_unknown_dialect_is_refused():
    with pytest.raises(ValueError, match="no dialect 'vax'"):
        LoopbackProvider(length, dialect="vax")


@pytest.fixture
def forms(strict):
    loose = json.loads(json.dumps(strict))
    del loose["json_schema"]["strict"]
    return {"strict": strict, "json_schema": loose, "json_object": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("dialect", "taken"),
    [
        ("openai", "strict json_schema json_object"),
        ("ollama", "strict json_schema json_object"),
        ("bare", "strict json_schema json_object"),
        ("openrouter", "strict json_schema json_object"),
        ("gemini", "strict json_schema json_object"),
        ("no_strict", "json_schema json_object"),
        ("no_json_schema", "json_object"),
        ("no_response_format", ""),
    ],
)
def test_which_formats_are_taken(sdk, forms, dialect, taken):
    with serving(dialect) as provider:
        for name, given in forms.items():
            if name in taken.split():
                sdk.chat(provider, "a", response_format=given, checked=False)
            else:
                with pytest.raises(openai.BadRequestError, match="response_format") as caught:
                    sdk.chat(provider, "a", response_format=given)
                assert caught.value.param == "response_format"
        sdk.chat(provider, "a", checked=False)


def test_ollama_reads_only_max_tokens_and_ignores_what_it_does_not_know(sdk):
    with serving("ollama") as provider:
        ignored = sdk.chat(
            provider, "a", max_completion_tokens=2, checked=False, extra_body={"novel": 1}
        )
        cut = sdk.chat(provider, "a", max_tokens=2)
    assert ignored.choices[0].finish_reason == "stop"
    assert cut.choices[0].finish_reason == "length"


def test_only_openai_itself_checks_a_strict_schema(sdk):
    broken = {"name": "x", "strict": True, "schema": {"type": "object"}}
    given = {"type": "json_schema", "json_schema": broken}
    with serving("ollama") as provider:
        sdk.chat(provider, "a", response_format=given, temperature=0.5)
    with serving("openai") as provider, pytest.raises(openai.BadRequestError):
        sdk.chat(provider, "a", response_format=given)


def test_gemini_answers_errors_as_lists(sdk):
    with serving("gemini") as provider:
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat(provider, "a", seed=3, checked=False)
        # The SDK finds nothing of it: no code, no message, only the body.
        assert (caught.value.code, caught.value.message) == (None, "Error code: 400")
        (said,) = caught.value.body
        assert 'Unknown name "seed"' in said["error"]["message"]
        provider.faults = [Fault("rate_limit", retry_after=3)]
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.chat(provider, "a", checked=False)
    assert caught.value.response.json()[0]["error"]["code"] == 429


def test_openrouter_puts_late_errors_into_a_200(sdk):
    with serving("openrouter", keys={"right"}, faults=[Fault("rate_limit")]) as provider:
        answer = sdk.chat(provider, "a", key="right", checked=False)
        assert answer.choices is None
        assert answer.error["code"] == 429
        with pytest.raises(openai.AuthenticationError):
            sdk.chat(provider, "a", key="wrong", checked=False)
    assert provider.ledger.statuses == {200: 1, 401: 1}
    assert provider.ledger.rows == 0


def test_bare_leaves_the_details_out(sdk):
    with serving("bare", faults=[Fault("server_error", calls={2})]) as provider:
        answer = sdk.chat(provider, "a", raw=True, checked=False)
        assert "x-request-id" not in answer.headers
        assert answer.parse().usage is None
        with pytest.raises(openai.InternalServerError) as caught:
            sdk.chat(provider, "a", checked=False)
    assert caught.value.request_id is None
    assert caught.value.response.json()["error"]["code"] == 500


@pytest.mark.parametrize("form", ["json_object", None])
def test_fences_where_nothing_forces_json(sdk, forms, form, text):
    more = {"response_format": forms[form]} if form else {}
    with serving("no_json_schema", fenced=True) as provider:
        said = text(sdk.chat(provider, "four", **more))
    assert said.startswith("Here are")
    fenced = said.split("```json\n")[1].split("\n```")[0]
    assert json.loads(fenced)["all_results"] == [{"input_id": "id-0", "length": 4}]
    assert provider.ledger.rows == 1


def test_no_fences_where_a_schema_forces(sdk, strict, native, text):
    with serving("openai", fenced=True) as provider:
        json.loads(text(sdk.chat(provider, "a", response_format=strict)))
        json.loads(text(sdk.message(provider, "a", output_config=native)))
        assert "```" in text(sdk.message(provider, "a"))


def test_what_servers_of_anthropics_wire_may_lack(sdk, native, forced):
    with serving("no_json_schema") as provider:
        with pytest.raises(anthropic.BadRequestError, match="output_config"):
            sdk.message(provider, "a", output_config=native)
        sdk.message(provider, "a", **forced)
    with serving("no_response_format") as provider:
        with pytest.raises(anthropic.BadRequestError, match="tools"):
            sdk.message(provider, "a", **forced)
        sdk.message(provider, "a")
