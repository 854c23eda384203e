"""The calls that are ahead, as the forecast has them or as a sample corrects it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pandas_genai.costs.forecast import PER_TOKEN, Forecast
from pandas_genai.costs.plan import Interval
from pandas_genai.costs.sampled import Totals, extrapolated, interval_of
from pandas_genai.extract.sample_calls import SampleCalls
from pandas_genai.task.reply import Usage

__all__ = ["CallsLeft"]

_CALL_S, _TOKENS_A_S = 1.0, 100.0
_LOCAL_CALL_S, _LOCAL_TOKENS_A_S = 0.2, 15.0
"""How long a call takes, roughly: what is always there, and tokens answered a second. Vendors
differ by a factor of three; the embedded model was measured on two cores."""


@dataclass(frozen=True)
class CallsLeft:
    """So many texts to ask, in calls of some size.

    Parameters
    ----------
    forecast : Forecast
        What calls take.
    texts, characters : int
        Distinct texts to ask, and their length together.
    chunk_size : int
        Rows a call.
    meter : SampleCalls
        The sample; empty if none was asked.
    splits : int, default 0
        Calls beside those that the chunk size asks for, because texts are too long together.
    """

    forecast: Forecast
    texts: int
    characters: int
    chunk_size: int
    meter: SampleCalls
    splits: int = 0

    @property
    def basis(self) -> Literal["characters", "cache", "sample"]:
        """What the numbers come from."""
        if self._sampled:
            return "sample"
        return "characters" if self.forecast.answer is None else "cache"

    @property
    def calls(self) -> int:
        """How many calls."""
        return -(-self.texts // self.chunk_size) + self.splits

    @cached_property
    def totals(self) -> Totals:
        """The tokens of all calls."""
        if self._sampled:
            return extrapolated(self.meter.calls, self._sent, self.texts, self.calls)
        answered = self.forecast.output_tokens(self.texts, self.chunk_size)
        return Totals(self.calls, self._sent, 0.0, 0.0, answered)

    def interval(self, price: Callable[[Usage], float | None]) -> Interval | None:
        """Return the 90 % interval of the cost, if there was a sample."""
        if not self._sampled:
            return None
        return interval_of(self.meter.calls, self._sent, self.texts, self.calls, price)

    def seconds(self, workers: int, *, is_local: bool) -> float:
        """Return how long all calls take through so many workers."""
        each = self.meter.seconds if self._sampled else self._guessed_s(is_local=is_local)
        return each * self.calls / max(1, min(workers, self.calls))

    def _guessed_s(self, *, is_local: bool) -> float:
        answered = self.totals.answered / max(1, self.calls)
        if is_local:
            return _LOCAL_CALL_S + answered / _LOCAL_TOKENS_A_S
        return _CALL_S + answered / _TOKENS_A_S

    @property
    def _sampled(self) -> bool:
        return any(call.rows for call in self.meter.calls)

    @cached_property
    def _sent(self) -> float:
        sent = self.forecast.input_tokens(self.texts, self.characters, self.chunk_size)
        again = self.forecast.around(1) / PER_TOKEN if self.splits else 0.0
        return sent + self.splits * again
