"""Who has leases in the database, and who of them is still alive, by the server's clock."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from pandas_genai.store.owners import EXPIRY_S, OwnerLocks, machine
from pandas_genai.store.postgres.database import Connection

__all__ = ["EXPIRED", "DeadOwners", "beat", "end_owner", "lock_path"]

EXPIRED = f"""
GREATEST(beaten, pg_postmaster_start_time()) + interval '{EXPIRY_S} s' < clock_timestamp()
"""
"""Whether an owner was silent for too long. A server that was down has kept its owners from
renewing: they get the same time once more."""

_BEAT = """
INSERT INTO owners (owner, machine, pid, beaten) VALUES (%s, %s, %s, clock_timestamp())
ON CONFLICT (owner) DO UPDATE SET beaten = clock_timestamp()
"""
_END_OWNER = "DELETE FROM owners WHERE owner = %s"


def lock_path(owner: str) -> Path:
    """Return where an owner's lock lies, which tells others on its machine that it has died."""
    return Path(tempfile.gettempdir()) / f"pandas-genai-owner-{owner}.lock"


def beat(connection: Connection, owner: str) -> None:
    """Write one heartbeat, the first one too."""
    connection.execute(_BEAT, (owner, machine(), os.getpid()))


def end_owner(connection: Connection, owner: str) -> None:
    """Remove an owner."""
    connection.execute(_END_OWNER, (owner,))


class DeadOwners:
    """Tells which owners are dead: silent for too long, or died on this machine."""

    def __init__(self) -> None:
        self._locks = OwnerLocks(lock_path, time.monotonic)

    def among(self, owners: Iterable[tuple[str, str, bool]]) -> set[str]:
        """Return those of some owners that are dead.

        Parameters
        ----------
        owners : iterable of (str, str, bool)
            Owner, machine, and whether it has expired.
        """
        return {
            owner
            for owner, where, expired in owners
            if expired or self._locks.is_let_go(owner, where)
        }
