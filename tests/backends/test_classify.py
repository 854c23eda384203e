"""What is done about an error: one table, the bodies that real servers send, and any JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import CallError, RowError, StopRunError, WaitError
from pandas_genai.backends.classify import (
    RULES,
    classify,
    problem_in_answer,
    problem_of,
    window_in,
)

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

AZURE = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
        "management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
}
GEMINI = [
    {
        "error": {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
            "details": [{"@type": "type.googleapis.com/ErrorInfo", "reason": "API_KEY_INVALID"}],
        }
    }
]
FLAGGED = {
    "error": {
        "code": 403,
        "message": "Input flagged by moderation",
        "metadata": {"reasons": ["violence"], "flagged_input": "...", "provider_name": "X"},
    }
}
TOO_LARGE = {
    "error": {
        "message": "Request too large for gpt-6-luna in organization org-1 on tokens per min "
        "(TPM): Limit 30000, Requested 48123. The input or output tokens must be reduced in "
        "order to run successfully.",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    }
}
FASTAPI = {"detail": [{"loc": ["body", "messages", 0], "msg": "field required", "type": "x"}]}


def openai(message, code=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(message, kind="invalid_request_error"):
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


SERVED = [
    (400, AZURE, RowError, "content filter", "content management"),
    (400, {"error": {"innererror": AZURE["error"]["innererror"]}}, RowError, "content filter", ""),
    (400, anthropic("Output blocked by content filtering policy"), RowError, "content filter", ""),
    (400, GEMINI, StopRunError, "bad key", "API key not valid"),
    (401, openai("Incorrect API key provided"), StopRunError, "bad key", "key was not accepted"),
    (403, FLAGGED, RowError, "content filter", "flagged by moderation"),
    (403, openai("You have insufficient permissions"), StopRunError, "no permission", ""),
    (404, openai("The model does not exist"), StopRunError, "not found", "no such model"),
    (
        413,
        anthropic("Request exceeds", "request_too_large"),
        RowError,
        "bad request",
        "Request exceeds",
    ),
    (429, TOO_LARGE, RowError, "request too large", "TPM"),
    (429, openai("Rate limit reached", "rate_limit_exceeded"), WaitError, "rate limit", ""),
    (429, openai("Your account is not active", "billing_not_active"), StopRunError, None, "money"),
    (400, openai("Limit", "billing_hard_limit_reached"), StopRunError, "out of money", "money"),
    (429, openai("You exceeded", "insufficient_quota"), StopRunError, "out of money", "money"),
    (402, {"error": {"code": 402, "message": "Insufficient credits"}}, StopRunError, None, "money"),
    (400, anthropic("Your credit balance is too low to"), StopRunError, "out of money", "money"),
    (
        400,
        anthropic("You have reached your specified API usage limits. You will regain access on"),
        StopRunError,
        "out of money",
        "money",
    ),
    (
        400,
        anthropic("This organization has been disabled."),
        StopRunError,
        "out of money",
        "account is disabled",
    ),
    (422, {"detail": "The text has no end."}, RowError, "bad request", "The text has no end."),
    (422, FASTAPI, RowError, "bad request", "body.messages.0: field required"),
    (500, {"detail": "Internal"}, WaitError, "server error", "Internal"),
    (400, {"object": "error", "message": "too long", "code": 400}, RowError, None, "too long"),
    (502, "<html><title>Bad gateway</title>", WaitError, "server error", "says: Bad gateway"),
    (529, anthropic("Overloaded", "overloaded_error"), WaitError, "server error", "Overloaded"),
    (302, "", StopRunError, "redirect", "base_url"),
]


@pytest.mark.parametrize(("status", "body", "kind", "reason", "words"), SERVED)
def test_bodies_of_real_servers(status, body, kind, reason, words):
    error = classify(problem_of(status, body, {}), where="host (model)")
    assert type(error) is kind
    assert reason in (None, error.reason)
    assert words in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ({"code": 502, "message": "Provider returned error"}, WaitError, "server error"),
        ({"code": 429, "message": "slow down"}, WaitError, "rate limit"),
        ({"code": "429", "message": "slow down"}, WaitError, "rate limit"),
        ({"code": 403, "message": "Input flagged by moderation"}, RowError, "content filter"),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, WaitError, "rate limit"),
        ({"type": "invalid_request_error", "message": "too long"}, RowError, "bad request"),
        ({"type": "overloaded_error", "message": "busy"}, WaitError, "server error"),
        ("it broke", WaitError, "server error"),
    ],
)
@pytest.mark.parametrize("shape", ["whole", "choice"])
def test_an_error_in_a_200_is_classed_by_its_code(error, kind, reason, shape):
    choice = {"error": error, "finish_reason": "error", "message": {"content": "Half an ans"}}
    answer = {"error": error} if shape == "whole" else {"choices": [choice]}
    problem = problem_in_answer(answer, {})
    found = classify(problem, where="host (model)")
    assert (type(found), found.reason) == (kind, reason)


def test_an_answer_is_no_error():
    answered = {"choices": [{"message": {"content": "{}"}, "error": None}], "error": None}
    assert problem_in_answer(answered, {}) is None
    assert problem_in_answer({"content": [{"type": "text"}], "error": {"message": "x"}}, {}) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("-7", 0.0),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 99999 07:28:00 GMT", None),
        ("prêt à partir", None),
        ("", None),
    ],
)
def test_retry_after_of_any_form(value, seconds):
    found = problem_of(429, None, {"retry-after": value}).retry_after
    assert found == seconds or (seconds is None and found is None)


def test_a_wait_of_a_day_stops_only_where_the_provider_is_busy():
    headers = {"retry-after": "86400"}
    stopped = classify(problem_of(429, None, headers), where="host (model)")
    assert (type(stopped), stopped.reason) == (StopRunError, "rate limit")
    assert "24.0 hours" in str(stopped)
    waits = classify(problem_of(500, None, headers), where="host (model)")
    assert (type(waits), waits.retry_after) == (WaitError, None)


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["error", "Input flagged by moderation", "\x1b[31mred\r\n", "\u202e", "x" * 10_000, "\ud800"]
)
FIELDS = """error message code type param detail details error_code loc msg innererror metadata
choices content errors status reason"""
NAMES = TEXTS | st.sampled_from(FIELDS.split())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS | st.integers(min_value=10**300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-request-id", "request-id"]) | TEXTS,
    TEXTS | st.floats().map(str) | st.integers().map(str),
    max_size=4,
)


def assert_sound(error):
    assert isinstance(error, CallError)
    assert type(error) in (WaitError, RowError, StopRunError)
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert error.request_id is None or error.request_id.isprintable()
    after = getattr(error, "retry_after", None)
    assert after is None or 0 <= after <= 3600


@settings(max_examples=200, deadline=None)
@given(body=JSON, status=st.integers(100, 599), headers=HEADERS, where=TEXTS)
def test_any_json_in_any_status_is_an_error_of_one_line(body, status, headers, where):
    assert_sound(classify(problem_of(status, body, headers), where=where))
    assert_sound(classify(problem_of(None, body, headers), where=where))
    problem = problem_in_answer(body, headers) if isinstance(body, dict) else None
    if problem is not None:
        assert_sound(classify(problem, where=where))


def test_deep_bodies_and_huge_numbers_do_not_raise():
    deep = {"error": {}}
    for _ in range(3000):
        deep = {"error": deep}
    for body in (deep, [deep], {"error": {"code": 10**5000, "message": [deep]}}, {"loc": 1}):
        assert_sound(classify(problem_of(500, body, {}), where="host"))


def cells(rule):
    """One line of the page's table."""
    several = [f"`{code}`" for code in sorted(rule.codes)] + [f"“{word}”" for word in rule.words]
    statuses = ", ".join(rule.statuses) or "any"
    done = {"wait": "wait, then split", "pause": "all wait, then again", "row": "find the row"}
    action = done.get(rule.action, "stop the run")
    return f"| {statuses} | {', '.join(several) or 'any'} | {action} | `{rule.reason}` |"


