"""OpenAI's batch API: files, batches, and what stands in their results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pandas_genai.backends.batches import Batch, HttpApi, Limits, Outcome, Wanted, segment
from pandas_genai.backends.classify import problem_of

__all__ = ["LIMITS", "URL", "OpenAIBatches", "envelope", "outcome_of"]

LIMITS = Limits(requests=50_000, bytes=200_000_000)
"""Of one input file (OpenAI's batch guide, November 2026)."""

URL = "/v1/chat/completions"

_WINDOW = "24h"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_UNFINISHED = {"batch_expired": "expired", "batch_cancelled": "cancelled"}
_SLACK_S = 86_400.0
"""How far the clocks of this machine and the provider may be apart: a day costs a page or two."""


def envelope(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of an input file."""
    return {"custom_id": custom_id, "method": "POST", "url": URL, "body": body}


def outcome_of(line: Mapping[str, Any]) -> Outcome:
    """Read one line of an output or error file."""
    custom_id = str(line.get("custom_id"))
    response, error = line.get("response"), line.get("error")
    if isinstance(response, Mapping) and response.get("body") is not None:
        status, body = int(response.get("status_code") or 200), response["body"]
        request_id = response.get("request_id")
        if status < 400 and isinstance(body, Mapping):
            return Outcome(custom_id, answer=body, request_id=request_id)
        problem = problem_of(status, body, {"x-request-id": request_id or ""})
        return Outcome(custom_id, problem=problem, request_id=request_id)
    problem = problem_of(None, {"error": error or "the provider gave no reason"}, {})
    return Outcome(custom_id, problem=problem, unfinished=_UNFINISHED.get(problem.code, ""))


class OpenAIBatches(HttpApi):
    """OpenAI's batch API, and that of whoever speaks it; see ``BatchApi``."""

    limits = LIMITS
    has_files = True
    has_tags = True

    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests and return its id."""
        answer = self.transport.upload("/files", path, name, {"purpose": "batch"})
        return str(self.parsed(answer)["id"])

    def find_file(self, name: str, size: int) -> str | None:
        """Return the id of an uploaded file of that name and size."""
        for entry in self.pages("/files", "after", purpose="batch", limit=100):
            if entry.get("filename") == name and entry.get("bytes") in (size, None):
                return str(entry["id"])
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
            "endpoint": URL,
            "completion_window": _WINDOW,
            "metadata": dict(tags),
        }
        return _batch(self.post_json("/batches", body, headers=headers))

    def find(self, wanted: Wanted) -> list[Batch]:
        """Return the batch with the tags; or from the file, where a server keeps no tags."""
        found = []
        for entry in self.pages("/batches", "after", limit=100):
            batch = _batch(entry)
            if batch.created is not None and batch.created < wanted.since - _SLACK_S:
                break
            same = batch.tags == wanted.tags if batch.tags else batch.file_id == wanted.file_id
            if same and batch.id not in wanted.known:
                found.append(batch)
        return found

    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""
        return _batch(self.get_json(f"/batches/{segment(batch_id)}"))

    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be ended early; what is finished is kept."""
        return self.again(lambda: _batch(self.post_json(f"/batches/{segment(batch_id)}/cancel")))

    def fetch(self, batch: Batch, kind: str, path: Path) -> bool:
        """Store the output or error file of a batch; False where it has none."""
        file_id = batch.output if kind == "output" else batch.error
        if file_id is None:
            return False
        self.stored(f"/files/{segment(file_id)}/content", path, "application/binary")
        return True


def _batch(entry: Mapping[str, Any]) -> Batch:
    counts = entry.get("request_counts") or {}
    errors = [one for one in (entry.get("errors") or {}).get("data") or [] if one]
    return Batch(
        id=str(entry["id"]),
        status=str(entry.get("status")),
        ended=entry.get("status") in _ENDED,
        created=entry.get("created_at"),
        ends_by=entry.get("expires_at"),
        total=counts.get("total") or 0,
        done=counts.get("completed") or 0,
        failed=counts.get("failed") or 0,
        code=str(errors[0].get("code") or "") if errors else "",
        message=" ".join(_said(one) for one in errors[:3]),
        output=entry.get("output_file_id"),
        error=entry.get("error_file_id"),
        tags=entry.get("metadata") or {},
        file_id=entry.get("input_file_id"),
    )


def _said(error: Mapping[str, Any]) -> str:
    line = error.get("line")
    return f"{error.get('message')}" + (f" (line {line})" if line is not None else "")
