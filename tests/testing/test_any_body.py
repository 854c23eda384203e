"""Whatever is posted, the provider answers: no dropped connection, no failure of its own."""

from __future__ import annotations

import http.client
import json
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandas_genai.testing import LoopbackProvider

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = json.dumps([{"input_id": "a", "input_text": "A text."}])
OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}
CHAT = {
    "model": "gpt-6-luna",
    "messages": [{"role": "user", "content": ROWS}],
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n", "strict": True, "schema": OBJECT},
    },
    "reasoning_effort": "none",
    "max_completion_tokens": 100,
    "temperature": 1,
}
MESSAGE = {
    "model": "claude-haiku-4-5",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": ROWS}],
    "tools": [{"name": "t", "input_schema": OBJECT}],
    "tool_choice": {"type": "tool", "name": "t"},
    "output_config": {"format": {"type": "json_schema", "schema": OBJECT}},
    "thinking": {"type": "disabled"},
}
FILE = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
ENDPOINTS = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": MESSAGE,
    "/v1/files": {"purpose": "batch", "file": "{}"},
    "/v1/batches": {**FILE, "metadata": {"a": "b"}},
    "/v1/batches/batch_1/cancel": {},
    "/v1/messages/batches": {"requests": [{"custom_id": "a", "params": MESSAGE}]},
    "/v1/messages/batches/msgbatch_1/cancel": {},
    "/v1/models": {},
    "/advance": {"seconds": 1},
    "/nowhere": {},
}


def places(value, path=()):
    """Every place of a JSON value."""
    yield path
    items = enumerate(value) if isinstance(value, list) else getattr(value, "items", tuple)()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


@pytest.fixture(scope="module")
def connect():
    with LoopbackProvider(lambda text: {"length": len(text)}) as provider:
        yield lambda: closing(http.client.HTTPConnection("127.0.0.1", provider.port, timeout=20))


def post(connection, path, raw, content_type="application/json"):
    headers = {"authorization": "Bearer key", "content-type": content_type}
    if path.startswith("/v1/messages"):
        headers["anthropic-version"] = "2026-10-21"
    connection.request("POST", path, raw, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def list_all(connection):
    """Look at all batches: only then are they worked off."""
    for version in ({}, {"anthropic-version": "2026-10-21"}):
        path = "/v1/messages/batches" if version else "/v1/batches"
        connection.request("GET", path, headers={"authorization": "Bearer key", **version})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_json_in_any_place_is_answered(connect, path, data):
    whole = ENDPOINTS[path]
    place = data.draw(st.sampled_from(list(places(whole))))
    body = put(whole, place, data.draw(JSON))
    with connect() as connection:
        status, _ = post(connection, path, json.dumps(body).encode())
        assert status == 200 or 400 <= status < 500, (status, body)
        list_all(connection)


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(max_examples=15, deadline=None)
@given(raw=st.binary(max_size=40) | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"NaN"]))
def test_any_bytes_are_answered(connect, path, raw):
    with connect() as connection:
        status, _ = post(connection, path, raw)
    assert 400 <= status < 500


@pytest.mark.parametrize("choice", ["auto", "tool", "", 5, [], True])
def test_a_tool_choice_that_is_no_object_is_a_400(connect, choice):
    body = {**MESSAGE, "tool_choice": choice}
    with connect() as connection:
        status, said = post(connection, "/v1/messages", json.dumps(body).encode())
    assert status == 400
    assert said["error"]["message"].startswith("tool_choice")
