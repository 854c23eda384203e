"""One connection, used by one thread at a time, whose errors are sentences."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pandas_genai.errors import CacheError

__all__ = ["Link", "explained", "is_lock"]

_LOCKS = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _code(error: BaseException | None) -> int:
    # SQLite keeps the primary code in the low byte of an extended one.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_lock(error: BaseException | None) -> bool:
    """Whether an error only says that another process is in the way."""
    return _code(error) in _LOCKS


def explained(error: sqlite3.Error, name: str) -> CacheError:
    """Return the sentence for an error of SQLite.

    Parameters
    ----------
    error : sqlite3.Error
        What SQLite said.
    name : str
        The file.
    """
    code = _code(error)
    if code in _DAMAGED:
        text = (
            f"The cache file {name} is damaged ({error}) and was left as it is: move it away and "
            f"run again, or try to save its rows with the sqlite3 command .recover."
        )
    elif is_lock(error):
        text = (
            f"The cache file {name} is locked by another program: close what has it open and "
            "run again; what was saved before is kept."
        )
    elif code == sqlite3.SQLITE_FULL:
        text = (
            f"The disk is full and the cache file {name} cannot grow: make room and run again; "
            "what was saved before is kept."
        )
    elif code == sqlite3.SQLITE_READONLY:
        text = (
            f"The cache file {name} cannot be written: allow it for the file and its folder, or "
            "choose another file."
        )
    else:
        text = (
            f"The cache file {name} could not be used ({error}): check the file, its folder and "
            "its disk, or choose another file."
        )
    return CacheError(text)


class Link:
    """A connection behind a lock.

    Parameters
    ----------
    connection : Connection
        In autocommit mode, and free to be used by any thread.
    name : str
        The file, for errors.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self.name = name
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.Lock()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CacheError(f"The cache {self.name} is closed: open it again with SqliteCache.")
        return self._connection

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of one statement.

        Raises
        ------
        CacheError
            With SQLite's error as its cause.
        """
        with self._lock:
            try:
                return self._open().execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise explained(error, self.name) from error

    def records(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return all rows of one statement as dicts by column."""
        with self._lock:
            try:
                cursor = self._open().execute(statement, values)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
            except sqlite3.Error as error:
                raise explained(error, self.name) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block wrote, or nothing of it.

        Raises
        ------
        CacheError
            With SQLite's error as its cause.
        """
        with self._lock:
            connection = self._open()
            try:
                # Taking the write lock first: a lock that is upgraded later can fail at once,
                # whatever the busy timeout.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise explained(error, self.name) from error
            finally:
                if connection.in_transaction:
                    connection.rollback()

    def write(self, statement: str, rows: Iterable[Any]) -> None:
        """Run one statement for each row, in one transaction."""
        with self.transaction() as connection:
            connection.executemany(statement, rows)

    def close(self) -> None:
        """Release the file; closing again does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
