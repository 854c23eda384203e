"""Reads the replies of OpenAI's chat completions."""

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
from pandas_genai.backends.fields import as_list, as_object, as_text
from pandas_genai.errors import RowError
from pandas_genai.task.reply import Usage

__all__ = ["read_completion"]


def read_completion(body: object) -> Completion:
    """Read the body of an answer, be it a live call's or a batch's; nothing in it raises."""
    answer = as_object(body)
    choice = as_object(next(iter(as_list(answer.get("choices"))), None))
    usage = _usage(as_object(answer.get("usage")))
    return Completion.of(answer, lambda: _payload(choice), usage)


def _payload(choice: Mapping[str, Any]) -> object:
    """Return the JSON that the model wrote.

    Raises
    ------
    RowError
        If the model refused, or a filter took the answer away, or it was cut off.
    SplitError
        If there is no JSON.
    """
    message = choice.get("message")
    if not isinstance(message, dict):
        raise invalid("The answer has no choices.")
    refusal = as_text(message.get("refusal"))
    if refusal:
        raise RowError(f"The model refused: {refusal}", reason="refusal")
    finish = as_text(choice.get("finish_reason"))
    if finish == "content_filter":
        raise RowError(
            "The provider's content filter took the answer away.", reason="content filter"
        )
    if finish == "length":
        raise truncated()
    content = message.get("content")
    if isinstance(content, list):  # parts, as some compatible servers answer
        content = "".join(part for part in map(_part, content) if part)
    return written(content)


def _part(part: object) -> str:
    text = as_object(part).get("text")
    return text if isinstance(text, str) else ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Return the tokens of a call; compatible servers may leave any of them out."""
    details = as_object(usage.get("prompt_tokens_details"))
    return usage_from(
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        cached=details.get("cached_tokens"),
        cache_write=details.get("cache_write_tokens"),
    )
