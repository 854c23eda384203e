"""Blocks of budgets and rates in an SQLite file, shared by the processes that have it open."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pandas_genai.store.blocks import BudgetBlock, Flow, granted, refilled
from pandas_genai.store.owners import EXPIRY_S, OwnedLeases, machine
from pandas_genai.store.records import now as timestamp
from pandas_genai.store.sqlite.database import Database, unless_locked
from pandas_genai.store.sqlite.leases import Liveness, lock_path
from pandas_genai.store.sqlite.tables import BLOCK_TABLES

__all__ = ["SqliteBudget", "SqliteRate"]

_LEVEL = "SELECT level, at FROM rates WHERE name = ? AND kind = ?"
_SET_LEVEL = "INSERT OR REPLACE INTO rates (name, kind, level, at) VALUES (?, ?, ?, ?)"
_ADD_LEVEL = "UPDATE rates SET level = level + ? WHERE name = ? AND kind = ?"

_OWNERS = "SELECT owner, beats, machine FROM owners WHERE owner <> ? AND kind = 'budget'"
_ENROL = """
INSERT OR IGNORE INTO owners (owner, kind, machine, pid, beats, beaten)
VALUES (?, 'budget', ?, ?, 0, ?)
"""
_BEAT = "UPDATE owners SET beats = beats + 1, beaten = ? WHERE owner = ?"
_END_OWNER = "DELETE FROM owners WHERE owner = ?"
_SPENT = "SELECT spent FROM budgets WHERE name = ?"
_SPEND = """
INSERT INTO budgets (name, spent) SELECT name, amount FROM budget_blocks WHERE owner = ?
ON CONFLICT (name) DO UPDATE SET spent = spent + excluded.spent
"""
_END_BLOCK = "DELETE FROM budget_blocks WHERE owner = ?"
_LEASED = "SELECT owner, amount FROM budget_blocks WHERE name = ?"
_LEASE = """
INSERT INTO budget_blocks (name, owner, amount) VALUES (?, ?, ?)
ON CONFLICT (name, owner) DO UPDATE SET amount = amount + excluded.amount
"""
_GIVE = "UPDATE budget_blocks SET amount = MAX(0, amount - ?) WHERE owner = ?"


def _make_tables(database: Database) -> None:
    """Make the tables in a file that was made before there were any."""
    if database.query("SELECT 1 FROM pragma_table_info('budget_blocks')"):
        return
    with database.transaction() as connection:
        for statement in BLOCK_TABLES:
            connection.execute(statement)


class SqliteRate:
    """What all runs that use a name may send a minute together.

    Parameters
    ----------
    database : Database
        The database; closed with this, if owned.
    name : str
        Whose limit it is.
    now : callable
        Seconds on a clock that all of them share.
    owned : bool
        Whether the database is.
    """

    def __init__(
        self, database: Database, name: str, now: Callable[[], float], *, owned: bool
    ) -> None:
        self._database = database
        self._name = name
        self._now = now
        self._owned = owned
        _make_tables(database)

    def take(self, flows: Mapping[str, Flow]) -> dict[str, float] | None:
        """Take of each kind as much as is there, at most what is wanted.

        Parameters
        ----------
        flows : mapping
            What a minute brings and what is wanted, by kind.

        Returns
        -------
        dict or None
            What was taken, by kind; None while another program holds the file: ask again.

        Raises
        ------
        CacheError
            If the file cannot be used.
        """
        return unless_locked(lambda: self._taken(flows))

    def _taken(self, flows: Mapping[str, Flow]) -> dict[str, float]:
        taken = {}
        with self._database.transaction() as connection:
            now = self._now()
            for kind, flow in flows.items():
                found = connection.execute(_LEVEL, (self._name, kind)).fetchone()
                level = flow.most if found is None else refilled(found[0], now - found[1], flow)
                taken[kind] = max(0.0, min(level, flow.wanted))
                values = (self._name, kind, level - taken[kind], now)
                connection.execute(_SET_LEVEL, values)
        return taken

    def give(self, amounts: Mapping[str, float]) -> None:
        """Give back what was not sent; less than 0 is what was sent beyond what was taken."""
        self._database.write(
            _ADD_LEVEL, [(amount, self._name, kind) for kind, amount in amounts.items()]
        )

    def close(self) -> None:
        """Let the file go, if it is ours; closing again does nothing."""
        if self._owned:
            self._database.close()


class SqliteBudget(OwnedLeases):
    """The budget that all runs that use a name spend together.

    Parameters
    ----------
    database : Database
        The database; closed with this, if owned.
    name : str
        Of the budget.
    total : float
        What all of them may spend.
    path : Path or None
        The cache file; None in memory.
    owned : bool
        Whether the database is.
    clock : callable
        Seconds on a clock that never goes back.
    """

    def __init__(
        self,
        database: Database,
        name: str,
        total: float,
        *,
        path: Path | None,
        owned: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(partial(lock_path, path))
        self._database = database
        self._name = name
        self._total = total
        self._owned = owned
        self._liveness = Liveness(path, clock, EXPIRY_S)
        _make_tables(database)

    def take(self, least: float, most: float) -> BudgetBlock | None:
        """Lease what is left, at most ``most``, and nothing where that is less than ``least``.

        Parameters
        ----------
        least, most : float
            Between which a block is of use.

        Returns
        -------
        BudgetBlock or None
            None while another program holds the file: ask again.

        Raises
        ------
        CacheError
            If the file cannot be used.
        """
        with self._asking:
            self._start()
            return unless_locked(lambda: self._taken(least, most))

    def _taken(self, least: float, most: float) -> BudgetBlock:
        with self._database.transaction() as connection:
            found = connection.execute(_OWNERS, (self.owner,)).fetchall()
            for owner in self._liveness.dead(found):
                _end(connection, owner)
            (spent,) = connection.execute(_SPENT, (self._name,)).fetchone() or (0.0,)
            leased = dict(connection.execute(_LEASED, (self._name,)))
            left = self._total - spent - sum(leased.values())
            amount = granted(left, least, most)
            connection.execute(_ENROL, (self.owner, machine(), os.getpid(), timestamp()))
            if amount:
                connection.execute(_LEASE, (self._name, self.owner, amount))
        return BudgetBlock(amount, left - amount, len(leased.keys() - {self.owner}))

    def give(self, amount: float) -> None:
        """Give back a part that was not spent."""
        self._database.write(_GIVE, [(amount, self.owner)])

    def end(self, unspent: float) -> None:
        """Give that back and count the rest as spent: we have no block until the next take."""
        with self._database.transaction() as connection:
            connection.execute(_GIVE, (unspent, self.owner))
            connection.execute(_SPEND, (self.owner,))
            connection.execute(_END_BLOCK, (self.owner,))

    def close(self) -> None:
        """Count all that is leased as spent; closing again does nothing."""
        super().close()
        if self._owned:
            self._database.close()

    def _end_all(self) -> None:
        with self._database.transaction() as connection:
            _end(connection, self.owner)

    def _renew(self) -> None:
        self._database.write(_BEAT, [(timestamp(), self.owner)])


def _end(connection: sqlite3.Connection, owner: str) -> None:
    """Count what an owner has leased as spent."""
    for statement in (_SPEND, _END_BLOCK, _END_OWNER):
        connection.execute(statement, (owner,))
