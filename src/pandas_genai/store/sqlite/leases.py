"""Leases: which rows a kernel has under way, so that another one does not pay for them too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pandas_genai.store.base import Granted
from pandas_genai.store.owners import EXPIRY_S, OwnedRows, OwnerLocks, machine
from pandas_genai.store.records import now, packed_keys, unpacked_keys
from pandas_genai.store.sqlite.database import Database, unless_locked

__all__ = ["EXPIRY_S", "JobLeases", "Leases", "Liveness", "lock_path", "machine"]

_OTHERS = """
SELECT leases.owner, leases.rows FROM leases JOIN owners USING (owner)
WHERE prompt_hash = ? AND leases.owner <> ? AND kind = 'live'
"""
_OWNERS = "SELECT owner, beats, machine FROM owners WHERE owner <> ? AND kind = 'live'"
_ENROL = """
INSERT OR IGNORE INTO owners (owner, kind, machine, pid, beats, beaten)
VALUES (?, 'live', ?, ?, 0, ?)
"""
_BEAT = "UPDATE owners SET beats = beats + 1, beaten = ? WHERE owner = ?"
_LEASE = "INSERT INTO leases (prompt_hash, owner, rows) VALUES (?, ?, ?)"
_END_LEASE = "DELETE FROM leases WHERE id = ? AND owner = ?"
_END_LEASES = "DELETE FROM leases WHERE owner = ?"
_END_OWNER = "DELETE FROM owners WHERE owner = ?"


_ENROL_JOB = """
INSERT OR REPLACE INTO owners (owner, kind, machine, pid, beats, beaten)
VALUES (?, 'batch', ?, NULL, 0, ?)
"""
_JOBS_ROWS = """
SELECT leases.rows FROM leases JOIN owners USING (owner)
WHERE prompt_hash = ? AND leases.owner <> ? AND kind = 'batch'
"""
_JOBS = """
SELECT DISTINCT owner, machine FROM leases JOIN owners USING (owner)
WHERE prompt_hash = ? AND kind = 'batch'
"""
_JOB_BLOCK = 50_000


def lock_path(path: Path | None, owner: str) -> Path | None:
    """Return the owner's lock beside the cache file; none in memory, where nobody can look."""
    return None if path is None else Path(f"{os.path.realpath(path)}-owner-{owner}.lock")


