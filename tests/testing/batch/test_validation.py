"""What each vendor refuses of a batch, and when."""

from __future__ import annotations

import json

import pytest

from pandas_genai.testing import LoopbackProvider


def line(custom_id="c", **more):
    body = {"model": "gpt-6-luna", "messages": []}
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"}
    request = {**request, "body": body, **more}
    return json.dumps({name: value for name, value in request.items() if value != "left out"})


def errors_of(vendor, *lines):
    batch = vendor.batches.retrieve(vendor.start("\n".join(lines).encode()))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.failed_at is not None
    assert (batch.in_progress_at, batch.request_counts.total) == (None, 0)
    assert batch.errors.object == "list"
    return [(error.code, error.line, error.param) for error in batch.errors.data]


@pytest.fixture
def provider(length):
    with LoopbackProvider(length, models={"gpt-6-luna", "gpt-5.4-mini"}) as running:
        yield running


@pytest.fixture
def openai(connect, provider):
    return connect("openai", provider)


@pytest.fixture
def anthropic(connect, provider):
    return connect("anthropic", provider)


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        ([], [("empty_file", None, None)]),
        (["", " "], [("empty_file", None, None)]),
        ([line(), "", "{no json"], [("invalid_json_line", 3, None)]),
        (["[]"], [("invalid_json_line", 1, None)]),
        ([line("a"), line("b"), line("a")], [("duplicate_custom_id", 3, "custom_id")]),
        ([line("")], [("invalid_custom_id", 1, "custom_id")]),
        ([line(7)], [("invalid_custom_id", 1, "custom_id")]),
        ([line("left out")], [("missing_required_parameter", 1, "custom_id")]),
        ([line(body="left out")], [("missing_required_parameter", 1, "body")]),
        ([line(body=[])], [("invalid_request", 1, "body")]),
        ([line(method="GET")], [("invalid_method", 1, "method")]),
        ([line(url="/v1/embeddings")], [("url_mismatch", 1, "url")]),
        ([line(body={"model": "gpt-0"})], [("model_not_found", 1, "body.model")]),
        (
            [line("a"), line("b", body={"model": "gpt-5.4-mini"})],
            [("model_mismatch", 2, "body.model")],
        ),
        (
            [line(method="PUT", url="/"), "nothing"],
            [
                ("invalid_method", 1, "method"),
                ("url_mismatch", 1, "url"),
                ("invalid_json_line", 2, None),
            ],
        ),
    ],
)
def test_openai_reads_the_file_while_validating(openai, lines, errors):
    assert errors_of(openai, *lines) == errors


def test_a_file_full_of_errors_tells_the_first_hundred(openai):
    assert len(errors_of(openai, *["no json"] * 300)) == 100


def test_a_batch_that_is_too_large_fails(connect, length):
    with LoopbackProvider(length, batch_requests=2, batch_bytes=1000) as provider:
        vendor = connect("openai", provider)
        assert errors_of(vendor, *map(line, "abc")) == [("too_many_tasks", None, None)]
        large = line(body={"model": "m", "messages": [{"role": "user", "content": "x" * 1000}]})
        assert errors_of(vendor, large) == [("maximum_file_size_exceeded", None, None)]
        assert vendor.status(vendor.start("\n".join(map(line, "ab")).encode())) == "completed"
    assert provider.ledger.rows == 0


