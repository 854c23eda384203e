"""One live run: the pool, the writer behind it, and whoever watches."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from pandas_genai.clock import Clock
from pandas_genai.costs.prices import Price
from pandas_genai.errors import BudgetError, CacheError, Stopped
from pandas_genai.runs.parameters import params_columns
from pandas_genai.runs.progress import Observer, Progress
from pandas_genai.store import AnswerStore, FailureRecord
from pandas_genai.store.records import now
from pandas_genai.task.bound import BoundTask
from pandas_genai.task.chunks import Chunk, plan_chunks
from pandas_genai.task.reply import Failure, Reply
from pandas_genai.task.rows import Rows
from pandas_genai.workers.budget import Spending
from pandas_genai.workers.call_recorder import CallRecorder
from pandas_genai.workers.counters import Counters
from pandas_genai.workers.leased import LeasedChunks
from pandas_genai.workers.pool import Policy, Pool
from pandas_genai.workers.suspects import suspect_chunks

__all__ = ["Session", "Work", "columns_of"]

_GLANCE_S = 0.05
_SHOW_EVERY_S = 0.2
_RECORD_S = 0.5


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Parameters
    ----------
    task : BoundTask
        What is asked.
    rows : Rows
        The distinct texts of the input.
    texts : sequence of str or None
        The texts of all rows.
    wanted : sequence of int
        Which distinct texts are asked, as places in ``rows.keys``.
    labels : callable
        From a row's position to what names it in the cache's column ``row_id``.
    chunk_size : int
        Rows a call.
    most_bytes : float or None
        UTF-8 bytes that the texts of a call may have together; None for any.
    run_id : str
        Identity of the run, hexadecimal.
    settled : Progress
        The rows that need no call.
    fresh : bool
        Whether answers that are in the cache are asked for again.
    suspects : mapping of int to str
        Which of the wanted texts failed in an earlier run, and for which reason.
    records : callable
        From failures to what the cache's table ``failures`` keeps of them.
    """

    task: BoundTask
    rows: Rows
    texts: Sequence[str | None]
    wanted: Sequence[int]
    labels: Callable[[int], str | None]
    chunk_size: int
    run_id: str
    settled: Progress
    most_bytes: float | None = None
    fresh: bool = False
    suspects: Mapping[int, str] = field(default_factory=dict)
    records: Callable[[Iterable[Failure]], Iterable[FailureRecord]] = lambda failures: ()

    def chunks(self) -> Iterator[Chunk]:
        """Cut the work into chunks, rows that failed in an earlier run last."""
        rows, texts, size, first = self.rows, self.texts, self.chunk_size, int(self.run_id, 16)
        wanted = self.wanted
        if self.suspects:
            wanted = [place for place in wanted if place not in self.suspects]
        return chain(
            plan_chunks(rows, wanted, texts, size, first=first, most_bytes=self.most_bytes),
            suspect_chunks(
                rows, self.suspects, texts, size, first=first, most_bytes=self.most_bytes
            ),
        )


def columns_of(counters: Counters, work: Work) -> dict[str, object]:
    """Return the counts of a run under the names of the table ``runs``."""
    now, settled = counters.snapshot(), work.settled
    return {
        "ok": settled.cached + now.done,
        "failed": settled.failed + now.failed,
        "calls": now.calls,
        "retries": now.retries,
        "input_tokens": now.usage.input_tokens,
        "cached_tokens": now.usage.cached_tokens,
        "cache_write_tokens": now.usage.cache_write_tokens,
        "output_tokens": now.usage.output_tokens,
        "unknown_calls": now.usage.unknown_calls,
        "cost": now.known_cost,
        "models": json.dumps(counters.models),
        **params_columns(work.task, counters.params),
    }


