"""Group commit: one thread writes what many threads put, many answers a transaction."""

from __future__ import annotations

import atexit
import itertools
import logging
import secrets
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pandas_genai.errors import CacheError
from pandas_genai.store.records import Answer, RequestRecord, answer_rows, request_rows

__all__ = ["GroupWriter", "OpenWriters"]

_log = logging.getLogger("pandas_genai")

_BATCH_ROWS = 2_000
_QUEUE_ROWS = 4_000
_EXIT_S = 5.0

# A writer numbers its requests from a random start, so that several need not agree on one.
_START_BITS = 38
_NUMBER_BITS = 24

_W = TypeVar("_W", bound="GroupWriter")
_Done: TypeAlias = Callable[[Exception | None], None]


class _Put(NamedTuple):
    rows: list[tuple[Any, ...]]
    requests: list[tuple[Any, ...]]
    done: _Done | None


class GroupWriter(ABC):
    """Saves answers; one daemon thread commits whatever waits in one transaction.

    An error ends the saving: every waiting and every later ``put`` gets it. A subclass says how a
    transaction is written; its attributes are set before the thread starts.

    Parameters
    ----------
    name : str
        The store, for messages.

    Attributes
    ----------
    abandoned : Event
        Set once what still waits for the store is given up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(secrets.randbits(_START_BITS) << _NUMBER_BITS)
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._space = threading.Condition(self._lock)
        self._waiting: deque[_Put] = deque()
        self._waiting_rows = 0
        self._made = self._settled = 0
        self._closing = False
        self.abandoned = threading.Event()
        self._error: CacheError | None = None
        self._thread = threading.Thread(target=self._run, name="genai-writer", daemon=True)
        _open_writers.add(self)
        self._thread.start()

    @abstractmethod
    def _keep(self, rows: list[tuple[Any, ...]], requests: list[tuple[Any, ...]]) -> None:
        """Write answers and calls durably in one transaction, or nothing of them.

        Parameters
        ----------
        rows, requests : list of tuple
            As ``answer_rows`` and ``request_rows`` make them; where several have the same key,
            the last one counts.

        Raises
        ------
        CacheError
            If they cannot be written, or ``abandoned`` was set while the store was waited for.
        """

    @abstractmethod
    def _let_go(self) -> None:
        """Close what the thread alone has used."""

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
            Called in the writer's thread: with None once the answers are durable, or with the
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
                    f"The writer of the cache {self._name} is closed: open the cache again."
                )
            self._waiting.append(_Put(rows, calls_rows, done))
            self._waiting_rows += len(rows)
            self._made += 1
            self._news.notify()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything put so far is durable.

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
            self.abandoned.set()
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
            self._let_go()

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
        if self._error is None:
            try:
                self._keep(rows, requests)
            except CacheError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a row holds
                self._fail(CacheError(f"An answer cannot be kept in {self._name}: {error}."))
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


_open_writers: weakref.WeakSet[GroupWriter] = weakref.WeakSet()


def _close_at_exit() -> None:
    """Save what arrived after Stop, without keeping the interpreter from ending."""
    deadline = time.monotonic() + _EXIT_S
    for writer in list(_open_writers):
        writer.close(max(0.0, deadline - time.monotonic()))


atexit.register(_close_at_exit)


class OpenWriters:
    """The writers of one store, which are closed with it.

    Parameters
    ----------
    name : str
        The store, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[GroupWriter] = weakref.WeakSet()
        self._closed = False

    def opened(self, make: Callable[[], _W]) -> _W:
        """Make a writer, and keep in mind that it is open.

        Raises
        ------
        CacheError
            If the store is closed, or no writer can be made.
        """
        with self._lock:
            if self._closed:
                raise CacheError(f"The cache {self._name} is closed: open it again first.")
            writer = make()
            self._open.add(writer)
        return writer

    def close(self) -> None:
        """Close them all; no other is made any more."""
        with self._lock:
            self._closed = True
            writers = list(self._open)
        for writer in writers:
            writer.close()
