"""What a run will take, live and as a batch, and which of the two to choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pandas_genai.costs.prices import dollars
from pandas_genai.costs.window import LongTexts
from pandas_genai.errors import counted, printable

__all__ = ["LIVE_BELOW_S", "LIVE_BELOW_TEXTS", "Interval", "Plan"]

LIVE_BELOW_TEXTS = 2_000
"""With fewer texts to ask, live is suggested."""

LIVE_BELOW_S = 15 * 60.0
"""If a live run takes fewer seconds, live is suggested."""

Interval = tuple[float, float]

_BASES = {
    "characters": "from characters alone: 4 a token, answers guessed from the schema",
    "cache": "from characters, 4 a token; answers as long as those in the cache",
}


@dataclass(frozen=True, repr=False)
class Plan:
    """What asking the rest of the rows will take. Prints as a few lines.

    Attributes
    ----------
    rows, empty, duplicates, cached : int
        Rows of the input; without text that can be sent; equal to another row; answered already,
        by the sample too.
    texts, calls : int
        Distinct texts that are to be asked, each repeat counted, and the calls for them.
    chunk_size, workers : int
        Rows a call, and calls at once.
    model, host : str
        Who is asked.
    input_tokens, cached_tokens, output_tokens : int
        Tokens sent (cached ones included), read from the vendor's prompt cache (as far as the
        sample had some), and answered.
    live_cost, batch_cost : float or None
        US dollars; None where the price is unknown.
    live_interval, batch_interval : tuple of float, or None
        The 90 % interval of each cost; None without a sample of at least two calls.
    live_seconds : float
        From start to end of a live run, as far as no rate limit slows it.
    has_batch : bool
        Whether the address is known to have a batch API.
    is_local : bool
        Whether the embedded model is asked.
    basis : {"characters", "cache", "sample"}
        What the numbers of tokens come from.
    sampled, sample_calls : int
        Texts asked for the sample, and its billed calls.
    sample_cost : float or None
        US dollars that the sample cost; None where the price is unknown.
    sample_uncounted : int
        Calls of the sample besides, of which the provider sent no usable count of tokens.
    sample_failures : str
        Why texts of the sample have no answer, with their counts; empty where all have one.
    splits : int
        Calls beside those that the chunk size asks for: where the texts of a call are too long
        together for the model's context window, they are sent in several.
    repeats : int
        How often each row is asked.
    long_texts : LongTexts or None
        The texts that do not fit into the model's context window, or may not; None where all do.
    """

    rows: int
    empty: int
    duplicates: int
    cached: int
    texts: int
    calls: int
    chunk_size: int
    workers: int
    model: str
    host: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    live_cost: float | None
    batch_cost: float | None
    live_interval: Interval | None
    batch_interval: Interval | None
    live_seconds: float
    has_batch: bool
    is_local: bool
    basis: Literal["characters", "cache", "sample"]
    sampled: int = 0
    sample_calls: int = 0
    sample_cost: float | None = 0.0
    sample_uncounted: int = 0
    sample_failures: str = ""
    splits: int = 0
    repeats: int = 1
    long_texts: LongTexts | None = None

    @property
    def twins(self) -> int:
        """``duplicates``, as version 0.1 named them."""
        return self.duplicates

    @property
    def overnight_cost(self) -> float | None:
        """``batch_cost``, as version 0.1 named it."""
        return self.batch_cost

    @property
    def overnight_interval(self) -> Interval | None:
        """``batch_interval``, as version 0.1 named it."""
        return self.batch_interval

    @property
    def where(self) -> str:
        """The host, for people."""
        here = self.host.partition("/")[0] == "loopback"
        return "on this machine" if here else f"at {self.host}"

    @property
    def suggestion(self) -> Literal["live", "overnight"]:
        """Which way to choose.

        Live for fewer than 2,000 texts, if it takes less than 15 minutes, or if no batch API is
        known at the address; otherwise overnight, as a batch job.
        """
        few = self.texts < LIVE_BELOW_TEXTS
        soon = self.live_seconds < LIVE_BELOW_S
        return "live" if few or soon or not self.has_batch else "overnight"

    @property
    def reason(self) -> str:
        """Why that is suggested."""
        if not self.texts:
            return "nothing is left to ask"
        if self.is_local:
            return "the embedded model has no batch API"
        if not self.has_batch:
            return f"no batch API is known {self.where}"
        if self.texts < LIVE_BELOW_TEXTS:
            return f"fewer than {LIVE_BELOW_TEXTS:,} texts"
        if self.live_seconds < LIVE_BELOW_S:
            return f"it takes less than {LIVE_BELOW_S / 60:.0f} minutes"
        return f"{self.texts:,} texts take more than {LIVE_BELOW_S / 60:.0f} minutes live"

    def __str__(self) -> str:
        cached = f" ({self.cached_tokens:,} of them cached)" if self.cached_tokens else ""
        counts = f"{self.cached:,} answered already, {self.empty:,} empty"
        copies = counted(self.duplicates, "duplicate")
        tokens = f"{self.input_tokens:,} in{cached}, {self.output_tokens:,} out"
        asked = counted(self.texts, "text" if self.repeats == 1 else "answer")
        lines = [
            f"{counted(self.rows, 'row')}: {counts}, {copies} of another row; {asked} to ask",
            f"calls: {self.calls_text} to {self.model} {self.where}",
            f"tokens: about {tokens} ({self.basis_text})",
            f"live: {self.live_text}",
            f"overnight: {self.batch_text}",
            f"suggested: {self.suggestion} ({self.reason})",
        ]
        if self.long_texts is not None:
            lines.append(f"long texts: {self.long_texts}")
        return printable("\n".join(lines))

    __repr__ = __str__

    @property
    def calls_text(self) -> str:
        """How many calls, and of how many rows, for people."""
        each = counted(self.chunk_size, "row")
        if not self.splits:
            return f"{self.calls:,} of {each}"
        return (
            f"{self.calls:,} of at most {each} ({self.splits:,} more than otherwise, because texts "
            "are too long together for the model's context window)"
        )

    @property
    def basis_text(self) -> str:
        """Where the numbers come from, for people."""
        uncounted = counted(self.sample_uncounted, "call")
        if self.basis != "sample":
            asked = f"; the cost of the sample is unknown: {uncounted} without a count of tokens"
            return _BASES[self.basis] + (asked if self.sample_uncounted else "")
        cost = "at an unknown price" if self.sample_cost is None else dollars(self.sample_cost)
        if self.sample_uncounted:
            least = "" if self.sample_cost is None else "at least "
            cost = f"{least}{cost}, {uncounted} without a count of tokens"
        calls = counted(self.sample_calls, "call")
        failed = f"; without an answer: {self.sample_failures}" if self.sample_failures else ""
        return f"from a sample of {counted(self.sampled, 'text')} in {calls}, {cost}{failed}"

    @property
    def live_text(self) -> str:
        """Cost and time of a live run, for people."""
        cost = _cost_text(self.live_cost, self.live_interval, free=self.is_local)
        workers = "1 worker" if self.workers == 1 else f"{self.workers:,} workers"
        return f"{cost}, about {_time_text(self.live_seconds)} with {workers}"

    @property
    def batch_text(self) -> str:
        """Cost and time of a batch job, for people."""
        if self.is_local:
            return "not with the embedded model"
        cost = _cost_text(self.batch_cost, self.batch_interval, free=False)
        when = "within 24 hours" if self.has_batch else f"if there is a batch API {self.where}"
        return f"{cost}, {when}"


def _cost_text(cost: float | None, interval: Interval | None, *, free: bool) -> str:
    if cost is None:
        return "price unknown (pass prices=)"
    if free and not cost:
        return "free"
    text = f"about {dollars(cost)}"
    if interval is None:
        return text
    return f"{text} (90 % interval {dollars(interval[0])} to {dollars(interval[1])})"


def _time_text(seconds: float) -> str:
    for size, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:,.0f} s"
