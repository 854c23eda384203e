"""Anthropic's messages: build requests, read answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pandas_genai.backends.completion import (
    Completion,
    invalid,
    truncated,
    usage_from,
    written,
)
from pandas_genai.backends.endpoints import Support
from pandas_genai.backends.fields import as_count, as_list, as_object, as_text, opened
from pandas_genai.errors import RowError
from pandas_genai.task.bound import BoundTask
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.prompt import system_text, user_text
from pandas_genai.task.reply import Usage

__all__ = ["MAX_TOKENS", "PATH", "bounded", "build", "first_support", "headers_for"]
__all__ += ["next_support", "read_completion"]

PATH = "/v1/messages"
LADDER = ("native", "tool", "text")
MAX_TOKENS = 16_000
"""Room for thinking, which is on by default on the 5.5 models, under the 21,333 above which
the SDK asks for a stated timeout."""

_WITHOUT_OUTPUT_CONFIG = re.compile(r"claude-([123]|instant|(opus|sonnet)-4-(0|2))")
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_ABOUT_FORMAT = re.compile(r"output_config|output_format|structured output|json_schema")
_ABOUT_TOOLS = re.compile(r"tool_choice|\btools?\b")


def first_support(task: BoundTask) -> Support:
    """Return what is tried first for a task."""
    if task.schema.free:
        return Support("text")
    if task.structured:
        return Support(task.structured)
    return Support("tool" if _WITHOUT_OUTPUT_CONFIG.match(task.model) else "native")


def build(
    task: BoundTask,
    chunk: Chunk,
    support: Support,
    *,
    vendor: bool = True,  # noqa: ARG001 - one shape for both wires
) -> dict[str, Any]:
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


def read_completion(body: object) -> Completion:
    """Read the body of an answer; see ``openai_wire.read_completion``."""
    answer = as_object(body)
    usage = _usage(as_object(answer.get("usage")))
    return Completion.of(answer, lambda: _payload(answer), usage)


def _payload(answer: Mapping[str, Any]) -> object:
    """Return the JSON that the model wrote; see ``openai_wire``."""
    stop = as_text(answer.get("stop_reason"))
    if stop == "refusal":
        raise RowError("The model refused.", reason="refusal")
    if stop in ("max_tokens", "model_context_window_exceeded"):
        raise truncated()
    content = answer.get("content")
    blocks = [as_object(block) for block in as_list(content)]
    for block in blocks:
        # There is only one tool, and where none was sent there is no such block.
        if block.get("type") == "tool_use":
            return opened(block.get("input"))
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    text = "".join(text for text in [content, *texts] if isinstance(text, str))
    if not text:
        raise invalid("The answer has no text.")
    return written(text)


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens of a call: ``input_tokens`` there excludes what the cache held."""
    sent = as_count(usage.get("input_tokens"))
    cached = as_count(usage.get("cache_read_input_tokens")) or 0
    cache_write = as_count(usage.get("cache_creation_input_tokens")) or 0
    return usage_from(
        None if sent is None else sent + cached + cache_write,
        usage.get("output_tokens"),
        cached=cached,
        cache_write=cache_write,
    )
