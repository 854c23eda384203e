"""What a run may spend: each call is reserved before it begins."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Protocol, TypeAlias

from pandas_genai.errors import BudgetError
from pandas_genai.report.prices import dollars
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Usage

__all__ = ["Budget", "Spending", "Unlimited"]

_ROUNDING = 1 + 1e-9


Told: TypeAlias = Callable[[str], str]
"""From what a user can do to what is done so far, and how to go on."""


class Spending(Protocol):
    """Sees each call before it begins, when it is billed, and when it has come to its end."""

    def admit(self, chunk: Chunk) -> bool:
        """Whether the call may begin now; if not, it may after another has ended."""

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Note what an answer cost, whether or not it was of any use."""

    def settle(self, chunk: Chunk) -> None:
        """Note that the call has come to its end."""

    def refusal(self, told: Told) -> Exception:
        """Return the error for calls that were never admitted."""


class Unlimited:
    """Admits every call."""

    def admit(self, chunk: Chunk) -> bool:  # noqa: ARG002 - the protocol's
        """Admit the call."""
        return True

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Take no note."""

    def settle(self, chunk: Chunk) -> None:
        """Take no note."""

    def refusal(self, told: Told) -> Exception:
        """Never needed: everything is admitted."""
        raise AssertionError(told(""))


class Budget:
    """Admits calls as long as what is spent, what is reserved and the next stay in a limit.

    The first call goes alone and is expected to cost what the forecast says. From then on a call
    is expected to send as many tokens a character, and to bring as many a row, as the billed
    ones did on average, and two standard deviations more: where calls differ, many at once
    would else pass the limit together. A prompt cache's discount is not counted on.

    Parameters
    ----------
    limit : float
        US dollars.
    forecast : callable
        Expects the tokens of a call from its chunk.
    price : callable
        From tokens to US dollars, where the answer names no model with a price.
    """

    def __init__(
        self, limit: float, forecast: Callable[[Chunk], Usage], price: Callable[[Usage], float]
    ) -> None:
        self._limit = limit
        self._forecast = forecast
        self._price = price
        self._lock = threading.Lock()
        self._reserved: dict[int, float] = {}
        self._spent = 0.0
        self._next = 0.0
        self._sent, self._answered = _Seen(), _Seen()

    def admit(self, chunk: Chunk) -> bool:
        """Reserve what the call is expected to cost; False where that would pass the limit."""
        with self._lock:
            self._next = self._expected(chunk)
            if self._reserved and not self._sent.count:
                return False
            committed = self._spent + sum(self._reserved.values()) + self._next
            if committed > self._limit * _ROUNDING:
                return False
            self._reserved[id(chunk)] = self._next
            return True

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Count what an answer cost, and learn from it what the next will."""
        foreseen = self._forecast(chunk)
        if usage == Usage():  # some servers do not count: what they bill is not 0
            usage, cost = foreseen, None
        with self._lock:
            self._spent += self._price(usage) if cost is None else cost
            self._sent.add(usage.input_tokens / max(1, foreseen.input_tokens))
            self._answered.add(usage.output_tokens / len(chunk.rows))

    def settle(self, chunk: Chunk) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._reserved.pop(id(chunk), None)

    def refusal(self, told: Told) -> BudgetError:
        """Say what was spent, what is done, and how to go on."""
        return BudgetError(
            f"Stopped at {dollars(self._spent)} of max_cost={dollars(self._limit)}, which the next "
            f"call (about {dollars(self._next)}) would pass: "
            + told("Raise max_cost= and run the cell again"),
            spent=self._spent,
        )

    def _expected(self, chunk: Chunk) -> float:
        usage = self._forecast(chunk)
        if self._sent.count:
            sent = usage.input_tokens * self._sent.high
            answered = len(chunk.rows) * self._answered.high
            usage = Usage(round(sent), 0, 0, round(answered))
        return self._price(usage)


class _Seen:
    """The mean and the spread of what was seen so far."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self._sum += value
        self._squares += value * value

    @property
    def high(self) -> float:
        """The mean and two standard deviations."""
        mean = self._sum / self.count
        return mean + 2 * math.sqrt(max(0.0, self._squares / self.count - mean * mean))
