"""The decisions of people who code by hand: one file a review, each decision durable at once.

The file is no cache of answers: what a person decided cannot be asked again. Decisions are only
ever added; of a row the newest counts. The file is opened for each of them, so that one that was
moved away or replaced meanwhile is noticed with the next.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pandas_genai.errors import CacheError, UsageError
from pandas_genai.store.records import now
from pandas_genai.store.sqlite.database import FILE_ERRORS, explained
from pandas_genai.store.sqlite.opening import PATIENCE_S

__all__ = ["Decision", "ReviewFile"]

_APPLICATION_ID = 0x67726576
_COLUMNS = ("row", "answers", "note", "state", "decided")
_TABLES = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    "CREATE TABLE review (id INTEGER PRIMARY KEY CHECK (id = 1), about TEXT NOT NULL)",
    f"CREATE TABLE decisions (id INTEGER PRIMARY KEY, {' TEXT, '.join(_COLUMNS)} TEXT)",
)
_ADD = f"INSERT INTO decisions ({', '.join(_COLUMNS)}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 - no value stands in it
_NEWEST = (
    "SELECT row, answers, note, state FROM decisions "
    "WHERE id IN (SELECT max(id) FROM decisions GROUP BY row)"
)


@dataclass(frozen=True)
class Decision:
    """What was decided about a row so far.

    Parameters
    ----------
    answers : str
        The fields that are coded, as JSON text.
    note : str
        A remark.
    state : {"begun", "done", "skipped"}
        Whether more is to come.
    """

    answers: str
    note: str
    state: str


class ReviewFile:
    """A file of decisions.

    Parameters
    ----------
    path : Path
        Where it is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, about: str) -> None:
        """Make the file, if it is not there.

        Parameters
        ----------
        about : str
            What is coded, as text of the caller's.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise CacheError(
                f"The review file {self.path} cannot be made ({error.strerror or error}): allow "
                "it, or give another name."
            ) from error
        with self._transaction() as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute("INSERT INTO review (id, about) VALUES (1, ?)", (about,))

    def read(self) -> tuple[str, dict[str, Decision]]:
        """Return what is coded, and the newest decision about each row.

        Raises
        ------
        UsageError
            If the file holds no review.
        """
        with self._connection() as connection:
            if connection.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
                raise UsageError(f"{self.path} holds no hand codes: it is another SQLite file.")
            (about,) = connection.execute("SELECT about FROM review").fetchone()
            decisions = connection.execute(_NEWEST).fetchall()
        return about, {row: Decision(*decision) for row, *decision in decisions}

    def describe(self, about: str) -> None:
        """Change what is coded, where more rows are."""
        with self._transaction() as connection:
            connection.execute("UPDATE review SET about = ?", (about,))

    def add(self, row: str, decision: Decision) -> None:
        """Keep a decision about a row; it is on the disk when this returns."""
        values = (row, decision.answers, decision.note, decision.state, now())
        with self._transaction() as connection:
            connection.execute(_ADD, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            address = f"{self.path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(
                address, uri=True, timeout=PATIENCE_S, isolation_level=None
            )
            with contextlib.closing(connection):
                connection.execute("PRAGMA synchronous = EXTRA")
                yield connection
        except FILE_ERRORS as error:
            raise explained(error, str(self.path), "review file") from error
