"""The parts of the batch endpoints, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pandas_genai.testing.batch.clock import Clock
from pandas_genai.testing.batch.endpoints import BatchService, RequestHook
from pandas_genai.testing.batch.engine import BatchEngine
from pandas_genai.testing.batch.inputs import BatchLimits
from pandas_genai.testing.batch.storage import Storage
from pandas_genai.testing.batch.store import Store
from pandas_genai.testing.batch.work import Worker
from pandas_genai.testing.ledger import Ledger
from pandas_genai.testing.model import Model
from pandas_genai.testing.script import Script
from pandas_genai.testing.wire import Wire

__all__ = ["BatchOptions", "batch_service"]


@dataclass(frozen=True)
class BatchOptions:
    """The options of ``LoopbackProvider`` for batches; see there for the meaning of each."""

    seconds: float
    limits: BatchLimits
    wall_clock: Callable[[], float]
    on_request: RequestHook | None
    folder: Path | None
    bare: bool


def batch_service(
    script: Script, ledger: Ledger, model: Model, chat: Wire, messages: Wire, options: BatchOptions
) -> BatchService:
    """Return what answers at the batch endpoints."""
    worker = Worker(script, model, ledger, {"openai": chat, "anthropic": messages})
    engine = BatchEngine(
        script,
        Storage(Store(options.folder), script.seed),
        Clock(options.wall_clock),
        worker,
        options.limits,
        options.seconds,
    )
    return BatchService(
        script,
        ledger,
        engine,
        chat,
        messages,
        bare=options.bare,
        on_request=options.on_request,
    )
