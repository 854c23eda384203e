"""Anthropic's messages as the API answers them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from pandas_genai.testing.asked import Asked, Problem, Usage, Written, last_user_text, text_of
from pandas_genai.testing.dialects import Dialect
from pandas_genai.testing.faults import Fault
from pandas_genai.testing.limits import Bucket, Verdict
from pandas_genai.testing.problems import problem_of
from pandas_genai.testing.schemas import anthropic_fault

__all__ = ["MessagesWire"]

_NEW, _OLD = "2026-10-21", "2023-06-01"
_SAMPLING = ("temperature", "top_p", "top_k")
_FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "metadata",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "thinking",
        "tool_choice",
        "tools",
        "user_profile_id",
    ]
)
_THINKS = re.compile(r".*-5-5")
_NEVER_FORCED = re.compile(r".*(opus-5-5|sonnet-5-5|fable-5-1)")
_WITHOUT_OUTPUT_CONFIG = re.compile(r"claude-([123]|instant|(opus|sonnet)-4-(0|2))")
_DEFAULT_MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-haiku-4-5")
_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


class MessagesWire:
    """Reads and writes ``/v1/messages`` and ``/v1/models``.

    Parameters
    ----------
    dialect : Dialect
        Of it only ``formats`` matters here: without ``json_schema`` there is no
        ``output_config``, without any format there are no tools either.
    """

    name = "anthropic"
    default_models: tuple[str, ...] = _DEFAULT_MODELS

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def key_of(self, headers: Mapping[str, str]) -> str:
        """Return the key of a request, or "": only the old version reads x-api-key."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return key.strip()
        return headers.get("x-api-key", "") if headers.get("anthropic-version") == _OLD else ""

    def wrong_key(self, key: str) -> Problem:
        """Say that a key is missing or wrong."""
        message = "invalid bearer token" if key else "authorization: header is required"
        return Problem(401, message, "authentication_error")

    def unknown_model(self, model: str) -> Problem:
        """Say that there is no such model."""
        return Problem(404, f"model: {model}", "not_found_error")

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Demand a version of the API.

        Raises
        ------
        Problem
            A 400.
        """
        version = headers.get("anthropic-version")
        if version is None:
            raise Problem(400, "anthropic-version: header is required")
        if version not in (_NEW, _OLD):
            raise Problem(400, f'anthropic-version: "{version}" is not a valid version.')

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
        """Read a request.

        Raises
        ------
        Problem
            A 400 that says what the API does not take.
        """
        old = headers.get("anthropic-version") == _OLD
        unknown = body.keys() - _FIELDS
        if old:
            unknown -= set(_SAMPLING)
        if unknown:
            raise Problem(400, f"{min(unknown)}: Extra inputs are not permitted")
        for name, kind in (("model", str), ("messages", list), ("max_tokens", int)):
            if not isinstance(body.get(name), kind) or not body[name]:
                raise Problem(400, f"{name}: Field required")
        if body.get("stream"):
            raise Problem(400, "stream: the loopback provider does not stream")
        model, thinking = body["model"], body.get("thinking")
        system = body.get("system") or ""
        asked = Asked(
            model=model,
            system=text_of(system),
            user=last_user_text(body["messages"]),
            rows=[],
            limit=body["max_tokens"],
            cacheable=_cacheable(system),
            thinks=bool(_THINKS.match(model)),
            body=body,
        )
        if isinstance(thinking, Mapping):
            asked.thinks = thinking.get("type") != "disabled"
        self._read_format(asked)
        self._read_tools(asked)
        return asked

    def _read_format(self, asked: Asked) -> None:
        config = asked.body.get("output_config")
        given = config.get("format") if isinstance(config, Mapping) else None
        if given is None:
            return
        if "json_schema" not in self._dialect.formats:
            raise Problem(400, "output_config: Extra inputs are not permitted")
        if _WITHOUT_OUTPUT_CONFIG.match(asked.model):
            raise Problem(400, f"output_config.format: '{asked.model}' does not support it.")
        if not isinstance(given, Mapping) or given.get("type") != "json_schema":
            raise Problem(400, "output_config.format.type: Input should be 'json_schema'")
        schema = given.get("schema")
        fault = anthropic_fault(schema)
        if fault:
            raise Problem(400, f"output_config.format.schema: {fault}")
        asked.form, asked.schema = "json_schema", schema

    def _read_tools(self, asked: Asked) -> None:
        tools, choice = asked.body.get("tools") or [], asked.body.get("tool_choice")
        choice = {} if choice is None else choice
        if not isinstance(choice, Mapping):
            raise Problem(400, "tool_choice: Input should be a valid dictionary")
        if tools and not self._dialect.formats:
            raise Problem(400, "tools: Extra inputs are not permitted")
        if choice.get("type") not in ("tool", "any"):
            return
        if _NEVER_FORCED.match(asked.model):
            raise Problem(400, f"tool_choice: forced tool use is not supported on '{asked.model}'.")
        named = {tool.get("name"): tool for tool in tools}
        name = choice.get("name") or next(iter(named), None)
        if name not in named:
            raise Problem(400, f"tool_choice: Tool '{name}' not found in provided tools")
        asked.form, asked.tool = "tool", str(name)
        asked.schema = named[name].get("input_schema")

    def answer(self, asked: Asked, written: Written, usage: Usage, number: int, model: str) -> Any:
        """Return the body of a 200."""
        refused = written.finish in ("refusal", "content_filter")
        content: list[dict[str, Any]] = []
        if asked.thinks and not refused:
            signature = f"{number:064x}"
            content.append({"type": "thinking", "thinking": "Let me see.", "signature": signature})
        stop = _STOPS.get(written.finish, "refusal")
        if asked.form == "tool" and not refused:
            content.append(
                {
                    "type": "tool_use",
                    "id": f"toolu_{number:024d}",
                    "name": asked.tool,
                    "input": written.payload or {},
                    "caller": {"type": "direct"},
                }
            )
            stop = "tool_use" if written.finish == "stop" else stop
        elif not refused:
            content.append({"type": "text", "text": written.text, "citations": None})
        explained = {"type": "refusal", "category": None, "explanation": written.text}
        return {
            "id": f"msg_{number:024d}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "stop_details": explained if refused else None,
            "container": None,
            "usage": _usage(usage),
        }

    def error(self, problem: Problem, number: int) -> tuple[int, Any]:
        """Return the status and body of an error."""
        if problem.body is not None:
            return problem.status, problem.body
        error: dict[str, Any] = {"type": problem.kind, "message": problem.message}
        if problem.code:
            error["details"] = {"error_code": problem.code}
        return problem.status, {"type": "error", "error": error, "request_id": _request_id(number)}

    def fault(self, fault: Fault) -> Problem:
        """Return the error of a scripted fault."""
        return problem_of(fault, self.name)

    def over_limit(self, verdict: Verdict, retry_after: int) -> Problem:
        """Say that a limit was reached."""
        bucket: Bucket = getattr(verdict, verdict.over)
        return Problem(
            429,
            f"This request would exceed your organization's rate limit of {bucket.limit} "
            f"{verdict.over} per minute.",
            "rate_limit_error",
            headers={"retry-after": str(retry_after)},
        )

    def headers(self, number: int, verdict: Verdict | None) -> dict[str, str]:
        """Return the headers of an answer."""
        found = {"request-id": _request_id(number)}
        if verdict is None:
            return found
        now = datetime.now(UTC)
        found["date"] = format_datetime(now, usegmt=True)
        requests, tokens = verdict.requests, verdict.tokens
        buckets = {
            "requests": requests,
            "tokens": tokens,
            "input-tokens": tokens,
            "output-tokens": tokens,
        }
        for name, bucket in buckets.items():
            reset = now + timedelta(seconds=bucket.reset)
            found[f"anthropic-ratelimit-{name}-limit"] = str(bucket.limit)
            found[f"anthropic-ratelimit-{name}-remaining"] = str(bucket.remaining)
            found[f"anthropic-ratelimit-{name}-reset"] = f"{reset:%Y-%m-%dT%H:%M:%SZ}"
        return found

    def model(self, name: str) -> dict[str, Any]:
        """Return the description of one model."""
        return {
            "type": "model",
            "id": name,
            "display_name": name.replace("-", " ").title(),
            "created_at": "2026-09-01T00:00:00Z",
            "lifecycle": "active",
        }

    def models(self, names: list[str]) -> dict[str, Any]:
        """Return the list of models."""
        ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
        return {
            "data": [self.model(name) for name in names],
            "has_more": False,
            "first_id": None,
            "last_id": None,
            **ends,
        }


def _request_id(number: int) -> str:
    return f"req_{number:024d}"


def _usage(usage: Usage) -> dict[str, Any]:
    """Count the prompt in three parts: what the cache held and took is not in input_tokens."""
    return {
        "input_tokens": usage.prompt - usage.cached - usage.written,
        "output_tokens": usage.completion,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.written,
            "ephemeral_1h_input_tokens": 0,
        },
        "inference_geo": None,
        "server_tool_use": None,
        "service_tier": "standard",
    }


def _cacheable(system: object) -> str:
    """Return the system text up to the last block that is marked with ``cache_control``."""
    if not isinstance(system, list):
        return ""
    marked = [place for place, block in enumerate(system) if block.get("cache_control")]
    return text_of(system[: marked[-1] + 1]) if marked else ""
