"""From a job to the frame of its answers, now or when it has ended."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pandas as pd

from pandas_genai.batch.collect import Collection
from pandas_genai.batch.journal import Part, cut
from pandas_genai.batch.reasons import forgotten, reasons
from pandas_genai.batch.site import Site
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
from pandas_genai.runs.answers import unanswered
from pandas_genai.runs.failures import NOT_FAILED
from pandas_genai.runs.origins import origin_columns
from pandas_genai.runs.parameters import params_columns
from pandas_genai.runs.partial import RunStore
from pandas_genai.runs.progress import Observer, Progress
from pandas_genai.runs.recorder import OnError, RunRecorder
from pandas_genai.store import AnswerStore, Cache, open_store
from pandas_genai.task.bound import BoundTask
from pandas_genai.task.reply import Failure, Usage
from pandas_genai.task.rows import Keys, Rows

__all__ = ["Gathering", "Patience"]

_GROWTH = 1.5
_LONGEST_POLL_S = 900.0


@dataclass(frozen=True)
class Patience:
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


class Gathering:
    """Collects a job for the rows of one frame.

    Parameters
    ----------
    site : Site
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
        self, site: Site, rows: Rows, index: pd.Index, cache: Cache | None, observer: Observer
    ) -> None:
        self._site = site
        self._rows = rows
        self._index = index
        self._observer = observer
        self._run_id = uuid.uuid4().hex[:12]
        self._unread = list(range(len(rows.keys)))
        self._trouble: CallError | JobError | None = None
        chosen = site.store_url() if cache is None else cache
        if chosen is None:
            raise UsageError(
                f"The job {site.folder.name!r} was submitted with a cache in memory: pass cache=."
            )
        self._cache_choice: Cache = chosen

    def run(self, patience: Patience, on_error: OnError = "keep") -> pd.DataFrame:
        """Return the frame of what is there, or, waiting, of everything.

        Raises
        ------
        RowsFailedError
            With ``on_error="raise"``, if rows have failed.
        JobError, CallError, CacheError, UsageError
            What was collected stays collected.
        Stopped
            After Stop while waiting.
        """
        if on_error not in ("keep", "raise"):
            raise UsageError(f"on_error= must be 'keep' or 'raise', not {on_error!r}.")
        with ExitStack() as stack:
            cache, ours = open_store(self._cache_choice)
            kept = RunStore(cache, ours=ours)
            stack.callback(kept.release)
            book = RunRecorder(
                cache,
                self._site.task,
                self._site.system(),
                self._run_id,
                "batch_collect",
                self._index,
            )
            self._unread = self._unanswered(cache, book)
            new: list[Part] = []
            try:
                book.open(self._rows, self._rows.sent - self._copies_of_unread())
                self._advance(cache, patience, new)
                failures = self._failures(cache)
                self._say()
                columns = self._counts(new, failures)
                if not new:  # others read these results before: the report says who answered
                    origins = cache.origins(self._site.task.prompt_hash, self._rows.keys)
                    columns |= origin_columns(origins, self._site.price())
                status = "completed" if self._site.journal.finished else "partial"
                return book.conclude(
                    self._rows, failures, columns, status=status, on_error=on_error
                )
            except BaseException as error:
                status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
                kept.carry(error, lambda found: self._partial(book, found, new, status))
                if not book.closed:
                    with suppress(CacheError):  # what went wrong first is what is raised
                        book.close(status, _columns(self._site.task, new, 0, 0))
                raise

    def _counts(self, new: Sequence[Part], failures: Sequence[Failure]) -> dict[str, object]:
        failed = {one.row.key for one in failures if one.refusal.reason not in NOT_FAILED}
        without = self._copies({one.row.key for one in failures})
        ok = self._rows.sent - without
        return _columns(self._site.task, new, ok, self._copies(failed))

    def _partial(
        self, book: RunRecorder, cache: AnswerStore, new: Sequence[Part], status: str
    ) -> pd.DataFrame | None:
        """Build the frame of what the cache has, after an error."""
        site = self._site
        failures = reasons(site.folder, site.journal, self._missing(cache))
        columns = self._counts(new, failures)
        return book.partial(cache, self._rows, failures, columns, status)

    def _unanswered(self, cache: AnswerStore, book: RunRecorder) -> list[int]:
        """Return which texts have no answer; what can no longer be replaced is read at once."""
        if self._site.journal.finished:
            return book.read_known(self._rows)
        return unanswered(cache, self._site.journal.prompt_hash, self._rows.keys)

    def _copies_of_unread(self) -> int:
        return int(self._rows.copies[self._unread].sum())

    def _copies(self, keys: set[str]) -> int:
        if not keys:
            return 0
        return sum(
            int(copies)
            for key, copies in zip(self._rows.keys, self._rows.copies, strict=True)
            if key in keys
        )

    def _missing(self, cache: AnswerStore) -> set[str]:
        """Return what had no answer when the run began, and has none now."""
        keys = Keys(self._rows.keys.table[self._unread])
        return set(keys.take(unanswered(cache, self._site.journal.prompt_hash, keys)))

    def _failures(self, cache: AnswerStore) -> list[Failure]:
        """Say why texts have no answer; answers that the cache has lost are read again."""
        site = self._site
        missing = self._missing(cache)
        if missing:
            gone = forgotten(site.folder, site.journal, missing)
            if gone:
                with site.locked():
                    Collection(site, cache, self._run_id).digest_again(gone)
                missing = self._missing(cache)
        return reasons(site.folder, site.journal, missing)

    def _advance(self, cache: AnswerStore, patience: Patience, new: list[Part]) -> None:
        """Go on with the job, until it has ended where that is wanted."""
        if not self._try(cache, new) or not patience.wait or self._is_done():
            return
        waiting, poll = Deadline(self._site.clock, patience.timeout), patience.poll_s
        outcome = "failed"
        try:
            self._observer.started(self._progress())
            while not self._is_done():
                if waiting.is_over:
                    outcome = "stopped"
                    return
                waiting.sleep(poll)
                poll = min(poll * _GROWTH, max(_LONGEST_POLL_S, patience.poll_s))
                goes_on = self._try(cache, new, waits=True)
                self._observer.moved(self._progress(poll))
                if not goes_on:
                    outcome = "stopped"
                    return
            outcome = "completed"
        except KeyboardInterrupt:
            outcome = "stopped"
            raise Stopped(
                f"Stopped waiting. {JobState.of(self._site.journal)} Nothing is lost: collect "
                "again whenever you like."
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
                part.finished for part in self._site.journal.parts
            ):
                raise
            self._trouble = error
            return outage
        return True

    def _is_done(self) -> bool:
        return self._site.journal.finished

    def _step(self, cache: AnswerStore, new: list[Part]) -> None:
        site = self._site
        if site.journal.finished and not site.journal.lost:
            return
        with site.locked():
            before = {part.number for part in site.journal.parts if part.finished}
            try:
                Collection(site, cache, self._run_id).step()
                if site.journal.finished:
                    cache.end_job(site.journal.uid)
            finally:
                new += [
                    part
                    for part in site.journal.parts
                    if part.finished and part.number not in before
                ]

    def _progress(self, poll: float = 0.0) -> Progress:
        state, trouble = JobState.of(self._site.journal), self._trouble
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
        journal, tell = self._site.journal, self._site.means.tell
        if not journal.finished:
            said = f" The last time it was asked: {self._trouble}" if self._trouble else ""
            tell(f"{JobState.of(journal)}{said}")
        elif journal.lost:
            tell(str(JobState.of(journal)))
        for part in journal.parts:
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
