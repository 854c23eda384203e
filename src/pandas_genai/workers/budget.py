"""What a run may spend: what each call can cost at most is reserved before it begins."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from pandas_genai.costs.ceiling import AnswerRange, Ceiling
from pandas_genai.costs.prices import dollars
from pandas_genai.errors import BudgetError
from pandas_genai.store import BudgetBlocks
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Usage
from pandas_genai.workers.shared_budget import SharedBudget

__all__ = ["Budget", "Spending", "Unlimited"]

_ROUNDING = 1 + 1e-9
_SOME = 1_000
_LOWER = 4
_FIRST_SHARE = 4
"""The first call, which goes alone, may hold a quarter of the budget."""
_SHARED_PART = 4
_SHARED_GROWTH = 2
"""Of a budget that runs share, a run leases at most a quarter of what is left, or what one call
needs, and for no call more than an answer twice as long as expected may cost: if the run is killed,
all that it has leased counts as spent."""


State: TypeAlias = Callable[[str], str]
"""From what a user can do to what is done so far, and how to go on."""


class Spending(Protocol):
    """Sees each call before it begins, when it is billed, and when it has come to its end."""

    def admit(self, chunk: Chunk) -> bool:
        """Whether the call may begin now; if not, it may after another has ended."""

    def retry_s(self) -> float | None:
        """Seconds after which a refused call may be admitted though none of ours has ended."""

    def again(self, chunk: Chunk) -> bool:
        """Whether the next attempt of a call that was admitted may begin."""

    def limit(self, chunk: Chunk, body: Mapping[str, Any]) -> int | None:
        """Return the token limit to send with a request, 0 if it may not be sent, None for none."""

    def too_high(self, chunk: Chunk) -> None:
        """Note that the endpoint refused a limit: the next one for the chunk is lower."""

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Note what an answer cost, whether or not it was of any use."""

    def lost(self, chunk: Chunk) -> None:
        """Note that an attempt may have been billed, although no answer came."""

    def cut_off(self, chunk: Chunk, usage: Usage) -> bool:
        """Note an answer that was cut off; whether it was our limit, and may be raised."""

    def settle(self, chunk: Chunk) -> None:
        """Note that the call has come to its end."""

    def refusal(self, state: State) -> Exception:
        """Return the error for calls that were never admitted."""

    def close(self) -> None:
        """Let go: all calls have come to their end."""


