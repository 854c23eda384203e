"""Rate limits: two buckets that fill with time, on an injected clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Limits", "Verdict"]

_DEFAULT_REQUESTS = 30_000
_DEFAULT_TOKENS = 150_000_000


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


class Limits:
    """Requests and tokens a minute.

    Parameters
    ----------
    requests, tokens : int, optional
        A minute; None: no limit is enforced (a large one is stated in the headers).
    clock : callable
        Seconds.
    """

    def __init__(
        self, requests: int | None, tokens: int | None, clock: Callable[[], float]
    ) -> None:
        self._limits = {"requests": requests, "tokens": tokens}
        self._levels = {name: float(limit or 0) for name, limit in self._limits.items()}
        self._clock = clock
        self._lock = threading.Lock()
        self._then = clock()
        self._free = Verdict(
            Bucket(_DEFAULT_REQUESTS, _DEFAULT_REQUESTS - 1, 0.002),
            Bucket(_DEFAULT_TOKENS, _DEFAULT_TOKENS - 1_000, 0.001),
        )

    def take(self, tokens: int) -> Verdict:
        """Take one request of that many tokens, or say how long it must wait."""
        if not any(self._limits.values()):
            return self._free
        wanted = {"requests": 1, "tokens": tokens}
        with self._lock:
            now = self._clock()
            waits = {"requests": 0.0, "tokens": 0.0}
            for name, limit in self._limits.items():
                if limit:
                    filled = self._levels[name] + (now - self._then) * limit / 60
                    self._levels[name] = min(float(limit), filled)
                    # A call larger than the whole bucket passes when the bucket is full.
                    need = min(wanted[name], limit) - self._levels[name]
                    waits[name] = max(0.0, need * 60 / limit)
            self._then = now
            over = max(waits, key=waits.__getitem__)
            # Rounding must not refuse a caller who waited exactly as long as the answer said.
            passes = waits[over] < 1e-6
            if passes:
                for name in self._levels:
                    self._levels[name] -= wanted[name]
            requests, left = self._bucket("requests"), self._bucket("tokens")
        return Verdict(requests, left, 0.0 if passes else waits[over], "" if passes else over)

    def _bucket(self, name: str) -> Bucket:
        limit = self._limits[name]
        if not limit:
            return self._free.requests if name == "requests" else self._free.tokens
        level = self._levels[name]
        return Bucket(limit, max(0, int(level)), (limit - level) * 60 / limit)
