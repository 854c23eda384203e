"""Leases on the database's own clock: which rows a worker has under way, wherever it runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from pandas_genai.store.base import Granted
from pandas_genai.store.owners import OwnedRows
from pandas_genai.store.postgres.database import Connection, Database
from pandas_genai.store.postgres.owners import EXPIRED, DeadOwners, beat, end_owner, lock_path

__all__ = ["JobLeases", "Leases"]

# In the order of the keys: two workers that want the same rows at once never wait for each other.
_LEASE = """
INSERT INTO leases (block, prompt_hash, text_hash, owner)
SELECT %(block)s, %(task)s, key, %(owner)s FROM unnest(%(keys)s::text[]) AS key
ON CONFLICT DO NOTHING
"""
# What we have had before is ours with the new block, and does not end with the old one.
_KEEP = """
UPDATE leases SET block = %(block)s FROM unnest(%(keys)s::text[]) AS key
WHERE prompt_hash = %(task)s AND text_hash = key AND owner = %(owner)s AND block <> %(block)s
"""
_HOLDERS = f"""
SELECT text_hash, owner, COALESCE(machine, ''), COALESCE({EXPIRED}, true)
FROM unnest(%(keys)s::text[]) AS key JOIN leases ON text_hash = key LEFT JOIN owners USING (owner)
WHERE prompt_hash = %(task)s AND owner <> %(owner)s
"""  # noqa: S608 - our own condition
_BURY = "DELETE FROM owners WHERE owner = ANY (%s)"
_BURY_EXPIRED = f"DELETE FROM owners WHERE {EXPIRED}"  # noqa: S608 - the same
_END_OWNERLESS = """
DELETE FROM leases WHERE NOT EXISTS (SELECT 1 FROM owners WHERE owners.owner = leases.owner)
"""
_END_BLOCKS = "DELETE FROM leases WHERE owner = %s AND block = ANY (%s)"
_END_LEASES = "DELETE FROM leases WHERE owner = %s"

_NUMBER_BITS = 62

_JOBS_ROWS = """
SELECT DISTINCT key FROM job_leases, unnest(rows) AS key WHERE prompt_hash = %s AND job <> %s
"""
_LEASE_JOB = "INSERT INTO job_leases (prompt_hash, job, place, rows) VALUES (%s, %s, %s, %s)"
_JOBS = "SELECT DISTINCT job, place FROM job_leases WHERE prompt_hash = %s"
_END_JOB = "DELETE FROM job_leases WHERE job = %s"
_JOB_BLOCK = 50_000


class Leases(OwnedRows):
    """The rows of one task that one run has under way.

    A lease is a row of its own, so that a worker among many looks at those alone that it asks
    for. It ends 30 seconds after the last heartbeat of its owner, by the server's clock; an owner
    that died on the same machine is recognised at once, by the lock that the operating system
    held for it.

    Parameters
    ----------
    database : Database
        The database.
    prompt_hash : str
        The task.
    """

    def __init__(self, database: Database, prompt_hash: str) -> None:
        super().__init__(lock_path)
        self._database = database
        self._prompt_hash = prompt_hash
        self._others = DeadOwners()

    def acquire(self, keys: Sequence[str]) -> Granted:
        """Lease those of some rows that no living owner has."""
        wanted = sorted(set(keys))
        block = secrets.randbits(_NUMBER_BITS)
        with self._asking:
            self._start()
            ended = self._take_ended()
            holders = self._database.run(lambda one: self._acquired(one, wanted, block, ended))
            dead = self._dead(holders)
            if dead:
                self._database.run(lambda one: _bury(one, dead))
                holders = self._database.run(lambda one: self._acquired(one, wanted, block, []))
            others = {key for key, *_ in holders}
            ours = [key for key in wanted if key not in others]
            if ours:
                self._hold(block, ours)
        return Granted(set(ours), others)

    def _acquired(
        self, connection: Connection, wanted: list[str], block: int, ended: list[int]
    ) -> list[tuple[Any, ...]]:
        """Lease what is free, and return who has the rest."""
        beat(connection, self.owner)
        values = self._asked(wanted) | {"block": block}
        connection.execute(_LEASE, values)
        connection.execute(_KEEP, values)
        if ended:
            connection.execute(_END_BLOCKS, (self.owner, ended))
        return self._holders(connection, wanted)

    def _holders(self, connection: Connection, keys: list[str]) -> list[tuple[Any, ...]]:
        return connection.execute(_HOLDERS, self._asked(keys)).fetchall()

    def _asked(self, keys: Sequence[str]) -> dict[str, Any]:
        return {"task": self._prompt_hash, "keys": list(keys), "owner": self.owner}

    def _dead(self, holders: Iterable[tuple[Any, ...]]) -> set[str]:
        """Return the owners whose leases have ended."""
        return self._others.among({(owner, where, expired) for _, owner, where, expired in holders})

    def free(self, keys: Sequence[str]) -> bool:
        """Whether one of some rows may be leased now; reads only."""
        holders = self._database.query(_HOLDERS, self._asked(keys))
        with self._asking:
            dead = self._dead(holders)
        return not {key for key, owner, *_ in holders if owner not in dead}.issuperset(keys)

    def _write_ended(self, ended: list[int]) -> None:
        def work(connection: Connection) -> None:
            beat(connection, self.owner)
            if ended:
                connection.execute(_END_BLOCKS, (self.owner, ended))

        self._database.run(work)

    def _end_all(self) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_END_LEASES, (self.owner,))
            end_owner(connection, self.owner)

        self._database.run(work)


def _bury(connection: Connection, dead: set[str]) -> None:
    """End the leases of some owners, and of all that are silent for too long."""
    connection.execute(_BURY, (list(dead),))
    connection.execute(_BURY_EXPIRED)
    connection.execute(_END_OWNERLESS)


class JobLeases:
    """The rows of batch jobs: leased until their job has ended, without a heartbeat.

    Whether a job has ended is written in its directory; the store only says where that is.

    Parameters
    ----------
    database : Database
        The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease_job(self, prompt_hash: str, job: str, place: str, keys: Sequence[str]) -> set[str]:
        """Lease rows for a batch job; return those that another job has."""

        def work(connection: Connection) -> set[str]:
            # One job at a time, or two that look at the same moment would both lease a row.
            connection.execute("LOCK TABLE job_leases IN SHARE ROW EXCLUSIVE MODE")
            found = connection.execute(_JOBS_ROWS, (prompt_hash, job), binary=True)
            others = {key for (key,) in found}.intersection(keys)
            ours = [key for key in keys if key not in others]
            for start in range(0, max(1, len(ours)), _JOB_BLOCK):
                block = ours[start : start + _JOB_BLOCK]
                connection.execute(_LEASE_JOB, (prompt_hash, job, place, block))
            return others

        return self._database.run(work)

    def leasing_jobs(self, prompt_hash: str) -> dict[str, str]:
        """Return the directories of the jobs that have leased rows of a task, by job."""
        return dict(self._database.query(_JOBS, (prompt_hash,)))

    def end_job(self, job: str) -> None:
        """End all leases of a batch job."""
        self._database.write(_END_JOB, [(job,)])
