"""OpenAI's chat completions: build and parse plain dicts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pandas_genai.backends.endpoints import Support
from pandas_genai.backends.tolerant import parsed_json
from pandas_genai.errors import CallError, RowError, SplitError
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.prompt import system_text, user_text
from pandas_genai.task.reply import Usage
from pandas_genai.task.task import Task

__all__ = [
    "PATH",
    "bounded",
    "build",
    "first_support",
    "next_support",
    "payload_of",
    "temperature_for",
]
__all__ += ["usage_of"]

PATH = "/chat/completions"
LADDER = ("strict", "json_schema", "json_object", "text")

_SCHEMA_NAME = "all_results"
_TAKES_EFFORT_NONE = re.compile(r"gpt-(5\.[1-9]|[6-9]|\d\d)")
_TAKES_CACHE_OPTIONS = re.compile(r"gpt-(5\.[6-9]|[6-9]|\d\d)")
_TAKES_ONE_TEMPERATURE = re.compile(r"o\d|gpt-5(?![.\d])")
_ABOUT_FORMAT = re.compile(
    r"response_format|json_schema|json_object|structured output|guided|grammar", re.IGNORECASE
)


def temperature_for(model: str, temperature: float | None) -> float | None:
    """Return the temperature that a model takes in the place of a wanted one, None for none.

    The reasoning families o1, o3, o4 and gpt-5 take only 1; models that search take none.
    """
    if temperature is None or "-search-" in model:
        return None
    return 1.0 if _TAKES_ONE_TEMPERATURE.match(model) else temperature


def first_support(task: Task) -> Support:
    """Return what is tried first for a task."""
    if task.schema.free:
        chosen = task.structured
        return Support(chosen if chosen in ("json_object", "text") else "json_object")
    return Support(task.structured or "strict")


def build(task: Task, chunk: Chunk, support: Support, *, vendor: bool) -> dict[str, Any]:
    """Build the body of one request.

    Parameters
    ----------
    task : Task
        What is asked.
    chunk : Chunk
        Of which rows.
    support : Support
        What the endpoint takes.
    vendor : bool
        Whether it is OpenAI's own API, which takes more than compatible servers do.
    """
    system = system_text(task, show_schema=support.rung in ("json_object", "text"))
    body: dict[str, Any] = {"model": task.model}
    if vendor and _TAKES_CACHE_OPTIONS.match(task.model):
        body["prompt_cache_options"] = {"mode": "explicit"}
    if _TAKES_EFFORT_NONE.match(task.model):
        body["reasoning_effort"] = "none"
    body |= task.sent_params
    limit = body.pop("max_tokens", None) or body.pop("max_completion_tokens", None)
    if limit is not None:
        body = bounded(body, limit, support, vendor=vendor)
    for name in support.dropped - {"max_tokens", "max_completion_tokens"}:
        body.pop(name, None)
    body["messages"] = [
        {"role": "system", "content": _system(system, "prompt_cache_options" in body)},
        {"role": "user", "content": user_text(chunk)},
    ]
    # A small model may never end a list that has no bound; the vendor's models do, and each
    # schema costs them time when it is new.
    rows = None if vendor else len(chunk.rows)
    body |= _response_format(task, support.rung, rows)
    return body


def bounded(body: dict[str, Any], limit: int, support: Support, *, vendor: bool) -> dict[str, Any]:
    """Return a body with a token limit, under the name that the endpoint takes."""
    old_name = not vendor or "max_completion_tokens" in support.dropped
    name = "max_tokens" if old_name else "max_completion_tokens"
    if old_name and "max_tokens" in support.dropped:
        name = "max_completion_tokens"
    return body | {name: limit}


def _system(text: str, cached: bool) -> object:
    """Mark the end of the static prefix where the cache's breakpoint is ours to set.

    The vendor's own choice would be after the rows, which no other call shares, and it bills
    what is written to the cache at 1.25 times the price.
    """
    if not cached:
        return text
    return [{"type": "text", "text": text, "prompt_cache_breakpoint": {"mode": "explicit"}}]


def _response_format(task: Task, rung: str, rows: int | None) -> dict[str, Any]:
    if rung == "text":
        return {}
    if rung == "json_object":
        return {"response_format": {"type": "json_object"}}
    strict = rung == "strict"
    schema: dict[str, Any] = {
        "name": _SCHEMA_NAME,
        "schema": _with_length(task.schema.reply_schema("openai", strict=strict), rows),
    }
    if strict:
        schema["strict"] = True
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _with_length(schema: dict[str, Any] | None, rows: int | None) -> dict[str, Any] | None:
    if schema is None or rows is None:
        return schema
    entries = schema["properties"]["all_results"] | {"minItems": rows, "maxItems": rows}
    return schema | {"properties": schema["properties"] | {"all_results": entries}}


def next_support(
    support: Support, body: Mapping[str, Any], message: str, param: str | None
) -> Support | None:
    """Return what to try after a 400, or None where the 400 is about something else.

    Parameters
    ----------
    support : Support
        What was tried.
    body : mapping
        The request that was refused.
    message : str
        The error's message.
    param : str, optional
        The parameter that the error names.
    """
    named = param or ""
    for name in body:
        if name in ("model", "messages", "response_format"):
            continue
        if named.split(".")[0] == name or re.search(rf"['\"`]{re.escape(name)}\b", message):
            return support.without(name)
    if "response_format" in body and (
        named.startswith("response_format") or _ABOUT_FORMAT.search(message)
    ):
        lower = LADDER[LADDER.index(support.rung) + 1]
        return Support(lower, support.dropped)
    return None


def payload_of(answer: Mapping[str, Any], support: Support) -> object:
    """Return the JSON that the model wrote.

    Raises
    ------
    RowError
        If the model refused, or a filter took the answer away.
    SplitError
        If the answer was cut off or is not JSON.
    """
    request_id = answer.get("id")
    try:
        choice = answer["choices"][0]
        message = choice["message"]
    except (KeyError, IndexError, TypeError):
        raise SplitError("The answer has no choices.", reason="invalid reply") from None
    if message.get("refusal"):
        raise RowError(
            f"The model refused: {message['refusal']}", reason="refusal", request_id=request_id
        )
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        raise RowError(
            "The provider's content filter took the answer away.",
            reason="content filter",
            request_id=request_id,
        )
    if finish == "length":
        raise truncated(request_id)
    return parsed_json(message.get("content"), tolerant=support.rung in ("json_object", "text"))


def truncated(request_id: str | None) -> CallError:
    """Return the error of an answer that reached its token limit."""
    return RowError(
        "The answer was cut off at its token limit: give params={'max_tokens': ...} more, or the "
        "schema fewer or shorter fields.",
        reason="truncated",
        request_id=request_id,
    )


def usage_of(answer: Mapping[str, Any]) -> Usage:
    """Return the tokens of a call; compatible servers may leave any of them out."""
    usage = answer.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("prompt_tokens") or 0,
        cached_tokens=details.get("cached_tokens") or 0,
        cache_write_tokens=details.get("cache_write_tokens") or 0,
        output_tokens=usage.get("completion_tokens") or 0,
    )
