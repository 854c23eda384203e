"""What a run has done so far: counted by the workers, read by the main thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pandas_genai.costs.prices import known_cost
from pandas_genai.task.reply import Failure, Usage

__all__ = ["Counters", "Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """The counts at one moment; rows are those of the input."""

    done: int = 0
    failed: int = 0
    calls: int = 0
    retries: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0

    @property
    def known_cost(self) -> float | None:
        """The cost, as far as it is known; None where nothing of it is."""
        return known_cost(self.usage, self.cost)


class Counters:
    """Counts under one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = self._failed = self._calls = self._retries = 0
        self._usage = Usage()
        self._cost: float | None = 0.0
        self._failures: list[Failure] = []
        self._models: dict[str, int] = {}
        self._params: dict[str, int] = {}

    def snapshot(self) -> Snapshot:
        """Return the counts as they are now."""
        with self._lock:
            return Snapshot(
                self._done, self._failed, self._calls, self._retries, self._usage, self._cost
            )

    @property
    def failures(self) -> list[Failure]:
        """The rows given up so far."""
        with self._lock:
            return list(self._failures)

    @property
    def models(self) -> list[str]:
        """The models that answered, the most frequent first."""
        with self._lock:
            return sorted(self._models, key=lambda name: -self._models[name])

    @property
    def params(self) -> list[str]:
        """The parameters that answered calls were sent with, the most frequent first."""
        with self._lock:
            return sorted(self._params, key=lambda kind: -self._params[kind])

    def answered(self, params_sent: str) -> None:
        """Count an answer by the parameters that its call was sent with."""
        with self._lock:
            self._params[params_sent] = self._params.get(params_sent, 0) + 1

    def sent(self, *, again: bool) -> None:
        """Count one request."""
        with self._lock:
            self._calls += 1
            self._retries += again

    def billed(self, usage: Usage, model: str, cost: float | None) -> None:
        """Count what one answer used, whether or not it was of any use."""
        with self._lock:
            self._usage += usage
            self._cost = None if cost is None or self._cost is None else self._cost + cost
            if model:
                self._models[model] = self._models.get(model, 0) + 1

    def saved(self, rows: int) -> None:
        """Count rows whose answers are on disk."""
        with self._lock:
            self._done += rows

    def failed(self, failures: list[Failure]) -> None:
        """Count rows that were given up."""
        rows = sum(failure.row.copies for failure in failures)
        with self._lock:
            self._failures.extend(failures)
            self._failed += rows
