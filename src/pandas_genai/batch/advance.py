"""Goes on with a job as far as the provider lets it: status, results, cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pandas_genai.backends.batches import Batch, BatchApi
from pandas_genai.batch.connection import Connection
from pandas_genai.batch.ingest import Ingestion, give_up, keys_of
from pandas_genai.batch.lines import ResultLines
from pandas_genai.batch.manifest import Part, count_of, cut, moment_of
from pandas_genai.batch.stages import NO_BATCH, STAGES, Action
from pandas_genai.batch.submit import Submission
from pandas_genai.errors import (
    CacheError,
    CallError,
    GenaiError,
    JobError,
    RowError,
    StopRunError,
    WaitError,
)
from pandas_genai.files import new_file
from pandas_genai.store import AnswerStore

__all__ = ["PartAdvancer", "is_gone"]

_GONE = frozenset({"not found", "bad request"})
"""Reasons of errors after which the provider has the results no more: 404 and 410."""

_OUTAGES = 3
"""Parts in a row without an answer after which the others are not asked this time."""


class PartAdvancer:
    """Takes each part of a job to its next stage, again and again.

    Parameters
    ----------
    connection : Connection
        The job, locked.
    cache : AnswerStore, optional
        Where answers go; needed by ``advance`` and ``ingest_again``.
    run_id : str, optional
        The run that collects, for the answers' column ``run_id``; else the job's identity.
    """

    def __init__(
        self, connection: Connection, cache: AnswerStore | None, run_id: str | None = None
    ) -> None:
        self._connection = connection
        self._cache = cache
        self._run_id = run_id or connection.manifest.uid
        self._ended = 0

    def advance(self) -> None:
        """Do everything that can be done now, for each part by itself.

        What goes wrong with one part is noted with it, and the others go on. It is raised only
        where nothing went right.

        Raises
        ------
        JobError
            If the job's requests were never all written, or its files are damaged.
        CallError
            What is done stays in the manifest; the next step goes on from it.
        """
        connection = self._connection
        if not connection.manifest.ready:
            raise JobError(
                f"The job {connection.folder.name!r} was interrupted before it was submitted: run "
                "the cell with batch_submit() again; nothing was sent yet."
            )
        self._advance_all(("upload", "create", "ask", "store", "ingest"))

    def store_all(self) -> None:
        """Store the results of every batch that has ended, as the provider wrote them.

        No answer is read, and nothing is sent but what the provider had no quota for.
        """
        self._advance_all(("ask", "store"))

    def _advance_all(self, actions: Sequence[Action]) -> None:
        """Take every part as far as these actions take it, then send what had to wait."""
        parts = self._connection.manifest.parts
        self._ended = 0
        self._each(
            [part for part in parts if STAGES[part.stage].action in actions],
            lambda part: self._advance(part, actions),
        )
        self._send_waiting()

    def refresh_all(self) -> None:
        """Ask how far every batch is that has not ended."""
        self._each(
            [part for part in self._connection.manifest.parts if part.in_flight], self.refresh
        )

    def give_up_gone(self) -> None:
        """Note as lost what the provider says it does not have, even if it has nothing else."""
        for part in self._connection.manifest.parts:
            if part.in_flight:
                try:
                    self.refresh(part)
                except CallError as error:
                    if not is_gone(error):
                        raise
                    give_up(self._connection, part, str(error))
        self._connection.save()

    def _each(self, parts: Sequence[Part], work: Callable[[Part], None]) -> None:
        """Work on each part by itself; see ``advance`` for what goes wrong."""
        troubles: list[tuple[Part, GenaiError]] = []
        went_right = outages = 0
        for part in parts:
            if outages >= _OUTAGES:
                break
            before, part.trouble = part.stage, ""
            try:
                work(part)
            except CacheError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one part's files and replies do
                trouble = self._trouble(part, error)
                troubles.append((part, trouble))
                part.trouble = cut(str(trouble))
                outages += isinstance(trouble, WaitError)
            else:
                outages = 0
                went_right += (before, part.stage) != ("lost", "lost")
        if not troubles:
            return
        if not went_right:
            self._connection.save()
            raise troubles[0][1]
        for part, trouble in troubles:
            if part.in_flight and is_gone(trouble):
                with suppress(JobError):
                    give_up(self._connection, part, str(trouble))
        self._connection.save()

    def _trouble(self, part: Part, error: Exception) -> GenaiError:
        """Return an error as one of ours, which names the part."""
        if isinstance(error, GenaiError):
            return error
        folder = self._connection.folder
        where = getattr(error, "filename", None) or folder.path
        return JobError(
            f"Part {part.number} of the job {folder.name!r} cannot be worked on "
            f"({type(error).__name__}: {error}; {where}). The others are not touched by it."
        )

    def _advance(self, part: Part, actions: Sequence[Action]) -> None:
        """Take one part as far as it goes now: the table says what is done in each stage."""
        submission = Submission(self._connection)
        work: dict[Action, Callable[[Part], None]] = {
            "upload": submission.upload,
            "create": submission.create,
            "ask": self._ask,
            "store": self._store,
            "ingest": self._ingest,
        }
        while (action := STAGES[part.stage].action) in actions:
            before = part.stage
            work[action](part)
            if part.stage in (before, "lost"):  # what is lost is asked for once each time
                return

    def _ask(self, part: Part) -> None:
        """Ask how far a batch is; of results that were lost, a refusal is what is known already."""
        if part.in_flight:
            self.refresh(part)
            self._ended += not part.in_flight
            return
        with suppress(CallError):
            self.refresh(part)

    def _ingest(self, part: Part) -> None:
        assert self._cache is not None
        Ingestion(self._connection, part, self._cache, self._run_id).ingest()

    def refresh(self, part: Part) -> None:
        """Ask how far a batch is."""
        batch = self._batch(part)
        part.confirmed = True
        _described(part, batch)
        if batch.ended:
            if batch.code in self._connection.api.quota_codes and not batch.done:
                part.rejected.append(part.batch_id or "")
                self._connection.move(part, "waiting")
            else:
                self._connection.move(part, "ended")
        else:
            self._connection.save()

    def _batch(self, part: Part) -> Batch:
        """Return the batch of a part, looked for once where its id may have been misread."""
        api = self._connection.api
        try:
            return api.get(part.batch_id or "")
        except (RowError, StopRunError) as error:
            if not part.in_flight or part.confirmed or not is_gone(error):
                raise
            if not Submission(self._connection).left(part, waits=()):
                raise
            return api.get(part.batch_id or "")

    def _store(self, part: Part) -> None:
        """Keep the results as they are before a line of them is read."""
        connection, api = self._connection, self._connection.api
        backend = connection.manifest.backend
        batch = Batch(
            part.batch_id or "", part.status, ended=True, output=part.output, error=part.error
        )
        results, errors = (
            connection.folder.results(backend, part),
            connection.folder.errors(backend, part),
        )
        try:
            stored = api.fetch(batch, "output", results)
            if part.candidates and stored and not self._is_ours(part, results):
                results.unlink()
                self._next_candidate(part)
                return
            anything = api.fetch(batch, "error", errors) or stored
            if part.done and not anything:
                raise gone(part)
        except (RowError, StopRunError) as error:
            if not is_gone(error):
                raise
            give_up(connection, part, str(error))
            return
        if stored and not api.has_error_files:
            write_errors(results, errors, api)
        part.candidates = []
        connection.move(part, "stored")

    def _is_ours(self, part: Part, results: Path) -> bool:
        known = keys_of(self._connection.folder, part)
        return ResultLines(self._connection.manifest.backend, [results], known).first_id() in known

    def _next_candidate(self, part: Part) -> None:
        """Go on without a batch that turned out to be somebody else's."""
        others = [name for name in part.candidates if name != part.batch_id]
        part.rejected.append(part.batch_id or "")
        part.candidates = others
        part.batch_id = others[0] if others else None
        self._connection.move(part, "created" if others else "creating")

    def _send_waiting(self) -> None:
        """Create again what had no quota: as many as have ended, all once nothing is left."""
        parts = self._connection.manifest.parts
        waiting = [part for part in parts if part.stage == "waiting"]
        busy = any(part.in_flight for part in parts)
        for part in waiting[: self._ended if busy else None]:
            self._connection.move(part, "uploaded")
            Submission(self._connection).create(part)

    def ingest_again(self, numbers: set[int]) -> None:
        """Read stored results once more, for a cache that has lost them."""
        for part in self._connection.manifest.parts:
            if part.number in numbers:
                self._ingest(part)

    def cancel(self) -> None:
        """Ask the provider to end every batch that has not ended, and send nothing more."""
        for part in self._connection.manifest.parts:
            if part.stage == "creating" and not Submission(self._connection).left(part):
                self._connection.move(part, "uploaded")
            if part.in_flight:
                _described(part, self._connection.api.cancel(part.batch_id or ""))
                self._connection.save()
            elif part.stage in NO_BATCH:
                part.status = "cancelled"
                self._connection.move(part, "stored")


def write_errors(results: Path, errors: Path, api: BatchApi) -> None:
    """Copy what has failed out of results that hold both."""
    with results.open("rb") as lines, new_file(errors) as file:
        file.writelines(line for line in lines if api.has_failed(line))


def is_gone(error: GenaiError) -> bool:
    """Whether an error says that the provider does not have what was asked for."""
    return isinstance(error, CallError) and error.reason in _GONE


def gone(part: Part) -> StopRunError:
    """Return the error of a batch that has ended and whose results are nowhere."""
    return StopRunError(
        f"{part.done:,} requests of the batch {part.batch_id} were answered, but the provider "
        "names no results of it.",
        reason="not found",
    )


def _described(part: Part, batch: Batch) -> None:
    part.status, part.code, part.message = map(cut, (batch.status, batch.code, batch.message))
    part.done, part.failed = count_of(batch.done), count_of(batch.failed)
    part.ends_by = moment_of(batch.ends_by) or part.ends_by
    part.output, part.error = batch.output or None, batch.error or None
