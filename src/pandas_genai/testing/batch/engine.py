"""All files and batches, and what becomes of them as time goes by."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from pandas_genai.testing.batch.clock import Clock
from pandas_genai.testing.batch.faults import (
    BatchFaultPlan,
    Line,
    cut_last,
    error_of,
    fault_of,
)
from pandas_genai.testing.batch.inputs import BatchLimits, check_file, requests_of
from pandas_genai.testing.batch.records import WINDOW_S, Batch
from pandas_genai.testing.batch.storage import Storage
from pandas_genai.testing.batch.work import Worker
from pandas_genai.testing.script import Script

__all__ = ["BatchEngine"]


class BatchEngine:
    """Keeps files and batches and works batches off when their time has come.

    Nothing runs by itself: whoever looks calls ``settle()`` first. Its caller holds ``lock``.

    Parameters
    ----------
    script : Script
        How to behave.
    storage : Storage
        Files and batches.
    clock : Clock
        The time.
    worker : Worker
        Answers the requests.
    limits : BatchLimits
        How large a batch may be.
    seconds : float
        How long a batch takes.
    """

    def __init__(
        self,
        script: Script,
        storage: Storage,
        clock: Clock,
        worker: Worker,
        limits: BatchLimits,
        seconds: float,
    ) -> None:
        self.lock = threading.RLock()
        self.limits = limits
        self.seconds = seconds
        self.plan = BatchFaultPlan(())
        self.storage = storage
        self._script = script
        self._clock = clock
        self._worker = worker
        clock.offset = storage.state.offset

    def now(self) -> float:
        """Return the time."""
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self._clock.advance(seconds)
        self.storage.state.offset = self._clock.offset
        self.storage.save_state()

    def add_openai(self, file_id: str, endpoint: str, metadata: dict[str, str] | None) -> Batch:
        """Create a batch of an uploaded file."""
        batch = self._begun("openai", "batch_", f"content/{file_id}")
        batch.input_file_id, batch.endpoint, batch.metadata = file_id, endpoint, metadata
        self.storage.save(batch)
        return batch

    def add_anthropic(
        self, raw: bytes, requests: list[Mapping[str, Any]], headers: Mapping[str, str]
    ) -> Batch:
        """Create a batch of requests that were checked."""
        batch = self._begun("anthropic", "msgbatch_", "")
        batch.source = f"requests/{batch.id}.json"
        batch.headers = {"anthropic-version": headers["anthropic-version"]}
        batch.validated, batch.total = True, len(requests)
        batch.model = str(requests[0]["params"].get("model", ""))
        self._number(batch)
        self.storage.store.put(batch.source, raw)
        self.storage.save(batch)
        return batch

    def _begun(self, vendor: str, prefix: str, source: str) -> Batch:
        state, now = self.storage.state, self.now()
        state.batches += 1
        self.storage.save_state()
        name = prefix + self.storage.new_id("batch", state.batches, now)
        batch = Batch(name, vendor, state.batches, now, self.seconds, source)
        self.plan.strike(batch)
        return batch

    def _number(self, batch: Batch) -> None:
        state = self.storage.state
        batch.first = state.requests + 1
        state.requests += batch.total
        self.storage.save_state()

    def cancel(self, batch: Batch) -> None:
        """Tell a batch to stop."""
        batch.cancelled = self.now()
        self.storage.save(batch)

    def raw(self, batch: Batch) -> bytes:
        """Return what a batch was made of."""
        return self.storage.store.get(batch.source)

    def of(self, vendor: str) -> list[Batch]:
        """Return a vendor's batches, in order of creation."""
        return [batch for batch in self.storage.batches.values() if batch.vendor == vendor]

    def settle(self) -> None:
        """Do all that was due by now, in the order in which it was due."""
        now = self.now()
        while True:
            due = [b for b in self.storage.batches.values() if b.ended is None and b.due <= now]
            if not due:
                return
            batch = min(due, key=lambda each: (each.due, each.number))
            if batch.validated or batch.cancelled is not None:
                self._end(batch)
            else:
                self._validate(batch)
            self.storage.save(batch)

    def _validate(self, batch: Batch) -> None:
        most, known = self.limits.of("openai"), self._script.models
        checked = check_file(
            self.raw(batch), batch.endpoint, most, lambda name: known is None or name in known
        )
        batch.model, batch.tokens = checked.model, checked.tokens
        batch.errors = checked.errors or self._scripted_errors(batch) or self._over(batch)
        if batch.errors:
            batch.ended, batch.outcome = batch.begins, "failed"
            return
        batch.validated, batch.total = True, checked.total
        self._number(batch)

    def _scripted_errors(self, batch: Batch) -> list[dict[str, Any]]:
        invalid, over = fault_of(batch, "validation"), fault_of(batch, "token_limit")
        if invalid:
            message = "This line is not parseable as valid JSON."
            return [error_of(invalid, "invalid_json_line", message) | {"line": 1}]
        return [error_of(over, "token_limit_exceeded", _over_limit(batch, 0))] if over else []

    def _over(self, batch: Batch) -> list[dict[str, Any]]:
        most = self.limits.tokens
        enqueued = sum(
            other.tokens
            for other in self.storage.batches.values()
            if other.validated and other.ended is None and other.model == batch.model
        )
        if most is None or enqueued + batch.tokens <= most:
            return []
        message = _over_limit(batch, most)
        return [{"code": "token_limit_exceeded", "line": None, "message": message, "param": None}]

    def _end(self, batch: Batch) -> None:
        """Work a batch off and write its results."""
        batch.outcome, moment = "completed", batch.ends
        if batch.cancelled is not None:
            batch.outcome, moment = "cancelled", batch.cancelled
        elif batch.expires or batch.seconds > WINDOW_S:
            batch.outcome = "expired"
        share = batch.answered_by(moment) if batch.validated else 0.0
        items = list(requests_of(batch, self.raw(batch)))
        work = self._worker.work(batch, items, share)
        if batch.vendor == "anthropic":
            self.storage.store.put(batch.results, _joined(batch, work.lines))
        else:
            self._write_files(batch, work.lines)
        batch.counts, batch.usage, batch.total = dict(work.counts), dict(work.usage), len(items)
        batch.ended = batch.ends
        self._worker.enter(work)

    def _write_files(self, batch: Batch, lines: list[Line]) -> None:
        good = [line for line in lines if line.good]
        bad = [line for line in lines if not line.good]
        if good:
            data = _joined(batch, good)
            batch.output_file_id = self._output(batch, "output", data)
        if bad:
            batch.error_file_id = self._output(batch, "error", _joined(batch, bad))

    def _output(self, batch: Batch, kind: str, data: bytes) -> str:
        name = f"{batch.id}_{kind}.jsonl"
        return self.storage.add_file(name, "batch_output", data, self.now()).id


def _joined(batch: Batch, lines: list[Line]) -> bytes:
    cut = cut_last(batch, lines)
    return b"\n".join([line.data for line in lines]) + (b"" if cut or not lines else b"\n")


def _over_limit(batch: Batch, most: int) -> str:
    return (
        f"Enqueued token limit reached for {batch.model}. Limit: {most:,} enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
