"""One run: what is answered already, what is asked, and the frame of both."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai import local
from pandas_genai.backends.caller import Caller, capabilities_of, system_sent
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.params import check_params
from pandas_genai.backends.rate_headers import SeenLimit
from pandas_genai.backends.registry import backend_named
from pandas_genai.backends.resolve import Question, Resolved
from pandas_genai.backends.retry import ATTEMPTS, backoff
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.clock import Clock
from pandas_genai.costs.forecast import Forecast
from pandas_genai.costs.window import ContextWindow, warn_of_long_texts
from pandas_genai.errors import BudgetError, CacheError, Stopped
from pandas_genai.extract.embedded import Embedded
from pandas_genai.extract.spending import allowance, price_of
from pandas_genai.extract.under_way import warn_under_way
from pandas_genai.extract.wanted import Leave, Wanted, all_of, failed_before
from pandas_genai.options import RunOptions
from pandas_genai.runs.answers import answered, warn_of_damage
from pandas_genai.runs.failures import failed_rows
from pandas_genai.runs.origins import origin_columns
from pandas_genai.runs.parameters import params_columns
from pandas_genai.runs.partial import RunStore
from pandas_genai.runs.parts import PartEndedError
from pandas_genai.runs.progress import Progress
from pandas_genai.runs.recorder import RunRecorder, new_run_id
from pandas_genai.runs.report import label_text
from pandas_genai.store import AnswerStore, is_there, open_store
from pandas_genai.task.chunks import Chunk, plan_chunks
from pandas_genai.task.inputs import Inputs, Value, as_inputs
from pandas_genai.task.large import large_rows
from pandas_genai.task.reply import Failure, Reply
from pandas_genai.task.rows import Keys, Rows, distinct_rows
from pandas_genai.workers.budget import Budget, Spending
from pandas_genai.workers.call_recorder import CallRecorder
from pandas_genai.workers.counters import Counters
from pandas_genai.workers.leased import LeasedChunks
from pandas_genai.workers.pool import Policy, Pool
from pandas_genai.workers.rate_limiter import RateLimiter
from pandas_genai.workers.rates import TokenEstimate
from pandas_genai.workers.suspects import remembered, suspect_chunks

__all__ = ["Extraction", "nothing_asked_yet"]

_GLANCE_S = 0.05
_SHOW_EVERY_S = 0.2
_RECORD_S = 0.5
_IN_FLIGHT_S = 2.0
"""How long a part waits for its last answers: its worker's process may end right after it."""
_AT_ONCE = 100_000
"""Up to so many texts, what is answered is read before the first request: it takes 0.5 s."""
_COUNT_S = 0.5
"""How often a part of a run says how far it is, and asks whether it is still wanted."""


