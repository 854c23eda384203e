"""From a path to a connection: look first, touch only what is ours."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pandas_genai.errors import CacheError
from pandas_genai.files import atomic_write
from pandas_genai.store.sqlite.database import FILE_ERRORS, explained, is_lock
from pandas_genai.store.sqlite.network import refuse_network
from pandas_genai.store.sqlite.tables import (
    APPLICATION_ID,
    VERSION,
    create_tables,
    kind_of,
    newer,
)

__all__ = ["COPY_ENDING", "PATIENCE_S", "connect", "is_database", "open_file", "open_memory"]

PATIENCE_S = 60.0
"""How long another process may hold the file before a call fails."""

COPY_ENDING = ".before-upgrade"
"""What the copy of the original toolkit's file is called, after the file's own name."""

_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_CHECKED_BYTES = 64 * 2**20
_LOOKS = 5
_T = TypeVar("_T")

# Closing any descriptor of a file drops all locks that this process has on it (POSIX). So no
# two threads may be here at once, and a file with a live -shm is only opened through SQLite.
_opening = threading.Lock()


def open_memory() -> sqlite3.Connection:
    """Return a cache that lives as long as its connection."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    create_tables(connection, "new")
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """Open a cache file, made or upgraded where needed.

    Parameters
    ----------
    path : Path
        Absolute.

    Raises
    ------
    CacheError
        If the file cannot be a cache. It is left as it is: not a byte, not its time, no file
        beside it.
    """
    with _opening:
        _check_place(path)
        try:
            _create(path)
            _examine(path)
        except OSError as error:
            raise CacheError(
                f"The cache file {path} cannot be read or made ({error.strerror or error}): "
                "choose another file."
            ) from error
        try:
            connection = connect(path, PATIENCE_S)
            try:
                _settle(connection, path)
            except BaseException:
                connection.close()
                raise
        except FILE_ERRORS as error:
            raise explained(error, str(path)) from error
        _tighten(path)
    return connection


def is_database(path: Path) -> bool:
    """Whether a file is there that is a database of SQLite; reads only."""
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Return a connection to a file that exists.

    Parameters
    ----------
    path : Path
        Absolute.
    patience : float
        Seconds to wait for another process.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # An answer that counts as done must survive a power cut too.
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_place(path: Path) -> None:
    if not path.parent.is_dir():
        raise CacheError(
            f"The cache file {path} cannot be made: there is no folder {path.parent}; make it or "
            "choose another file."
        )
    if path.exists() and not path.is_file():
        raise CacheError(
            f"{path} is {'a folder' if path.is_dir() else 'no ordinary file'}, not a cache file: "
            "give the path of a file."
        )
    refuse_network(path)


def _create(path: Path) -> None:
    """Make an empty file that only its owner can read, before SQLite makes one for everybody."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _beside(path: Path, ending: str) -> Path:
    return Path(os.path.realpath(path) + ending)


def _marks(path: Path) -> list[tuple[int, int] | None]:
    """What changes when somebody writes."""
    marks: list[tuple[int, int] | None] = []
    for ending in ("", "-wal", "-journal"):
        try:
            found = _beside(path, ending).stat()
            marks.append((found.st_mtime_ns, found.st_size))
        except FileNotFoundError:
            marks.append(None)
    return marks


def _examine(path: Path) -> None:
    """Refuse what cannot be a cache, reading only; a verdict counts if the file stands still."""
    before = None
    for look in range(1, _LOOKS + 1):
        marks = _marks(path)
        try:
            _look(path)
            return
        except (CacheError, *FILE_ERRORS) as error:
            if look == _LOOKS or marks == before:
                if isinstance(error, FILE_ERRORS):
                    raise explained(error, str(path)) from error
                raise
        # Another process may be making the file right now, and times are only so fine.
        before = marks
        time.sleep(0.05)


def _look(path: Path) -> None:
    _, wal, journal = _marks(path)
    if wal is not None and _beside(path, "-shm").exists():
        _look_inside(path, "mode=ro")
        return
    head = _header(path)
    if not head:
        return
    if (wal and wal[1]) or (journal and journal[1]):
        # Left by a process that died: only SQLite can tell what the file holds, once it writes.
        if head[68:72] == APPLICATION_ID.to_bytes(4) and head[60:64] > VERSION.to_bytes(4):
            raise newer(str(path), int.from_bytes(head[60:64]))
        return
    pages, page = int.from_bytes(head[28:32]), int.from_bytes(head[16:18])
    if head[24:28] == head[92:96] and path.stat().st_size < pages * (65_536 if page == 1 else page):
        raise CacheError(
            f"The cache file {path} is cut off and was left as it is: restore a copy, or move it "
            "away and run again."
        )
    # Nobody has it open: immutable keeps SQLite from making files beside it.
    _look_inside(path, "mode=ro&immutable=1")


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if head and (len(head) < _HEADER or not head.startswith(_MAGIC)):
        raise CacheError(
            f"{path} is not a cache file and was left as it is: choose another file, or move "
            "this one away."
        )
    return head


def _look_inside(path: Path, options: str) -> None:
    connection = sqlite3.connect(f"{path.as_uri()}?{options}", uri=True, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        kind_of(connection, str(path))
        if path.stat().st_size <= _CHECKED_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                error = sqlite3.DatabaseError(" ".join(verdict.split()))
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error


def _settle(connection: sqlite3.Connection, path: Path) -> None:
    """Make or upgrade the tables; of several processes, one does it."""
    name = str(path)
    kind = kind_of(connection, name)
    if kind == "original":
        _copy_beside(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        # Before the upgrade: from then on a commit is one append, and a crash leaves the
        # original's rows.
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
    if kind == "ours":
        return
    with _alone(connection):
        kind = kind_of(connection, name)
        if kind != "ours":
            create_tables(connection, kind)


@contextlib.contextmanager
def _alone(connection: sqlite3.Connection) -> Iterator[None]:
    """Keep other processes from writing, and commit what the block writes, or nothing of it."""
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()


def _copy_beside(connection: sqlite3.Connection, path: Path) -> None:
    """Keep the original toolkit's file as it was; of several processes, one copy."""
    with _alone(connection):
        if kind_of(connection, str(path)) != "original":
            return
        descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
        copy = Path(made)
        try:
            # Through another connection: one cannot copy what it has locked itself.
            with (
                contextlib.closing(connect(path, PATIENCE_S)) as source,
                contextlib.closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            _name_copy(copy, path)
        finally:
            copy.unlink(missing_ok=True)


def _name_copy(copy: Path, path: Path) -> None:
    """Give a copy the first free name, where none of the names has the same bytes already."""
    content = copy.read_bytes()
    numbers = itertools.count(2)
    target = _beside(path, COPY_ENDING)
    while target.exists():
        if target.is_file() and target.read_bytes() == content:
            return
        target = _beside(path, f"{COPY_ENDING}-{next(numbers)}")
    atomic_write(target, content)


def _patiently(action: Callable[[], _T]) -> _T:
    """Try again while another process is in the way: some locks ignore the busy timeout."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_lock(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _tighten(path: Path) -> None:
    """Let nobody else read the file; one that belongs to somebody else stays as it is."""
    for ending in ("", "-wal", "-shm"):
        beside = _beside(path, ending)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if stat.S_IMODE(beside.stat().st_mode) & 0o077:
                beside.chmod(0o600)
