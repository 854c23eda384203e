"""One run: what is answered already, what is asked, and the frame of both."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import pandas as pd

from pandas_genai import local
from pandas_genai.backends.caller import Caller, support_of, system_sent
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.params import check_params
from pandas_genai.backends.resolve import Question, Resolved
from pandas_genai.backends.retry import ATTEMPTS, backoff
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.costs.window import ContextWindow, warn_of_long_texts
from pandas_genai.errors import BudgetError, CacheError
from pandas_genai.extract.embedded import Embedded
from pandas_genai.extract.spending import allowance, price_of
from pandas_genai.extract.under_way import warn_under_way
from pandas_genai.options import RunOptions
from pandas_genai.runs.failures import as_records, failed_rows
from pandas_genai.runs.origins import origin_columns
from pandas_genai.runs.partial import Kept
from pandas_genai.runs.progress import Progress
from pandas_genai.runs.recorder import RunRecorder
from pandas_genai.runs.report import label_text
from pandas_genai.store import FailureRecord, SqliteCache, open_cache
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Failure, Reply
from pandas_genai.task.rows import Rows, distinct_rows
from pandas_genai.workers.budget import Spending
from pandas_genai.workers.counters import Counters
from pandas_genai.workers.pool import Policy
from pandas_genai.workers.session import Session, Work, columns_of
from pandas_genai.workers.suspects import remembered

__all__ = ["Extraction"]


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
        Overnight jobs; texts that they have under way are warned of.

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
        self._texts = texts
        self._index = index
        self._options = options
        self._ids = ids
        self._given = dict(given or {})
        self._note = note
        self._jobs = jobs
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
        with ExitStack() as stack:
            cache, ours = open_cache(self._options.cache)
            kept = Kept(cache, ours=ours)
            stack.callback(kept.let_go)
            book = RunRecorder(
                cache,
                self.task,
                self._system(),
                self._run_id,
                "extract",
                self._index,
                self._given,
            )
            work = self._begin(cache, book)
            counters, session = Counters(), None
            try:
                if work.wanted:
                    # What is in memory alone is let go by the error that may still show it.
                    let_go = _nothing if cache.path is None else kept.let_go
                    session = self._session(work, cache, let_go)
                    counters = session.counters
                self._ask(work, session)
                columns = columns_of(counters, work)
                if session is None:
                    origins = cache.origins(self.task.prompt_hash, work.rows.keys)
                    columns |= origin_columns(origins, self._price)
                if self._note:
                    columns["message"] = f"{self._note} {columns.get('message', '')}".strip()
                return book.conclude(
                    work.rows, counters.failures, columns, on_error=self._options.on_error
                )
            except BaseException as error:
                status = _outcome(error)
                kept.carry(
                    error,
                    lambda found: book.partial(
                        found, work.rows, counters.failures, columns_of(counters, work), status
                    ),
                )
                if session is not None and session.left_behind:
                    stack.pop_all()  # its threads still save answers; the last one lets go
                elif not book.closed:
                    with suppress(CacheError):  # what went wrong first is what is raised
                        book.close(status, columns_of(counters, work))
                raise

    def _ask(self, work: Work, session: Session | None) -> None:
        """Ask what is wanted, while the observer watches."""
        observer = self._options.observer
        observer.started(work.settled)
        if session is None:
            observer.ended(work.settled, "completed")
            return
        try:
            session.run(observer)
        except BaseException as error:
            observer.ended(session.progress(), _outcome(error))
            raise
        observer.ended(session.progress(), "completed")

    def _begin(self, cache: SqliteCache, book: RunRecorder) -> Work:
        """Find what is answered already, and record that a run has started."""
        rows = distinct_rows(self._asked_texts())
        task = self.task
        wanted = list(range(len(rows.keys))) if self._options.fresh else book.read_known(rows)
        if wanted and self._jobs is not None:
            warn_under_way(self._jobs, task.prompt_hash, (rows.keys[place] for place in wanted))
        window = self._window()
        warn_of_long_texts(window, rows, wanted, self._label)
        asked = int(rows.copies[wanted].sum())
        unsendable = len(rows.unsendable)
        settled = Progress(
            total=len(rows),
            done=len(rows) - asked,
            cached=len(rows) - asked - len(rows.empty) - unsendable + len(self._given),
            failed=unsendable,
        )
        book.open(rows, settled.cached, self._ids)
        return Work(
            task=task,
            rows=rows,
            texts=self._texts,
            wanted=wanted,
            labels=self._label,
            chunk_size=self.chunk_size,
            most_bytes=window.most_bytes,
            run_id=self._run_id,
            settled=settled,
            fresh=self._options.fresh,
            suspects=remembered(rows, wanted, cache.failed(task.prompt_hash)) if wanted else {},
            records=lambda failures: self._records(rows, failures),
        )

    def _asked_texts(self) -> Iterable[str | None]:
        """Return the text of each row; none where its answer was given."""
        if not self._given:
            return self._texts
        return (None if row in self._given else text for row, text in enumerate(self._texts))

    def _system(self) -> str:
        endpoint = self.resolved.endpoint
        support = support_of(self.task, endpoint, self._options.endpoints)
        return system_sent(self.task, support, vendor=endpoint.is_vendor)

    def _window(self) -> ContextWindow:
        return ContextWindow.of(
            self.task,
            self.resolved.endpoint,
            self._options.endpoints,
            self.chunk_size,
            is_local=self.resolved.is_local,
        )

    def _records(self, rows: Rows, failures: Iterable[Failure]) -> list[FailureRecord]:
        found = [row for row in failed_rows(rows, failures) if row.key is not None]
        return as_records(found, self._index, self._run_id)

    def _label(self, position: int) -> str:
        return label_text((self._index if self._ids is None else self._ids)[position])

    def _session(self, work: Work, cache: SqliteCache, let_go: Callable[[], None]) -> Session:
        options, resolved = self._options, self.resolved
        ask: Callable[[Chunk], Reply]
        if resolved.is_local:
            embedded = Embedded(resolved, self._caller, self.workers, self._fetching)
            endpoint, ask, close = embedded.endpoint, embedded, embedded.close
        else:
            client, ours = resolved.open(self.workers)
            endpoint, close = resolved.endpoint, client.close if ours else _nothing
            ask = self._caller(client, endpoint)
        return Session(
            work=work,
            cache=cache,
            ask=ask,
            price=self._price,
            workers=min(self.workers, len(work.wanted)),
            policy=Policy(ATTEMPTS, backoff),
            clock=options.clock,
            opened=options.endpoints.answered(endpoint, self.task.model),
            spending=self._spending,
            close=close,
            let_go=let_go,
            forgets=self._options.cache is False,
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
        )

    def _fetching(self, download: local.Download) -> None:
        self._options.observer.fetching(download.done, download.total, str(download.target))


def _outcome(error: BaseException) -> str:
    return "stopped" if isinstance(error, (KeyboardInterrupt, BudgetError)) else "failed"


def _nothing() -> None:
    """Close nothing: it is not ours."""
