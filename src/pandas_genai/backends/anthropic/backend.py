"""Anthropic's messages: what is sent, and what an endpoint is found to take of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pandas_genai.backends.anthropic.batches import AnthropicBatches
from pandas_genai.backends.anthropic.content import read, written
from pandas_genai.backends.anthropic.dialect import DIALECT, check_limits
from pandas_genai.backends.anthropic.replies import read_completion
from pandas_genai.backends.base import Backend, Prompt
from pandas_genai.backends.completion import Completion
from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.backends.fields import names_in
from pandas_genai.backends.rate_headers import SeenLimit, limits_in, seconds_until
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.prompt import system_text, user_content
from pandas_genai.task.rules import Bounds
from pandas_genai.task.schema.nodes import Node
from pandas_genai.task.task import BoundTask

__all__ = ["MAX_TOKENS", "AnthropicBackend"]

MAX_TOKENS = 16_000
"""Enough for thinking, which is on by default on the 5.5 models, under the 21,333 above which
the SDK asks for a stated timeout."""

_WITHOUT_OUTPUT_CONFIG = re.compile(r"claude-([123]|instant|(opus|sonnet)-4-(0|2))")
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_ABOUT_FORMAT = re.compile(r"output_config|output_format|structured output|json_schema")
_RATE_HEADERS = {
    kind.replace("-", "_"): tuple(
        f"anthropic-ratelimit-{kind}-{part}" for part in ("limit", "remaining", "reset")
    )
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
}
_ABOUT_TOOLS = re.compile(r"tool_choice|\btools?\b")


class AnthropicBackend(Backend):
    """Anthropic's messages."""

    name = "anthropic"
    label = "Anthropic"
    base_url = "https://api.anthropic.com"  # as in anthropic 2.12
    path = "/v1/messages"
    default_model = "claude-haiku-5-5"
    sdk = "anthropic"
    client_class = "Anthropic"
    output_modes = ("native", "tool", "text")
    parameters = names_in(  # also what older models take
        """cache_control max_tokens metadata output_config service_tier stop_sequences
        temperature thinking top_k top_p"""
    )
    declared_in = "types/message_create_params.py"
    limit_names = ("max_tokens",)
    content_names = frozenset({"model", "messages", "system", "tools", "tool_choice"})
    cached_count = False
    batches = AnthropicBatches

    def names_model(self, model: str) -> bool:
        """Whether a model is one of Anthropic's."""
        return model.startswith("claude")

    def reply_schema(
        self,
        record: Node,
        *,
        many: bool,
        strict: bool = True,  # noqa: ARG002 - there is one dialect
        bounds: Bounds = "dialect",  # noqa: ARG002 - and it takes none
    ) -> Node:
        """Return the JSON schema of a whole reply."""
        return DIALECT.reply_schema(record, many=many)

    def check_schema(self, record: Node, sent: Node) -> None:
        """Refuse what is beyond Anthropic's limits."""
        check_limits(record, sent)

    def first_capabilities(self, task: BoundTask) -> Capabilities:
        """Return what is tried first for a task."""
        if task.schema.free:
            return Capabilities("text")
        if task.structured:
            return Capabilities(task.structured)
        return Capabilities("tool" if _WITHOUT_OUTPUT_CONFIG.match(task.model) else "native")

    def build(
        self,
        task: BoundTask,
        chunk: Chunk,
        capabilities: Capabilities,
        *,
        vendor: bool,  # noqa: ARG002 - nobody else speaks it
    ) -> dict[str, Any]:
        """Build the body of one request."""
        system = system_text(task, show_schema=capabilities.output_mode == "text")
        body: dict[str, Any] = {"model": task.model, "max_tokens": MAX_TOKENS}
        body |= task.sent_params
        for name in capabilities.dropped:
            body.pop(name, None)
        body["system"] = [{"type": "text", "text": system}]
        if "cache_control" not in capabilities.dropped:
            body["system"][-1]["cache_control"] = {"type": "ephemeral"}
        body["messages"] = [{"role": "user", "content": written(user_content(chunk))}]
        if capabilities.output_mode == "native":
            schema = {"type": "json_schema", "schema": task.schema.reply_schema(self.name)}
            body["output_config"] = {**body.get("output_config", {}), "format": schema}
        if capabilities.output_mode == "tool":
            body["tools"] = [
                {
                    "name": task.tool_name,
                    "description": "Takes the answer for every item.",
                    "input_schema": task.schema.reply_schema(self.name),
                }
            ]
            body["tool_choice"] = {"type": "tool", "name": task.tool_name}
        return body

    def bounded(
        self,
        body: dict[str, Any],
        limit: int,
        capabilities: Capabilities,  # noqa: ARG002 - it has one name
        *,
        vendor: bool,  # noqa: ARG002 - it has one name
    ) -> dict[str, Any]:
        """Return a body with a token limit."""
        return body | {"max_tokens": limit}

    def headers_for(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Return the headers of a request: sampling parameters need the API's older version."""
        return {"anthropic-version": "2023-06-01"} if _SAMPLING & body.keys() else {}

    def next_capabilities(
        self, capabilities: Capabilities, body: Mapping[str, Any], message: str, param: str | None
    ) -> Capabilities | None:
        """Return what to try after a 400, or None where it is about something else."""
        named = param or ""
        for name in body.keys() - self.content_names - {"max_tokens", "output_config"}:
            if named == name or re.search(rf"\b{re.escape(name)}\b", message):
                return capabilities.without(name)
        if "cache_control" in message and "cache_control" not in capabilities.dropped:
            return capabilities.without("cache_control")
        if capabilities.output_mode == "native" and _ABOUT_FORMAT.search(message):
            return Capabilities("tool", capabilities.dropped)
        if capabilities.output_mode == "tool" and _ABOUT_TOOLS.search(message):
            return Capabilities("text", capabilities.dropped)
        return None

    def prompt_of(self, body: Mapping[str, Any]) -> Prompt:
        """Return what a model reads of a request."""
        system = "\n".join(block["text"] for block in body["system"])
        schemas = {name: body[name] for name in ("output_config", "tools") if name in body}
        text, media = read(body["messages"][-1]["content"])
        return Prompt(system, text, schemas, media)

    def without_rows(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a request without its last message."""
        return {**body, "messages": body["messages"][:-1]}

    def params_of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request; of ``output_config`` what is not the schema."""
        params = super().params_of(body)
        output = params.pop("output_config", None)
        if isinstance(output, Mapping) and output.keys() - {"format"}:
            params["output_config"] = {name: output[name] for name in output if name != "format"}
        return params

    def rate_limits(self, headers: Mapping[str, str]) -> Sequence[SeenLimit]:
        """Return what ``anthropic-ratelimit-`` headers say."""
        return tuple(limits_in(headers, _RATE_HEADERS, seconds_until))

    def read_completion(self, body: object) -> Completion:
        """Read the body of an answer; nothing in it raises."""
        return read_completion(body)