class Extraction:
    """One question, asked of the rows of one frame.

    Parameters
    ----------
    question : Question
        What is asked and where.
    inputs : Inputs, or sequence of their values
        What is sent of each row.
    index : Index
        The input's index; names the rows in errors and in the result.
    options : RunOptions
        How, and where answers are kept.
    ids : sequence, optional
        The user's ids of the rows, carried along into the cache.
    given : mapping, optional
        Answers that are taken as they are, as JSON text by row.
    note : str, default ""
        Where those are from, for the report.
    spending : Spending, optional
        Which calls may begin, instead of those that ``max_cost`` allows.
    jobs : JobsFolder, optional
        Batch jobs; texts that they have under way are warned of.

    Raises
    ------
    UsageError, SchemaError, CredentialsError
        Before anything is opened or sent.
    """

    def __init__(
        self,
        question: Question,
        inputs: Inputs | Sequence[Value],
        index: pd.Index,
        options: RunOptions,
        *,
        ids: Sequence[object] | None = None,
        given: Mapping[int, str] | None = None,
        note: str = "",
        spending: Spending | None = None,
        jobs: JobsFolder | None = None,
    ) -> None:
        self.resolved: Resolved = question.resolve()
        self.task = self.resolved.task
        check_params(question.task.params, self.resolved.endpoint)
        self._price = price_of(self.resolved, options)
        self._spending = spending or allowance(self.resolved, options, self._price)
        self.chunk_size, self.workers = options.sizes(is_local=self.resolved.is_local)
        self._inputs = as_inputs(inputs)
        self._index = index
        self._options = options
        self._ids = ids
        self._given = dict(given or {})
        self._note = note
        self._jobs = jobs
        self._run_id = new_run_id() if options.part is None else options.part.run_id
        self._counters = Counters()
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._close: Callable[[], None] = _nothing
        self._threads_ended = self._left = False

    def run(self) -> pd.DataFrame:
        """Ask what is not answered yet and return the frame of all answers.

        Raises
        ------
        RowsFailedError
            With ``on_error="raise"``, after all is done and saved.
        StopRunError, Stopped, CacheError, LocalModelError
            Everything answered before is kept.
        """
        with ExitStack() as stack:
            cache = self._options.cache
            if self._options.offline and not is_there(cache):
                cache = False  # looking makes no file
            self._cache, ours = open_store(cache)
            store = RunStore(self._cache, ours=ours)
            stack.callback(store.release)
            # What is in memory alone is let go by the error that may still show it.
            self._release = _nothing if self._cache.url is None else store.release
            self._recorder = RunRecorder(
                self._cache,
                self.task,
                self._system(),
                self._run_id,
                "extract",
                self._index,
                self._given,
                self._options.part,
            )
            with nothing_asked_yet():
                self._begin()
            try:
                self._ask()
                return self._conclude()
            except BaseException as error:
                status = _outcome(error)
                store.carry(error, lambda found: self._partial(found, status))
                if self._left:
                    stack.pop_all()  # the threads still save answers; the last one lets go
                elif not self._recorder.closed:
                    with contextlib.suppress(CacheError):  # what went wrong first is raised
                        self._recorder.close(status, self._columns())
                raise

    # Before anything is asked.

    def _begin(self) -> None:
        """Find what is answered already, and record that a run has started."""
        rows = self._distinct()
        brought = self._brought(rows) if self._options.fresh else None
        if brought is None:
            blocks = self._recorder.read_known(rows)
        else:
            blocks = iter([(np.arange(len(brought)), np.flatnonzero(~brought))])
        few = len(rows.keys) <= _AT_ONCE
        at_once = few or self._options.fresh or self._options.part is not None
        self._rows = rows
        self._wanted = Wanted(rows, blocks, at_once=at_once, leave=self._left_alone())
        if brought is None:  # only now: while answers were read, other parts have brought more
            brought = self._brought(rows)
            brought[self._wanted.first] = False
        self._brought_places = np.flatnonzero(brought)
        warn_of_damage(self._cache)
        self._window = self._window_of_task()
        self._most_bytes = self._window.most_bytes
        if len(self._wanted.first):
            self._warn(at_once=at_once)
        self._recorder.open(rows, self._cached, self._ids)

    def _left_alone(self) -> Leave | None:
        if self._options.offline:
            return all_of
        if not self._options.retry_failed:
            return failed_before(self._cache, self.task.prompt_hash)
        return None

    def _warn(self, *, at_once: bool) -> None:
        """Warn, before anything is sent, of what would be paid twice or does not fit."""
        rows, wanted, prompt_hash = self._rows, self._wanted.first, self.task.prompt_hash
        if not at_once:  # of the rows that were not looked at yet, those in question are
            long = np.flatnonzero(rows.sizes > (self._window.tokens or np.inf))
            wanted = long[~answered(self._cache, prompt_hash, Keys(rows.keys.at(long)))]
        if self._jobs is not None:
            keys = (rows.keys[place] for place in wanted) if at_once else iter(rows.keys)
            warn_under_way(self._jobs, prompt_hash, keys, None if at_once else self._cache)
        warn_of_long_texts(self._window, rows, wanted, self._label)

    @property
    def _known(self) -> int:
        """Rows whose answers were there, or were given, as far as answers were read."""
        rows, wanted = self._rows, self._wanted
        return rows.sent * rows.repeats - wanted.asked - wanted.left + len(self._given)

    @property
    def _cached(self) -> int:
        """Rows with all their answers before this run."""
        rows = self._rows
        return self._wanted.known + len(self._given) - rows.rows_of(self._brought_places)

    @property
    def _settled(self) -> Progress:
        """Where the run is without what it asks itself; each repeat counts."""
        rows, left = self._rows, 0 if self._options.offline else self._wanted.left
        total = len(rows) * rows.repeats
        return Progress(
            total=total,
            done=total - self._wanted.asked,
            cached=self._known - int(rows.copies[self._brought_places].sum()),
            failed=len(rows.unsendable) * rows.repeats + left,
        )

    @property
    def _failures(self) -> list[Failure]:
        """The texts without an answer."""
        return [*self._counters.failures, *self._wanted.failures()]

    def _brought(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Return which texts other parts of the same run have brought, or this one before."""
        if self._options.part is None:
            return np.zeros(len(rows.keys), dtype=bool)
        return answered(self._cache, self.task.prompt_hash, rows.keys, self._run_id)

    def _distinct(self) -> Rows:
        """Find the distinct inputs; of a large frame the first are asked before all have keys."""
        options = self._options
        whole = options.fresh or options.part is not None or options.repeats > 1
        if len(self._inputs) <= _AT_ONCE or whole or self._given or self._ids is not None:
            return distinct_rows(self._asked()).repeated(options.repeats)
        return large_rows(self._inputs)

    def _asked(self) -> Iterable[Value]:
        """Return the input of each row; none where its answer was given."""
        if not self._given:
            return self._inputs
        return (None if row in self._given else one for row, one in enumerate(self._inputs))

    def _system(self) -> str:
        endpoint = self.resolved.endpoint
        capabilities = capabilities_of(self.task, endpoint, self._options.endpoints)
        return system_sent(self.task, capabilities, vendor=endpoint.is_vendor)

    def _window_of_task(self) -> ContextWindow:
        return ContextWindow.of(
            self.task,
            self.resolved.endpoint,
            self._options.endpoints,
            self.chunk_size,
            is_local=self.resolved.is_local,
        )

    def _label(self, position: int) -> str:
        return label_text((self._index if self._ids is None else self._ids)[position])

    # While workers ask.

    def _ask(self) -> None:
        """Ask what is wanted, while the observer watches."""
        observer = self._options.observer
        try:
            observer.started(self._settled)
            if len(self._wanted.first):
                self._run(self._opened_pool())
        except BaseException as error:
            observer.ended(self._progress(), _outcome(error))
            if isinstance(error, KeyboardInterrupt) and not isinstance(error, Stopped):
                raise self._stopped() from None  # before the first request
            raise
        observer.ended(self._progress(), "completed")

    def _stopped(self) -> Stopped:
        return Stopped(f"Stopped: {self._state('Run the cell again')}")

    def _opened_pool(self) -> Pool:
        """Open what asks; importing the SDK takes long enough for Stop to come."""
        try:
            return self._open_pool()
        except BaseException:
            self._close()
            raise

    def _open_pool(self) -> Pool:
        options, resolved = self._options, self.resolved
        ask: Callable[[Chunk], Reply]
        if resolved.is_local:
            embedded = Embedded(resolved, self._caller, self.workers, self._fetching)
            endpoint, ask, self._close = embedded.endpoint, embedded, embedded.close
        else:
            client, ours = resolved.open(self.workers)
            endpoint, self._close = resolved.endpoint, client.close if ours else _nothing
            ask = self._caller(client, endpoint)
        self._limiter = self._rate_limiter(endpoint)
        if options.shared is not None and isinstance(self._spending, Budget):
            self._spending.share(self._cache.budget(options.shared, self._spending.total))
        self._writer = self._cache.writer()
        calls = CallRecorder(ask, self._writer, self.task, self._run_id, self._label, self._price)
        return Pool(
            calls.ask,
            calls.save,
            price=self._price,
            workers=min(self.workers, self._wanted.at_most),
            policy=Policy(ATTEMPTS, backoff),
            clock=options.clock,
            limiter=self._limiter,
            spending=self._spending,
            on_idle=self._on_idle,
            counters=self._counters,
        )

    def _caller(self, client: Any, endpoint: Endpoint) -> Caller:
        options = self._options
        return Caller(
            client,
            self.task,
            endpoint,
            options.endpoints,
            self._spending,
            keep_replies=options.keep_replies,
            on_limits=self._on_limits,
        )

    def _rate_limiter(self, endpoint: Endpoint) -> RateLimiter:
        """Return what keeps to the limits a minute, together with all runs on the same store."""
        task, options = self.task, self._options
        foreseen = Forecast.of(task, endpoint, options.endpoints).usage
        backend, clock = backend_named(task.backend), options.clock
        return RateLimiter(
            min(self.workers, self._wanted.at_most),
            clock,
            opened=options.endpoints.answered(endpoint, task.model),
            limits=options.limits,
            estimate=TokenEstimate(foreseen, cached_count=backend.cached_count),
            open_blocks=lambda: self._cache.rate(
                f"{task.backend} {endpoint.identity} {task.model}",
                # A test's clock; that of the machine has no meaning in another process.
                None if type(clock) is Clock else clock.monotonic,
            ),
        )

    def _on_limits(self, chunk: Chunk, limits: Sequence[SeenLimit]) -> None:
        self._limiter.see(chunk, limits)

    def _fetching(self, download: local.Download) -> None:
        self._options.observer.fetching(download.done, download.total, str(download.target))

    def _chunks(self, failed: Mapping[str, str]) -> Iterator[Chunk]:
        """Cut what is wanted into chunks, rows that failed in an earlier run last."""
        rows, size = self._rows, self.chunk_size
        limits: dict[str, Any] = {"first": int(self._run_id, 16), "most_bytes": self._most_bytes}
        suspects: dict[int, str] = {}
        for places in self._wanted.blocks(size):
            before = remembered(rows, places.tolist(), failed)
            suspects |= before
            others = places[~np.isin(places, list(before))] if before else places
            if self._options.shuffle:
                yield from plan_chunks(rows, others, self._inputs, size, **limits)
                continue
            for together in np.split(others, np.flatnonzero(np.diff(others // size)) + 1):
                yield from plan_chunks(rows, together, self._inputs, size, shuffle=False, **limits)
        yield from suspect_chunks(rows, suspects, self._inputs, size, **limits)

    def _run(self, pool: Pool) -> None:
        """Ask until nothing is left.

        Raises
        ------
        Stopped
            If the user pressed Stop. Answers in flight are still saved, silently.
        StopRunError
            If no request can succeed, or none may begin.
        """
        self._leases = self._cache.leases(self.task.prompt_hash)
        self._leased = LeasedChunks(
            self._chunks(self._cache.failed(self.task.prompt_hash)),
            self._cache,
            self.task.prompt_hash,
            self._leases,
            clock=self._options.clock,
            answered=self._counters.saved,
            lookahead=self.workers,
            fresh=self._options.fresh and self._options.part is None,
            run_id=self._run_id if self._options.fresh and self._options.part else None,
        )
        self._pool = pool
        try:
            pool.start(self._leased, self._leased.end)
            self._recorder.keep_rows()
            self._watch(pool)
        except KeyboardInterrupt:
            self._leave(pool, "stopped", None)
            raise self._stopped() from None
        except BaseException as error:
            self._leave(pool, _outcome(error), str(error))
            raise

    def _watch(self, pool: Pool) -> None:
        """Wait for the end with short waits: Ctrl-C is seen only between them."""
        observer, shown, since = self._options.observer, None, 0.0
        uncounted = 0.0
        while not pool.wait(_GLANCE_S):
            since += _GLANCE_S
            uncounted += _GLANCE_S
            if uncounted >= _COUNT_S:
                uncounted = 0.0
                with contextlib.suppress(CacheError):  # held by others; the next count has it all
                    self._recorder.count(self._columns())
            progress = self._progress()
            if since >= _SHOW_EVERY_S and progress != shown:
                observer.moved(progress)
                shown, since = progress, 0.0
        observer.moved(self._progress())
        if pool.refused:
            raise self._spending.refusal(self._state)

    def _progress(self) -> Progress:
        """Return where the run is now."""
        settled, pool = self._settled, self._pool
        if pool is None:
            return settled
        counts, waiting_s = self._counters.snapshot(), pool.limiter.pause_left()
        return Progress(
            total=settled.total,
            done=settled.done + counts.done + counts.failed,
            cached=settled.cached,
            failed=settled.failed + counts.failed,
            input_tokens=counts.usage.input_tokens,
            output_tokens=counts.usage.output_tokens,
            cost=counts.known_cost,
            waiting_s=waiting_s,
            elsewhere=0 if waiting_s else self._leased.elsewhere,
        )

    def _state(self, advice: str) -> str:
        """Write how many rows are answered, what became of them, and how to go on."""
        have = self._known + self._counters.snapshot().done
        which = "" if self._options.part is None else " of this partition"
        what = "rows" if self._rows.repeats == 1 else "answers"
        rows = f"{have:,} of {self._settled.total:,} {what}{which}"
        if self._options.cache is not False:
            return f"{rows} are answered and kept. {advice} to go on with the rest."
        if have:
            return f"{rows} were answered; cache=False keeps them in this error's .result alone."
        return f"{rows} were answered and are lost, because cache=False keeps nothing."

    # At the end, in the main thread or after it has left.

    def _leave(self, pool: Pool, status: str, message: str | None) -> None:
        """Give control back now; the threads end by themselves, and the last one tidies up."""
        pool.stop()
        self._leased.stop()
        self._end, self._message = status, message
        # Another program may hold the file for long; the user does not wait for that.
        recording = threading.Thread(target=self._record_end, name="genai-record", daemon=True)
        recording.start()
        recording.join(_RECORD_S)
        if self._options.part is not None:
            pool.drain(_IN_FLIGHT_S)
        with self._lock:
            self._left = True
            ended = self._threads_ended
        if ended:
            self._release()

    def _on_idle(self) -> None:
        """Tidy up, called by the last worker."""
        self._writer.close()
        self._leased.close()
        self._limiter.close()
        self._leases.close()  # after the answers: whoever waits for a lease finds them
        self._spending.close()
        self._close()
        with self._lock:
            self._threads_ended = True
            left = self._left
        if left:
            # The main thread is gone: count what still arrived after Stop, then let the file go.
            self._record_end()
            self._release()

    def _record_end(self) -> None:
        columns = self._columns()
        with contextlib.suppress(CacheError):  # closed with the last thread, which ended them all
            self._leases.flush()
        with contextlib.suppress(CacheError):  # let go meanwhile, or held by another program
            self._recorder.close(self._end, {**columns, "message": self._message})
            # The next run asks last for what has failed in this one.
            rows, failures = self._rows, self._failures
            found = [row for row in failed_rows(rows, failures) if row.key is not None]
            self._recorder.save_failures(rows, failures, found)

    def _conclude(self) -> pd.DataFrame:
        """Build the frame and write the report."""
        columns = self._columns()
        warn_of_damage(self._cache)
        if not len(self._wanted.first):
            origins = self._cache.origins(self.task.prompt_hash, self._rows.keys)
            columns |= origin_columns(origins, self._price)
            if self._options.part is not None:  # the other parts may have asked
                columns["message"] = None
        elif self._limiter.message:
            columns["message"] = self._limiter.message
        if self._note:
            columns["message"] = f"{self._note} {columns.get('message', '')}".strip()
        failures, on_error = self._failures, self._options.on_error
        return self._recorder.conclude(self._rows, failures, columns, on_error=on_error)

    def _partial(self, cache: AnswerStore, status: str) -> pd.DataFrame | None:
        """Build the frame of what is answered so far."""
        failures = self._failures
        return self._recorder.partial(cache, self._rows, failures, self._columns(), status)

    def _columns(self) -> dict[str, object]:
        """Return the counts so far under the names of the table ``runs``."""
        counts, settled, repeats = self._counters.snapshot(), self._settled, self._rows.repeats
        return {
            "ok": (self._known + counts.done) // repeats,
            "cached": self._cached,
            "failed": (settled.failed + counts.failed) // repeats,
            "calls": counts.calls,
            "retries": counts.retries,
            "input_tokens": counts.usage.input_tokens,
            "cached_tokens": counts.usage.cached_tokens,
            "cache_write_tokens": counts.usage.cache_write_tokens,
            "output_tokens": counts.usage.output_tokens,
            "unknown_calls": counts.usage.unknown_calls,
            "cost": counts.known_cost,
            "models": json.dumps(self._counters.models),
            **params_columns(self.task, self._counters.params),
        }


@contextlib.contextmanager
def nothing_asked_yet() -> Iterator[None]:
    """Say in one sentence that Stop came before the first request."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(
            "Stopped before anything was asked: nothing was paid. Run the cell again."
        ) from None


def _outcome(error: BaseException) -> str:
    stops = (KeyboardInterrupt, BudgetError, PartEndedError)
    return "stopped" if isinstance(error, stops) else "failed"


def _nothing() -> None:
    """Close nothing: it is not ours."""
