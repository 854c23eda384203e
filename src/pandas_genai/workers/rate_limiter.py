"""When the next call may go out: limits a minute, pauses that all workers share, calls at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pandas_genai.backends.rate_headers import SeenLimit
from pandas_genai.clock import Clock
from pandas_genai.errors import CacheError
from pandas_genai.store import Flow, RateBlocks
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Usage
from pandas_genai.workers.rates import Limit, Need, TokenEstimate

__all__ = ["RateLimiter"]

_BLOCK_S = 0.5
"""A block from the store lasts so long."""
_KEPT_S = 1.0
"""What is not sent in so long comes no more, so that no minute has more than a limit allows."""
_SHORTEST_S = 0.005
_LOOK_S = 1.0
_BUSY_S = 0.05
_SAME = 0.02
"""A set and a stated limit that differ by so little are one."""
_TOLD_S = 1.0
"""Shorter waits are not worth a word in the report."""
_SET_KINDS = {"rpm": "requests", "tpm": "tokens"}


@dataclass(slots=True)
class _Sent:
    """A call under way: when it was sent, what it takes, and what was sent by then, by limit.

    ``stocked`` are the limits for which it took from the stock.
    """

    at: float
    need: Need
    counted: dict[str, float]
    stocked: Collection[str]


class RateLimiter:
    """Decides when a call may be sent, and how many may be in flight.

    One call goes out alone until an answer has come (``opened``), so that a bad key costs one
    request and a prompt cache is warm. Limits a minute are those that the user set and those that
    the provider's headers state; calls wait for them one after the other, in the order in which
    they come. Where no limit is known, that costs nothing. A 429 halves the calls in flight once
    for each pause; every answer adds a little again, up to the number of workers.

    Parameters
    ----------
    workers : int
        Most calls in flight.
    clock : Clock
        Tells the time, and waits.
    opened : bool
        Whether an answer came before.
    limits : mapping, optional
        What the user set: ``rpm`` and ``tpm``, by name.
    estimate : TokenEstimate, optional
        What calls will take in tokens; without it tokens are not limited.
    open_blocks : callable, optional
        Opens what all runs on a store share; without it no limit a minute is kept.
    """

    def __init__(
        self,
        workers: int,
        clock: Clock,
        *,
        opened: bool = False,
        limits: Mapping[str, float] | None = None,
        estimate: TokenEstimate | None = None,
        open_blocks: Callable[[], RateBlocks] | None = None,
    ) -> None:
        self._workers = workers
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = float(workers) if opened else 1.0
        self._opened = opened
        self._pause_ends = 0.0
        self._turn = threading.Lock()
        self._estimate = estimate
        self._open_blocks = open_blocks
        self._blocks: RateBlocks | None = None
        self._limits = {
            name: Limit(_SET_KINDS[name], value, is_set=True)
            for name, value in (limits or {}).items()
        }
        self._sent: dict[int, _Sent] = {}
        self._confirmed = False

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return int(self._limit)

    def pause_left(self) -> float:
        """Seconds until the pause that a provider asked for is over; 0 without one."""
        if not self._pause_ends:
            return 0.0
        with self._lock:
            return max(0.0, self._pause_ends - self._clock.monotonic())

    def answered(self) -> bool:
        """Note an answer. True if more calls may go out than before."""
        with self._lock:
            before = int(self._limit)
            if not self._opened:
                self._opened = True
                self._limit = float(self._workers)
            elif self._limit < self._workers:
                self._limit = min(self._workers, self._limit + 1 / self._limit)
            return int(self._limit) > before

    def rate_limited(self, seconds: float) -> None:
        """Let every worker wait for the seconds that the provider asked for."""
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._pause_ends and self._opened:
                self._limit = max(1.0, self._limit / 2)
            self._pause_ends = max(self._pause_ends, now + seconds)
            self._confirmed = True
            for limit in self._limits.values():
                limit.confirm()

    # Limits a minute

    def may_send(self, chunk: Chunk, stop: threading.Event) -> bool:
        """Wait until a call may be sent; False if the run was stopped before."""
        if not self._limits and not self.pause_left():
            return not stop.is_set()
        with self._turn:
            need = self._need(chunk)
            while not stop.is_set():
                wait_s, limit = self._wait(chunk, need)
                if wait_s <= 0:
                    return True
                if limit is None:
                    self._clock.wait(stop, wait_s)
                    continue
                before = self._clock.monotonic()
                # Not longer: an answer may say meanwhile that more is left.
                self._clock.wait(stop, min(max(wait_s, _SHORTEST_S), _LOOK_S))
                limit.waited += self._clock.monotonic() - before
        return False

    def _need(self, chunk: Chunk) -> Need:
        if self._estimate is None or all(one.kind == "requests" for one in self._limits.values()):
            return Need()
        return self._estimate.of(chunk)

    def see(self, chunk: Chunk, limits: Sequence[SeenLimit]) -> None:
        """Take in what the headers of a call's answer state."""
        if self._open_blocks is None:
            return
        with self._lock:
            now, sent = self._clock.monotonic(), self._sent.get(id(chunk))
            for seen in limits:
                if self._estimate is None and seen.kind != "requests":
                    continue
                limit = self._limits.get(seen.kind)
                if limit is None:
                    limit = self._limits[seen.kind] = Limit(seen.kind, seen.per_minute)
                then = now if sent is None else sent.at
                counted = limit.sent if sent is None else sent.counted.get(seen.kind, 0.0)
                limit.see(seen, then, counted)

    def used(self, chunk: Chunk, usage: Usage) -> None:
        """Take in what a call took in tokens."""
        if self._estimate is None or not self._limits or not usage.known:
            return
        with self._lock:
            took, sent = self._estimate.learn(chunk, usage), self._sent.get(id(chunk))
            if sent is None:
                return
            for name, counted in sent.counted.items():
                limit = self._limits[name]
                more = limit.amount(took) - limit.amount(sent.need)
                limit.correct(more, counted, stocked=name in sent.stocked)

    def end(self, chunk: Chunk) -> None:
        """Note that a call has come to its end."""
        self._sent.pop(id(chunk), None)

    def close(self) -> None:
        """Give back what was taken and not sent."""
        if self._blocks is not None:
            with contextlib.suppress(CacheError):  # it comes again with the minutes
                left = {name: limit.stock for name, limit in self._limits.items() if limit.stock}
                self._blocks.give(left)
            self._blocks.close()

    @property
    def message(self) -> str:
        """Which limit made calls wait most, for the report; or nothing."""
        with self._lock:
            slow = max(self._limits.values(), key=lambda limit: limit.waited, default=None)
        if slow is None or slow.waited < _TOLD_S:
            return ""
        name = {kind: name for name, kind in _SET_KINDS.items()}.get(slow.kind)
        whose = f"{name}=" if slow.is_set else "the provider states it"
        return (
            f"Waited {slow.waited:,.0f} s for the limit of {slow.per_minute:,.0f} "
            f"{slow.kind.replace('_', ' ')} a minute ({whose})."
        )

    def _wait(self, chunk: Chunk, need: Need) -> tuple[float, Limit | None]:
        """Return how long a call has to wait, and for which limit; 0 once it is counted as sent."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._pause_ends:
                return self._pause_ends - now, None
            heeded = {
                name: limit
                for name, limit in self._limits.items()
                if limit.counts(need, confirmed=self._confirmed) and not self._is_stated(limit, now)
            }
            paced = {
                name: limit
                for name, limit in heeded.items()
                if not limit.is_plenty(limit.amount(need), now)
            }
            waits = [(limit.wait_s(limit.amount(need), now), limit) for limit in paced.values()]
        wait_s, slowest = max(waits, key=lambda each: each[0], default=(0.0, None))
        if wait_s <= 0:
            wait_s, slowest = self._take(paced, need, now)
        if wait_s > 0:
            return wait_s, slowest
        with self._lock:
            counted = {
                name: limit.send(limit.amount(need), now, stocked=name in paced)
                for name, limit in self._limits.items()
            }
            self._sent[id(chunk)] = _Sent(now, need, counted, paced.keys())
        return 0.0, None

    def _is_stated(self, limit: Limit, now: float) -> bool:
        """Whether the provider states a limit that the user set, and what is left of it."""
        return limit.is_set and any(
            other.kind.endswith(limit.kind)
            and abs(other.per_minute - limit.per_minute) <= _SAME * limit.per_minute
            and other.is_stated(now)
            for other in self._limits.values()
            if not other.is_set
        )

    def _take(
        self, paced: Mapping[str, Limit], need: Need, now: float
    ) -> tuple[float, Limit | None]:
        """Take from the store what the stock lacks; return how long that will last."""
        flows = {}
        for name, limit in paced.items():
            amount, rate = limit.amount(need), limit.rate(now)
            if limit.stock < amount:
                kept = max(_KEPT_S * rate, 1.5 * amount)
                wanted = max(amount - limit.stock, _BLOCK_S * rate)
                flows[name] = Flow(60 * rate, kept, wanted)
        if not flows:
            return 0.0, None
        taken = self._store().take(flows)
        if taken is None:
            return _BUSY_S, None
        longest: tuple[float, Limit | None] = (0.0, None)
        with self._lock:
            for name, amount in taken.items():
                limit = paced[name]
                limit.stock += amount
                short = limit.amount(need) - limit.stock
                if short > 1e-9:
                    # A whole block comes in that time: no trip for each call.
                    wait_s = max(short / limit.rate(now), _BLOCK_S)
                    longest = max(longest, (wait_s, limit), key=lambda one: one[0])
        return longest

    def _store(self) -> RateBlocks:
        if self._blocks is None:
            assert self._open_blocks is not None
            self._blocks = self._open_blocks()
        return self._blocks
