"""The pool: workers that ask, split, wait and save until nothing is left to ask."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from queue import SimpleQueue
from typing import Protocol

import tenacity

from pandas_genai.clock import Clock
from pandas_genai.errors import CallError, RowError, SplitError, StopRunError, WaitError
from pandas_genai.task.chunks import MAX_ROUNDS, Chunk, Row, copies_of
from pandas_genai.task.reply import Failure, Refusal, Reply, Usage
from pandas_genai.workers.budget import Spending
from pandas_genai.workers.circuit_breaker import CircuitBreaker
from pandas_genai.workers.counters import Counters
from pandas_genai.workers.rate_limiter import RateLimiter
from pandas_genai.workers.work_queue import Later, WorkQueue

__all__ = ["Policy", "Pool", "Save"]

_PROBE_ATTEMPTS = 2
"""Requests for a call that only asks whether anything is answered at all, or answered by now."""

_log = logging.getLogger("pandas_genai")


class Save(Protocol):
    """Writes a reply's answers; calls ``done`` once they are on disk, or with what went wrong."""

    def __call__(
        self, chunk: Chunk, reply: Reply, done: Callable[[Exception | None], None]
    ) -> None:
        """Hand the answers over; may wait while too many are waiting to be written."""


class Policy:
    """How a call is tried again: tenacity's parts, with the pool's clock.

    Parameters
    ----------
    attempts : int
        Requests for one chunk before the call counts as failed.
    wait : callable
        Seconds to wait after a failed attempt, from tenacity's state.
    """

    def __init__(self, attempts: int, wait: Callable[[tenacity.RetryCallState], float]) -> None:
        self.attempts = attempts
        self.wait = wait