class Liveness:
    """Watches other owners, with this process's own clock.

    Parameters
    ----------
    path : Path or None
        The cache file.
    clock : callable
        Seconds on a clock that never goes back.
    expiry_s : float
        Without a heartbeat for so long, an owner counts as dead.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float], expiry_s: float) -> None:
        self._clock = clock
        self._expiry_s = expiry_s
        self._seen: dict[str, tuple[int, float]] = {}
        self._locks = OwnerLocks(partial(lock_path, path), clock)

    def dead(self, owners: Iterable[tuple[str, int, str]]) -> Iterator[str]:
        """Return those of some owners that are dead.

        Parameters
        ----------
        owners : iterable of (str, int, str)
            Owner, heartbeats so far, and machine.
        """
        time = self._clock()
        for owner, beats, where in owners:
            seen, since = self._seen.get(owner, (-1, time))
            if beats != seen:
                since = time
            self._seen[owner] = (beats, since)
            if time - since >= self._expiry_s or self._locks.is_let_go(owner, where):
                yield owner


class Leases(OwnedRows):
    """The rows of one task that one run has under way.

    A block of rows is one entry and one transaction. Nothing here waits for the disk: a power cut
    that loses a lease has ended its owner as well.

    A heartbeat is a number that its owner counts up. Whoever waits watches with its own monotonic
    clock whether the number still grows, so that no wall clock is compared with another. An owner
    that died on the same machine is recognised at once, by the lock that the operating system
    held for it on a file beside the cache.

    Parameters
    ----------
    database : Database
        The database; closed with the leases, if owned.
    owned : bool
        Whether it is.
    path : Path or None
        The cache file; None in memory.
    prompt_hash : str
        The task.
    clock : callable
        Seconds on a clock that never goes back.
    """

    def __init__(
        self,
        database: Database,
        *,
        owned: bool,
        path: Path | None,
        prompt_hash: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(partial(lock_path, path))
        self._database = database
        self._owned = owned
        self._prompt_hash = prompt_hash
        self._liveness = Liveness(path, clock, EXPIRY_S)

    def acquire(self, keys: Sequence[str]) -> Granted | None:
        """Lease those of some rows that no living kernel has leased.

        Parameters
        ----------
        keys : sequence of str
            Row keys; answers that are there already are looked up afterwards, because the kernel
            that had the lease before has written them before it ended the lease.

        Returns
        -------
        Granted or None
            None while another program holds the file: ask again.

        Raises
        ------
        CacheError
            If the file cannot be used.
        """
        with self._asking:
            self._start()
            return unless_locked(lambda: self._acquired(keys))

    def _acquired(self, keys: Sequence[str]) -> Granted:
        self._bury(self._dead())
        with self._database.transaction() as connection:
            found = connection.execute(_OTHERS, (self._prompt_hash, self.owner))
            busy = {key for _, rows in found for key in unpacked_keys(rows)}
            others = busy.intersection(keys) if busy else set()
            ours = [key for key in keys if key not in others]
            connection.execute(_ENROL, (self.owner, machine(), os.getpid(), now()))
            if ours:
                values = (self._prompt_hash, self.owner, packed_keys(ours))
                number = connection.execute(_LEASE, values).lastrowid or 0
            ended = self._take_ended()
            connection.executemany(_END_LEASE, ((number, self.owner) for number in ended))
        if ours:
            self._hold(number, ours)
        return Granted(set(ours), others)

    def free(self, keys: Sequence[str]) -> bool:
        """Whether one of some rows may be leased now; reads only."""
        with self._asking:
            dead = self._dead()
        found = self._database.query(_OTHERS, (self._prompt_hash, self.owner))
        busy = {key for owner, rows in found if owner not in dead for key in unpacked_keys(rows)}
        return not busy.issuperset(keys)

    def close(self) -> None:
        """End all leases; closing again does nothing."""
        super().close()
        if self._owned:
            self._database.close()

    def _end_all(self) -> None:
        with self._database.transaction() as connection:
            connection.execute(_END_LEASES, (self.owner,))
            connection.execute(_END_OWNER, (self.owner,))

    def _write_ended(self, ended: list[int]) -> None:
        with self._database.transaction() as connection:
            connection.execute(_BEAT, (now(), self.owner))
            connection.executemany(_END_LEASE, ((one, self.owner) for one in ended))

    def _dead(self) -> set[str]:
        """Return the owners whose leases may be taken over."""
        return set(self._liveness.dead(self._database.query(_OWNERS, (self.owner,))))

    def _bury(self, dead: set[str]) -> None:
        if not dead:
            return
        with self._database.transaction() as connection:
            connection.executemany(_END_LEASES, ((owner,) for owner in dead))
            connection.executemany(_END_OWNER, ((owner,) for owner in dead))


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
        """Lease rows for a job, but for those that another job has.

        Parameters
        ----------
        prompt_hash, job : str
            The task, and the job's identity.
        place : str
            The job's directory.
        keys : sequence of str
            Row keys.

        Returns
        -------
        set of str
            The rows among them that other jobs have leased.
        """
        with self._database.transaction() as connection:
            found = connection.execute(_JOBS_ROWS, (prompt_hash, job))
            busy = {key for (rows,) in found for key in unpacked_keys(rows)}
            others = busy.intersection(keys)
            ours = [key for key in keys if key not in others] if others else keys
            connection.execute(_ENROL_JOB, (job, place, now()))
            for start in range(0, len(ours), _JOB_BLOCK):
                rows = packed_keys(ours[start : start + _JOB_BLOCK])
                connection.execute(_LEASE, (prompt_hash, job, rows))
        return others

    def leasing_jobs(self, prompt_hash: str) -> dict[str, str]:
        """Return the directories of the jobs that have leased rows of a task, by job."""
        return dict(self._database.query(_JOBS, (prompt_hash,)))

    def end_job(self, job: str) -> None:
        """End all leases of a job."""
        with self._database.transaction() as connection:
            connection.execute(_END_LEASES, (job,))
            connection.execute(_END_OWNER, (job,))
