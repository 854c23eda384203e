"""Group commit: one thread writes what many threads put, many answers a transaction."""

from __future__ import annotations

import atexit
import itertools
import logging
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from pandas_genai.errors import CacheError
from pandas_genai.store.records import Answer, RequestRecord, answer_rows, request_rows
from pandas_genai.store.sqlite.database import Database, is_lock

__all__ = ["Writer"]

_log = logging.getLogger("pandas_genai")

_BATCH_ROWS = 2_000
_QUEUE_ROWS = 4_000
_EXIT_S = 5.0

_INSERT = """
INSERT OR REPLACE INTO results (
    prompt_hash, text_hash, repeat, row_id, json_result, model, model_answered, created, run_id,
    request_id, input_tokens, cached_tokens, output_tokens, checksum, request
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_INSERT_REQUEST = """
INSERT OR REPLACE INTO requests (
    id, run_id, job, prompt_hash, request_id, model, model_answered, params_sent, created,
    attempts, refused, reason, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
    cost, rows, reply
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# A writer numbers its requests from a random start, so that several need not agree on one.
_START_BITS = 38
_NUMBER_BITS = 24

_Done: TypeAlias = Callable[[Exception | None], None]


class _Put(NamedTuple):
    rows: list[tuple[Any, ...]]
    requests: list[tuple[Any, ...]]
    done: _Done | None


class Writer:
    """Saves answers; one daemon thread commits whatever waits in one transaction.

    While another process holds the file it tries again, for as long as it takes. Any other error
    ends the saving: every waiting and every later ``put`` gets it.

    Parameters
    ----------
    database : Database
        The database.
    owned : bool
        Whether the database is closed with the writer.
    warn_after : float
        Seconds of waiting for another process before the log says so.
    """

    def __init__(self, database: Database, *, owned: bool, warn_after: float = 10.0) -> None:
        self._database = database
        self._numbers = itertools.count(secrets.randbits(_START_BITS) << _NUMBER_BITS)
        self._owned = owned
        self._warn_after = warn_after
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._space = threading.Condition(self._lock)
        self._waiting: deque[_Put] = deque()
        self._waiting_rows = 0
        self._made = self._settled = 0
        self._closing = self._abandoned = False
        self._error: CacheError | None = None
        self._thread = threading.Thread(target=self._run, name="genai-writer", daemon=True)
        _open_writers.add(self)
        self._thread.start()

    def put(
        self,
        answers: Iterable[Answer],
        done: _Done | None = None,
        requests: Sequence[RequestRecord] = (),
    ) -> None:
        """Hand over answers, which replace earlier ones of the same key.

        Blocks while too many rows wait.

        Parameters
        ----------
        answers : iterable of Answer
            Committed together.
        done : callable, optional
            Called in the writer's thread: with None once the answers are on disk, or with the
            error that kept them from it.
        requests : sequence of RequestRecord
            Calls to record with them, besides those that the answers name.

        Raises
        ------
        CacheError
            If the writer is closed or an earlier write failed; ``done`` is not called then.
        """
        numbered: dict[RequestRecord, int] = {}

        def number_of(call: RequestRecord) -> int:
            if call not in numbered:
                numbered[call] = next(self._numbers) if call.number is None else call.number
            return numbered[call]

        rows = answer_rows(answers, number_of)
        for call in requests:
            number_of(call)
        calls_rows = request_rows(numbered)
        with self._lock:
            if not self._is_me():  # its own callbacks would wait for themselves
                self._space.wait_for(self._takes)
            if self._error is not None:
                raise CacheError(str(self._error)) from self._error
            if self._closing:
                raise CacheError(
                    f"The writer of the cache {self._database.name} is closed: open the cache "
                    "again."
                )
            self._waiting.append(_Put(rows, calls_rows, done))
            self._waiting_rows += len(rows)
            self._made += 1
            self._news.notify()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything put so far is on disk.

        Parameters
        ----------
        timeout : float, optional
            Seconds; for ever, if left out.

        Returns
        -------
        bool
            Whether it is.
        """
        with self._lock:
            made = self._made
            if not self._is_me():
                self._space.wait_for(lambda: self._settled >= made, timeout)
            return self._settled >= made and self._error is None

    def close(self, timeout: float | None = None) -> None:
        """Write what waits and end the thread; closing again does nothing.

        Parameters
        ----------
        timeout : float, optional
            Seconds until what another process still keeps from being written is given up, and
            its ``done`` gets the error; for ever, if left out.
        """
        with self._lock:
            self._closing = True
            self._news.notify()
            self._space.notify_all()
        if self._is_me():
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._abandoned = True
            self._thread.join(1.0)

    def _is_me(self) -> bool:
        return threading.current_thread() is self._thread

    def _takes(self) -> bool:
        return self._waiting_rows < _QUEUE_ROWS or self._closing or self._error is not None

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._settle(batch, self._commit(batch))
        finally:
            if self._owned:
                self._database.close()

    def _take(self) -> list[_Put]:
        """Wait for puts and take what waits; nothing once the writer is closed and empty."""
        with self._lock:
            self._news.wait_for(lambda: self._waiting or self._closing)
            batch: list[_Put] = []
            rows = 0
            while self._waiting and rows < _BATCH_ROWS:
                batch.append(self._waiting.popleft())
                rows += len(batch[-1].rows)
            self._waiting_rows -= rows
            self._space.notify_all()
            return batch

    def _commit(self, batch: list[_Put]) -> CacheError | None:
        rows = [row for put in batch for row in put.rows]
        requests = [row for put in batch for row in put.requests]
        since = time.monotonic()
        warned = False
        while self._error is None:
            try:
                with self._database.transaction() as connection:
                    connection.executemany(_INSERT, rows)
                    connection.executemany(_INSERT_REQUEST, requests)
                self._database.check()
                return None
            except CacheError as error:
                if self._abandoned or not is_lock(error.__cause__):
                    self._fail(error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a row holds
                self._fail(
                    CacheError(f"An answer cannot be kept in {self._database.name}: {error}.")
                )
            if not warned and time.monotonic() - since >= self._warn_after:
                warned = True
                _log.warning(
                    "Answers wait because another program has locked %s: close it.",
                    self._database.name,
                )
        return self._error

    def _fail(self, error: CacheError) -> None:
        with self._lock:
            self._error = error
            self._space.notify_all()

    def _settle(self, batch: list[_Put], error: CacheError | None) -> None:
        for put in batch:
            if put.done is not None:
                try:
                    put.done(error)
                except BaseException:  # noqa: BLE001 - one callback must not end the saving of others
                    _log.exception("A callback of the cache's writer failed.")
        with self._lock:
            self._settled += len(batch)
            self._space.notify_all()


_open_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _close_at_exit() -> None:
    """Save what arrived after Stop, without keeping the interpreter from ending."""
    deadline = time.monotonic() + _EXIT_S
    for writer in list(_open_writers):
        writer.close(max(0.0, deadline - time.monotonic()))


atexit.register(_close_at_exit)