class Pool:
    """Asks chunks through threads until all are answered or given up.

    Parameters
    ----------
    ask : callable
        Sends one chunk and returns its reply, or raises a CallError.
    save : Save
        Takes what was accepted.
    price : callable
        From usage and model to money, or None where the price is unknown.
    workers : int
        Threads.
    policy : Policy
        How a call is tried again.
    clock : Clock
        Time.
    limiter : RateLimiter
        When calls may be sent; until an answer has come, one goes out alone.
    spending : Spending
        Which calls may begin.
    on_idle : callable
        Called by the last worker before it ends, also after ``stop``.
    counters : Counters
        Counts what is done.
    """

    def __init__(
        self,
        ask: Callable[[Chunk], Reply],
        save: Save,
        *,
        price: Callable[[Usage, str], float | None],
        workers: int,
        policy: Policy,
        clock: Clock,
        limiter: RateLimiter,
        spending: Spending,
        on_idle: Callable[[], None],
        counters: Counters,
    ) -> None:
        self._ask = ask
        self._save = save
        self._price = price
        self._workers = workers
        self._policy = policy
        self._clock = clock
        self._spending = spending
        self._on_idle = on_idle
        self._stop = threading.Event()
        self.limiter = limiter
        self.counters = counters
        self._lock = threading.Lock()
        self._fatal: BaseException | None = None
        self._breaker = CircuitBreaker()
        self._left = 0
        self._ended = threading.Event()
        self._queue: WorkQueue | None = None

    def start(
        self,
        chunks: Iterator[Chunk | Later],
        on_end: Callable[[Iterable[Row]], None] = lambda rows: None,
    ) -> None:
        """Start the threads. They end when no chunk is left, or after ``stop``.

        Parameters
        ----------
        chunks : iterator of Chunk or Later
            The run's work; suspects come last.
        on_end : callable, optional
            Called with the rows about which nothing more is asked.
        """
        self._queue = WorkQueue(
            chunks,
            lambda: self.limiter.limit,
            self._spending.admit,
            on_end,
            lambda: self._breaker.careful,
            self._spending.retry_s,
        )
        self._left = self._workers
        for number in range(self._workers):
            threading.Thread(
                target=self._work, args=(self._queue,), name=f"genai-{number}", daemon=True
            ).start()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; True once it has come, by exhaustion or by an error.

        Raises
        ------
        BaseException
            What made the run stop, if something did.
        """
        ended = self._ended.wait(seconds)
        if self._fatal is not None:
            raise self._fatal
        return ended

    @property
    def refused(self) -> bool:
        """Whether the run ended because no further call was admitted."""
        return self._queue is not None and self._queue.refused

    def stop(self) -> None:
        """Send nothing any more. Answers in flight are still saved, silently."""
        self._stop.set()
        if self._queue is not None:
            self._queue.close()

    def drain(self, seconds: float) -> None:
        """Wait, after a stop, until answers in flight are saved; so long at most."""
        self._ended.wait(seconds)

    def _work(self, source: WorkQueue) -> None:
        try:
            while (chunk := source.take()) is not None:
                again: list[Chunk] = []
                try:
                    again = self._answer(chunk)
                finally:
                    self.limiter.end(chunk)
                    self._spending.settle(chunk)
                    source.finish(chunk, again)
        except BaseException as error:  # noqa: BLE001 - a thread must not die alone: the main thread raises it
            self._fail(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if not last:
            return
        try:
            self._on_idle()
            if not self._stop.is_set():
                self._breaker.ended()
        except Exception as error:  # noqa: BLE001 - a full disk at the very end is the run's error too
            self._fail(error)
        self._ended.set()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._fatal is None and not self._stop.is_set():
                self._fatal = error
        self.stop()
        self._ended.set()

    def _answer(self, chunk: Chunk) -> list[Chunk]:
        """Ask one chunk; return the chunks in which some of its rows must be asked again."""
        lost = self._breaker.hopeless(chunk)
        if lost is not None:
            why = Refusal(lost.reason, f"Not asked any more, after many calls in a row: {lost}")
            return self._give_up(chunk, list(chunk.rows), _refused(chunk, why), 0)
        attempts = answers = 0
        most = self._most_attempts(chunk)

        def once() -> Reply:
            nonlocal attempts, answers
            self._wait_until_allowed(chunk)
            attempts += 1
            self.counters.sent(again=attempts > 1)
            try:
                return self._ask(chunk)
            except CallError as error:
                answers = self._breaker.answers if attempts == 1 else answers
                self._bill_error(chunk, error)
                raise

        try:
            reply = self._retried(once, most)
        except CallError as error:
            return self._cope(chunk, error, attempts, answers)
        except _PutBackError:
            return [replace(chunk, attempts=chunk.attempts + attempts)]
        except _AbandonedError:
            return []
        self._bill(chunk, reply.usage, reply.model)
        self.counters.answered(reply.params_sent)
        self._note_answer(chunk, reply)
        if reply.accepted:
            self._keep(chunk, reply)
        if not reply.refused:
            return []
        rows = [row for row in chunk.rows if row.key in reply.refused]
        # What was left out of a reply that is of use says nothing about the other rows.
        suspect = chunk.suspect or bool(reply.accepted)
        return self._ask_again(replace(chunk, suspect=suspect), rows, reply, attempts)

    def _most_attempts(self, chunk: Chunk) -> int:
        probe = chunk.known_suspect or self._breaker.doubted
        return min(_PROBE_ATTEMPTS, self._policy.attempts) if probe else self._policy.attempts

    def _retried(self, once: Callable[[], Reply], most: int) -> Reply:
        """Return the reply of the first attempt, or of one of those after it.

        What tenacity needs to count and to wait is made where the first attempt has failed.
        """
        try:
            return once()
        except WaitError as error:
            failed = [error]

        def attempt() -> Reply:
            if failed:
                raise failed.pop()
            return once()

        return self._retrying(most)(attempt)

    def _retrying(self, most: int) -> tenacity.Retrying:
        return tenacity.Retrying(
            sleep=self._sleep,
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(most),
                tenacity.stop_when_event_set(self._stop),
            ),
            wait=self._policy.wait,
            retry=tenacity.retry_if_exception_type(WaitError),
            before_sleep=self._note_wait,
            reraise=True,
        )

    def _sleep(self, seconds: float) -> None:
        self._clock.wait(self._stop, seconds)

    def _wait_until_allowed(self, chunk: Chunk) -> None:
        """Wait while a limit or the provider wants it, and see that the attempt can be paid."""
        if not self.limiter.may_send(chunk, self._stop):
            raise _AbandonedError
        if not self._spending.again(chunk):
            raise _PutBackError

    def _note_wait(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.info("%s Waiting %.1f s.", error, state.upcoming_sleep)
        if isinstance(error, WaitError) and error.rate_limited:
            self.limiter.rate_limited(state.upcoming_sleep)

    def _bill(self, chunk: Chunk, usage: Usage, model: str) -> None:
        cost = self._price(usage, model)
        self.limiter.used(chunk, usage)
        self.counters.billed(usage, model, cost)
        self._spending.billed(chunk, usage, cost)

    def _bill_error(self, chunk: Chunk, error: CallError) -> None:
        """Count what an attempt without an answer of use cost, or may have cost."""
        if isinstance(error.usage, Usage):
            self._bill(chunk, error.usage, error.model)
        elif error.maybe_billed:
            self.counters.billed(Usage(unknown_calls=1), "", 0.0)
            self._spending.lost(chunk)

    def _note_answer(self, chunk: Chunk, reply: Reply) -> None:
        """Note an answer; only one of use lets more calls out."""
        if reply.accepted:
            self._breaker.useful()
        else:
            common = Counter(reply.refused.values()).most_common(1)
            self._breaker.useless(chunk, common[0][0], reply.request_id)
        if reply.accepted or chunk.suspect:
            self._open()

    def _open(self) -> None:
        """Let more calls out, after an answer."""
        if self.limiter.answered() and self._queue is not None:
            self._queue.wake()

    def _keep(self, chunk: Chunk, reply: Reply) -> None:
        """Save what was accepted, and wait until it is on disk.

        A worker asks nothing new before that, so that a kill loses no more than one chunk of
        each worker; the writer commits what all of them wait for in one transaction.
        """
        rows = copies_of(row for row in chunk.rows if row.key in reply.accepted)
        on_disk: SimpleQueue[None] = SimpleQueue()

        def done(error: Exception | None) -> None:
            if error is None:
                self.counters.saved(rows)
            else:
                self._fail(error)
            on_disk.put(None)

        self._save(chunk, reply, done)
        on_disk.get()

    def _cope(self, chunk: Chunk, error: CallError, attempts: int, answers: int) -> list[Chunk]:
        """Do what the error's class says."""
        if (
            error.reason == "truncated"
            and isinstance(error.usage, Usage)
            and self._spending.cut_off(chunk, error.usage)
        ):
            self._breaker.useful()  # the answer was good as far as we let it come
            self._open()
            return [replace(chunk, attempts=chunk.attempts + attempts)]
        if isinstance(error, StopRunError):
            raise error
        reply = _refused(chunk, Refusal(error.reason, str(error)), error.request_id)
        rows = list(chunk.rows)
        if isinstance(error, WaitError):
            if self._stop.is_set():
                return []
            self._breaker.silent(chunk, error, answers)
            return self._apart(chunk, reply, attempts, error)
        if not isinstance(error, (RowError, SplitError)):
            raise error
        self._note_answer(chunk, reply)
        if isinstance(error, RowError) and len(rows) == 1 and chunk.round == 0:
            return self._give_up(chunk, rows, reply, attempts)
        return self._ask_again(chunk, rows, reply, attempts)

    def _apart(self, chunk: Chunk, reply: Reply, attempts: int, error: WaitError) -> list[Chunk]:
        """Ask again what got no answer in all its attempts; no row takes others along."""
        rows = list(chunk.rows)
        if error.reason == "rate limit":  # no row's fault: nothing is won by smaller calls
            return self._ask_again(chunk, rows, reply, attempts, whole=True)
        if len(rows) == 1 and (chunk.known_suspect or chunk.round >= MAX_ROUNDS):
            return self._give_up(chunk, rows, reply, attempts)
        return chunk.apart(attempts)

    def _ask_again(
        self, chunk: Chunk, rows: list[Row], reply: Reply, attempts: int, *, whole: bool = False
    ) -> list[Chunk]:
        if chunk.round >= MAX_ROUNDS and (whole or len(chunk.rows) == 1):
            return self._give_up(chunk, rows, reply, attempts)
        return chunk.again(rows, whole=whole, attempts=attempts)

    def _give_up(self, chunk: Chunk, rows: list[Row], reply: Reply, attempts: int) -> list[Chunk]:
        spent = chunk.attempts + attempts
        self.counters.failed(
            [Failure(row, reply.refused[row.key], spent, reply.request_id) for row in rows]
        )
        return []


class _PutBackError(Exception):
    """Another attempt may not begin now: the chunk waits until it may."""


def _refused(chunk: Chunk, why: Refusal, request_id: str | None = None) -> Reply:
    return Reply({}, {row.key: why for row in chunk.rows}, request_id=request_id)


class _AbandonedError(Exception):
    """The run was stopped before this request went out."""
