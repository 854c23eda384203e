"""OpenAI's chat completions: what is sent, and what an endpoint is found to take of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pandas_genai.backends.base import Backend, Prompt
from pandas_genai.backends.completion import Completion
from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.backends.fields import names_in
from pandas_genai.backends.openai.batches import OpenAIBatches
from pandas_genai.backends.openai.content import read, written
from pandas_genai.backends.openai.dialect import check_limits, dialect_of
from pandas_genai.backends.openai.replies import read_completion
from pandas_genai.backends.rate_headers import SeenLimit, limits_in, seconds_in
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.prompt import system_text, user_content
from pandas_genai.task.rules import Bounds
from pandas_genai.task.schema.nodes import Node
from pandas_genai.task.task import BoundTask

__all__ = ["OpenAIBackend", "temperature_for"]

_SCHEMA_NAME = "all_results"
_TAKES_EFFORT_NONE = re.compile(r"gpt-(5\.[1-9]|[6-9]|\d\d)")
_TAKES_CACHE_OPTIONS = re.compile(r"gpt-(5\.[6-9]|[6-9]|\d\d)")
_TAKES_ONE_TEMPERATURE = re.compile(r"o\d|gpt-5(?![.\d])")
_ABOUT_FORMAT = re.compile(
    r"response_format|json_schema|json_object|structured output|guided|grammar", re.IGNORECASE
)


_RATE_HEADERS = {
    kind: tuple(f"x-ratelimit-{part}-{kind}" for part in ("limit", "remaining", "reset"))
    for kind in ("requests", "tokens")
}
_BOUNDS = "bounds in the schema"
"""What is dropped, like a parameter, where a server refuses them."""
_KEYWORDS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum"})
_KEYWORDS |= {"exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern"}
_ABOUT_BOUNDS = re.compile("|".join([*_KEYWORDS, "grammar", "schema", "regex"]), re.IGNORECASE)


def temperature_for(model: str, temperature: float | None) -> float | None:
    """Return the temperature that a model takes in the place of a wanted one, None for none.

    The reasoning families o1, o3, o4 and gpt-5 take only 1; models that search take none.
    """
    if temperature is None or "-search-" in model:
        return None
    return 1.0 if _TAKES_ONE_TEMPERATURE.match(model) else temperature


class OpenAIBackend(Backend):
    """OpenAI's chat completions, and whatever server speaks them."""

    name = "openai"
    label = "OpenAI"
    note = "also for every compatible server, with base_url="
    base_url = "https://api.openai.com/v1"  # as in openai 3.54
    path = "/chat/completions"
    default_model = "gpt-6-luna"
    sdk = "openai"
    client_class = "OpenAI"
    account_headers = ("OpenAI-Organization", "OpenAI-Project")
    output_modes = ("strict", "json_schema", "json_object", "text")
    parameters = names_in(
        """frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata
        presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention
        reasoning_effort safety_identifier seed service_tier stop store temperature
        top_logprobs top_p user verbosity"""
    )
    declared_in = "types/chat/completion_create_params.py"
    limit_names = ("max_tokens", "max_completion_tokens")
    content_names = frozenset({"model", "messages", "response_format"})
    batches = OpenAIBatches

    def reply_schema(
        self, record: Node, *, many: bool, strict: bool = True, bounds: Bounds = "dialect"
    ) -> Node:
        """Return the JSON schema of a whole reply, as strict mode or another takes it."""
        return dialect_of(strict=strict, bounds=bounds).reply_schema(record, many=many)

    def check_schema(self, record: Node, sent: Node) -> None:  # noqa: ARG002 - the reply says all
        """Refuse what is beyond OpenAI's limits."""
        check_limits(sent)

    def first_capabilities(self, task: BoundTask) -> Capabilities:
        """Return what is tried first for a task."""
        if task.schema.free:
            chosen = task.structured
            return Capabilities(chosen if chosen in ("json_object", "text") else "json_object")
        return Capabilities(task.structured or "strict")

    def build(
        self, task: BoundTask, chunk: Chunk, capabilities: Capabilities, *, vendor: bool
    ) -> dict[str, Any]:
        """Build the body of one request; OpenAI's own API takes more than compatible servers do."""
        bounds = _bounds_for(capabilities, vendor=vendor)
        show_schema = capabilities.output_mode in ("json_object", "text")
        system = system_text(task, show_schema=show_schema, show_limits=bounds == "grammar")
        body: dict[str, Any] = {"model": task.model}
        if vendor and _TAKES_CACHE_OPTIONS.match(task.model):
            body["prompt_cache_options"] = {"mode": "explicit"}
        if _TAKES_EFFORT_NONE.match(task.model):
            body["reasoning_effort"] = "none"
        body |= task.sent_params
        limit = body.pop("max_tokens", None) or body.pop("max_completion_tokens", None)
        if limit is not None:
            body = self.bounded(body, limit, capabilities, vendor=vendor)
        for name in capabilities.dropped.difference(self.limit_names):
            body.pop(name, None)
        body["messages"] = [
            {"role": "system", "content": _system(system, "prompt_cache_options" in body)},
            {"role": "user", "content": written(user_content(chunk))},
        ]
        # A small model may never end a list that has no bound; the vendor's models do, and each
        # schema costs them time when it is new.
        rows = None if vendor else len(chunk.rows)
        body |= _response_format(task, capabilities.output_mode, rows, bounds)
        return body

    def bounded(
        self, body: dict[str, Any], limit: int, capabilities: Capabilities, *, vendor: bool
    ) -> dict[str, Any]:
        """Return a body with a token limit, under the name that the endpoint takes."""
        old_name = not vendor or "max_completion_tokens" in capabilities.dropped
        name = "max_tokens" if old_name else "max_completion_tokens"
        if old_name and "max_tokens" in capabilities.dropped:
            name = "max_completion_tokens"
        return body | {name: limit}

    def next_capabilities(
        self, capabilities: Capabilities, body: Mapping[str, Any], message: str, param: str | None
    ) -> Capabilities | None:
        """Return what to try after a 400, or None where the 400 is about something else."""
        named = param or ""
        for name in body:
            if name in self.content_names:
                continue
            if named.split(".")[0] == name or re.search(rf"['\"`]{re.escape(name)}\b", message):
                return capabilities.without(name)
        if "response_format" in body and (
            named.startswith("response_format") or _ABOUT_FORMAT.search(message)
        ):
            if _may_be_about_bounds(capabilities, body, message):
                return capabilities.without(_BOUNDS)
            lower = self.output_modes[self.output_modes.index(capabilities.output_mode) + 1]
            return Capabilities(lower, capabilities.dropped)
        return None

    def prompt_of(self, body: Mapping[str, Any]) -> Prompt:
        """Return what a model reads of a request."""
        system, *_, user = (message["content"] for message in body["messages"])
        if not isinstance(system, str):
            system = "\n".join(block["text"] for block in system)
        schemas = {name: body[name] for name in ("response_format",) if name in body}
        text, media = read(user)
        return Prompt(system, text, schemas, media)

    def without_rows(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a request without its last message."""
        return {**body, "messages": body["messages"][:-1]}

    def rate_limits(self, headers: Mapping[str, str]) -> Sequence[SeenLimit]:
        """Return what ``x-ratelimit-`` headers say."""
        return tuple(limits_in(headers, _RATE_HEADERS, seconds_in))

    def read_completion(self, body: object) -> Completion:
        """Read the body of an answer; nothing in it raises."""
        return read_completion(body)


def _bounds_for(capabilities: Capabilities, *, vendor: bool) -> Bounds:
    """Say where bounds stand: a compatible server may enforce what OpenAI only describes."""
    if vendor:
        return "dialect"
    return "described" if _BOUNDS in capabilities.dropped else "grammar"


def _system(text: str, cached: bool) -> object:
    """Mark the end of the static prefix where the cache's breakpoint is ours to set.

    The vendor's own choice would be after the rows, which no other call shares, and it bills
    what is written to the cache at 1.25 times the price.
    """
    if not cached:
        return text
    return [{"type": "text", "text": text, "prompt_cache_breakpoint": {"mode": "explicit"}}]


def _response_format(
    task: BoundTask, output_mode: str, rows: int | None, bounds: Bounds
) -> dict[str, Any]:
    if output_mode == "text":
        return {}
    if output_mode == "json_object":
        return {"response_format": {"type": "json_object"}}
    strict = output_mode == "strict"
    schema: dict[str, Any] = {
        "name": _SCHEMA_NAME,
        "schema": _with_length(
            task.schema.reply_schema(task.backend, strict=strict, bounds=bounds), rows
        ),
    }
    if strict:
        schema["strict"] = True
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _with_length(schema: dict[str, Any] | None, rows: int | None) -> dict[str, Any] | None:
    if schema is None or rows is None:
        return schema
    entries = schema["properties"]["all_results"] | {"minItems": rows, "maxItems": rows}
    return schema | {"properties": schema["properties"] | {"all_results": entries}}


def _may_be_about_bounds(capabilities: Capabilities, body: Mapping[str, Any], message: str) -> bool:
    """Whether the same output mode is tried once more, with bounds in descriptions alone.

    Servers differ in the keywords that they take, and in how much they put into a grammar. One
    that names ``strict`` takes no strict schema, with bounds or without.
    """
    if _BOUNDS in capabilities.dropped or not _ABOUT_BOUNDS.search(message):
        return False
    wrapped = body["response_format"].get("json_schema")
    if wrapped is None or re.search(r"\bstrict\b", message):
        return False
    entries = wrapped["schema"]["properties"]["all_results"]
    return "maxItems" in entries and _has_bounds(entries["items"])


def _has_bounds(value: object) -> bool:
    if isinstance(value, Mapping):
        # A field may have such a name: its value is a schema, and no bound.
        found = any(not isinstance(value[name], Mapping) for name in _KEYWORDS & value.keys())
        return found or any(map(_has_bounds, value.values()))
    return isinstance(value, list) and any(map(_has_bounds, value))
