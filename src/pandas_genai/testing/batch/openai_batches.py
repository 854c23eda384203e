"""OpenAI's ``/v1/batches``."""

from __future__ import annotations

from typing import Any

from pandas_genai.testing.asked import Problem
from pandas_genai.testing.batch.engine import BatchEngine
from pandas_genai.testing.batch.received import Received, page
from pandas_genai.testing.batch.records import WINDOW_S, Batch

__all__ = ["OpenAIBatches"]

_ENDPOINT = "/v1/chat/completions"
_MOST_PAIRS, _MOST_KEY, _MOST_VALUE = 16, 64, 512
_REQUIRED = frozenset(
    [
        "id",
        "object",
        "endpoint",
        "input_file_id",
        "completion_window",
        "status",
        "created_at",
        "output_file_id",
        "error_file_id",
        "errors",
        "metadata",
    ]
)
"""What a server that leaves out what it may leave out still says, as far as it has it."""


class OpenAIBatches:
    """Answers requests about batches.

    Parameters
    ----------
    engine : BatchEngine
        Works them off.
    bare : bool
        Whether to leave out what a compatible server may leave out.
    """

    def __init__(self, engine: BatchEngine, *, bare: bool) -> None:
        self._engine = engine
        self._bare = bare

    def create(self, received: Received) -> Any:
        """Create one of an uploaded file."""
        body = received.body
        for name in ("input_file_id", "endpoint", "completion_window"):
            if not isinstance(body.get(name), str):
                raise Problem(400, f"Missing required parameter: '{name}'.", param=name)
        if body["endpoint"] != _ENDPOINT:
            message = f"The loopback provider has batches of '{_ENDPOINT}' only."
            raise Problem(400, message, param="endpoint")
        if body["completion_window"] != "24h":
            raise Problem(400, "'completion_window' must be '24h'.", param="completion_window")
        _check_metadata(body.get("metadata"))
        file_id = body["input_file_id"]
        file = self._engine.storage.files.get(file_id)
        if file is None:
            raise Problem(404, f"No such File object: {file_id}", param="input_file_id")
        if file.purpose != "batch":
            message = f"The file '{file_id}' has the purpose '{file.purpose}', not 'batch'."
            raise Problem(400, message, param="input_file_id")
        return self._shown(self._engine.add_openai(file_id, _ENDPOINT, body.get("metadata")))

    def list(self, received: Received) -> Any:
        """List them, the newest first."""
        batches = self._engine.of("openai")[::-1]
        after = received.query.get("after", "")
        found, more = page(batches, received.limit(20, 100), after=after)
        return {
            "object": "list",
            "data": [self._shown(batch) for batch in found],
            "first_id": found[0].id if found else None,
            "last_id": found[-1].id if found else None,
            "has_more": more,
        }

    def retrieve(self, received: Received, batch_id: str) -> Any:  # noqa: ARG002 - as the others
        """Describe one."""
        return self._shown(self._batch(batch_id))

    def cancel(self, received: Received, batch_id: str) -> Any:  # noqa: ARG002 - as the others
        """Tell one to stop."""
        batch = self._batch(batch_id)
        status = openai_status(batch, self._engine.now())
        if batch.ended is not None or batch.cancelled is not None:
            raise Problem(409, f"Cannot cancel a batch with status '{status}'.")
        self._engine.cancel(batch)
        return self._shown(batch)

    def _batch(self, batch_id: str) -> Batch:
        batch = self._engine.storage.batches.get(batch_id)
        if batch is None or batch.vendor != "openai":
            raise Problem(404, f"No batch found with id '{batch_id}'.")
        return batch

    def _shown(self, batch: Batch) -> dict[str, Any]:
        now = self._engine.now()
        shown: dict[str, Any] = {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "model": batch.model or None,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "input_file_id": batch.input_file_id,
            "completion_window": "24h",
            "status": openai_status(batch, now),
            "output_file_id": batch.output_file_id,
            "error_file_id": batch.error_file_id,
            "created_at": int(batch.created),
            "expires_at": int(batch.created + WINDOW_S),
            **_moments(batch, now),
            "request_counts": openai_counts(batch, now),
            "metadata": batch.metadata,
            "usage": _usage(batch),
        }
        if self._bare:
            return {name: shown[name] for name in _REQUIRED if shown[name] is not None}
        return shown


def openai_status(batch: Batch, now: float) -> str:
    """Return the status of a batch that was settled."""
    if batch.ended is not None:
        return batch.outcome
    if batch.cancelled is not None:
        return "cancelling"
    if not batch.validated:
        return "validating"
    return "finalizing" if now >= batch.finalizes else "in_progress"


def openai_counts(batch: Batch, now: float) -> dict[str, int]:
    """Return the counts of a batch: while it is in progress nobody knows what will fail."""
    if batch.ended is not None:
        done, failed = batch.counts.get("succeeded", 0), batch.counts.get("errored", 0)
    else:
        until = now if batch.cancelled is None else batch.cancelled
        done, failed = int(batch.answered_by(until) * batch.total), 0
    return {"total": batch.total, "completed": done, "failed": failed}


def _moments(batch: Batch, now: float) -> dict[str, int | None]:
    """Return when each status began, as far as it did."""
    until = now if batch.ended is None else batch.ended
    finalized = batch.validated and batch.cancelled is None and batch.finalizes <= until
    moments = {
        "in_progress_at": batch.begins if batch.validated else None,
        "finalizing_at": batch.finalizes if finalized else None,
        "cancelling_at": batch.cancelled,
    }
    for outcome in ("completed", "failed", "expired", "cancelled"):
        moments[f"{outcome}_at"] = batch.ended if batch.outcome == outcome else None
    return {name: None if moment is None else int(moment) for name, moment in moments.items()}


def _usage(batch: Batch) -> dict[str, Any]:
    used = {name: batch.usage.get(name, 0) for name in ("input", "cached", "output")}
    return {
        "input_tokens": used["input"],
        "input_tokens_details": {"cached_tokens": used["cached"]},
        "output_tokens": used["output"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used["input"] + used["output"],
    }


def _check_metadata(metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise Problem(400, "'metadata' must be an object of strings.", param="metadata")
    if len(metadata) > _MOST_PAIRS:
        message = f"'metadata' has {len(metadata)} pairs, and may have {_MOST_PAIRS}."
        raise Problem(400, message, param="metadata")
    for key, value in metadata.items():
        if len(key) > _MOST_KEY or not isinstance(value, str) or len(value) > _MOST_VALUE:
            message = (
                f"'metadata.{key[:_MOST_KEY]}': a key has at most {_MOST_KEY} characters, and a "
                f"value is a string of at most {_MOST_VALUE}."
            )
            raise Problem(400, message, param="metadata")