class Unlimited:
    """Admits every call, and sends no limit."""

    def admit(self, chunk: Chunk) -> bool:  # noqa: ARG002 - the protocol's
        """Admit the call."""
        return True

    def retry_s(self) -> float | None:
        """Never needed: no call is refused."""
        return None

    def again(self, chunk: Chunk) -> bool:  # noqa: ARG002 - the protocol's
        """Admit the attempt."""
        return True

    def limit(self, chunk: Chunk, body: Mapping[str, Any]) -> int | None:  # noqa: ARG002 - the protocol's
        """Send the request as it is."""
        return None

    def too_high(self, chunk: Chunk) -> None:
        """Never needed: no limit is sent."""

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Take no note."""

    def lost(self, chunk: Chunk) -> None:
        """Take no note."""

    def cut_off(self, chunk: Chunk, usage: Usage) -> bool:  # noqa: ARG002 - the protocol's
        """Leave it as it is: the limit was not ours."""
        return False

    def settle(self, chunk: Chunk) -> None:
        """Take no note."""

    def refusal(self, state: State) -> Exception:
        """Never needed: everything is admitted."""
        raise AssertionError(state(""))

    def close(self) -> None:
        """Nothing was reserved."""


@dataclass
class _Reserve:
    """What is held back for one call.

    Parameters
    ----------
    cost : float
        US dollars of its next attempt at most; 0 once an attempt was billed.
    bound : float
        The same, before what calls cost beyond their bounds.
    sent : int
        The most tokens of its request.
    tokens : int
        The token limit of its answer.
    fixed : bool
        Whether that limit is the user's.
    shared : int
        Bytes that its request has in common with those of other calls.
    lowered : bool
        Whether the endpoint refused a higher limit.
    """

    cost: float
    bound: float
    sent: int
    tokens: int
    fixed: bool
    shared: int
    lowered: bool = False


class Budget:
    """Admits calls as long as what is spent, what is reserved and the next at most stay in a limit.

    What a call can cost at most follows from the bytes of its request and from the token limit
    that is sent with it. Each call gets an equal share of what is left as its limit, but no less
    than its answer is expected to need: near the end fewer calls go at once, down to one, and
    one that does not fit is not begun. An answer that is cut off at such a limit is asked for
    again with a higher one. The first call goes alone.

    An attempt without a usable count of tokens, and one whose connection was lost after it was
    sent, count with all that was reserved for them.

    Parameters
    ----------
    limit : float
        US dollars.
    ceiling : Ceiling
        The most tokens of a call.
    price : callable
        From tokens to US dollars, where the answer names no model with a price.
    workers : int
        Calls at once, at most.

    Attributes
    ----------
    total : float
        The limit.
    """

    def __init__(
        self, limit: float, ceiling: Ceiling, price: Callable[[Usage], float], workers: int
    ) -> None:
        self.total = limit
        self._ceiling = ceiling
        self._price = price
        self._workers = workers
        self._lock = threading.Lock()
        self._reserved: dict[int, _Reserve] = {}
        self._spent = self._unsure = 0.0
        self._next = 0.0
        self._waiting: Chunk | None = None
        self._too_little = 0.0
        self._opened = self._counted = False
        self._excess = 1.0
        self._shared: SharedBudget | None = None

    def share(self, blocks: BudgetBlocks) -> None:
        """Spend from a budget that other runs spend, too: from now on money is leased."""
        self._shared = SharedBudget(blocks)

    def admit(self, chunk: Chunk) -> bool:
        """Reserve what the call can cost at most; False where that would pass the limit."""
        with self._lock:
            if self._reserved and not self._opened:
                return False
            return self._reserve(chunk)

    def retry_s(self) -> float | None:
        """When to ask again for money that other runs have leased and may give back."""
        with self._lock:
            return None if self._shared is None else self._shared.retry_s

    def again(self, chunk: Chunk) -> bool:
        """Reserve for another attempt, where the one before may have been billed."""
        with self._lock:
            return self._reserved[id(chunk)].cost > 0 or self._reserve(chunk)

    def limit(self, chunk: Chunk, body: Mapping[str, Any]) -> int | None:
        """Return the limit that keeps a request within what was reserved for it.

        A request is longer than was expected where the endpoint stepped down to another form of
        it: its answer must be the shorter.
        """
        with self._lock:
            reserve = self._reserved[id(chunk)]
            reserve.shared = self._ceiling.shared_bytes(body)
            sent = self._ceiling.sent(body)
            if reserve.fixed or not self._rate(sent):
                return None
            tokens = min(reserve.tokens, self._ceiling.answer_range(chunk, body).most)
            if sent <= reserve.sent:
                return tokens
            short = self._worst(sent, tokens) - reserve.cost
            if short <= self._free:
                reserve.cost += max(0.0, short)
                return tokens
            fits = (reserve.cost - self._worst(sent, 0)) / self._rate(sent)
            return max(0, min(tokens, math.floor(fits)))

    def too_high(self, chunk: Chunk) -> None:
        """Try a quarter for this chunk; if that is taken, others begin there.

        It may be the text that is too long for the model, and then no limit is low enough.
        """
        with self._lock:
            reserve = self._reserved[id(chunk)]
            reserve.tokens //= _LOWER
            reserve.lowered = True

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Count what an answer cost, and learn from it what the next can."""
        with self._lock:
            self._opened = True
            self._waiting = None  # what is learnt now may make the next call cheaper
            reserve = self._reserved[id(chunk)]
            if not usage.known or usage == Usage():  # not counted: what it cost is not 0
                self._lose(reserve)
                return
            self._counted = True
            paid = max(0.0, self._price(usage) if cost is None else cost)
            self._ceiling.learn(chunk, reserve.shared, usage)
            if reserve.lowered:
                self._ceiling.takes(reserve.tokens)
            if paid > reserve.cost * _ROUNDING > 0:
                # A limit that is not heeded, or a dearer model: no bound holds such calls.
                self._excess = max(self._excess, paid / reserve.bound)
                self._ceiling.forget()
            self._spent += paid
            reserve.cost = 0.0

    def lost(self, chunk: Chunk) -> None:
        """Count all that was reserved for an attempt."""
        with self._lock:
            self._lose(self._reserved[id(chunk)])

    def cut_off(self, chunk: Chunk, usage: Usage) -> bool:
        """Let a call have a higher limit, if it was cut off at ours."""
        with self._lock:
            reserve = self._reserved[id(chunk)]
            if reserve.fixed or (usage.known and usage.output_tokens < reserve.tokens):
                return False
            return self._ceiling.cut_off(chunk, reserve.tokens)

    def settle(self, chunk: Chunk) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._reserved.pop(id(chunk), None)
            spare = self._free - self._held - 2 * self._next
            if self._shared is not None and spare > self._next:  # fewer calls go at once by now
                self._shared.give(spare)

    def close(self) -> None:
        """Let other runs have what was leased and not spent."""
        with self._lock:
            if self._shared is not None:
                self._shared.close(self._free)

    def refusal(self, state: State) -> BudgetError:
        """Say what was spent, what is done, and how to go on."""
        unsure = ""
        if self._unsure:
            unsure = f" ({dollars(self._unsure)} of it for calls whose cost nobody said)"
        return BudgetError(
            f"Stopped at {dollars(self._spent)}{unsure} of max_cost={dollars(self.total)}"
            f"{'' if self._shared is None else ', which other runs spend, too'}, which "
            f"the next call (up to {dollars(self._next)}) would pass: "
            + state("Raise max_cost= and run the cell again"),
            spent=self._spent,
        )

    @property
    def _held(self) -> float:
        return sum(reserve.cost for reserve in self._reserved.values())

    @property
    def _free(self) -> float:
        """What is neither spent nor reserved: of the limit, or of what was leased so far."""
        limit = self.total if self._shared is None else self._shared.leased
        return limit - self._spent - self._held

    def _lose(self, reserve: _Reserve) -> None:
        self._spent += reserve.cost
        self._unsure += reserve.cost
        reserve.cost = 0.0

    def _reserve(self, chunk: Chunk) -> bool:
        free, shared = self._free, self._shared
        waits = shared is None or shared.asked_just_now
        if waits and chunk is self._waiting and free <= self._too_little:
            return False
        body = self._ceiling.body(chunk)
        sent, answer = self._ceiling.sent(body), self._ceiling.answer_range(chunk, body)
        tokens, cost = self._planned(sent, answer)
        if shared is not None and self._held and self._held + cost > self._part(shared):
            return False
        enough = cost <= free or (shared is not None and self._lease(shared, cost))
        if not enough and shared is not None:
            # By now it is known how much is left for all: it may do for a shorter answer.
            tokens, cost = self._planned(sent, answer)
            enough = cost <= self._free or self._lease(shared, cost)
        if not enough:
            self._waiting, self._too_little = chunk, self._free
            return False
        bound, alike = cost / self._excess, self._ceiling.shared_bytes(body)
        self._reserved[id(chunk)] = _Reserve(cost, bound, sent, tokens, answer.fixed, alike)
        return True

    def _lease(self, shared: SharedBudget, cost: float) -> bool:
        """Lease what the call needs, as much for each worker that has none, and a little more."""
        idle = self._workers - len(self._reserved) if self._opened else 1
        most = self._part(shared) - (shared.leased - self._spent)
        if shared.lease(cost - self._free, min(cost * (1 + 1.25 * idle), most)):
            return True
        if self._reserved:
            return False
        shared.end(self._free)  # whoever waits holds nothing back
        return shared.lease(cost, cost)

    def _planned(self, sent: int, answer: AnswerRange) -> tuple[int, float]:
        """Return the limit of the next call and what it can cost at most."""
        tokens = self._affordable(sent, answer)
        self._next = self._worst(sent, tokens)
        return tokens, self._next

    def _affordable(self, sent: int, answer: AnswerRange) -> int:
        """Return the highest limit that leaves as much to every other worker."""
        if answer.fixed:
            return answer.least
        rate = self._rate(sent)
        if not rate:
            return answer.most
        if self._opened and not self._counted:
            return answer.least  # each call costs all that is reserved for it
        fits = math.floor((self._share() - self._worst(sent, 0)) / rate)
        most = answer.most
        if self._shared is not None:
            most = min(most, _SHARED_GROWTH * answer.least)
        tokens = answer.least
        while tokens * 2 <= min(fits, most):  # few different limits, whatever is left
            tokens *= 2
        return most if fits >= most else tokens

    def _share(self) -> float:
        """Return what a call may cost where each worker's call may cost as much."""
        if self._shared is not None:
            return self._part(self._shared) / (self._workers if self._opened else _FIRST_SHARE)
        others = self._workers - len(self._reserved) if self._opened else _FIRST_SHARE
        return self._free / max(1, others)

    def _part(self, shared: SharedBudget) -> float:
        """Return what we may have leased and not spent at once, unless one call needs more."""
        return (shared.leased - self._spent + shared.fair) / _SHARED_PART

    def _rate(self, sent: int) -> float:
        """Return what a token of the answer costs."""
        return (self._worst(sent, _SOME) - self._worst(sent, 0)) / _SOME

    def _worst(self, sent: int, answered: int) -> float:
        """Return the price of a call, whatever of it a prompt cache takes or gives."""
        kinds = ((0, 0), (0, sent), (sent, 0))
        return self._excess * max(
            self._price(Usage(sent, read, written, answered)) for read, written in kinds
        )
