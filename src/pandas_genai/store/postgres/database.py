"""Connections that outlast their server: what fails because it is away is done again."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.rows import dict_row

from pandas_genai.clock import Clock
from pandas_genai.errors import CacheError
from pandas_genai.store.postgres.address import Address

__all__ = ["PATIENCE_S", "Connection", "Database", "cleaned", "without_nul"]

PATIENCE_S = 300.0
"""How long a server that was reached before is waited for, until a call fails."""

_WARN_S = 10.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 2.0

_reached: set[tuple[str, ...]] = set()
"""What this process has been let into: it is waited for also by who connects for the first time."""

_log = logging.getLogger("pandas_genai")
_T = TypeVar("_T")

Connection: TypeAlias = psycopg.Connection[Any]
Values: TypeAlias = Sequence[Any] | Mapping[str, Any]

# A network that swallows packets shows within a minute, and a process that was stopped in the
# middle of a transaction does not keep others from its rows.
_PARAMETERS = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "40000",
    "application_name": "pandas-genai",
    "client_encoding": "UTF8",
}
_SESSION = """
SELECT set_config('search_path', quote_ident(%s), false),
set_config('idle_in_transaction_session_timeout', '30s', false),
set_config('default_transaction_isolation', 'read committed', false),
CASE current_setting('synchronous_commit')
WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""

# Connection lost or refused, server stopping or starting, too many connections, deadlocks and
# whatever else says "again": the same work succeeds later.
_PASSING = ("08", "40", "53300", "55P03", "57P", "25P03")
_STARTING = ("starting up", "shutting down", "in recovery mode", "not yet accepting", "too many")


def _is_passing(error: psycopg.Error) -> bool:
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_PASSING)


