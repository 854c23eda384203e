"""One limit a minute: what may be sent now, as far as it is known; and what a call will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pandas_genai.backends.rate_headers import SeenLimit
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Usage

__all__ = ["Limit", "Need", "TokenEstimate"]

_MINUTE = 60.0
_SET_SHARE = 0.98
"""Of a limit that nobody confirms: calls arrive a little later and closer than they are sent."""
_SEEN_SHARE = 2.0
"""Of a limit whose rest the provider states: that rest is what bounds the calls."""
_PLENTY = 0.9
"""While the provider states that so much of a limit is left, it slows nothing."""
_FEW_CALLS = 6
"""A stated limit that would allow fewer calls a minute counts only once a 429 confirms it."""
_STRIKES = 2
"""After how many full waits without effect the stated rest counts no more, until the next 429."""
_ROUNDING_S = 3.0
"""Of the time until all is there again: some vendors state it in whole seconds."""
_ANCHOR_S = 8.0
_SOON_S = 0.001
_LATE_S = 0.25
_SLOWEST = 0.1
"""Of a bucket's limit: what is stated to be left may be wrong."""
_LEARN = 0.1


@dataclass(frozen=True, slots=True)
class Need:
    """What a call takes of the limits.

    Parameters
    ----------
    sent, answered : float
        Tokens of the request, as far as they count, and of the answer.
    """

    sent: float = 0.0
    answered: float = 0.0

    def of(self, kind: str) -> float:
        """Return what the call takes of one kind of limit."""
        if kind == "requests":
            return 1.0
        if kind == "input_tokens":
            return self.sent
        return self.answered if kind == "output_tokens" else self.sent + self.answered


class TokenEstimate:
    """What calls will take in tokens: foreseen from characters, corrected by what others took.

    Parameters
    ----------
    foreseen : callable
        The usage of a chunk, from its characters alone.
    cached_count : bool
        Whether tokens from the vendor's prompt cache count.
    """

    def __init__(self, foreseen: Callable[[Chunk], Usage], *, cached_count: bool) -> None:
        self._foreseen = foreseen
        self._cached_count = cached_count
        self._factor: float | None = None
        self._each: float | None = None

    def of(self, chunk: Chunk) -> Need:
        """Return what a call will probably take."""
        usage = self._foreseen(chunk)
        factor = 1.0 if self._factor is None else self._factor
        if self._each is None:
            return Need(usage.input_tokens * factor, usage.output_tokens)
        return Need(usage.input_tokens * factor, self._each * len(chunk.rows))

    def learn(self, chunk: Chunk, usage: Usage) -> Need:
        """Return what a call took, and estimate the next by it."""
        sent = usage.input_tokens - (0 if self._cached_count else usage.cached_tokens)
        foreseen = max(1, self._foreseen(chunk).input_tokens)
        self._factor = _average(self._factor, sent / foreseen)
        self._each = _average(self._each, usage.output_tokens / max(1, len(chunk.rows)))
        return Need(sent, usage.output_tokens)


def _average(before: float | None, value: float) -> float:
    return value if before is None else before + _LEARN * (value - before)


@dataclass(frozen=True, slots=True)
class _Rest:
    """What a provider stated is left, by the call whose answer stated it."""

    remaining: float
    at: float
    """When the call was sent."""
    ends: float
    """When all of it is there again, if nothing is sent."""
    fills: bool
    """Whether it fills all the time, like a bucket; else a window starts anew."""
    counted: float
    """What we had sent by then."""


