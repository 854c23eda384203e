"""What every backend must do, whoever's it is: the built-in ones and a third that a test adds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pandas_genai.backends import registry
from pandas_genai.backends.endpoints import Capabilities, Endpoint
from pandas_genai.batch.requests import Template, compact
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.schema import compile_schema
from pandas_genai.task.task import BoundTask, Task

_SPEC = importlib.util.spec_from_file_location(
    "third", Path(__file__).with_name("test_third_backend.py")
)
third = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(third)

TEXTS = ["fine", "naïve \N{SNOWMAN}\n{}", '"quoted", [and] more']
PAYLOAD = {"all_results": [{"input_id": "r1", "answer": "yes"}]}
WRITTEN = json.dumps(PAYLOAD)

REPLIES = {
    "openai": {
        "id": "call-1",
        "model": "m-1",
        "choices": [{"message": {"content": WRITTEN}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
    "anthropic": {
        "id": "call-1",
        "model": "m-1",
        "content": [{"type": "text", "text": WRITTEN}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
    "acme": {
        "ref": "call-1",
        "engine": "m-1",
        "generation": {"text": WRITTEN, "ended": "stop"},
        "tokens": {"read": 10, "wrote": 5},
    },
}
CUT_OFF = {
    "openai": {"choices": [{"message": {"content": "{"}, "finish_reason": "length"}]},
    "anthropic": {"content": [{"type": "text", "text": "{"}], "stop_reason": "max_tokens"},
    "acme": {"generation": {"text": "{", "ended": "limit"}},
}
ERRORS = {
    "openai": (429, {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}),
    "anthropic": (429, {"error": {"message": "Slow down.", "type": "rate_limit_error"}}),
    "acme": (429, {"fault": {"say": "Slow down.", "why": "slow_down"}}),
}
ANSWERED = {
    "openai": {"custom_id": "job-1-1", "response": {"status_code": 200, "body": REPLIES["openai"]}},
    "anthropic": {
        "custom_id": "job-1-1",
        "result": {"type": "succeeded", "message": REPLIES["anthropic"]},
    },
    "acme": {"ask_id": "job-1-1", "out": REPLIES["acme"]},
}
FAILED = {
    "openai": {
        "custom_id": "job-1-2",
        "response": {"status_code": 429, "body": ERRORS["openai"][1]},
    },
    "anthropic": {
        "custom_id": "job-1-2",
        "result": {"type": "errored", "error": ERRORS["anthropic"][1]},
    },
    "acme": {"ask_id": "job-1-2", **ERRORS["acme"][1]},
}
EXPIRED = {
    "openai": {"custom_id": "job-1-3", "error": {"code": "batch_expired", "message": "Too late."}},
    "anthropic": {"custom_id": "job-1-3", "result": {"type": "expired"}},
    "acme": {"ask_id": "job-1-3", "fault": {"why": "too_late", "say": "It has left."}},
}
ODD = [None, [], "text", 7, {}, {"x": None}, {"choices": 3}, {"content": {}}, {"generation": []}]


@pytest.fixture(params=["openai", "anthropic", "acme"], autouse=True)
def backend(request):
    if request.param == "acme":
        registry.register(third.AcmeBackend())
    yield registry.backend_named(request.param)
    if request.param == "acme":
        registry.unregister("acme")


def task_of(backend, schema=None, **params):
    task = Task("Answer it.", schema or {"answer": str, "note": str | None}, params=params)
    return BoundTask.of(task, model=backend.default_model, backend=backend.name, host="h")


@pytest.fixture
def chunk():
    return next(plan_chunks(distinct_rows(TEXTS), range(len(TEXTS)), TEXTS, 5))


def built(backend, task, chunk, capabilities=None, *, vendor=True):
    return backend.build(
        task, chunk, capabilities or backend.first_capabilities(task), vendor=vendor
    )


def test_every_backend_that_there_is_runs_through_this(backend):
    assert set(registry.names()) - {"acme"} == {"openai", "anthropic"}
    assert backend.name in registry.names()
    assert set(REPLIES) == set(CUT_OFF) == set(ERRORS) == {*registry.names(), "acme"}


def test_its_description_is_complete(backend):
    assert backend.name == backend.name.lower()
    assert backend.base_url.startswith("https://")
    assert not backend.base_url.endswith("/")
    assert backend.path.startswith("/")
    assert backend.variable("API_KEY") == f"{backend.name.upper()}_API_KEY"
    assert len(set(backend.output_modes)) == len(backend.output_modes) > 1
    assert backend.limit_names
    assert Endpoint(backend.name, backend.base_url).is_vendor
    assert not Endpoint(backend.name, "http://127.0.0.1:1").is_vendor


@pytest.mark.parametrize("vendor", [True, False])
def test_a_request_holds_the_rows_once_and_nothing_else_that_varies(backend, chunk, vendor):
    task = task_of(backend)
    body = built(backend, task, chunk, vendor=vendor)
    prompt = backend.prompt_of(body)
    items = json.loads(prompt.user)
    assert [item["input_text"] for item in items] == [row.input.text for row in chunk.rows]
    assert [item["input_id"] for item in items] == [row.token for row in chunk.rows]
    assert "Answer it." in prompt.system
    assert prompt.schemas
    shared = compact(backend.without_rows(body)).decode()
    assert "naïve" not in shared
    assert "Answer it." in shared
    assert compact(body) == compact(built(backend, task, chunk, vendor=vendor))
    assert body.keys() >= prompt.schemas.keys()


def test_parameters_are_sent_and_recorded_and_the_rest_is_not_one(backend, chunk):
    (name,) = {"temperature", "heat"} & backend.parameters
    task = task_of(backend, **{name: 0.5})
    body = built(backend, task, chunk)
    assert body[name] == 0.5
    params = backend.params_of(body)
    assert params[name] == 0.5
    assert not params.keys() & backend.content_names
    assert "naïve" not in json.dumps(params)
    assert isinstance(backend.headers_for(body), dict)


def test_a_token_limit_is_put_in_and_found_again(backend, chunk):
    task = task_of(backend)
    capabilities = backend.first_capabilities(task)
    for vendor in (True, False):
        body = built(backend, task, chunk, vendor=vendor)
        bounded = backend.bounded(body, 77, capabilities, vendor=vendor)
        assert backend.limit_of(bounded) == 77
        assert set(backend.limit_names) & bounded.keys()


def test_a_chosen_output_mode_is_where_it_starts(backend):
    for mode in backend.output_modes:
        assert backend.first_capabilities(task_of(backend, structured=mode)) == Capabilities(mode)
    assert backend.first_capabilities(task_of(backend)).output_mode in backend.output_modes


def test_refusals_lead_down_to_the_last_output_mode_and_no_further(backend, chunk):
    task = task_of(backend, structured=backend.output_modes[0])
    capabilities, seen = backend.first_capabilities(task), []
    while capabilities is not None:
        seen.append(capabilities.output_mode)
        body = built(backend, task, chunk, capabilities)
        schemas = backend.prompt_of(body).schemas
        shows_schema = "valid under this JSON schema" in backend.prompt_of(body).system
        assert schemas or shows_schema
        message = f"{', '.join(schemas)} not supported"
        capabilities = backend.next_capabilities(capabilities, body, message, None)
    assert seen == list(backend.output_modes)


def test_a_refused_parameter_is_dropped_and_another_error_is_none_of_its_business(backend, chunk):
    (name,) = {"temperature", "heat"} & backend.parameters
    task = task_of(backend, **{name: 1})
    capabilities = backend.first_capabilities(task)
    body = built(backend, task, chunk)
    lower = backend.next_capabilities(capabilities, body, f"'{name}' is not supported", name)
    assert lower == capabilities.without(name)
    assert name not in built(backend, task, chunk, lower)
    assert backend.next_capabilities(capabilities, body, "The weather is bad.", None) is None


@pytest.mark.parametrize(
    "schema",
    [
        ["good", "bad"],
        {"year": int | None, "tone": ["good", "bad"]},
        {"items": [{"name": str, "count": int}]},
    ],
)
def test_its_schema_of_a_reply_is_a_sound_one(backend, schema):
    compiled = compile_schema(schema)
    compiled.check(backend.name)
    sent = compiled.reply_schema(backend.name)
    Draft202012Validator.check_schema(sent)
    entry = sent["properties"]["all_results"]["items"]
    assert entry["required"][0] == "input_id"
    assert list(entry["properties"])[1:] == [field.name for field in compiled.fields]
    assert sent is compiled.reply_schema(backend.name)


def test_a_reply_is_read(backend):
    found = backend.read_completion(REPLIES[backend.name])
    assert (found.payload, found.fault) == (PAYLOAD, None)
    assert (found.usage.input_tokens, found.usage.output_tokens) == (10, 5)
    assert (found.model, found.id) == ("m-1", "call-1")
    assert found.usage.known
    cut_off = backend.read_completion(CUT_OFF[backend.name])
    assert cut_off.fault.reason == "truncated"
    assert not cut_off.usage.known


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_whatever_comes_is_a_fault_and_never_raises(backend, odd):
    assert backend.read_completion(odd).fault is not None
    if isinstance(odd, dict):
        backend.problem_in_answer(odd, {})
        outcome = backend.batches.outcome_of(odd)
        assert (outcome.answer is None) != (outcome.problem is None)
    assert backend.problem_of(500, odd, {}).status == 500


def test_an_error_has_the_vendors_words(backend):
    status, body = ERRORS[backend.name]
    problem = backend.problem_of(status, body, {"retry-after": "7"})
    assert (problem.status, problem.message, problem.retry_after) == (429, "Slow down.", 7.0)
    assert backend.problem_in_answer(REPLIES[backend.name], {}) is None


def test_requests_in_a_batch_file_are_read_back(backend, chunk):
    api, task = backend.batches, task_of(backend)
    capabilities = backend.first_capabilities(task)
    template = Template(task, Endpoint(backend.name, backend.base_url), capabilities)
    lines = [template.line(f"job-1-{number}", chunk) for number in (1, 2, 3)]
    container = api.container
    content = container.head + container.between.join(lines) + container.tail
    assert len(content) == container.size + sum(map(len, lines)) + len(container.between)
    read = list(container.requests_in(content.splitlines(keepends=True)))
    assert read == lines
    for number, line in enumerate(read, 1):
        custom_id, body = api.opened(json.loads(line))
        assert custom_id == f"job-1-{number}"
        assert compact(body) == compact(built(backend, task, chunk))
        assert json.loads(line) == api.envelope(custom_id, body)


def test_lines_of_results_are_told_apart(backend):
    api, name = backend.batches, backend.name
    answered = api.outcome_of(ANSWERED[name])
    assert (answered.custom_id, answered.answer.payload) == ("job-1-1", PAYLOAD)
    failed = api.outcome_of(FAILED[name])
    assert (failed.custom_id, failed.answer) == ("job-1-2", None)
    assert (failed.problem.status, failed.problem.message) == (429, "Slow down.")
    expired = api.outcome_of(EXPIRED[name])
    assert (expired.custom_id, expired.unfinished) == ("job-1-3", "expired")
    for number, line in enumerate((ANSWERED[name], FAILED[name], EXPIRED[name]), 1):
        written = json.dumps(line).encode()
        for damaged in (written, written[: len(written) // 2]):
            assert api.id_pattern.search(damaged)[1].decode() == f"job-1-{number}"
        if not api.has_error_files:
            assert api.has_failed(written) == (number > 1)


def test_its_files_are_apart_and_lie_in_the_folders_of_a_job(backend):
    files = backend.batches.files
    paths = [
        name.format(part=part, _part="" if part == 1 else f"_{part}", batch=f"batch-{part}")
        for name in (files.requests, files.submission, files.results, files.errors)
        for part in (1, 2, 11)
    ]
    assert len(set(paths)) == len(paths)
    assert {path.split("/")[0] for path in paths} <= {"batch_input", "batch_output"}
    assert backend.batches.limits.requests > 0
    assert backend.batches.limits.bytes > 10_000
