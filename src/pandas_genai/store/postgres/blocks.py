"""Blocks of budgets and rates, shared by all workers that have the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pandas_genai.store.blocks import BudgetBlock, Flow, granted, refilled
from pandas_genai.store.owners import OwnedLeases
from pandas_genai.store.postgres.database import Connection, Database
from pandas_genai.store.postgres.owners import EXPIRED, DeadOwners, beat, end_owner, lock_path

__all__ = ["PostgresBudget", "PostgresRate"]

_CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float"
_LEVELS = "SELECT kind, level, at FROM rates WHERE name = %s"
_SET_LEVEL = """
INSERT INTO rates (name, kind, level, at) VALUES (%s, %s, %s, %s)
ON CONFLICT (name, kind) DO UPDATE SET level = excluded.level, at = excluded.at
"""
_ADD_LEVEL = "UPDATE rates SET level = level + %s WHERE name = %s AND kind = %s"

_SPENT = "SELECT COALESCE(SUM(spent), 0) FROM budgets WHERE name = %s"
_SPEND = """
INSERT INTO budgets (name, spent)
SELECT name, amount FROM budget_blocks WHERE name = %(name)s AND owner = %(owner)s
ON CONFLICT (name) DO UPDATE SET spent = budgets.spent + excluded.spent
"""
_END_BLOCK = "DELETE FROM budget_blocks WHERE name = %(name)s AND owner = %(owner)s"
_LEASED = f"""
SELECT owner, amount, COALESCE(machine, ''), COALESCE({EXPIRED}, true)
FROM budget_blocks LEFT JOIN owners USING (owner) WHERE name = %s
"""  # noqa: S608 - our own condition
_SET_BLOCK = """
INSERT INTO budget_blocks (name, owner, amount) VALUES (%(name)s, %(owner)s, %(amount)s)
ON CONFLICT (name, owner) DO UPDATE SET amount = excluded.amount
"""
_LESSEN = """
UPDATE budget_blocks SET amount = %(amount)s WHERE name = %(name)s AND owner = %(owner)s
"""


class PostgresRate:
    """What all runs that use a name may send a minute together.

    A block whose taking was cut off, so that nobody knows whether it was taken, is taken once
    more: never is more sent than may be.

    Parameters
    ----------
    database : Database
        The database.
    name : str
        Whose limit it is.
    now : callable, optional
        Seconds on a clock that all of them share; by default the server's.
    """

    def __init__(self, database: Database, name: str, now: Callable[[], float] | None) -> None:
        self._database = database
        self._name = name
        self._now = now

    def take(self, flows: Mapping[str, Flow]) -> dict[str, float]:
        """Take of each kind as much as is there, at most what is wanted."""
        return self._database.run(lambda connection: self._taken(connection, flows))

    def _taken(self, connection: Connection, flows: Mapping[str, Flow]) -> dict[str, float]:
        self._database.take_turn(connection, "rate", self._name)
        found = connection.execute(_LEVELS, (self._name,))
        levels = {kind: (level, at) for kind, level, at in found}
        if self._now is None:
            ((now,),) = connection.execute(_CLOCK).fetchall()
        else:
            now = self._now()
        taken = {}
        for kind, flow in flows.items():
            level, at = levels.get(kind, (flow.most, now))
            level = refilled(level, now - at, flow)
            taken[kind] = max(0.0, min(level, flow.wanted))
            connection.execute(_SET_LEVEL, (self._name, kind, level - taken[kind], now))
        return taken

    def give(self, amounts: Mapping[str, float]) -> None:
        """Give back what was not sent; less than 0 is what was sent beyond what was taken."""

        def work(connection: Connection) -> None:
            self._database.take_turn(connection, "rate", self._name)
            for kind, amount in amounts.items():
                connection.execute(_ADD_LEVEL, (amount, self._name, kind))

        self._database.run(work)

    def close(self) -> None:
        """Let go: there is nothing to do."""


class PostgresBudget(OwnedLeases):
    """The budget that all runs that use a name spend together.

    Parameters
    ----------
    database : Database
        The database.
    name : str
        Of the budget.
    total : float
        What all of them may spend.
    """

    def __init__(self, database: Database, name: str, total: float) -> None:
        super().__init__(lock_path)
        self._database = database
        self._name = name
        self._total = total
        self._others = DeadOwners()
        # What we have leased. The table is given the sum, so that it may be given twice.
        self._held = 0.0

    def take(self, least: float, most: float) -> BudgetBlock:
        """Lease what is left, at most ``most``, and nothing where that is less than ``least``."""
        with self._asking:
            self._start()
            self._held, taken = self._database.run(
                lambda connection: self._taken(connection, least, most)
            )
        return taken

    def _taken(
        self, connection: Connection, least: float, most: float
    ) -> tuple[float, BudgetBlock]:
        """Return what we have leased afterwards, and the block."""
        self._database.take_turn(connection, "budget", self._name)
        beat(connection, self.owner)
        found = connection.execute(_LEASED, (self._name,)).fetchall()
        leased = {owner: amount for owner, amount, *_ in found}
        owners = {(owner, where, gone) for owner, _, where, gone in found if owner != self.owner}
        for owner in self._others.among(owners):
            self._spend(connection, owner)
            end_owner(connection, owner)
            del leased[owner]
        # Without an entry, others took us for dead and counted what we had as spent.
        held = self._held if leased.pop(self.owner, None) is not None else 0.0
        ((spent,),) = connection.execute(_SPENT, (self._name,)).fetchall()
        left = self._total - spent - held - sum(leased.values())
        amount = granted(left, least, most)
        if amount:
            connection.execute(_SET_BLOCK, self._entry(amount=held + amount))
        return held + amount, BudgetBlock(amount, left - amount, len(leased))

    def give(self, amount: float) -> None:
        """Give back a part that was not spent."""
        with self._asking:
            held = max(0.0, self._held - amount)
            self._database.write(_LESSEN, [self._entry(amount=held)])
            self._held = held

    def end(self, unspent: float) -> None:
        """Give that back and count the rest as spent: we have no block until the next take."""
        with self._asking:
            held = max(0.0, self._held - unspent)

            def work(connection: Connection) -> None:
                connection.execute(_LESSEN, self._entry(amount=held))
                self._spend(connection, self.owner)

            self._database.run(work)
            self._held = 0.0

    def _end_all(self) -> None:
        def work(connection: Connection) -> None:
            self._spend(connection, self.owner)
            end_owner(connection, self.owner)

        self._database.run(work)
        self._held = 0.0

    def _renew(self) -> None:
        self._database.run(lambda connection: beat(connection, self.owner))

    def _spend(self, connection: Connection, owner: str) -> None:
        """Count what an owner has leased as spent."""
        connection.execute(_SPEND, self._entry(owner=owner))
        connection.execute(_END_BLOCK, self._entry(owner=owner))

    def _entry(self, **values: object) -> dict[str, object]:
        return {"name": self._name, "owner": self.owner, **values}
