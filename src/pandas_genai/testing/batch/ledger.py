"""The provider's ledger of batches: what a test reads."""

from __future__ import annotations

from pandas_genai.testing.batch.engine import BatchEngine
from pandas_genai.testing.batch.inputs import requests_of, texts_of
from pandas_genai.testing.batch.message_batches import anthropic_counts, anthropic_status
from pandas_genai.testing.batch.openai_batches import openai_counts, openai_status
from pandas_genai.testing.batch.records import Batch, BatchRecord

__all__ = ["BatchLedger"]


class BatchLedger:
    """Describes batches as they are now.

    Parameters
    ----------
    engine : BatchEngine
        Has been settled whenever it is asked.
    """

    def __init__(self, engine: BatchEngine) -> None:
        self._engine = engine
        # Requests never change, and reading many of them again and again would take minutes.
        self._read: dict[str, tuple[list[str], list[str]]] = {}

    def batches(self) -> list[BatchRecord]:
        """Describe all batches, in order of creation."""
        return [self._record(batch) for batch in self._engine.storage.batches.values()]

    def _record(self, batch: Batch) -> BatchRecord:
        now, ours = self._engine.now(), batch.vendor == "openai"
        if batch.id not in self._read:
            items = list(requests_of(batch, self._engine.raw(batch)))
            texts = [text for _, body in items for text in texts_of(body)]
            self._read[batch.id] = [custom_id for custom_id, _ in items], texts
        custom_ids, texts = self._read[batch.id]
        return BatchRecord(
            batch.id,
            batch.vendor,
            openai_status(batch, now) if ours else anthropic_status(batch),
            dict(batch.metadata or {}),
            list(custom_ids),
            list(texts),
            batch.model,
            batch.created,
            openai_counts(batch, now) if ours else anthropic_counts(batch),
        )
