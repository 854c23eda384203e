"""Answers fetched from another server, so that what is shown is a real model's work."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pandas_genai.testing.asked import Asked, Problem, Written

__all__ = ["Upstream"]

_PASSED_ON = ("temperature", "top_p", "seed", "stop")
_TIMEOUT_S = 600.0


class Upstream:
    """An OpenAI-compatible server that answers in the place of a rule.

    Parameters
    ----------
    base_url : str
        As the openai SDK takes it: ends in ``/v1``.
    key : str, default ""
        Its API key, if it wants one.
    """

    def __init__(self, base_url: str, key: str = "") -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"upstream={base_url!r} is no URL: it looks like http://host:1/v1.")
        secure = parts.scheme == "https"
        self._connection = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/chat/completions"
        self._key = key

    def ask(self, asked: Asked) -> Written:
        """Ask it the same question, as a chat.

        Raises
        ------
        Problem
            A 502, if it does not answer.
        """
        answer = self._post(_chat_body(asked))
        try:
            choice = answer["choices"][0]
            text = choice["message"].get("content") or ""
        except (KeyError, IndexError, TypeError):
            raise _bad_gateway(f"it answered {str(answer)[:200]}") from None
        usage = answer.get("usage") or {}
        written = Written(text, str(choice.get("finish_reason") or "stop"))
        if "prompt_tokens" in usage and "completion_tokens" in usage:
            written.tokens = (usage["prompt_tokens"], usage["completion_tokens"])
        try:
            payload = json.loads(text)
        except ValueError:
            return written
        written.payload = payload if isinstance(payload, dict) else None
        return written

    def _post(self, body: Mapping[str, Any]) -> Any:
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        connection = self._connection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", self._path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _bad_gateway(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            start = raw[:200].decode("utf-8", "replace")
            raise _bad_gateway(f"status {response.status}: {start}")
        try:
            return json.loads(raw)
        except ValueError:
            raise _bad_gateway("its answer is no JSON") from None


def _chat_body(asked: Asked) -> dict[str, Any]:
    """Say in a chat's words what either wire asked."""
    body: dict[str, Any] = {"model": asked.model, "messages": []}
    if asked.system:
        body["messages"].append({"role": "system", "content": asked.system})
    body["messages"].append({"role": "user", "content": asked.user})
    body |= {name: asked.body[name] for name in _PASSED_ON if name in asked.body}
    if asked.limit is not None:
        body["max_tokens"] = asked.limit
    if asked.schema is not None:
        wrapped = {"name": "all_results", "schema": asked.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": wrapped}
    elif asked.form == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _bad_gateway(detail: str) -> Problem:
    return Problem(502, f"The upstream model did not answer: {detail}.", "api_error", late=True)
