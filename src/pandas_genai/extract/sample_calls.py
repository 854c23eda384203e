"""What the calls of a sample took, one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pandas_genai.clock import Clock
from pandas_genai.costs.sampled import BilledCall
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Usage
from pandas_genai.workers.budget import Unlimited

__all__ = ["SampleCalls"]


class SampleCalls(Unlimited):
    """Admits every call, and writes down what it took.

    Parameters
    ----------
    forecast : callable
        Expects the tokens of a call from its chunk.
    clock : Clock
        Time.

    Attributes
    ----------
    calls : list of BilledCall
        The calls that were billed.
    uncounted : int
        Calls besides them of which the provider sent no usable count of tokens.
    """

    def __init__(self, forecast: Callable[[Chunk], Usage], clock: Clock) -> None:
        self.calls: list[BilledCall] = []
        self.uncounted = 0
        self._cost: float | None = 0.0
        self._asked = 0
        self._forecast = forecast
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How long a call took on average, repeated ones counted with the first."""
        return self._seconds / max(1, self._asked)

    @property
    def cost(self) -> float | None:
        """US dollars of all calls; None where it is not known."""
        return None if self.uncounted and not self.calls else self._cost

    def admit(self, chunk: Chunk) -> bool:
        """Admit the call, and note when."""
        with self._lock:
            self._begun[id(chunk)] = self._clock.monotonic()
        return True

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Write down what the call took."""
        first = chunk.round == 0
        foreseen = self._forecast(chunk).input_tokens if first else 0
        call = BilledCall(foreseen, len(chunk.rows) if first else 0, usage)
        with self._lock:
            self._asked += first
            if not usage.known:
                self.uncounted += 1
                return
            self.calls.append(call)
            self._cost = None if cost is None or self._cost is None else self._cost + cost

    def lost(self, chunk: Chunk) -> None:  # noqa: ARG002 - the protocol's
        """Note a call that may have been billed although no answer came."""
        with self._lock:
            self.uncounted += 1

    def settle(self, chunk: Chunk) -> None:
        """Note how long the call took."""
        with self._lock:
            self._seconds += self._clock.monotonic() - self._begun.pop(id(chunk))