def test_the_page_shows_the_table_as_it_is():
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("## What is done about an error")[2].partition("\n## ")[0]
    shown = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    assert shown[2:] == [cells(rule) for rule in RULES]


def test_no_line_of_the_table_hides_another():
    """Every line decides about something: the first of its own statuses and words."""
    for number, rule in enumerate(RULES):
        status = int((rule.statuses or ("418",))[0].replace("xx", "18"))
        words = rule.words or ("something went wrong",)
        body = {"error": {"message": words[0], "code": next(iter(rule.codes), "")}}
        problem = problem_of(status, body, {})
        assert [one.fits(problem) for one in RULES].index(True) == number


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ("This model's maximum context length is 8192 tokens. However, you sent 9000.", 8_192),
        ("Input tokens exceed the configured limit of 272000 tokens.", 272_000),
        ("prompt is too long: 200001 tokens > 200000 maximum", 200_000),
        ("the request (9000 tokens) exceeds the available context size (8192 tokens)", 8_192),
        (
            "The input token count (3) exceeds the maximum number of tokens allowed (131072).",
            131_072,
        ),
        ("The text has 9000 characters.", None),
        ("maximum context length is 12 tokens", None),
    ],
)
def test_the_window_that_a_refusal_names(message, tokens):
    problem = problem_of(400, {"error": {"message": message}}, {})
    assert window_in(problem) == tokens
    assert window_in(problem_of(429, {"error": {"message": message}}, {})) is None
