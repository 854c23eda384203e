"""One connection, used by one thread at a time, whose errors are sentences."""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pandas_genai.errors import CacheError
from pandas_genai.files import atomic_write

__all__ = ["FILE_ERRORS", "Database", "explained", "is_lock", "unless_locked"]

FILE_ERRORS = (sqlite3.Error, UnicodeError)
"""What a database's file may raise; text in it, and SQLite's words about it, may be no text."""

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""For ``?`` in their sequence; by name for ``:name``, as ``?1`` is an error from Python 3.14 on."""

_T = TypeVar("_T")

_LOCKS = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _code(error: BaseException | None) -> int:
    # SQLite keeps the primary code in the low byte of an extended one.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_lock(error: BaseException | None) -> bool:
    """Whether an error only says that another process is in the way."""
    return _code(error) in _LOCKS


def unless_locked(work: Callable[[], _T]) -> _T | None:
    """Do some work; None where another program holds the file: ask again.

    Raises
    ------
    CacheError
        If the file cannot be used.
    """
    try:
        return work()
    except CacheError as error:
        if is_lock(error.__cause__):
            return None
        raise


def explained(error: Exception, name: str, what: str = "cache file") -> CacheError:
    """Return the sentence for an error of SQLite.

    Parameters
    ----------
    error : Exception
        One of ``FILE_ERRORS``.
    name : str
        The file.
    what : str
        What it is.
    """
    code = _code(error)
    if code in _DAMAGED or isinstance(error, UnicodeError):
        damage = "text in it is no text" if isinstance(error, UnicodeError) else error
        text = (
            f"The {what} {name} is damaged ({damage}) and was left as it is: move it away and "
            f"run again, or try to save its rows with the sqlite3 command .recover."
        )
    elif is_lock(error):
        text = (
            f"The {what} {name} is locked by another program: close what has it open and "
            "run again; what was saved before is kept."
        )
    elif code == sqlite3.SQLITE_FULL:
        text = (
            f"The disk is full and the {what} {name} cannot grow: free some space and run "
            "again; what was saved before is kept."
        )
    elif code == sqlite3.SQLITE_READONLY:
        text = (
            f"The {what} {name} cannot be written: allow it for the file and its folder, or "
            "choose another file."
        )
    else:
        text = (
            f"The {what} {name} could not be used ({error}): check the file, its folder and "
            "its disk, or choose another file."
        )
    return CacheError(text)


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return what stays the same while a name is that of the same file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_turns: weakref.WeakValueDictionary[tuple[int, ...], threading.Lock] = weakref.WeakValueDictionary()
_turns_lock = threading.Lock()


def _turn_of(identity: tuple[int, int] | None) -> threading.Lock:
    """Return the lock under which this process writes into a file, whichever the connection.

    SQLite lets one connection write at a time, and another sleeps and looks again, ever longer:
    leases slept most of their time away beside the writer of the same run.
    """
    if identity is None:
        return threading.Lock()
    with _turns_lock:
        return _turns.setdefault((os.getpid(), *identity), threading.Lock())


class Database:
    """A connection behind a lock.

    Parameters
    ----------
    connection : Connection
        In autocommit mode, and free to be used by any thread.
    name : str
        The file, for errors.
    path : Path, optional
        The file, where it is one that may be deleted or replaced by others.
    """

    def __init__(self, connection: sqlite3.Connection, name: str, path: Path | None = None) -> None:
        self.name = name
        self._path = path
        self._identity = _identity(path)
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.Lock()
        self._turn = _turn_of(self._identity)

    def __del__(self) -> None:
        """Release a file that nobody closed: from Python 3.13 on, a connection warns of that."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CacheError(f"The cache {self.name} is closed: open it again with SqliteCache.")
        return self._connection

    def query(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows of one statement.

        Raises
        ------
        CacheError
            With SQLite's error as its cause.
        """
        with self._lock:
            try:
                return self._open().execute(statement, values).fetchall()
            except FILE_ERRORS as error:
                raise explained(error, self.name) from error

    def records(self, statement: str, values: Values = ()) -> list[dict[str, Any]]:
        """Return all rows of one statement as dicts by column."""
        with self._lock:
            try:
                cursor = self._open().execute(statement, values)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
            except FILE_ERRORS as error:
                raise explained(error, self.name) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block wrote, or nothing of it.

        Raises
        ------
        CacheError
            With SQLite's error as its cause.
        """
        with self._lock, self._turn:
            connection = self._open()
            try:
                # Taking the write lock first: a lock that is upgraded later can fail at once,
                # whatever the busy timeout.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except FILE_ERRORS as error:
                raise explained(error, self.name) from error
            finally:
                if connection.in_transaction:
                    connection.rollback()

    def write(self, statement: str, rows: Iterable[Any]) -> None:
        """Run one statement for each row, in one transaction."""
        with self.transaction() as connection:
            connection.executemany(statement, rows)

    def check(self) -> None:
        """See that what was written can be found under the file's name.

        Raises
        ------
        CacheError
            If the file was deleted or replaced since it was opened; what was written is kept
            in a file beside it.
        """
        if self._path is None or _identity(self._path) == self._identity:
            return
        kept = f"they are kept in {self._rescued(self._path)}: give it that name, and run again"
        raise CacheError(
            f"The cache file {self.name} was deleted or replaced while it was in use. Its answers "
            f"are not lost, {kept}."
        )

    def _rescued(self, path: Path) -> Path:
        """Write what the vanished file holds to the first free name beside it."""
        target = Path(f"{path}.rescued")
        for number in itertools.count(2):
            if not target.exists():
                break
            target = Path(f"{path}.rescued-{number}")
        with self._lock:
            try:
                content = self._open().serialize()
            except FILE_ERRORS as error:
                raise explained(error, self.name) from error
        atomic_write(target, content)
        return target

    def close(self) -> None:
        """Release the file; closing again does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
