"""Reads the replies of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandas_genai.backends.completion import (
    Completion,
    invalid,
    truncated,
    usage_from,
    written,
)
from pandas_genai.backends.fields import as_count, as_list, as_object, as_text, opened
from pandas_genai.errors import RowError
from pandas_genai.task.reply import Usage

__all__ = ["read_completion"]


def read_completion(body: object) -> Completion:
    """Read the body of an answer; nothing in it raises."""
    answer = as_object(body)
    usage = _usage(as_object(answer.get("usage")))
    return Completion.of(answer, lambda: _payload(answer), usage)


def _payload(answer: Mapping[str, Any]) -> object:
    """Return the JSON that the model wrote."""
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
