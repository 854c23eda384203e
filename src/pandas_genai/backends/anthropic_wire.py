"""Anthropic's messages: build and parse plain dicts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pandas_genai.backends.endpoints import Support
from pandas_genai.backends.openai_wire import truncated
from pandas_genai.backends.tolerant import parsed_json
from pandas_genai.errors import RowError, SplitError
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.prompt import system_text, user_text
from pandas_genai.task.reply import Usage
from pandas_genai.task.task import Task

__all__ = ["MAX_TOKENS", "PATH", "bounded", "build", "first_support", "headers_for"]
__all__ += ["next_support", "payload_of", "usage_of"]

PATH = "/v1/messages"
LADDER = ("native", "tool", "text")
MAX_TOKENS = 16_000
"""Room for thinking, which is on by default on the 5.5 models, under the 21,333 above which
the SDK asks for a stated timeout."""

_WITHOUT_OUTPUT_CONFIG = re.compile(r"claude-([123]|instant|(opus|sonnet)-4-(0|2))")
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_ABOUT_FORMAT = re.compile(r"output_config|output_format|structured output|json_schema")
_ABOUT_TOOLS = re.compile(r"tool_choice|\btools?\b")


def first_support(task: Task) -> Support:
    """Return what is tried first for a task."""
    if task.schema.free:
        return Support("text")
    if task.structured:
        return Support(task.structured)
    return Support("tool" if _WITHOUT_OUTPUT_CONFIG.match(task.model) else "native")


def build(task: Task, chunk: Chunk, support: Support, *, vendor: bool = True) -> dict[str, Any]:  # noqa: ARG001 - one shape for both wires
    """Build the body of one request; see ``openai_wire.build``."""
    system = system_text(task, show_schema=support.rung == "text")
    body: dict[str, Any] = {"model": task.model, "max_tokens": MAX_TOKENS}
    body |= task.sent_params
    for name in support.dropped:
        body.pop(name, None)
    body["system"] = [{"type": "text", "text": system}]
    if "cache_control" not in support.dropped:
        body["system"][-1]["cache_control"] = {"type": "ephemeral"}
    body["messages"] = [{"role": "user", "content": user_text(chunk)}]
    if support.rung == "native":
        schema = {"type": "json_schema", "schema": task.schema.reply_schema("anthropic")}
        body["output_config"] = {**body.get("output_config", {}), "format": schema}
    if support.rung == "tool":
        body["tools"] = [
            {
                "name": task.tool_name,
                "description": "Takes the answer for every item.",
                "input_schema": task.schema.reply_schema("anthropic"),
            }
        ]
        body["tool_choice"] = {"type": "tool", "name": task.tool_name}
    return body


def bounded(
    body: dict[str, Any],
    limit: int,
    support: Support,  # noqa: ARG001 - one shape for both wires
    *,
    vendor: bool,  # noqa: ARG001 - one shape for both wires
) -> dict[str, Any]:
    """Return a body with a token limit; see ``openai_wire.bounded``."""
    return body | {"max_tokens": limit}


def headers_for(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a request: sampling parameters need the API's older version."""
    return {"anthropic-version": "2023-06-01"} if _SAMPLING & body.keys() else {}


def next_support(
    support: Support, body: Mapping[str, Any], message: str, param: str | None
) -> Support | None:
    """Return what to try after a 400; see ``openai_wire.next_support``."""
    named = param or ""
    kept = {"model", "messages", "system", "max_tokens", "tools", "tool_choice", "output_config"}
    for name in body.keys() - kept:
        if named == name or re.search(rf"\b{re.escape(name)}\b", message):
            return support.without(name)
    if "cache_control" in message and "cache_control" not in support.dropped:
        return support.without("cache_control")
    if support.rung == "native" and _ABOUT_FORMAT.search(message):
        return Support("tool", support.dropped)
    if support.rung == "tool" and _ABOUT_TOOLS.search(message):
        return Support("text", support.dropped)
    return None


def payload_of(answer: Mapping[str, Any], support: Support) -> object:
    """Return the JSON that the model wrote; see ``openai_wire.payload_of``."""
    stop, request_id = answer.get("stop_reason"), answer.get("id")
    if stop == "refusal":
        raise RowError("The model refused.", reason="refusal", request_id=request_id)
    if stop in ("max_tokens", "model_context_window_exceeded"):
        raise truncated(request_id)
    blocks = [block for block in answer.get("content") or [] if isinstance(block, Mapping)]
    if support.rung == "tool":
        for block in blocks:
            if block.get("type") == "tool_use":  # there is only one tool
                return block.get("input")
    text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    if not text:
        raise SplitError("The answer has no text.", reason="invalid reply", request_id=request_id)
    return parsed_json(text, tolerant=support.rung != "native")


def usage_of(answer: Mapping[str, Any]) -> Usage:
    """Return the tokens of a call: ``input_tokens`` there excludes what the cache held."""
    usage = answer.get("usage") or {}
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return Usage(
        input_tokens=(usage.get("input_tokens") or 0) + cached + written,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=usage.get("output_tokens") or 0,
    )
