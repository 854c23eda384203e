"""Answers fetched from another server: here another provider, in a test with weights a model."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import anthropic
import openai
import pytest

from pandas_genai.testing import Fault, LoopbackProvider


def length(text):
    return {"length": len(text)}


def relay(source, **more):
    return LoopbackProvider(upstream=source.openai_url, upstream_key="their-key", **more)


def test_a_chat_is_passed_on(sdk, strict):
    with LoopbackProvider(length, keys={"their-key"}) as source, relay(source) as provider:
        answer = sdk.chat(
            provider,
            "four",
            response_format=strict,
            max_completion_tokens=500,
            model="gpt-4.1",
            seed=3,
        )
    (passed,) = source.ledger.requests
    assert passed.body["seed"] == 3
    assert passed.body["max_tokens"] == 500
    assert (
        passed.body["response_format"]["json_schema"]["schema"] == strict["json_schema"]["schema"]
    )
    assert json.loads(answer.choices[0].message.content)["all_results"] == [
        {"input_id": "id-0", "length": 4}
    ]
    assert provider.ledger.answered == source.ledger.answered == {"four": 1}
    assert answer.usage.prompt_tokens == source.ledger.tokens_in


def test_a_message_is_passed_on_as_a_chat(sdk, native, forced):
    with (
        LoopbackProvider(length, dialect="ollama") as source,
        relay(source, faults=[Fault("missing", text="two")]) as provider,
    ):
        one = sdk.message(provider, "four", model="claude-haiku-5-5", output_config=native)
        two = sdk.message(provider, "four", "two", **forced)
    assert json.loads(one.content[1].text)["all_results"][0]["length"] == 4
    assert two.content[0].input == {"all_results": [{"input_id": "id-0", "length": 4}]}
    assert all(
        "json_schema" in request.body["response_format"] for request in source.ledger.requests
    )


def test_a_json_object_is_passed_on(sdk):
    with LoopbackProvider(length) as source, relay(source) as provider:
        sdk.chat(provider, "a", response_format={"type": "json_object"}, model="gpt-4.1")
        sdk.chat(provider, "a", model="gpt-4.1", system="")
    first, second = (request.body for request in source.ledger.requests)
    assert first["response_format"] == {"type": "json_object"}
    assert "response_format" not in second
    assert [message["role"] for message in second["messages"]] == ["user"]


def test_what_it_says_goes_through_as_it_is(sdk, text):
    with LoopbackProvider(length, fenced=True) as source, relay(source) as provider:
        assert "```" in text(sdk.chat(provider, "a", model="gpt-4.1"))
        source.faults = [Fault("truncated")]
        cut = sdk.chat(provider, "a", model="gpt-4.1")
    assert cut.choices[0].finish_reason == "length"
    assert provider.ledger.rows == 0


@pytest.mark.parametrize("kind", ["server_error", "html", "error_200", "reset"])
def test_an_upstream_that_fails_is_a_bad_gateway(sdk, kind):
    with LoopbackProvider(length, faults=[Fault(kind)]) as source, relay(source) as provider:
        with pytest.raises(openai.InternalServerError, match="upstream") as caught:
            sdk.chat(provider, "a")
        assert caught.value.status_code == 502
        with pytest.raises(anthropic.InternalServerError, match="upstream"):
            sdk.message(provider, "a")


def test_an_upstream_without_usage(sdk):
    with LoopbackProvider(length, dialect="bare") as source, relay(source) as provider:
        assert sdk.chat(provider, "a").usage.completion_tokens > 5


class Scalar(BaseHTTPRequestHandler):
    def do_POST(self):
        content = self.server.content
        answer = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize("content", ["3", '{"all_results": 3}', '{"all_results": [3]}', None])
def test_an_upstream_that_answers_something_else(sdk, content):
    with HTTPServer(("127.0.0.1", 0), Scalar) as server:
        server.content = content
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with LoopbackProvider(upstream=f"http://127.0.0.1:{server.server_port}/v1") as provider:
            sdk.chat(provider, "a")
        server.shutdown()
        thread.join()
    assert provider.ledger.rows == 0


def test_an_upstream_must_be_a_url():
    with pytest.raises(ValueError, match="is no URL"):
        LoopbackProvider(upstream="localhost:8080")
