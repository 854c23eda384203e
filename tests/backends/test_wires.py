"""Build and parse, without a server."""

from __future__ import annotations

import pytest

from pandas_genai.backends.classify import classify, problem_of
from pandas_genai.backends.endpoints import Capabilities, Endpoint, host_of
from pandas_genai.backends.registry import backend_named
from pandas_genai.errors import RowError, SplitError, UsageError
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.task import BoundTask, Task

OPENAI, ANTHROPIC = backend_named("openai"), backend_named("anthropic")


def task_of(model="gpt-6-luna", schema=("good", "bad"), backend="openai", **params):
    schema = list(schema) if isinstance(schema, tuple) else schema
    return BoundTask.of(
        Task("Tone?", schema, params=params), model=model, backend=backend, host="h"
    )


@pytest.fixture
def chunk():
    texts = ["fine", "naïve"]
    return next(plan_chunks(distinct_rows(texts), [0, 1], texts, 5))


def body_of(task, chunk, *, vendor=True, capabilities=None):
    wire = backend_named(task.backend)
    return wire.build(task, chunk, capabilities or wire.first_capabilities(task), vendor=vendor)


def test_no_sampling_parameter_unless_given(chunk):
    for backend in ("openai", "anthropic"):
        body = body_of(task_of(backend=backend), chunk)
        assert not {"temperature", "top_p", "top_k", "seed"} & body.keys()
    assert body_of(task_of(temperature=0.0), chunk)["temperature"] == 0.0


def test_texts_go_out_as_utf8_without_escapes(chunk):
    assert "naïve" in body_of(task_of(), chunk)["messages"][1]["content"]


def test_the_prefix_is_the_same_for_all_chunks(chunk):
    other = next(plan_chunks(distinct_rows(["x"]), [0], ["x"], 5))
    first, second = body_of(task_of(), chunk), body_of(task_of(), other)
    assert first["messages"][0] == second["messages"][0]
    assert str(first["messages"][0]["content"]).find("Tone?") < 60


@pytest.mark.parametrize(
    ("model", "vendor", "effort", "cache"),
    [
        ("gpt-6-luna", True, True, True),
        ("gpt-6-luna", False, True, False),
        ("gpt-5.4-mini", True, True, False),
        ("gpt-5-mini", True, False, False),
        ("gpt-4.1-mini", True, False, False),
        ("qwen3", False, False, False),
    ],
)
def test_optional_parameters_of_a_model(chunk, model, vendor, effort, cache):
    body = body_of(task_of(model), chunk, vendor=vendor)
    assert (body.get("reasoning_effort") == "none") is effort
    assert ("prompt_cache_options" in body) is cache
    assert isinstance(body["messages"][0]["content"], list) is cache


def test_the_token_limit_has_the_name_that_the_server_reads(chunk):
    task = task_of(max_tokens=100)
    assert body_of(task, chunk)["max_completion_tokens"] == 100
    assert body_of(task, chunk, vendor=False)["max_tokens"] == 100
    dropped = Capabilities("strict", frozenset({"max_completion_tokens"}))
    assert body_of(task, chunk, capabilities=dropped)["max_tokens"] == 100
    dropped = Capabilities("strict", frozenset({"max_tokens"}))
    assert body_of(task, chunk, vendor=False, capabilities=dropped)["max_completion_tokens"] == 100


def test_the_ladder_of_compatible_servers(chunk):
    task = task_of()
    capabilities = OPENAI.first_capabilities(task)
    seen = []
    while capabilities is not None:
        body = body_of(task, chunk, vendor=False, capabilities=capabilities)
        seen.append(capabilities.output_mode)
        has_schema = "JSON schema" in str(body["messages"][0]["content"])
        assert has_schema is (capabilities.output_mode in ("json_object", "text"))
        capabilities = OPENAI.next_capabilities(
            capabilities, body, "response_format is not supported", None
        )
    assert seen == ["strict", "json_schema", "json_object", "text"]


def test_an_optional_parameter_is_dropped_once(chunk):
    task = task_of(temperature=0.3)
    capabilities = OPENAI.first_capabilities(task)
    body = body_of(task, chunk)
    lower = OPENAI.next_capabilities(capabilities, body, "Unsupported value", "temperature")
    assert "temperature" not in body_of(task, chunk, capabilities=lower)
    lower = OPENAI.next_capabilities(capabilities, body, "Unknown name 'reasoning_effort'", None)
    assert "reasoning_effort" not in body_of(task, chunk, capabilities=lower)
    assert OPENAI.next_capabilities(capabilities, body, "The text is too long", None) is None


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("claude-haiku-5-5", "native"),
        ("claude-haiku-4-5", "native"),
        ("claude-3-haiku-20240307", "tool"),
        ("claude-sonnet-4-20250514", "tool"),
    ],
)
def test_anthropic_enforces_the_schema_as_the_model_can(chunk, model, mode):
    task = task_of(model, backend="anthropic")
    assert ANTHROPIC.first_capabilities(task).output_mode == mode
    body = body_of(task, chunk)
    assert ("output_config" in body) is (mode == "native")
    assert ("tool_choice" in body) is (mode == "tool")
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}


