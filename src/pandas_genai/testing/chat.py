"""OpenAI's chat completions as OpenAI and compatible servers answer them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from pandas_genai.testing.asked import Asked, Problem, Usage, Written, last_user_text, text_of
from pandas_genai.testing.dialects import Dialect
from pandas_genai.testing.faults import Fault
from pandas_genai.testing.limits import Bucket, Verdict
from pandas_genai.testing.parameters import check_parameters
from pandas_genai.testing.problems import problem_of
from pandas_genai.testing.schemas import openai_fault

__all__ = ["ChatWire"]

_BILLS_CACHE_WRITES = re.compile(r"gpt-(5\.[6-9]|[6-9]|\d\d)")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEFAULT_MODELS = ("gpt-6-luna", "gpt-5.6-luna", "gpt-5.4-mini", "gpt-4.1-mini")
_CREATED = 1_788_220_800


class ChatWire:
    """Reads and writes ``/v1/chat/completions`` and ``/v1/models``.

    Parameters
    ----------
    dialect : Dialect
        Whose version of it.
    """

    name = "openai"
    default_models: tuple[str, ...] = _DEFAULT_MODELS

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def key_of(self, headers: Mapping[str, str]) -> str:
        """Return the key of a request, or ""."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def wrong_key(self, key: str) -> Problem:
        """Say that a key is missing or wrong: the middle of it is not repeated."""
        if not key:
            return Problem(
                401,
                "You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth.",
            )
        shown = f"{key[:4]}{'*' * (len(key) - 8)}{key[-4:]}" if len(key) > 16 else "*" * len(key)
        return Problem(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")

    def unknown_model(self, model: str) -> Problem:
        """Say that there is no such model."""
        return Problem(
            404,
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
        )

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Accept any headers."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:  # noqa: ARG002 - the other wire reads its version
        """Read a request.

        Raises
        ------
        Problem
            A 400 that says what this server does not take.
        """
        dialect = self._dialect
        if dialect.fields is not None:
            self._check_fields(body, dialect.fields)
        model, messages = body.get("model"), body.get("messages")
        if not isinstance(model, str) or not model:
            raise Problem(400, "you must provide a model parameter", param="model")
        if not isinstance(messages, list) or not messages:
            raise Problem(400, "Missing required parameter: 'messages'.", param="messages")
        if body.get("stream"):
            raise Problem(400, "The loopback provider does not stream.", param="stream")
        if dialect.vendor:
            check_parameters(model, body)
        system = "\n".join(
            [
                text_of(m.get("content"))
                for m in messages
                if m.get("role") in ("system", "developer")
            ]
        )
        asked = Asked(model, system, last_user_text(messages), [], body=body, cacheable=system)
        self._read_format(asked, body.get("response_format"))
        limits = [body[name] for name in dialect.limits if isinstance(body.get(name), int)]
        asked.limit = min(limits) if limits else None
        return asked

    def _check_fields(self, body: Mapping[str, Any], known: frozenset[str]) -> None:
        unknown = body.keys() - known
        if not unknown:
            return
        name = min(unknown)
        if self._dialect.errors == "list":
            raise Problem(
                400,
                f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.',
                kind="INVALID_ARGUMENT",
            )
        raise Problem(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")

    def _read_format(self, asked: Asked, given: object) -> None:
        kind = given.get("type") if isinstance(given, Mapping) else None
        if given is None or kind == "text":
            return
        wrapped = given.get("json_schema") if isinstance(given, Mapping) else None
        formats = self._dialect.formats
        if not formats:
            raise _format_problem("'response_format' is not supported by this server.")
        if kind == "json_object":
            words = asked.system + asked.user
            if self._dialect.vendor and "json" not in words.lower():
                raise Problem(
                    400,
                    "'messages' must contain the word 'json' in some form, to use "
                    "'response_format' of type 'json_object'.",
                    param="messages",
                )
            asked.form = "json_object"
            return
        if kind != "json_schema" or not isinstance(wrapped, Mapping):
            raise _format_problem(f"Invalid value: {kind!r} for 'response_format.type'.")
        self._check_schema(wrapped)
        schema = wrapped.get("schema")
        asked.form = "json_schema"
        asked.schema = schema if isinstance(schema, Mapping) else None

    def _check_schema(self, wrapped: Mapping[str, Any]) -> None:
        dialect, strict = self._dialect, bool(wrapped.get("strict"))
        if "json_schema" not in dialect.formats:
            raise _format_problem("'response_format.type' must be 'json_object' or 'text'.")
        if strict and "strict" not in dialect.formats:
            raise _format_problem("'response_format.json_schema.strict' is not supported.")
        if not dialect.vendor:
            return
        name = str(wrapped.get("name", ""))
        if not _NAME.fullmatch(name):
            raise _format_problem("Invalid 'response_format.json_schema.name'.")
        fault = openai_fault(wrapped.get("schema")) if strict else ""
        if fault:
            raise _format_problem(f"Invalid schema for response_format '{name}': {fault}")

    def answer(self, asked: Asked, written: Written, usage: Usage, number: int, model: str) -> Any:
        """Return the body of a 200."""
        bare = self._dialect.bare
        refused, filtered = written.finish == "refusal", written.finish == "content_filter"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refused or filtered else written.text,
        }
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": "stop" if refused else written.finish,
        }
        body: dict[str, Any] = {
            "id": f"chatcmpl-{number:029d}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [choice],
        }
        if bare:
            return body
        message["refusal"] = written.text if refused else None
        message["annotations"] = []
        choice["logprobs"] = None
        body["usage"] = {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }
        if usage.written and _BILLS_CACHE_WRITES.match(asked.model):
            body["usage"]["prompt_tokens_details"]["cache_write_tokens"] = usage.written
        body["service_tier"] = "default"
        body["system_fingerprint"] = "fp_loopback"
        return body

    def error(self, problem: Problem, number: int) -> tuple[int, Any]:  # noqa: ARG002 - the other wire repeats it
        """Return the status and body of an error."""
        if problem.body is not None:
            return problem.status, problem.body
        dialect = self._dialect
        if dialect.errors == "list":
            error = {"code": problem.status, "message": problem.message, "status": problem.kind}
            return problem.status, [{"error": error}]
        if dialect.errors == "in_200":
            error = {"code": problem.status, "message": problem.message}
            return (200 if problem.late else problem.status), {"error": error}
        if dialect.bare:
            error = {"code": problem.status, "message": problem.message, "type": problem.kind}
            return problem.status, {"error": error}
        return problem.status, {
            "error": {
                "message": problem.message,
                "type": problem.kind,
                "param": problem.param,
                "code": problem.code,
            }
        }

    def fault(self, fault: Fault) -> Problem:
        """Return the error of a scripted fault."""
        return problem_of(fault, self.name)

    def over_limit(self, verdict: Verdict, retry_after: int) -> Problem:
        """Say that a limit was reached."""
        bucket: Bucket = getattr(verdict, verdict.over)
        return Problem(
            429,
            f"Rate limit reached on {verdict.over} per min: Limit {bucket.limit}. Please try again "
            f"in {verdict.wait:.3f}s.",
            verdict.over,
            code="rate_limit_exceeded",
            headers={"retry-after": str(retry_after)},
            late=True,
        )

    def headers(self, number: int, verdict: Verdict | None) -> dict[str, str]:
        """Return the headers of an answer."""
        if self._dialect.bare:
            return {}
        found = {"x-request-id": f"req_{number:032x}", "openai-processing-ms": "1"}
        if verdict is not None:
            for name, bucket in (("requests", verdict.requests), ("tokens", verdict.tokens)):
                found[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                found[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining)
                found[f"x-ratelimit-reset-{name}"] = _duration(bucket.reset)
        return found

    def model(self, name: str) -> dict[str, Any]:
        """Return the description of one model."""
        return {"id": name, "object": "model", "created": _CREATED, "owned_by": "system"}

    def models(self, names: list[str]) -> dict[str, Any]:
        """Return the list of models."""
        return {"object": "list", "data": [self.model(name) for name in names]}


def _format_problem(message: str) -> Problem:
    return Problem(400, message, param="response_format")


def _duration(seconds: float) -> str:
    """Write seconds as OpenAI's headers do: ``6m0s``, ``1.5s``, ``2ms``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