@dataclass
class Session:
    """Runs a piece of work through a pool, saves what comes back, and can be stopped.

    Parameters
    ----------
    work : Work
        What to do.
    cache : AnswerStore
        Where answers go.
    ask : callable
        Sends one chunk.
    price : Price
        From usage to money.
    workers : int
        Threads.
    policy : Policy
        How a call is tried again.
    clock : Clock
        Time.
    opened : bool
        Whether the endpoint answered this process before.
    spending : Spending
        Which calls may begin.
    close : callable
        Releases the client; called when the last thread has ended.
    let_go : callable
        Releases the cache; called here only after Stop or an error, when the caller is gone.
    forgets : bool
        Whether the cache is gone with the run.
    """

    work: Work
    cache: AnswerStore
    ask: Callable[[Chunk], Reply]
    price: Price
    workers: int
    policy: Policy
    clock: Clock
    opened: bool
    spending: Spending
    close: Callable[[], None]
    let_go: Callable[[], None]
    forgets: bool = False
    left_behind: bool = field(default=False, init=False)
    counters: Counters = field(default_factory=Counters, init=False)
    _idle: bool = field(default=False, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def run(self, observer: Observer) -> Counters:
        """Ask until nothing is left; return the counts.

        Raises
        ------
        Stopped
            If the user pressed Stop. Answers in flight are still saved, silently.
        StopRunError
            If no request can succeed, or none may begin.
        """
        self._writer = self.cache.writer()
        work = self.work
        recorder = CallRecorder(
            self.ask, self._writer, work.task, work.run_id, work.labels, self.price
        )
        self._pool = Pool(
            recorder.ask,
            recorder.save,
            price=self.price,
            workers=self.workers,
            policy=self.policy,
            clock=self.clock,
            opened=self.opened,
            spending=self.spending,
            on_idle=self._on_idle,
            counters=self.counters,
        )
        self._leases = self.cache.leases(work.task.prompt_hash)
        self._unanswered = self._left_to_ask()
        try:
            self._pool.start(self._unanswered, self._unanswered.end)
            self._watch(observer)
        except KeyboardInterrupt:
            self._leave("stopped", None)
            raise Stopped(f"Stopped: {self._told('Run the cell again')}") from None
        except BaseException as error:
            self._leave("stopped" if isinstance(error, BudgetError) else "failed", str(error))
            raise
        return self._pool.counters

    def _watch(self, observer: Observer) -> None:
        """Wait for the end with short waits: Ctrl-C is seen only between them."""
        shown, since = None, 0.0
        while not self._pool.wait(_GLANCE_S):
            since += _GLANCE_S
            progress = self.progress()
            if since >= _SHOW_EVERY_S and progress != shown:
                observer.moved(progress)
                shown, since = progress, 0.0
        observer.moved(self.progress())
        if self._pool.refused:
            raise self.spending.refusal(self._told)

    def progress(self) -> Progress:
        """Return where the run is now."""
        now, settled = self._pool.counters.snapshot(), self.work.settled
        waiting_s = self._pool.limiter.pause_left()
        elsewhere = 0 if waiting_s else self._unanswered.elsewhere
        return Progress(
            total=settled.total,
            done=settled.done + now.done + now.failed,
            cached=settled.cached,
            failed=settled.failed + now.failed,
            input_tokens=now.usage.input_tokens,
            output_tokens=now.usage.output_tokens,
            cost=now.known_cost,
            waiting_s=waiting_s,
            elsewhere=elsewhere,
        )

    def _answered(self) -> int:
        return self.work.settled.cached + self._pool.counters.snapshot().done

    def _told(self, advice: str) -> str:
        """Say how many rows are answered, what became of them, and how to go on."""
        rows = f"{self._answered():,} of {self.work.settled.total:,} rows"
        if self.forgets and self._answered():
            return f"{rows} were answered; cache=False keeps them in this error's .result alone."
        if self.forgets:
            return f"{rows} were answered and are lost, because cache=False keeps nothing."
        return f"{rows} are answered and kept. {advice} to go on with the rest."

    def _leave(self, status: str, message: str | None) -> None:
        """Give control back now; the threads end by themselves, and the last one tidies up."""
        self._pool.stop()
        self._unanswered.stop()
        self._end = {"status": status, "message": message}
        # Another program may hold the file for long; the user does not wait for that.
        recording = threading.Thread(target=self._record, name="genai-record", daemon=True)
        recording.start()
        recording.join(_RECORD_S)
        with self._lock:
            self.left_behind = True
            idle = self._idle
        if idle:
            self.let_go()

    def _record(self) -> None:
        counters = self._pool.counters
        columns = columns_of(counters, self.work)
        with contextlib.suppress(CacheError):  # closed with the last thread, which ended them all
            self._leases.flush()
        with contextlib.suppress(CacheError):  # let go meanwhile, or held by another program
            self.cache.end_run(self.work.run_id, ended=now(), **self._end, **columns)
            # The next run asks last for what has failed in this one.
            self.cache.save_failures(self.work.run_id, self.work.records(counters.failures))

    def _on_idle(self) -> None:
        self._writer.close()
        self._unanswered.close()
        self._leases.close()  # after the answers: whoever waits for a lease finds them
        self.close()
        with self._lock:
            self._idle = True
            left_behind = self.left_behind
        if left_behind:
            # The main thread is gone: count what still arrived after Stop, then let the file go.
            self._record()
            self.let_go()

    def _left_to_ask(self) -> LeasedChunks:
        work = self.work
        return LeasedChunks(
            work.chunks(),
            self.cache,
            work.task.prompt_hash,
            self._leases,
            clock=self.clock,
            answered=self._pool.counters.saved,
            ahead=self.workers,
            fresh=work.fresh,
        )