def test_anthropic_steps_down(chunk):
    task = task_of("claude-x", backend="anthropic")
    capabilities = ANTHROPIC.first_capabilities(task)
    body = body_of(task, chunk, capabilities=capabilities)
    lower = ANTHROPIC.next_capabilities(capabilities, body, "output_config: not supported", None)
    assert lower.output_mode == "tool"
    body = body_of(task, chunk, capabilities=lower)
    lowest = ANTHROPIC.next_capabilities(lower, body, "tool_choice is not supported", None)
    assert lowest.output_mode == "text"
    body = body_of(task, chunk, capabilities=lowest)
    assert ANTHROPIC.next_capabilities(lowest, body, "anything", None) is None
    bare = ANTHROPIC.next_capabilities(lowest, body, "cache_control: unknown", None)
    assert "cache_control" not in body_of(task, chunk, capabilities=bare)["system"][0]


def test_anthropic_keeps_the_users_output_config(chunk):
    task = task_of("claude-x", backend="anthropic", output_config={"effort": "low"})
    assert body_of(task, chunk)["output_config"].keys() == {"effort", "format"}


def test_older_sampling_parameters_need_the_older_version():
    assert ANTHROPIC.headers_for({"temperature": 0}) == {"anthropic-version": "2023-06-01"}
    assert ANTHROPIC.headers_for({"model": "m"}) == {}


@pytest.mark.parametrize(
    "params",
    [
        {"messages": []},
        {"model": "m"},
        {"structured": "magic"},
        {"output_config": {"format": {}}},
        {"x": float("nan")},
        {"x": object()},
    ],
)
def test_parameters_that_cannot_be_set(params):
    with pytest.raises(UsageError, match="params="):
        BoundTask.of(Task("Tone?", params=params), model="m", backend="anthropic", host="h")


def test_a_blank_prompt_is_refused():
    for prompt in ("", "  ", None):
        with pytest.raises(UsageError, match="prompt="):
            Task(prompt)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"choices": []}, SplitError),
        ({"choices": None}, SplitError),
        ({"choices": [{"message": {"refusal": "No."}}]}, RowError),
        ({"choices": [{"message": {}, "finish_reason": "content_filter"}]}, RowError),
        ({"choices": [{"message": {}, "finish_reason": "length"}]}, RowError),
        ({"choices": [{"message": {"content": "prose"}}]}, SplitError),
        ({"choices": [{"message": {"content": None}}]}, SplitError),
    ],
)
def test_openai_answers_of_no_use(answer, error):
    assert type(OPENAI.read_completion(answer).fault) is error


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"stop_reason": "refusal", "content": []}, RowError),
        ({"stop_reason": "max_tokens", "content": []}, RowError),
        ({"stop_reason": "end_turn", "content": [{"type": "thinking"}]}, SplitError),
        ({"stop_reason": "end_turn"}, SplitError),
    ],
)
def test_anthropic_answers_of_no_use(answer, error):
    assert type(ANTHROPIC.read_completion(answer).fault) is error


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://API.openai.com/v1", "api.openai.com"),
        ("http://127.0.0.1:8000/v1", "loopback"),
        ("http://[::1]:9/v1", "loopback"),
        ("http://localhost", "loopback"),
        ("http://box.localhost:1", "loopback"),
        ("http://10.0.0.7:8000/v1", "10.0.0.7"),
    ],
)
def test_hosts(url, host):
    assert host_of(url) == host


def test_a_password_in_an_address_is_not_shown():
    endpoint = Endpoint("openai", "https://me:hidden@x.example:8/v1", "k")
    assert endpoint.shown == "https://x.example:8/v1"


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "reason"),
    [
        (429, {"error": {"message": "slow"}}, {"retry-after": "7"}, "WaitError", "rate limit"),
        (429, {"type": "insufficient_quota"}, {}, "StopRunError", "out of money"),
        (
            429,
            {"error": {"details": {"error_code": "enforced_spend_limit_reached"}}},
            {},
            "StopRunError",
            "out of money",
        ),
        (400, {"error": {"message": "Your credit balance is too low"}}, {}, "StopRunError", None),
        (401, {}, {}, "StopRunError", "bad key"),
        (403, None, {}, "StopRunError", "no permission"),
        (404, "no page", {}, "StopRunError", "not found"),
        (408, {}, {}, "WaitError", "timeout"),
        (409, {}, {}, "WaitError", "server error"),
        (529, {}, {}, "WaitError", "server error"),
        (400, [{"error": {"message": "bad", "code": 400}}], {}, "RowError", "bad request"),
        (413, {}, {}, "RowError", "bad request"),
    ],
)
def test_each_error_has_one_class(status, body, headers, kind, reason):
    error = classify(problem_of(status, body, headers), where="here")
    assert type(error).__name__ == kind
    assert reason is None or error.reason == reason


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "x"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert problem_of(429, {}, headers).retry_after == seconds