@dataclass
class Limit:
    """One limit a minute, set by the user or stated by the provider.

    Where the provider states what is left of it, calls go out freely while that is most of it.
    From then on a bucket, which fills all the time, is kept half full; what is left of a window
    is spread over the time until the next one starts; and where the last minute counts, whenever
    it is asked, a little of it is left. Where nothing is stated, calls go out a little more slowly
    than the limit.

    Parameters
    ----------
    kind : str
        What is limited, as in ``SeenLimit``.
    per_minute : float
        How many a minute.
    is_set : bool
        Whether the user set it.
    """

    kind: str
    per_minute: float
    is_set: bool = False
    stock: float = 0.0
    """Taken from the store and not sent yet."""
    sent: float = 0.0
    waited: float = 0.0
    _rest: _Rest | None = None
    _slides: bool = False
    """Whether what is left is that of the last minute, not of one that starts anew."""
    _anchor: tuple[float, float] = (float("-inf"), float("-inf"))
    """When a rest was stated, and when all was to be there again."""
    _strikes: int = 0
    _blocked_until: float | None = None
    _last: tuple[float, float] = field(default=(float("-inf"), 0.0))
    """When the last call was due, and what it took."""
    _due: float = float("-inf")

    def amount(self, need: Need) -> float:
        """Return what a call takes; one that is larger than the limit passes when all is there."""
        return min(need.of(self.kind), self.per_minute)

    def counts(self, need: Need, *, confirmed: bool) -> bool:
        """Whether the limit is to be heeded: a tiny one may be a mistake of the provider's."""
        return self.is_set or confirmed or self.amount(need) * _FEW_CALLS <= self.per_minute

    def see(self, seen: SeenLimit, then: float, counted: float) -> None:
        """Take in what the answer to a call that was sent at ``then`` states."""
        if self._rest is not None and counted < self._rest.counted:
            return  # answers come in another order than calls were sent
        if self._blocked_until is not None and then >= self._blocked_until:
            if seen.remaining < seen.per_minute / 2:
                self._strikes += 1  # all was to be there again
            self._blocked_until = None
        self.per_minute = seen.per_minute
        filled = (seen.per_minute - seen.remaining) * _MINUTE / seen.per_minute
        reset = seen.reset_s
        if reset is None or reset > _MINUTE or abs(reset - filled) <= _ROUNDING_S:
            fills, ends = not self._slides, then + filled
        else:
            # Sent a moment too early, a call would be refused; some state whole seconds.
            fills, ends = False, then + reset + (1.0 if reset.is_integer() else 0.1)
            self._compare(then, ends)
        self._rest = _Rest(seen.remaining, then, ends, fills, counted)

    def _compare(self, then: float, ends: float) -> None:
        """Find out whether a window starts anew at a fixed time, or goes along with the time."""
        since, before = self._anchor
        if then >= before:
            self._anchor = (then, ends)
        elif then - since >= _ANCHOR_S:
            self._slides = ends - before > (then - since) / 2
            self._anchor = (then, ends)

    def confirm(self) -> None:
        """Take in that the provider did refuse a call: what it states counts again."""
        self._strikes = 0
        self._rest = None

    def is_stated(self, now: float) -> bool:
        """Whether the provider stated what is left, within a minute."""
        rest = self._rest
        return rest is not None and self._strikes < _STRIKES and now < rest.at + _MINUTE

    def is_plenty(self, amount: float, now: float) -> bool:
        """Whether so much is left that nothing needs to wait."""
        return (
            self._rest is not None
            and self.is_stated(now)
            and self._left(self._rest, now) - amount >= _PLENTY * self.per_minute
        )

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until a call may go, by what the provider states is left."""
        rest = self._rest
        if rest is None or amount <= 0 or not self._is_known(now):
            return 0.0
        left, second = self._left(rest, now), self.per_minute / _MINUTE
        if rest.fills:
            if left < amount:
                return (amount - left) / second
            # Half full for one run, less for each that sends beside it, but never empty.
            pace = second * max(_SLOWEST, 2 * left / self.per_minute)
        elif self._slides:
            pace = second * min(_SET_SHARE, 0.5 + 20 * max(0.0, left) / self.per_minute)
        elif left < amount:
            self._blocked_until = rest.ends
            return rest.ends - now
        else:
            pace = left / (rest.ends - now)
        at, taken = self._last
        self._due = at + taken / pace
        return self._due - now if self._due - now > _SOON_S else 0.0

    def rate(self, now: float) -> float:
        """Return how many a second all that share the limit may take at most."""
        share = _SEEN_SHARE if self._is_known(now) and not self._slides else _SET_SHARE
        return self.per_minute * share / _MINUTE

    def send(self, amount: float, now: float, *, stocked: bool) -> float:
        """Count a call that goes out; return all that was sent so far."""
        self.sent += amount
        # Who was late does not make the next one late, too.
        self._last = (max(min(now, self._due), now - _LATE_S), amount)
        if stocked:
            self.stock -= amount
        return self.sent

    def correct(self, more: float, counted: float, *, stocked: bool) -> None:
        """Take in that a call took more than was expected, or less."""
        if stocked:
            self.stock -= more
        if self._rest is not None and counted > self._rest.counted:
            self.sent += more

    def _is_known(self, now: float) -> bool:
        """Whether what is left can still be told from what was stated."""
        rest = self._rest
        return rest is not None and self.is_stated(now) and (rest.fills or now < rest.ends)

    def _left(self, rest: _Rest, now: float) -> float:
        """Return what is left of what was stated, less what was sent since."""
        since = self.sent - rest.counted
        if now >= rest.ends and not rest.fills:
            return self.per_minute - since
        comes = rest.fills or self._slides
        filled = (now - rest.at) * self.per_minute / _MINUTE if comes else 0.0
        return min(self.per_minute, rest.remaining + filled - since)
