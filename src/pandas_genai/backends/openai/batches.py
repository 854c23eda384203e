"""OpenAI's batch API: files, batches, and what stands in their results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pandas_genai.backends.batches import (
    Batch,
    BatchApi,
    Limits,
    Outcome,
    Wanted,
    id_of,
    segment,
)
from pandas_genai.backends.classify import problem_in_answer, problem_of
from pandas_genai.backends.fields import (
    as_count,
    as_id,
    as_list,
    as_moment,
    as_object,
    as_text,
    opened,
)
from pandas_genai.backends.openai.replies import read_completion

__all__ = ["OpenAIBatches", "batch_of", "outcome_of"]

_URL = "/v1/chat/completions"

_WINDOW = "24h"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_UNFINISHED = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


def outcome_of(line: Mapping[str, Any]) -> Outcome:
    """Read one line of an output or error file; nothing in it raises.

    Some servers send the response, or its body, as JSON in a string. Whatever has choices is an
    answer, and so is every 200: what cannot be read of it fails its rows with that reason, but is
    never taken for a request that was not worked on.
    """
    custom_id = as_text(line.get("custom_id")) or ""
    response = as_object(opened(line.get("response")))
    body, request_id = opened(response.get("body")), as_text(response.get("request_id"), 200)
    status = as_count(response.get("status_code"))
    if status is None:
        status = 200
    headers = {"x-request-id": request_id or ""}
    if body is not None and (status < 400 or as_object(body).get("choices")):
        answer, problem = read_completion(body), problem_in_answer(as_object(body), headers)
        if problem is not None:
            return Outcome(custom_id, problem=problem, request_id=request_id)
        return Outcome(custom_id, answer=answer, request_id=request_id or answer.id)
    if body is not None:
        problem = problem_of(status, body, headers)
        return Outcome(custom_id, problem=problem, request_id=request_id)
    error = opened(line.get("error")) or "the provider gave no reason"
    problem = problem_of(None, {"error": error}, {})
    return Outcome(custom_id, problem=problem, unfinished=_UNFINISHED.get(problem.code, ""))


class OpenAIBatches(BatchApi):
    """OpenAI's batch API, and that of whoever speaks it."""

    limits = Limits(requests=50_000, bytes=200_000_000)  # batch guide, November 2026
    has_files = True
    has_tags = True
    quota_codes = frozenset({"token_limit_exceeded"})

    @staticmethod
    def envelope(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of an input file."""
        return {"custom_id": custom_id, "method": "POST", "url": _URL, "body": body}

    @staticmethod
    def opened(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return the id and the body of one line of an input file."""
        return request["custom_id"], request["body"]

    outcome_of = staticmethod(outcome_of)

    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests and return its id."""
        answer = self.transport.upload("/files", path, name, {"purpose": "batch"})
        return self.parsed(answer, id_of)

    def find_file(self, name: str, size: int) -> str | None:
        """Return the id of an uploaded file of that name and size."""
        for entry in self.pages("/files", "after", purpose="batch", limit=100):
            same_size = as_count(entry.get("bytes")) in (size, None)
            if entry.get("filename") == name and same_size and as_id(entry.get("id")):
                return as_id(entry.get("id"))
        return None

    def create(
        self,
        path: Path,  # noqa: ARG002 - the other vendor sends the file
        file_id: str | None,
        tags: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Batch:
        """Create a batch from an uploaded file."""
        body = {
            "input_file_id": file_id,
            "endpoint": _URL,
            "completion_window": _WINDOW,
            "metadata": dict(tags),
        }
        return self.post_json("/batches", batch_of, body, headers=headers)

    def find(self, wanted: Wanted) -> list[Batch]:
        """Return the batch with the tags; or from the file, where a server keeps no tags."""
        return [
            batch
            for batch in self.recent("/batches", "after", batch_of, wanted)
            if (batch.tags == wanted.tags if batch.tags else batch.file_id == wanted.file_id)
        ]

    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""
        return self.get_json(f"/batches/{segment(batch_id)}", batch_of)

    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be ended early; what is finished is kept."""
        return self.again(lambda: self.post_json(f"/batches/{segment(batch_id)}/cancel", batch_of))

    def fetch(self, batch: Batch, kind: str, path: Path) -> bool:
        """Store the output or error file of a batch; False where it has none."""
        file_id = batch.output if kind == "output" else batch.error
        if file_id is None:
            return False
        self.stored(f"/files/{segment(file_id)}/content", path, "application/binary")
        return True


def batch_of(entry: Mapping[str, Any]) -> Batch:
    """Read the description of a batch; a ``ValueError`` where it has no id."""
    counts, status = as_object(entry.get("request_counts")), as_text(entry.get("status")) or ""
    listed = as_object(entry.get("errors")).get("data")
    errors = [as_object(one) for one in as_list(listed) if one]
    tags = as_object(entry.get("metadata")).items()
    return Batch(
        id=id_of(entry),
        status=status,
        ended=status in _ENDED,
        created=as_moment(entry.get("created_at")),
        ends_by=as_moment(entry.get("expires_at")),
        total=as_count(counts.get("total")) or 0,
        done=as_count(counts.get("completed")) or 0,
        failed=as_count(counts.get("failed")) or 0,
        code=as_text(errors[0].get("code")) or "" if errors else "",
        message=" ".join(_message(one) for one in errors[:3]),
        output=as_id(entry.get("output_file_id")),
        error=as_id(entry.get("error_file_id")),
        tags={name: value for name, value in tags if isinstance(value, str)},
        file_id=as_id(entry.get("input_file_id")),
    )


def _message(error: Mapping[str, Any]) -> str:
    line, message = as_count(error.get("line")), as_text(error.get("message"))
    return f"{message}" + (f" (line {line})" if line is not None else "")
