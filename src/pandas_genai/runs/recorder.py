"""One run's entries in the cache file, from its start to the frame of its answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Literal

import pandas as pd

from pandas_genai.errors import CacheError, RowsFailedError, UsageError, counted
from pandas_genai.runs.answers import AnswerReader
from pandas_genai.runs.failures import (
    NOT_FAILED,
    NOT_REACHED,
    FailedRow,
    answer_records,
    as_frame,
    as_records,
    failed_rows,
    reasons_text,
    warn_of,
)
from pandas_genai.runs.parameters import warn_left_out
from pandas_genai.runs.parts import Part, PartEndedError
from pandas_genai.runs.report import Report, remember
from pandas_genai.store import AnswerStore, PartRecord, RunRecord, TaskRecord
from pandas_genai.store.parts import BLOCKS, POSITIONS, SUPERSEDED
from pandas_genai.store.records import now
from pandas_genai.task.chunks import Row
from pandas_genai.task.inputs import NO_INPUT
from pandas_genai.task.reply import Failure, Refusal
from pandas_genai.task.rows import Positions, Rows
from pandas_genai.task.task import BoundTask

__all__ = ["ATTR", "OnError", "RunRecorder", "check_on_error", "new_run_id"]

ATTR = "pandas_genai_run"
"""The key of ``DataFrame.attrs`` that holds the id of the run."""

OnError = Literal["keep", "raise"]


def new_run_id() -> str:
    """Return the identity of a new run."""
    return uuid.uuid4().hex[:12]


def check_on_error(on_error: object) -> None:
    """Refuse what is no choice of ``on_error=``."""
    if on_error not in ("keep", "raise"):
        raise UsageError(f"on_error= must be 'keep' or 'raise', not {on_error!r}.")


_ENDED = {
    "failed": "The run was ended by an error elsewhere.",
    "stopped": "The run was stopped; what was answered is kept.",
    SUPERSEDED: "Another attempt at the same part of the run has begun.",
}
_UNREACHED = Refusal(NOT_REACHED, "The run ended before this row was answered.")


class RunRecorder:
    """Writes down one run: its task and start, its end, its failures; builds its result.

    Parameters
    ----------
    cache : AnswerStore
        Where it is written.
    task : BoundTask
        What is asked.
    system : str
        The instructions as they are sent.
    run_id : str
        Identity of the run.
    kind : {"extract", "batch_collect"}
        How it is asked.
    index : Index
        The input's index.
    given : mapping, optional
        Answers that are taken as they are, as JSON text by row.
    part : Part, optional
        Which part of the run this is, where several workers ask it. The run's record then has
        the counts of all parts; what there is to warn of stands in the run's report alone.

    Attributes
    ----------
    closed : bool
        Whether it was written down how the run ended.
    """

    def __init__(
        self,
        cache: AnswerStore,
        task: BoundTask,
        system: str,
        run_id: str,
        kind: str,
        index: pd.Index,
        given: Mapping[int, str] | None = None,
        part: Part | None = None,
    ) -> None:
        self._cache = cache
        self._task = task
        self._system = system
        self._run_id = run_id
        self._kind = kind
        self._index = index
        self._given = dict(given or {})
        self._part = part
        self._reader: AnswerReader | None = None
        self._repeats = 1
        self._rows: Rows | None = None
        self.closed = False

    def read_known(self, rows: Rows) -> Iterator[tuple[Positions, Positions]]:
        """Read what is answered already; see ``AnswerReader.read_known``."""
        self._reader = self._reads(rows)
        return self._reader.read_known(self._cache)

    def open(self, rows: Rows, cached: int, ids: Sequence[object] | None = None) -> None:
        """Write down task, run and ids before anything is sent.

        Parameters
        ----------
        rows : Rows
            The input.
        cached : int
            How many rows of it are answered already.
        ids : sequence, optional
            The user's ids of the rows.
        """
        task, cache = self._task, self._cache
        self._repeats = rows.repeats
        save_task(cache, task, self._system)
        self._run = RunRecord(
            run_id=self._run_id,
            prompt_hash=task.prompt_hash,
            kind=self._kind,
            status="running",
            started=now(),
            version=version("pandas-genai"),
            rows=len(rows),
            cached=cached,
            empty=len(rows.empty) - len(self._given),
            twins=rows.duplicates,
            host=task.host,
        )
        try:
            if self._part is None:
                cache.start_run(self._run)
            else:
                self.count({})
            self._rows = rows
            if ids is not None:
                pairs = zip(ids, rows.codes.tolist(), strict=True)
                cache.remember_ids(
                    task.prompt_hash,
                    ((str(row_id), rows.keys[code]) for row_id, code in pairs if code >= 0),
                )
        except BaseException as error:  # of a million rows, Stop may come here too
            with suppress(CacheError):
                stopped = isinstance(error, PartEndedError | KeyboardInterrupt)
                self.close("stopped" if stopped else "failed", {})
            raise

    def keep_rows(self) -> None:
        """Write down which rows the run has, at its end at the latest.

        Of a million of them that takes a while, in which the first can be under way.
        """
        if self._rows is not None:
            first = 0 if self._part is None else self._part.number * BLOCKS
            blocks = list(self._rows.key_blocks())  # made before the store is held for them
            self._cache.save_run_rows(self._run_id, blocks, first)
            self._rows = None

    def count(self, columns: Mapping[str, Any]) -> None:
        """Write down how far a part is; nothing for a run that is in one part.

        Raises
        ------
        PartEndedError
            If nothing more is to be asked.
        """
        if self._part is not None:
            run = self._count(self._part, columns)
            if run.status in _ENDED:
                raise PartEndedError(run.message or _ENDED[run.status], reason="ended elsewhere")
            if not self._part.is_wanted():
                raise PartEndedError(_ENDED["stopped"], reason="stopped")

    def _count(self, part: Part, columns: Mapping[str, Any]) -> RunRecord:
        counts = replace(self._run, **columns)
        return self._cache.count_part(PartRecord(part.number, part.attempt, counts))

    def close(self, status: str, columns: Mapping[str, Any]) -> None:
        """Write down how the run ended."""
        self.closed = True
        columns = {**columns, **self._repeated(columns), "status": status, "ended": now()}
        if self._part is None:
            self._cache.end_run(self._run_id, **columns)
        else:
            if status == "completed" and not self._part.is_wanted():
                # Stopped between its last answer and here; no other part may begin to say so.
                columns |= {"status": "stopped", "message": _ENDED["stopped"]}
            self._count(self._part, columns)
        self.keep_rows()

    def save_failures(
        self, rows: Rows, failures: Collection[Failure], found: Sequence[FailedRow]
    ) -> None:
        """Write down which rows have no answer, at their places in the whole input."""
        first = 0 if self._part is None else self._part.number * POSITIONS
        records = as_records(found, self._index, self._run_id, first)
        records += answer_records(rows, failures, self._run_id, first)
        self._cache.save_failures(self._run_id, records)

    def conclude(
        self,
        rows: Rows,
        failures: Iterable[Failure],
        columns: Mapping[str, object],
        *,
        status: str = "completed",
        on_error: OnError = "keep",
    ) -> pd.DataFrame:
        """Build the frame, write the report, and say what has no answer.

        Parameters
        ----------
        rows : Rows
            The input.
        failures : iterable of Failure
            The texts without an answer.
        columns : mapping
            The counts of the run by column of the table ``runs``.
        status : str, default "completed"
            How the run ended.
        on_error : {"keep", "raise"}
            What to do about failed rows.

        Raises
        ------
        RowsFailedError
            With ``on_error="raise"``; its ``result`` is the frame.
        """
        failures = list(failures)
        reader = self._reader or self._reads(rows)
        reader.read_rest(self._cache, {failure.row.key for failure in failures})
        frame, found = self._frame(rows, failures, reader)
        self.save_failures(rows, failures, found)
        self.close(status, {**columns, **self._counted(rows, found, failures)})
        if self._part is not None:
            return frame
        (run,) = self._cache.runs(self._run_id)
        report = Report.of(run, as_frame(found, self._index))
        remember(report)
        warn_left_out(report.params_dropped, f"{self._task.host} ({self._task.model})")
        _say(found, len(rows), frame, on_error)
        return frame

    def partial(
        self,
        cache: AnswerStore,
        rows: Rows,
        failures: Iterable[Failure],
        columns: Mapping[str, object],
        status: str,
    ) -> pd.DataFrame | None:
        """Build the frame of a run that an error ended; None where nothing is answered.

        Parameters
        ----------
        cache : AnswerStore
            Where the answers are now.
        rows, failures, columns, status
            As for ``conclude``; other texts without an answer were not reached.
        """
        known = {failure.row.key: failure for failure in failures}
        reader = self._reads(rows)
        unreached = reader.read_rest(cache, known)
        if len(unreached) + len(known) == len(rows.keys) and not self._given:
            return None
        for key in rows.keys.take(unreached):
            known[key] = Failure(Row(key, "", NO_INPUT, 0), _UNREACHED, 0)
        frame, found = self._frame(rows, list(known.values()), reader)
        for run in cache.runs(self._run_id):
            # Answers in flight may have come after the counts were read.
            ok = len(rows) - len(found)
            run |= {**columns, **self._repeated(columns), **self._counted(rows, found, known)}
            run |= {"ok": ok, "status": status, "ended": run["ended"] or now()}
            remember(Report.of(run, as_frame(found, self._index)))
        return frame

    def _reads(self, rows: Rows) -> AnswerReader:
        return AnswerReader(self._task.schema, self._task.prompt_hash, rows)

    def _repeated(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return what else is written of a run that asks each row several times."""
        if self._repeats == 1:
            return {}
        params = json.loads(columns.get("params_sent") or "{}")
        return {"params_sent": json.dumps({**params, "repeats": self._repeats}, sort_keys=True)}

    def _counted(
        self, rows: Rows, found: Sequence[FailedRow], failures: Collection[Any]
    ) -> dict[str, Any]:
        """Count rows where each was asked several times: those with an answer have one."""
        if self._repeats == 1:
            return {}
        failed = sum(row.reason not in NOT_FAILED for row in found)
        counts: dict[str, Any] = {"ok": len(rows) - len(found), "failed": failed}
        if failures:
            wanted = counted(len(rows.keys), "answer")
            counts["message"] = (
                f"{len(failures):,} of {wanted} to {counted(rows.inputs, 'text')} are missing; "
                "shares are of those that came."
            )
        return counts

    def _frame(
        self, rows: Rows, failures: Sequence[Failure], reader: AnswerReader
    ) -> tuple[pd.DataFrame, list[FailedRow]]:
        frame = reader.frame(self._index, self._given)
        frame.attrs[ATTR] = self._run_id
        found = [row for row in failed_rows(rows, failures) if row.position not in self._given]
        return frame, found


def save_task(cache: AnswerStore, task: BoundTask, system: str) -> None:
    """Keep the task in clear, with the instructions as they are sent."""
    cache.save_task(
        TaskRecord(
            prompt_hash=task.prompt_hash,
            prompt=task.prompt,
            schema=task.schema.canonical,
            model=task.model,
            backend=task.backend,
            host=task.host,
            params=json.dumps(dict(task.params), sort_keys=True),
            system=system,
        )
    )


def _say(found: Sequence[FailedRow], total: int, frame: pd.DataFrame, on_error: OnError) -> None:
    failed = [row for row in found if row.reason not in NOT_FAILED]
    if failed and on_error == "raise":
        raise RowsFailedError(
            f"{len(failed):,} of {counted(total, 'row')} failed ({reasons_text(failed)}); "
            "all other answers are kept, and this error's .result has them.",
            frame,
        )
    warn_of(found, total)
