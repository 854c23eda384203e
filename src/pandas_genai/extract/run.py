"""One run: what is answered already, what is asked, and the frame of both."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version

import pandas as pd

from pandas_genai import local
from pandas_genai.errors import RowsFailedError
from pandas_genai.extract.manner import Cache, Manner, open_cache
from pandas_genai.live.pool import Policy
from pandas_genai.live.session import Session, Work, columns_of, utc_now
from pandas_genai.live.tally import Tally
from pandas_genai.providers.caller import Caller
from pandas_genai.providers.resolve import Question, Resolved
from pandas_genai.providers.retry import ATTEMPTS, backoff
from pandas_genai.report.failures import (
    EMPTY_TEXT,
    as_frame,
    as_records,
    failed_rows,
    reasons_text,
    warn_of,
)
from pandas_genai.report.observer import Progress
from pandas_genai.report.prices import pricer
from pandas_genai.report.report import Report, remember
from pandas_genai.storage import RunRecord, SqliteCache, TaskRecord
from pandas_genai.task.frames import build_frame
from pandas_genai.task.prompt import system_text
from pandas_genai.task.rows import Rows, distinct_rows

__all__ = ["ATTR", "Extraction"]

ATTR = "pandas_genai_run"
"""The key of ``DataFrame.attrs`` that holds the id of the run."""

_BLOCK = 9_000


class Extraction:
    """One question, asked of the texts of one input.

    Parameters
    ----------
    question : Question
        What is asked and where.
    texts : sequence of str or None
        The text of each row.
    index : Index
        The input's index; names the rows in errors and in the result.
    manner : Manner
        How.
    cache : SqliteCache, str, Path or False
        Where answers are kept.
    ids : sequence, optional
        The user's ids of the rows, carried along into the cache.
    given : mapping, optional
        Answers that are taken as they are, as JSON text by row.

    Raises
    ------
    UsageError, SchemaError, CredentialsError
        Before anything is opened or sent.
    """

    def __init__(
        self,
        question: Question,
        texts: Sequence[str | None],
        index: pd.Index,
        manner: Manner,
        cache: Cache,
        *,
        ids: Sequence[object] | None = None,
        given: Mapping[int, str] | None = None,
    ) -> None:
        self.resolved: Resolved = question.resolve()
        self.task = self.resolved.task
        self.chunk_size, self.workers = manner.sizes(is_local=self.resolved.is_local)
        self._texts = texts
        self._index = index
        self._manner = manner
        self._cache = cache
        self._ids = ids
        self._given = dict(given or {})
        self._run_id = uuid.uuid4().hex[:12]

    def run(self) -> pd.DataFrame:
        """Ask what is not answered yet and return the frame of all answers.

        Raises
        ------
        RowsFailedError
            With ``on_error="raise"``, after all is done and saved.
        StopRunError, Stopped, CacheError, LocalModelError
            Everything answered before is kept.
        """
        observer = self._manner.observer
        with ExitStack() as stack:
            cache, ours = open_cache(self._cache)
            let_go = cache.close if ours else _nothing
            stack.callback(let_go)
            work = self._begin(cache)
            if not work.wanted:
                observer.started(work.settled)
                observer.ended(work.settled, "completed")
                return self._conclude(cache, work, Tally())
            try:
                session = self._session(work, cache, let_go)
            except BaseException as error:
                self._end(cache, work, Tally(), _outcome(error))
                raise
            observer.started(work.settled)
            try:
                tally = session.run(observer)
            except BaseException as error:
                if session.left_behind:
                    stack.pop_all()  # its threads still save answers; the last one lets go
                observer.ended(session.progress(), _outcome(error))
                raise
            observer.ended(session.progress(), "completed")
            return self._conclude(cache, work, tally)

    def _begin(self, cache: SqliteCache) -> Work:
        """Find what is answered already, and record that a run has started."""
        rows = distinct_rows(
            [None if row in self._given else text for row, text in enumerate(self._texts)]
            if self._given
            else self._texts
        )
        task = self.task
        known = set() if self._manner.fresh else cache.present(task.prompt_hash, rows.keys)
        wanted = [place for place, key in enumerate(rows.keys) if key not in known]
        asked = int(rows.copies[wanted].sum())
        unsendable = len(rows.unsendable)
        settled = Progress(
            total=len(rows),
            done=len(rows) - asked,
            cached=len(rows) - asked - len(rows.empty) - unsendable + len(self._given),
            failed=unsendable,
        )
        self._register(cache, rows, settled)
        return Work(
            task=task,
            rows=rows,
            texts=self._texts,
            wanted=wanted,
            labels=self._label,
            chunk_size=self.chunk_size,
            run_id=self._run_id,
            settled=settled,
            fresh=self._manner.fresh,
        )

    def _register(self, cache: SqliteCache, rows: Rows, settled: Progress) -> None:
        """Write down task, run and ids before anything is sent."""
        task = self.task
        cache.save_task(
            TaskRecord(
                prompt_hash=task.prompt_hash,
                prompt=task.prompt,
                schema=task.schema.canonical,
                model=task.model,
                backend=task.backend,
                host=task.host,
                params=json.dumps(dict(task.params), sort_keys=True),
                system=system_text(task),
            )
        )
        cache.start_run(
            RunRecord(
                run_id=self._run_id,
                prompt_hash=task.prompt_hash,
                kind="extract",
                status="running",
                started=utc_now(),
                version=version("pandas-genai"),
                rows=len(rows),
                cached=settled.cached,
                empty=len(rows.empty) - len(self._given),
                twins=int((rows.codes >= 0).sum()) - len(rows.keys),
                host=task.host,
            )
        )
        if self._ids is not None:
            pairs = zip(self._ids, rows.codes.tolist(), strict=True)
            cache.remember_ids(
                task.prompt_hash,
                ((str(row_id), rows.keys[code]) for row_id, code in pairs if code >= 0),
            )

    def _label(self, position: int) -> str:
        return str((self._index if self._ids is None else self._ids)[position])

    def _session(self, work: Work, cache: SqliteCache, let_go: Callable[[], None]) -> Session:
        manner, resolved = self._manner, self.resolved
        if resolved.is_local:
            resolved = resolved.at(local.start(self._fetching))
        client, ours = resolved.open(self.workers)
        endpoint, endpoints = resolved.endpoint, manner.endpoints
        return Session(
            work=work,
            cache=cache,
            ask=Caller(client, self.task, endpoint, endpoints),
            price=pricer(
                backend=endpoint.backend, base_url=endpoint.base_url, free=resolved.is_local
            ),
            workers=min(self.workers, len(work.wanted)),
            policy=Policy(ATTEMPTS, backoff),
            clock=manner.clock,
            opened=endpoints.answered(endpoint, self.task.model),
            close=client.close if ours else _nothing,
            let_go=let_go,
        )

    def _fetching(self, download: local.Download) -> None:
        self._manner.observer.fetching(download.done, download.total, str(download.target))

    def _results(self, cache: SqliteCache, rows: Rows, failed: set[str]) -> Iterator[str | None]:
        """Read the answers back from the cache, a block at a time, in the order of the keys."""
        for start in range(0, len(rows.keys), _BLOCK):
            keys = rows.keys[start : start + _BLOCK]
            found = cache.lookup(self.task.prompt_hash, keys)
            yield from (None if key in failed else found.get(key) for key in keys)
        yield from self._given.values()

    def _conclude(self, cache: SqliteCache, work: Work, tally: Tally) -> pd.DataFrame:
        """Build the frame, write the report, and say what has no answer."""
        rows, given = work.rows, list(self._given)
        codes = rows.codes.copy()
        codes[given] = range(len(rows.keys), len(rows.keys) + len(given))
        failures = tally.failures
        gone = {failure.row.key for failure in failures}
        frame = build_frame(self.task.schema, self._index, codes, self._results(cache, rows, gone))
        found = [row for row in failed_rows(rows, failures) if row.position not in self._given]
        cache.save_failures(self._run_id, as_records(found, self._index, self._run_id))
        self._end(cache, work, tally, "completed")
        run = next(run for run in cache.runs() if run["run_id"] == self._run_id)
        remember(Report.of(run, as_frame(found, self._index)))
        frame.attrs[ATTR] = self._run_id
        failed = [row for row in found if row.reason != EMPTY_TEXT]
        if failed and self._manner.on_error == "raise":
            raise RowsFailedError(
                f"{len(failed):,} of {len(rows):,} rows failed ({reasons_text(failed)}); "
                "all other answers are kept, and this error's .result has them.",
                frame,
            )
        warn_of(found, len(rows))
        return frame

    def _end(self, cache: SqliteCache, work: Work, tally: Tally, status: str) -> None:
        columns = columns_of(tally.snapshot(), tally.models, work.settled)
        cache.end_run(self._run_id, status=status, ended=utc_now(), **columns)


def _outcome(error: BaseException) -> str:
    return "stopped" if isinstance(error, KeyboardInterrupt) else "failed"


def _nothing() -> None:
    """Close nothing: it is not ours."""
