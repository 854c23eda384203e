"""From a job to the frame of its answers, now or when it has ended."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from pandas_genai.batch.advance import PartAdvancer
from pandas_genai.batch.connection import Connection
from pandas_genai.batch.explained import explained
from pandas_genai.batch.failures import forgotten, reasons
from pandas_genai.batch.manifest import Part, cut
from pandas_genai.batch.state import JobState
from pandas_genai.clock import Deadline
from pandas_genai.costs.prices import known_cost
from pandas_genai.errors import (
    CacheError,
    CallError,
    JobError,
    Stopped,
    UsageError,
    WaitError,
)
from pandas_genai.runs.answers import unanswered, warn_of_damage
from pandas_genai.runs.failures import NOT_FAILED
from pandas_genai.runs.origins import origin_columns
from pandas_genai.runs.parameters import params_columns
from pandas_genai.runs.partial import RunStore
from pandas_genai.runs.progress import Observer, Progress
from pandas_genai.runs.recorder import OnError, RunRecorder, check_on_error
from pandas_genai.store import AnswerStore, Cache, open_store
from pandas_genai.task.reply import Failure, Usage
from pandas_genai.task.rows import Keys, Rows
from pandas_genai.task.task import BoundTask

__all__ = ["Collector", "WaitOptions"]

_GROWTH = 1.5
_LONGEST_POLL_S = 900.0


@dataclass(frozen=True)
class WaitOptions:
    """How long to wait for a job.

    Parameters
    ----------
    wait : bool
        Whether to wait at all.
    poll_s : float
        Seconds until the provider is asked again; each time half as long again, up to 15 minutes.
    timeout : float, optional
        Seconds after which what is there is returned.
    """

    wait: bool = False
    poll_s: float = 60.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        for name in ("poll_s", "timeout"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and value > 0):
                raise UsageError(f"{name}= must be a number of seconds above 0, not {value!r}.")


class Collector:
    """Collects a job for the rows of one frame.

    Parameters
    ----------
    connection : Connection
        The job.
    rows : Rows
        The rows of the frame.
    index : Index
        Its index.
    cache : AnswerStore, str, Path or None
        Where the answers go; None: where the job was submitted with.
    observer : Observer
        Who watches while it waits.
    """

    def __init__(
        self,
        connection: Connection,
        rows: Rows,
        index: pd.Index,
        cache: Cache | None,
        observer: Observer,
    ) -> None:
        self._connection = connection
        self._rows = rows
        self._index = index
        self._observer = observer
        self._run_id = uuid.uuid4().hex[:12]
        self._unread = list(range(len(rows.keys)))
        self._trouble: CallError | JobError | None = None
        chosen = connection.store_url() if cache is None else cache
        if chosen is None:
            raise UsageError(
                f"The job {connection.folder.name!r} was submitted with a cache in memory: "
                "pass cache=."
            )
        self._cache_choice: Cache = chosen

    def collect(self, wait_options: WaitOptions, on_error: OnError = "keep") -> pd.DataFrame:
        """Return the frame of what is there, or, waiting, of everything.

        Raises
        ------
        RowsFailedError
            With ``on_error="raise"``, if rows have failed.
        JobError, CallError, CacheError, UsageError
            What was collected stays collected.
        Stopped
            After Stop.
        """
        check_on_error(on_error)
        with ExitStack() as stack:
            cache, ours = open_store(self._cache_choice)
            kept = RunStore(cache, ours=ours)
            stack.callback(kept.release)
            recorder = RunRecorder(
                cache,
                self._connection.task,
                self._connection.system(),
                self._run_id,
                "batch_collect",
                self._index,
            )
            self._unread = self._unanswered(cache, recorder)
            new: list[Part] = []
            try:
                with explained(self._connection.folder):
                    return self._go_on(cache, recorder, new, wait_options, on_error)
            except BaseException as error:
                status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
                kept.carry(error, lambda found: self._partial(recorder, found, new, status))
                if not recorder.closed:
                    with suppress(CacheError):  # what went wrong first is what is raised
                        recorder.close(status, _columns(self._connection.task, new, 0, 0))
                raise

    def _go_on(
        self,
        cache: AnswerStore,
        recorder: RunRecorder,
        new: list[Part],
        wait_options: WaitOptions,
        on_error: OnError,
    ) -> pd.DataFrame:
        recorder.open(self._rows, self._rows.sent - self._rows.rows_of(self._unread))
        recorder.keep_rows()
        self._advance(cache, wait_options, new)
        failures = self._failures(cache)
        self._say()
        columns = self._counts(new, failures)
        if not new:  # others read these results before: the report says who answered
            origins = cache.origins(self._connection.task.prompt_hash, self._rows.keys)
            columns |= origin_columns(origins, self._connection.price())
        status = "completed" if self._connection.manifest.finished else "partial"
        return recorder.conclude(self._rows, failures, columns, status=status, on_error=on_error)

    def _counts(self, new: Sequence[Part], failures: Sequence[Failure]) -> dict[str, object]:
        failed = {one.row.key for one in failures if one.refusal.reason not in NOT_FAILED}
        without = self._copies({one.row.key for one in failures})
        ok = self._rows.sent - without
        return _columns(self._connection.task, new, ok, self._copies(failed))

    def _partial(
        self, recorder: RunRecorder, cache: AnswerStore, new: Sequence[Part], status: str
    ) -> pd.DataFrame | None:
        """Build the frame of what the cache has, after an error."""
        connection = self._connection
        failures = reasons(connection.folder, connection.manifest, self._missing(cache))
        columns = self._counts(new, failures)
        return recorder.partial(cache, self._rows, failures, columns, status)

    def _unanswered(self, cache: AnswerStore, recorder: RunRecorder) -> list[int]:
        """Return which texts have no answer; what can no longer be replaced is read at once."""
        if self._connection.manifest.finished:
            missing = [block for _, block in recorder.read_known(self._rows)]
            warn_of_damage(cache)
            return sorted(map(int, chain.from_iterable(missing)))
        return unanswered(cache, self._connection.manifest.prompt_hash, self._rows.keys)

    def _copies(self, keys: set[str]) -> int:
        if not keys:
            return 0
        return self._rows.rows_of([at for at, key in enumerate(self._rows.keys) if key in keys])

    def _missing(self, cache: AnswerStore) -> set[str]:
        """Return what had no answer when the run began, and has none now."""
        keys = Keys(self._rows.keys.at(self._unread))
        return set(keys.take(unanswered(cache, self._connection.manifest.prompt_hash, keys)))

    def _failures(self, cache: AnswerStore) -> list[Failure]:
        """Say why texts have no answer; answers that the cache has lost are read again."""
        connection = self._connection
        missing = self._missing(cache)
        if missing:
            gone = forgotten(connection.folder, connection.manifest, missing)
            if gone:
                with connection.locked():
                    PartAdvancer(connection, cache, self._run_id).ingest_again(gone)
                missing = self._missing(cache)
        return reasons(connection.folder, connection.manifest, missing)

    def _advance(self, cache: AnswerStore, wait_options: WaitOptions, new: list[Part]) -> None:
        """Go on with the job, until it has ended where that is wanted."""
        if not self._try(cache, new) or not wait_options.wait or self._is_done():
            return
        waiting, poll = Deadline(self._connection.clock, wait_options.timeout), wait_options.poll_s
        outcome = "failed"
        try:
            self._observer.started(self._progress())
            while not self._is_done():
                if waiting.is_over:
                    outcome = "stopped"
                    return
                waiting.sleep(poll)
                poll = min(poll * _GROWTH, max(_LONGEST_POLL_S, wait_options.poll_s))
                goes_on = self._try(cache, new, waits=True)
                self._observer.moved(self._progress(poll))
                if not goes_on:
                    outcome = "stopped"
                    return
            outcome = "completed"
        except KeyboardInterrupt:
            outcome = "stopped"
            raise Stopped(
                f"Stopped waiting. {JobState.of(self._connection.manifest)} Nothing is lost: "
                "collect again whenever you like."
            ) from None
        finally:
            self._observer.ended(self._progress(), outcome)

    def _try(self, cache: AnswerStore, new: list[Part], *, waits: bool = False) -> bool:
        """Go on as far as it goes; False where waiting does not help.

        Where no part of the job could be worked on, that is raised if there is nothing to return
        yet; a job outlives many an outage, so that it is waited out.
        """
        self._trouble = None
        try:
            self._step(cache, new)
        except (CallError, JobError) as error:
            outage = isinstance(error, WaitError)
            if not (waits and outage) and not any(
                part.finished for part in self._connection.manifest.parts
            ):
                raise
            self._trouble = error
            return outage
        return True

    def _is_done(self) -> bool:
        return self._connection.manifest.finished

    def _step(self, cache: AnswerStore, new: list[Part]) -> None:
        connection = self._connection
        if connection.manifest.finished and not connection.manifest.lost:
            return
        with connection.locked():
            before = {part.number for part in connection.manifest.parts if part.finished}
            try:
                PartAdvancer(connection, cache, self._run_id).advance()
                if connection.manifest.finished:
                    cache.end_job(connection.manifest.uid)
            finally:
                new += [
                    part
                    for part in connection.manifest.parts
                    if part.finished and part.number not in before
                ]

    def _progress(self, poll: float = 0.0) -> Progress:
        state, trouble = JobState.of(self._connection.manifest), self._trouble
        return Progress(
            total=state.rows,
            done=state.answered + state.failed + state.worked_on,
            failed=state.failed,
            input_tokens=state.usage.input_tokens,
            output_tokens=state.usage.output_tokens,
            cost=state.cost,
            waiting_s=poll if trouble else 0.0,
            waiting_for=getattr(trouble, "reason", "damaged files") if trouble else "",
        )

    def _say(self) -> None:
        manifest, tell = self._connection.manifest, self._connection.options.tell
        if not manifest.finished:
            reason = f" The last time it was asked: {self._trouble}" if self._trouble else ""
            tell(f"{JobState.of(manifest)}{reason}")
        elif manifest.lost:
            tell(str(JobState.of(manifest)))
        for part in manifest.parts:
            if part.trouble and part.trouble != cut(str(self._trouble)):
                tell(f"Part {part.number}: {part.trouble}")


def _columns(task: BoundTask, parts: Sequence[Part], ok: int, failed: int) -> dict[str, object]:
    """Return the counts of a run that read these parts' results for the first time."""
    usage = sum((part.usage for part in parts), Usage())
    models = [name for part in parts for name in part.models]
    costs = [part.cost for part in parts]
    return {
        "ok": ok,
        "failed": failed,
        "calls": sum(part.calls for part in parts),
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "unknown_calls": usage.unknown_calls,
        "cost": known_cost(usage, None if None in costs else sum(cost or 0.0 for cost in costs)),
        "models": json.dumps(list(dict.fromkeys(models))),
        **params_columns(task, (part.params_sent for part in parts)),
    }
