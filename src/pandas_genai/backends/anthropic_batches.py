"""Anthropic's message batches, and what stands in their results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pandas_genai.backends.anthropic_wire import PATH as MESSAGES
from pandas_genai.backends.batches import Batch, HttpApi, Limits, Outcome, Wanted, segment
from pandas_genai.backends.classify import problem_of

__all__ = ["LIMITS", "AnthropicBatches", "envelope", "outcome_of"]

LIMITS = Limits(requests=100_000, bytes=256_000_000)
"""Of one batch (Anthropic's batch guide, November 2026)."""

PATH = f"{MESSAGES}/batches"

_UNFINISHED = {"expired": "expired", "canceled": "cancelled"}
_SLACK_S = 86_400.0
"""How far the clocks of this machine and the provider may be apart: a day costs a page or two."""
_BLOCK = 1 << 20
_HEAD, _TAIL = b'{"requests":', b"}"


def envelope(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return one request of a batch."""
    return {"custom_id": custom_id, "params": body}


def outcome_of(line: Mapping[str, Any]) -> Outcome:
    """Read one line of the results."""
    custom_id, result = str(line.get("custom_id")), line.get("result")
    kind = result.get("type") if isinstance(result, Mapping) else None
    if isinstance(result, Mapping) and kind == "succeeded":
        message = result.get("message")
        if isinstance(message, Mapping):
            return Outcome(custom_id, answer=message, request_id=message.get("id"))
    if isinstance(result, Mapping) and kind == "errored":
        said: Any = result.get("error") or {}
        request_id = said.get("request_id")
        problem = problem_of(None, said, {"request-id": request_id or ""})
        return Outcome(custom_id, problem=problem, request_id=request_id)
    unfinished = _UNFINISHED.get(str(kind), "")
    said = unfinished or "the provider gave no reason"
    return Outcome(custom_id, problem=problem_of(500, {"error": said}, {}), unfinished=unfinished)


class AnthropicBatches(HttpApi):
    """Anthropic's message batches; see ``BatchApi``."""

    limits = LIMITS
    has_files = False
    has_tags = False

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
        return _batch(self.post_json(PATH, content=_body(path), headers=sent))

    def find(self, wanted: Wanted) -> list[Batch]:
        """Return the batches of that size that nobody accounts for: they carry no tags.

        One in progress whose counts are all 0 may have any size.
        """
        found = []
        for entry in self.pages(PATH, "after_id", limit=100):
            batch = _batch(entry)
            if batch.created is not None and batch.created < wanted.since - _SLACK_S:
                break
            fits = batch.total == wanted.requests or not (batch.total or batch.ended)
            if fits and batch.id not in wanted.known:
                found.append(batch)
        return found

    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""
        return _batch(self.get_json(f"{PATH}/{segment(batch_id)}"))

    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be ended early; what is finished is kept."""
        return self.again(lambda: _batch(self.post_json(f"{PATH}/{segment(batch_id)}/cancel")))

    def fetch(self, batch: Batch, kind: str, path: Path) -> bool:
        """Store the results of a batch; False where there are none. Errors stand among them."""
        if kind != "output" or batch.output is None:
            return False
        # Not the address that the provider names: it may be anybody's.
        self.stored(f"{PATH}/{segment(batch.id)}/results", path, "application/binary")
        return True


def _body(path: Path) -> Iterator[bytes]:
    yield _HEAD
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
    yield _TAIL


def _batch(entry: Mapping[str, Any]) -> Batch:
    counts = entry.get("request_counts") or {}
    numbers = {name: count or 0 for name, count in counts.items()}
    status = str(entry.get("processing_status"))
    return Batch(
        id=str(entry["id"]),
        status=status,
        ended=status == "ended",
        created=_seconds(entry.get("created_at")),
        ends_by=_seconds(entry.get("expires_at")),
        total=sum(numbers.values()),
        done=numbers.get("succeeded", 0),
        failed=sum(numbers.get(name, 0) for name in ("errored", "expired", "canceled")),
        output=entry.get("results_url"),
    )


def _seconds(moment: object) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else None
