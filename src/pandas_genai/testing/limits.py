"""Rate limits on an injected clock: buckets that fill with time, or windows of a minute."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["LimitKind", "Limits", "Verdict"]

LimitKind: TypeAlias = Literal["bucket", "fixed", "sliding"]
"""How a limit a minute is kept: a bucket that fills all the time, as both vendors describe theirs;
a window that starts anew every minute; the last minute, whenever it is asked."""

_DEFAULT_REQUESTS = 30_000
_DEFAULT_TOKENS = 150_000_000
_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a limit has left: for the headers of an answer."""

    limit: int
    remaining: int
    reset: float
    """Seconds until it is full again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may pass."""

    requests: Bucket
    tokens: Bucket
    wait: float = 0.0
    """Seconds until the same call would pass; 0 when it does."""
    over: str = ""
    """The limit that was reached: ``requests`` or ``tokens``."""


class _Limit(ABC):
    """One limit a minute."""

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self.level = float(limit)
        self.then = now

    @abstractmethod
    def wait(self, wanted: float, now: float) -> float:
        """Return the seconds until so much is there; all of it does for more."""

    @abstractmethod
    def take(self, wanted: float, now: float) -> None:
        """Take so much."""

    @abstractmethod
    def reset(self, now: float) -> float:
        """Return the seconds until all is there, if nothing is taken."""

    def state(self, now: float) -> Bucket:
        """Return what the headers say."""
        return Bucket(self.limit, max(0, int(self.level)), self.reset(now))


class _Filling(_Limit):
    """A bucket: it fills all the time."""

    def wait(self, wanted: float, now: float) -> float:
        filled = self.level + (now - self.then) * self.limit / _MINUTE
        self.level, self.then = min(float(self.limit), filled), now
        # A call larger than the whole bucket passes when the bucket is full.
        return max(0.0, (min(wanted, self.limit) - self.level) * _MINUTE / self.limit)

    def take(self, wanted: float, now: float) -> None:  # noqa: ARG002 - ``wait`` filled it
        self.level -= wanted

    def reset(self, now: float) -> float:  # noqa: ARG002 - ``wait`` filled it
        return (self.limit - self.level) * _MINUTE / self.limit


class _Fixed(_Limit):
    """A window: all is there again when a new minute starts."""

    def wait(self, wanted: float, now: float) -> float:
        if now - self.then >= _MINUTE:
            self.then += (now - self.then) // _MINUTE * _MINUTE
            self.level = float(self.limit)
        return 0.0 if min(wanted, self.limit) <= self.level else self.reset(now)

    def take(self, wanted: float, now: float) -> None:  # noqa: ARG002 - ``wait`` opened the window
        self.level -= wanted

    def reset(self, now: float) -> float:
        return self.then + _MINUTE - now


class _Sliding(_Limit):
    """What was taken in the last minute counts."""

    def __init__(self, limit: int, now: float) -> None:
        super().__init__(limit, now)
        self._taken: deque[tuple[float, float]] = deque()

    def wait(self, wanted: float, now: float) -> float:
        while self._taken and self._taken[0][0] + _MINUTE <= now:
            self.level += self._taken.popleft()[1]
        short = min(wanted, self.limit) - self.level
        for at, amount in self._taken:
            if short <= 0:
                break
            short -= amount
            if short <= 0:
                return at + _MINUTE - now
        return 0.0

    def take(self, wanted: float, now: float) -> None:
        self._taken.append((now, wanted))
        self.level -= wanted

    def reset(self, now: float) -> float:
        return self._taken[-1][0] + _MINUTE - now if self._taken else 0.0


_KINDS: dict[str, type[_Limit]] = {"bucket": _Filling, "fixed": _Fixed, "sliding": _Sliding}


class Limits:
    """Requests and tokens a minute.

    Parameters
    ----------
    requests, tokens : int, optional
        A minute; None: no limit is enforced (a large one is stated in the headers).
    clock : callable
        Seconds.
    kind : {"bucket", "fixed", "sliding"}
        How they are kept.
    """

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        clock: Callable[[], float],
        kind: LimitKind = "bucket",
    ) -> None:
        given = {"requests": requests, "tokens": tokens}
        now = clock()
        self._limits = {name: _KINDS[kind](limit, now) for name, limit in given.items() if limit}
        self._clock = clock
        self._lock = threading.Lock()
        self._free = {
            "requests": Bucket(_DEFAULT_REQUESTS, _DEFAULT_REQUESTS - 1, 0.002),
            "tokens": Bucket(_DEFAULT_TOKENS, _DEFAULT_TOKENS - 1_000, 0.001),
        }

    def take(self, tokens: int) -> Verdict:
        """Take one request of that many tokens, or say how long it must wait."""
        if not self._limits:
            return Verdict(self._free["requests"], self._free["tokens"])
        wanted = {"requests": 1, "tokens": tokens}
        with self._lock:
            now = self._clock()
            waits = {name: limit.wait(wanted[name], now) for name, limit in self._limits.items()}
            over = max(waits, key=waits.__getitem__)
            # Rounding must not refuse a caller who waited exactly as long as the answer said.
            passes = waits[over] < 1e-6
            if passes:
                for name, limit in self._limits.items():
                    limit.take(wanted[name], now)
            left = self._free | {name: limit.state(now) for name, limit in self._limits.items()}
        requests, of_tokens = left["requests"], left["tokens"]
        if passes:
            return Verdict(requests, of_tokens)
        return Verdict(requests, of_tokens, waits[over], over)