def test_too_many_tokens_enqueued(connect, length, time):
    options = {"batch_seconds": 1000, "wall_clock": time, "enqueued_tokens": 250}
    with LoopbackProvider(length, **options) as provider:
        vendor = connect("openai", provider)
        bodies = {"a": vendor.body("x" * 400)}
        first = vendor.submit(bodies)
        provider.advance(10)
        second = vendor.submit(bodies)
        third = vendor.submit(bodies)
        other = vendor.submit({"a": vendor.body("x" * 400, model="gpt-5.4-mini")})
        assert vendor.status(third) == "validating"
        provider.advance(500)
        states = [vendor.status(batch) for batch in (first, second, third, other)]
        assert states == ["in_progress", "in_progress", "failed", "in_progress"]
        [error] = vendor.batches.retrieve(third).errors.data
        assert (error.code, error.line) == ("token_limit_exceeded", None)
        assert "gpt-6-luna" in error.message
        provider.advance(490)  # the first has ended, the second has not
        again = vendor.submit(bodies)
        provider.advance(100)
        assert vendor.status(again) == "in_progress"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"completion_window": "1h"}, "completion_window"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: ""}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"metadata": ["k"]}, "metadata"),
        ({"input_file_id": None}, "input_file_id"),
    ],
)
def test_openai_refuses_at_once(openai, provider, more, param):
    given = {"input_file_id": openai.upload(b"x"), "endpoint": "/v1/chat/completions"}
    with pytest.raises(Exception, match="400") as refused:
        openai.batches.create(**{**given, "completion_window": "24h", **more})
    assert (refused.value.status_code, refused.value.param) == (400, param)
    assert provider.batches == []


@pytest.mark.parametrize("name", ["input_file_id", "endpoint", "completion_window"])
def test_openai_misses_a_parameter(openai, provider, name):
    import httpx2

    body = {"input_file_id": "file-0", "endpoint": "/v1/embeddings", "completion_window": "1h"}
    del body[name]
    with pytest.raises(Exception, match=f"Missing required parameter: '{name}'"):
        openai.client.post("/batches", body=body, cast_to=httpx2.Response)
    assert provider.batches == []


def test_metadata_as_large_as_it_may_be(openai, provider):
    metadata = {f"{number:064d}": "v" * 512 for number in range(16)}
    batch = openai.start(b"x", metadata=metadata)
    assert openai.batches.retrieve(batch).metadata == metadata
    assert provider.batches[0].metadata == metadata


def test_an_input_file_that_is_none(openai):
    batch = openai.batches.retrieve(openai.submit(openai.bodies("a")))
    given = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    cases = ("file-0", 404, "No such File"), (batch.output_file_id, 400, "has the purpose")
    for file_id, status, said in cases:
        with pytest.raises(Exception, match=said) as refused:
            openai.batches.create(input_file_id=file_id, **given)
        assert refused.value.status_code == status


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([], "between 1 and"),
        (None, "requests: Field required"),
        ([{"custom_id": "a b", "params": {}}], "requests.0.custom_id: String should match"),
        ([{"custom_id": "a" * 65, "params": {}}], "requests.0.custom_id: String should match"),
        ([{"params": {}}], "requests.0.custom_id"),
        (["text"], "requests.0.custom_id"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
        ([{"custom_id": "a", "params": {}}] * 2, "requests.1.custom_id: Duplicate"),
    ],
)
def test_anthropic_refuses_at_once(anthropic, provider, requests, said):
    import httpx2

    with pytest.raises(Exception, match="400") as refused:
        path, body = "/v1/messages/batches", {"requests": requests}
        anthropic.client.post(path, body=body, cast_to=httpx2.Response)
    assert said in refused.value.body["error"]["message"]
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    assert provider.batches == []


def test_anthropic_refuses_what_is_too_large(connect, length):
    with LoopbackProvider(length, batch_requests=2, batch_bytes=2000) as provider:
        vendor = connect("anthropic", provider)
        with pytest.raises(Exception, match="between 1 and 2") as refused:
            vendor.submit(vendor.bodies(*"abc"))
        assert refused.value.status_code == 400
        with pytest.raises(Exception, match="maximum size") as refused:
            vendor.submit(vendor.bodies("x" * 2000))
        assert refused.value.status_code == 413
        assert refused.value.body["error"]["type"] == "request_too_large"
        vendor.submit(vendor.bodies(*"ab"))


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/messages/batches"])
@pytest.mark.parametrize("sent", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object(provider, path, sent):
    import httpx2

    headers = {"content-type": "application/json", "authorization": "Bearer k"}
    headers["anthropic-version"] = "2026-10-21"
    answer = httpx2.post(provider.anthropic_url + path, content=sent, headers=headers)
    assert answer.status_code == 400
    assert "parse" in answer.json()["error"]["message"]
