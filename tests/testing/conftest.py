"""The real SDKs against the loopback provider, their traffic held against the vendors' schemas."""

from __future__ import annotations

import json

import pytest


def user_message(texts):
    items = [{"input_id": f"id-{place}", "input_text": text} for place, text in enumerate(texts)]
    return json.dumps(items, ensure_ascii=False)


class Sdk:
    """Makes one client a provider and wire, and asks through it."""

    def __init__(self, specs):
        self._specs = specs
        self._clients = {}

    def client(self, provider, wire, *, key="sk-test-key", checked=True):
        url = provider.openai_url if wire == "openai" else provider.anthropic_url
        place = (url, wire, key, checked)
        if place not in self._clients:
            import anthropic
            import openai

            sdk = {"openai": openai, "anthropic": anthropic}[wire]
            hooks = {"response": [self._hold_against(wire)]} if checked else {}
            make = openai.OpenAI if wire == "openai" else anthropic.Anthropic
            self._clients[place] = make(
                api_key=key,
                base_url=url,
                max_retries=0,
                http_client=sdk.DefaultHttpxClient(event_hooks=hooks),
            )
        return self._clients[place]

    def _hold_against(self, wire):
        def check(response):
            request = response.request
            path, body = request.url.path, json.loads(response.read())
            if response.status_code == 200 and request.method == "POST":
                self._specs.request(wire, path, json.loads(request.content))
            self._specs.answer(wire, path, response.status_code, body)

        return check

    def chat(self, provider, *texts, raw=False, system="Answer in JSON.", **more):
        options = {name: more.pop(name) for name in ("key", "checked") if name in more}
        body = {"model": "gpt-6-luna"}
        body["messages"] = [
            {"role": "system", "content": system},
            {"role": "user", "content": user_message(texts)},
        ]
        completions = self.client(provider, "openai", **options).chat.completions
        return (completions.with_raw_response if raw else completions).create(**{**body, **more})

    def message(self, provider, *texts, raw=False, system="Answer in JSON.", **more):
        options = {name: more.pop(name) for name in ("key", "checked") if name in more}
        body = {"model": "claude-haiku-4-5", "max_tokens": 4096, "system": system}
        body["messages"] = [{"role": "user", "content": user_message(texts)}]
        messages = self.client(provider, "anthropic", **options).messages
        return (messages.with_raw_response if raw else messages).create(**{**body, **more})

    def ask(self, wire, provider, *texts, **more):
        return (self.chat if wire == "openai" else self.message)(provider, *texts, **more)

    def results(self, wire, provider, *texts, **more):
        return entries_of(self.ask(wire, provider, *texts, **more))

    def close(self):
        for client in self._clients.values():
            client.close()


def text_of(answer):
    if hasattr(answer, "choices"):
        return answer.choices[0].message.content
    return "".join(block.text for block in answer.content if block.type == "text")


def entries_of(answer):
    return json.loads(text_of(answer))["all_results"]


@pytest.fixture
def sdk(specs):
    made = Sdk(specs)
    yield made
    made.close()


@pytest.fixture
def text():
    """The text that an answer of either wire holds."""
    return text_of


@pytest.fixture
def schema():
    """A reply's schema that both vendors enforce."""
    entry = {
        "type": "object",
        "properties": {"input_id": {"type": "string"}, "length": {"type": "integer"}},
        "required": ["input_id", "length"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"all_results": {"type": "array", "items": entry}},
        "required": ["all_results"],
        "additionalProperties": False,
    }


@pytest.fixture
def strict(schema):
    return {
        "type": "json_schema",
        "json_schema": {"name": "all_results", "strict": True, "schema": schema},
    }


@pytest.fixture
def native(schema):
    return {"format": {"type": "json_schema", "schema": schema}}


@pytest.fixture
def forced(schema):
    """What a request for a forced tool adds."""
    return {
        "tools": [{"name": "extract_results", "description": "Takes it.", "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "extract_results"},
    }
