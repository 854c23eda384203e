"""Anthropic's ``/v1/messages/batches``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pandas_genai.testing.asked import Problem
from pandas_genai.testing.batch.engine import BatchEngine
from pandas_genai.testing.batch.faults import fault_of
from pandas_genai.testing.batch.inputs import check_requests
from pandas_genai.testing.batch.received import Received, page
from pandas_genai.testing.batch.records import WINDOW_S, Batch

__all__ = ["MessageBatches"]

_COUNTS = {
    "succeeded": "succeeded",
    "errored": "errored",
    "canceled": "cancelled",
    "expired": "expired",
}


class MessageBatches:
    """Answers requests about message batches.

    Parameters
    ----------
    engine : BatchEngine
        Works them off.
    """

    def __init__(self, engine: BatchEngine) -> None:
        self._engine = engine

    def create(self, received: Received) -> Any:
        """Create one of the requests in the body."""
        request = received.request
        most, size = self._engine.limits.of("anthropic")
        if len(request.raw) > size:
            raise Problem(413, "Request exceeds the maximum size", "request_too_large")
        requests = check_requests(received.body, most)
        batch = self._engine.add_anthropic(request.raw, requests, request.headers)
        return _shown(batch, received)

    def list(self, received: Received) -> Any:
        """List them, the newest first."""
        query, batches = received.query, self._engine.of("anthropic")[::-1]
        found, more = page(
            batches,
            received.limit(20, 1000),
            after=query.get("after_id", ""),
            before=query.get("before_id", ""),
        )
        return {
            "data": [_shown(batch, received) for batch in found],
            "first_id": found[0].id if found else None,
            "last_id": found[-1].id if found else None,
            "has_more": more,
        }

    def retrieve(self, received: Received, batch_id: str) -> Any:
        """Describe one."""
        return _shown(self._batch(batch_id), received)

    def cancel(self, received: Received, batch_id: str) -> Any:
        """Tell one to stop; saying so twice does no harm."""
        batch = self._batch(batch_id)
        if batch.ended is not None:
            raise Problem(400, f"Batch {batch_id} has ended and can no longer be canceled.")
        if batch.cancelled is None:
            self._engine.cancel(batch)
        return _shown(batch, received)

    def delete(self, received: Received, batch_id: str) -> Any:  # noqa: ARG002 - as the others
        """Delete one that has ended."""
        batch = self._batch(batch_id)
        if batch.ended is None:
            message = f"Batch {batch_id} cannot be deleted while it is processing: cancel it first."
            raise Problem(400, message)
        self._engine.storage.drop_batch(batch)
        return {"id": batch_id, "type": "message_batch_deleted"}

    def results(self, received: Received, batch_id: str) -> bytes:  # noqa: ARG002 - as the others
        """Return the lines of one that has ended."""
        batch = self._batch(batch_id)
        if batch.ended is None:
            raise Problem(400, f"Batch {batch_id} has no results yet: it is still processing.")
        return self._engine.storage.store.get(batch.results)

    def _batch(self, batch_id: str) -> Batch:
        batch = self._engine.storage.batches.get(batch_id)
        if batch is None or batch.vendor != "anthropic":
            raise Problem(404, f"Batch {batch_id} was not found.", "not_found_error")
        return batch


def anthropic_status(batch: Batch) -> str:
    """Return the status of a batch that was settled."""
    if batch.ended is not None:
        return "ended"
    return "in_progress" if batch.cancelled is None else "canceling"


def anthropic_counts(batch: Batch) -> dict[str, int]:
    """Return the counts of a batch: until it has ended, all of it is processing."""
    counts = {name: batch.counts.get(ours, 0) for name, ours in _COUNTS.items()}
    shown = batch.ended is None and fault_of(batch, "no_counts") is None
    return {"processing": batch.total if shown else 0, **counts}


def _shown(batch: Batch, received: Received) -> dict[str, Any]:
    host = received.request.headers.get("host", "")
    where = f"http://{host}/v1/messages/batches/{batch.id}/results"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": anthropic_status(batch),
        "request_counts": anthropic_counts(batch),
        "created_at": _said(batch.created),
        "expires_at": _said(batch.created + WINDOW_S),
        "ended_at": None if batch.ended is None else _said(batch.ended),
        "cancel_initiated_at": None if batch.cancelled is None else _said(batch.cancelled),
        "archived_at": None,
        "results_url": None if batch.ended is None else where,
    }


def _said(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
