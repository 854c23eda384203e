"""Anthropic's message batches, and what stands in their results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pandas_genai.backends.anthropic.replies import read_completion
from pandas_genai.backends.batches import (
    Batch,
    BatchApi,
    Container,
    FileNames,
    Limits,
    Outcome,
    Wanted,
    id_of,
    segment,
)
from pandas_genai.backends.classify import problem_in_answer, problem_of
from pandas_genai.backends.fields import as_count, as_moment, as_object, as_text, opened

__all__ = ["AnthropicBatches", "batch_of", "outcome_of"]

_PATH = "/v1/messages/batches"
_SUCCEEDED = re.compile(rb'"type"\s*:\s*"succeeded"')

_UNFINISHED = {"expired": "expired", "canceled": "cancelled"}
_BLOCK = 1 << 20
_HEAD, _TAIL = b'{"requests":', b"}"


def outcome_of(line: Mapping[str, Any]) -> Outcome:
    """Read one line of the results; nothing in it raises."""
    custom_id, result = as_text(line.get("custom_id")) or "", as_object(opened(line.get("result")))
    kind, message = as_text(result.get("type")) or "", opened(result.get("message"))
    if kind == "succeeded" or as_object(message).get("content"):
        answer, problem = read_completion(message), problem_in_answer(as_object(message), {})
        if problem is not None:
            return Outcome(custom_id, problem=problem, request_id=answer.id)
        return Outcome(custom_id, answer=answer, request_id=answer.id)
    if kind == "errored":
        error = opened(result.get("error"))
        request_id = as_text(as_object(error).get("request_id"), 200)
        problem = problem_of(None, error, {"request-id": request_id or ""})
        return Outcome(custom_id, problem=problem, request_id=request_id)
    unfinished = _UNFINISHED.get(kind, "")
    reason = unfinished or "the provider gave no reason"
    return Outcome(custom_id, problem=problem_of(500, {"error": reason}, {}), unfinished=unfinished)


class AnthropicBatches(BatchApi):
    """Anthropic's message batches."""

    limits = Limits(requests=100_000, bytes=256_000_000)  # batch guide, November 2026
    has_files = False
    has_tags = False
    has_error_files = False
    container = Container(b"[\n", b",\n", b"\n]\n")
    files = FileNames(
        requests="batch_input/requests{_part}.json",
        submission="batch_input/submission{_part}.json",
        results="batch_output/results{_part}.jsonl",
        errors="batch_output/errors{_part}.txt",
    )

    @staticmethod
    def envelope(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return one request of a batch."""
        return {"custom_id": custom_id, "params": body}

    @staticmethod
    def opened(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return the id and the body of one request of a batch."""
        return request["custom_id"], request["params"]

    outcome_of = staticmethod(outcome_of)

    @staticmethod
    def has_failed(line: bytes) -> bool:
        """Whether a line of the results is that of a failed request."""
        return not _SUCCEEDED.search(line)

    def upload(self, path: Path, name: str) -> str:
        """Upload nothing: the requests are sent with the batch."""
        raise NotImplementedError

    def find_file(self, name: str, size: int) -> str | None:  # noqa: ARG002 - there are no files
        """Return None: there are no files."""
        return None

    def create(
        self,
        path: Path,
        file_id: str | None,  # noqa: ARG002 - there are no files
        tags: Mapping[str, str],  # noqa: ARG002 - and no metadata
        headers: Mapping[str, str],
    ) -> Batch:
        """Create a batch from a file with a JSON array of requests, read as it is sent."""
        length = path.stat().st_size + len(_HEAD) + len(_TAIL)
        sent = {"content-type": "application/json", "content-length": str(length), **headers}
        return self.post_json(_PATH, batch_of, content=_body(path), headers=sent)

    def find(self, wanted: Wanted) -> list[Batch]:
        """Return the batches of that size that nobody accounts for: they carry no tags.

        One in progress whose counts are all 0 may have any size.
        """
        return [
            batch
            for batch in self.recent(_PATH, "after_id", batch_of, wanted)
            if batch.total == wanted.requests or not (batch.total or batch.ended)
        ]

    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""
        return self.get_json(f"{_PATH}/{segment(batch_id)}", batch_of)

    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be ended early; what is finished is kept."""
        return self.again(lambda: self.post_json(f"{_PATH}/{segment(batch_id)}/cancel", batch_of))

    def fetch(self, batch: Batch, kind: str, path: Path) -> bool:
        """Store the results of a batch; False where there are none. Errors stand among them."""
        if kind != "output" or batch.output is None:
            return False
        # Not the address that the provider names: it may be anybody's.
        self.stored(f"{_PATH}/{segment(batch.id)}/results", path, "application/binary")
        return True


def _body(path: Path) -> Iterator[bytes]:
    yield _HEAD
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
    yield _TAIL


def batch_of(entry: Mapping[str, Any]) -> Batch:
    """Read the description of a batch; a ``ValueError`` where it has no id."""
    counts = as_object(entry.get("request_counts"))
    numbers = {name: as_count(count) or 0 for name, count in counts.items()}
    status = as_text(entry.get("processing_status")) or ""
    batch_id = id_of(entry)
    return Batch(
        id=batch_id,
        status=status,
        ended=status == "ended",
        created=as_moment(entry.get("created_at")),
        ends_by=as_moment(entry.get("expires_at")),
        total=sum(numbers.values()),
        done=numbers.get("succeeded", 0),
        failed=sum(numbers.get(name, 0) for name in ("errored", "expired", "canceled")),
        # Once it has ended there are results, whatever became of the field that says where.
        output=f"{_PATH}/{batch_id}/results" if status == "ended" else None,
    )