class Database:
    """One connection behind a lock, made again when it is lost.

    What is done with it may be done twice: when the connection is lost with a commit under way,
    nobody knows its outcome, and the same work is done once more. Work is written so that this
    changes nothing.

    Parameters
    ----------
    address : Address
        The database.
    clock : Clock
        Waits.

    Raises
    ------
    CacheError
        If the server cannot be reached or does not let us in.
    """

    def __init__(self, address: Address, clock: Clock) -> None:
        self.name = address.public
        self._address = address
        self._clock = clock
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connection: Connection | None = None
        self._place = (*address.server, address.dbname, address.user, address.password)
        self._lost_at: float | None = None

    def __del__(self) -> None:
        """Close a connection that nobody closed: psycopg warns of that."""
        if getattr(self, "_connection", None) is not None:
            self._drop()

    def run(self, work: Callable[[Connection], _T], stop: threading.Event | None = None) -> _T:
        """Do some work in one transaction, as often as it takes until its outcome is known.

        Parameters
        ----------
        work : callable
            Given a connection; what it does twice is as if it were done once.
        stop : Event, optional
            Ends the waiting for a server that is away.

        Raises
        ------
        CacheError
            With PostgreSQL's error as its cause, if it is not a passing one, or if the server
            does not come back within ``PATIENCE_S``.
        """

        def transaction(connection: Connection) -> _T:
            with connection.transaction():
                return work(connection)

        return self._run(transaction, stop or self._closing)

    def query(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows of one statement that changes nothing, bytes as bytes."""

        def work(connection: Connection) -> list[tuple[Any, ...]]:
            return connection.execute(statement, cleaned(values), binary=True).fetchall()

        return self._run(work, self._closing)

    def records(self, statement: str, values: Values = ()) -> list[dict[str, Any]]:
        """Return all rows of one statement that changes nothing, as dicts by column."""

        def work(connection: Connection) -> list[dict[str, Any]]:
            with connection.cursor(row_factory=dict_row, binary=True) as cursor:
                return cursor.execute(statement, cleaned(values)).fetchall()

        return self._run(work, self._closing)

    def write(self, statement: str, rows: Iterable[Values]) -> None:
        """Run one statement for each row, in one transaction."""
        values = [cleaned(row) for row in rows]

        def work(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(statement, values)

        self.run(work)

    def take_turn(self, connection: Connection, *names: str) -> None:
        """Keep others from the same until the transaction ends."""
        text = "\0".join(("pandas_genai", self._address.schema, *names))
        number = blake2b(text.encode(), digest_size=8).digest()
        values = (int.from_bytes(number, signed=True),)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", values)

    def close(self) -> None:
        """Let the connection go; closing again does nothing."""
        self._closing.set()
        with self._lock:
            self._drop()

    def _run(self, work: Callable[[Connection], _T], stop: threading.Event) -> _T:
        with self._lock:
            pause, warned = _FIRST_PAUSE_S, False
            while True:
                try:
                    found = work(self._open())
                except psycopg.Error as error:
                    self._drop_if_broken()
                    waited = self._waited(error, stop)
                    if waited >= _WARN_S and not warned:
                        warned = True
                        self._warn(error)
                except BaseException:
                    self._drop_if_broken()
                    raise
                else:
                    self._lost_at = None
                    return found
                # Of many workers, not all at the same moment.
                self._clock.wait(stop, pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(_LAST_PAUSE_S, pause * 2)

    def _waited(self, error: psycopg.Error, stop: threading.Event) -> float:
        """Return for how long the server has been away.

        Raises
        ------
        CacheError
            If the error does not pass, or was waited for long enough.
        """
        now = self._clock.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        waited = now - self._lost_at
        starting = any(part in str(error) for part in _STARTING)
        if not _is_passing(error) or not (self._place in _reached or starting):
            self._lost_at = None
            raise self._explained(error) from error
        if stop.is_set() or waited >= PATIENCE_S:
            raise self._explained(error) from error
        return waited

    def _open(self) -> Connection:
        if self._closing.is_set():
            raise CacheError(f"The cache {self.name} is closed: open it again.")
        if self._connection is None:
            connection = psycopg.connect(
                **{**_PARAMETERS, **self._address.parameters}, autocommit=True
            )
            try:
                connection.execute(_SESSION, (self._address.schema,))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            _reached.add(self._place)
        return self._connection

    def _drop_if_broken(self) -> None:
        connection = self._connection
        if connection is not None and (
            connection.closed
            or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        ):
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _warn(self, error: psycopg.Error) -> None:
        _log.warning(
            "Waiting for the PostgreSQL server of the cache %s (%s).", self.name, self._words(error)
        )

    def _words(self, error: psycopg.Error) -> str:
        """Return PostgreSQL's own words in one line, without a password."""
        words = " ".join(str(error.diag.message_primary or error).split()).rstrip(".")
        return self._address.redacted(words)

    def _explained(self, error: psycopg.Error) -> CacheError:
        """Return the sentence for an error of PostgreSQL."""
        words, code = self._words(error), error.sqlstate or ""
        if _is_passing(error) and self._place not in _reached:
            what = (
                "cannot be reached: check host, port, database, user and password (in the URL, "
                "PGPASSWORD or ~/.pgpass), and whether the server runs"
            )
        elif _is_passing(error):
            what = (
                "was lost and did not come back: see to the server and run again; what was saved "
                "before is kept"
            )
        elif code in {"42501", "42P01"}:
            schema = f'SCHEMA "{self._address.schema}"'
            what = (
                f"does not allow it: have its owner run CREATE {schema} AUTHORIZATION with your "
                f"user or, where it is there, GRANT USAGE ON {schema} and GRANT ALL ON ALL TABLES "
                f"IN {schema} to it"
            )
        elif code == "53100":
            what = "has a full disk: free some space and run again; what was saved before is kept"
        elif code == "25006":
            what = "is read-only (a standby?): give the host of the primary server"
        else:
            what = "could not be used: check the database"
        return CacheError(f"The cache {self.name} {what} ({words}).")


def cleaned(values: Values) -> Values:
    """Return values that PostgreSQL can hold."""
    if isinstance(values, Mapping):
        return {name: without_nul(value) for name, value in values.items()}
    return [without_nul(value) for value in values]


def without_nul(value: Any) -> Any:
    r"""Return a value in whose text each NUL is the escape ``\u0000``: PostgreSQL has none."""
    return value.replace("\0", "\\u0000") if isinstance(value, str) and "\0" in value else value
