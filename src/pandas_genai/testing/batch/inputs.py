"""The requests of a batch: read, and checked as each vendor checks them before it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pandas_genai.testing.asked import (
    Problem,
    json_of,
    last_user_text,
    rows_of,
    text_of,
    tokens_of,
)
from pandas_genai.testing.batch.records import Batch

__all__ = ["BatchLimits", "Checked", "check_file", "check_requests", "requests_of", "texts_of"]

_OPENAI = (50_000, 200_000_000)
_ANTHROPIC = (100_000, 256_000_000)
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_ERRORS = 100

Item = tuple[str, Mapping[str, Any]]
"""A custom_id and the body of its request."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be; None: as large as at the vendor."""

    requests: int | None = None
    bytes: int | None = None
    tokens: int | None = None
    """That may be enqueued for a model at once; None: any."""

    def of(self, vendor: str) -> tuple[int, int]:
        """Return the most requests and bytes of a vendor's batch."""
        requests, size = _OPENAI if vendor == "openai" else _ANTHROPIC
        return self.requests or requests, self.bytes or size


def requests_of(batch: Batch, raw: bytes) -> Iterator[Item]:
    """Yield the requests of a batch; of one that was stopped unchecked, what can be read."""
    if batch.vendor == "anthropic":
        for request in json.loads(raw)["requests"]:
            yield request["custom_id"], request["params"]
        return
    for line in raw.splitlines():
        if not line.strip():
            continue
        try:
            request = json_of(line)
            item = str(request["custom_id"]), request["body"]
        except (TypeError, KeyError):
            continue
        yield item


def texts_of(body: Mapping[str, Any]) -> list[str]:
    """Return the texts of a request's rows, none if it is not to be read."""
    messages = body.get("messages")
    try:
        rows = rows_of(last_user_text(messages if isinstance(messages, list) else []))
    except Problem:
        return []
    return [text for _, text in rows]


@dataclass(slots=True)
class Checked:
    """What an input file was found to hold."""

    total: int = 0
    model: str = ""
    tokens: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def complain(self, code: str, message: str, line: int | None, param: str | None = None) -> None:
        """Enter an error, as long as there are few."""
        if len(self.errors) < _MOST_ERRORS:
            error = {"code": code, "line": line, "message": message, "param": param}
            self.errors.append(error)


def check_file(
    raw: bytes, endpoint: str, most: tuple[int, int], knows: Callable[[str], bool]
) -> Checked:
    """Check OpenAI's input file as it does while a batch is validating.

    Parameters
    ----------
    raw : bytes
        The file.
    endpoint : str
        That all requests must be for.
    most : tuple of int
        Requests and bytes.
    knows : callable
        Whether there is such a model.
    """
    found = Checked()
    if len(raw) > most[1]:
        message = f"The batch input file is {len(raw)} bytes, more than the {most[1]} allowed."
        found.complain("maximum_file_size_exceeded", message, None)
        return found
    for number, line in enumerate(raw.splitlines(), start=1):
        if line.strip():
            found.total += 1
            _check_line(found, number, line, endpoint, knows)
    if not found.total:
        found.complain("empty_file", "The input file is empty.", None)
    if found.total > most[0]:
        message = f"The batch input file has {found.total} requests, more than {most[0]}."
        found.complain("too_many_tasks", message, None)
    return found


def _check_line(
    found: Checked, number: int, line: bytes, endpoint: str, knows: Callable[[str], bool]
) -> None:
    request = json_of(line)
    if not isinstance(request, dict):
        message = "This line is not parseable as valid JSON."
        found.complain("invalid_json_line", message, number)
        return
    for name in ("custom_id", "method", "url", "body"):
        if name not in request:
            message = f"Missing required parameter: '{name}'."
            found.complain("missing_required_parameter", message, number, name)
            return
    _check_envelope(found, number, request, endpoint)
    if not isinstance(request["body"], dict):
        found.complain("invalid_request", "'body' must be an object.", number, "body")
        return
    _check_model(found, number, request["body"].get("model"), knows)
    messages = request["body"].get("messages")
    if isinstance(messages, list):
        found.tokens += tokens_of(sum(len(_content(message)) for message in messages))


def _content(message: object) -> str:
    return text_of(message.get("content")) if isinstance(message, Mapping) else ""


def _check_envelope(found: Checked, number: int, request: Mapping[str, Any], endpoint: str) -> None:
    custom_id, method, url = request["custom_id"], request["method"], request["url"]
    if not isinstance(custom_id, str) or not custom_id:
        message = "'custom_id' must be a string that is not empty."
        found.complain("invalid_custom_id", message, number, "custom_id")
    elif custom_id in found._seen:  # noqa: SLF001 - the two are one module
        message = f"The custom_id '{custom_id}' is a duplicate of another request's."
        found.complain("duplicate_custom_id", message, number, "custom_id")
    else:
        found._seen.add(custom_id)  # noqa: SLF001 - as above
    if method != "POST":
        message = f"The method '{method}' is not supported: it must be POST."
        found.complain("invalid_method", message, number, "method")
    if url != endpoint:
        message = f"The url '{url}' does not match the batch's endpoint '{endpoint}'."
        found.complain("url_mismatch", message, number, "url")


def _check_model(found: Checked, number: int, model: object, knows: Callable[[str], bool]) -> None:
    if not isinstance(model, str) or not model:
        return  # the request itself will be refused
    if found.model and model != found.model:
        message = f"The model '{model}' does not match the previous one, '{found.model}'."
        found.complain("model_mismatch", message, number, "body.model")
    elif not knows(model):
        message = f"The provided model '{model}' is not supported by the Batch API."
        found.complain("model_not_found", message, number, "body.model")
    found.model = found.model or model


def check_requests(body: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    """Check the requests of Anthropic's batch, which is done before it is created.

    Raises
    ------
    Problem
        A 400.
    """
    requests = body.get("requests")
    if not isinstance(requests, list):
        raise Problem(400, "requests: Field required")
    if not 0 < len(requests) <= most:
        raise Problem(400, f"requests: List should have between 1 and {most} items")
    seen: set[str] = set()
    for place, request in enumerate(requests):
        custom_id = request.get("custom_id") if isinstance(request, dict) else None
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            raise Problem(
                400,
                f"requests.{place}.custom_id: String should match pattern "
                "'^[a-zA-Z0-9_-]{1,64}$'",
            )
        if custom_id in seen:
            raise Problem(400, f"requests.{place}.custom_id: Duplicate custom_id '{custom_id}'")
        if not isinstance(request.get("params"), dict):
            raise Problem(400, f"requests.{place}.params: Field required")
        seen.add(custom_id)
    return requests
