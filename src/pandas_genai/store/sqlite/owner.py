"""Who has leased rows, and whether it still lives."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import uuid
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import filelock

__all__ = ["Liveness", "OwnerLock", "machine"]

_PROBE_S = 1.0


@functools.cache
def machine() -> str:
    """Return what names this machine, in whichever process."""
    name = f"{platform.node()}\0{uuid.getnode():x}"
    return blake2b(name.encode(), digest_size=8).hexdigest()


def _lock_path(path: Path, owner: str) -> Path:
    return Path(f"{os.path.realpath(path)}-owner-{owner}.lock")


def _lock_at(path: Path) -> filelock.BaseFileLock:
    # Not of one thread: the run's last worker releases what its first one acquired.
    return filelock.FileLock(path, timeout=0, mode=0o600, thread_local=False)


class OwnerLock:
    """A lock that the operating system lets go when its owner dies, however it dies.

    Parameters
    ----------
    path : Path or None
        The cache file, beside which the lock lies; None in memory, where nobody else can look.
    owner : str
        Whose lock it is.
    """

    def __init__(self, path: Path | None, owner: str) -> None:
        self._place = None if path is None else _lock_path(path, owner)
        self._lock = None if self._place is None else _lock_at(self._place)

    def acquire(self) -> None:
        """Take the lock; where there is none to be had, only the heartbeat counts."""
        if self._lock is not None:
            with contextlib.suppress(filelock.Timeout, OSError, NotImplementedError):
                self._lock.acquire()

    def release(self) -> None:
        """Let the lock go, and remove its file."""
        if self._lock is not None and self._place is not None:
            with contextlib.suppress(OSError):
                self._lock.release()
            with contextlib.suppress(OSError):
                self._place.unlink(missing_ok=True)


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
        self._path = path
        self._clock = clock
        self._expiry_s = expiry_s
        self._seen: dict[str, tuple[int, float]] = {}
        self._probed: dict[str, float] = {}
        self._died: set[str] = set()

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
            if time - since >= self._expiry_s or (
                where == machine() and self._is_let_go(owner, time)
            ):
                yield owner

    def _is_let_go(self, owner: str, time: float) -> bool:
        """Whether the operating system has let an owner's lock go."""
        if owner in self._died:
            return True
        if self._path is None or time - self._probed.get(owner, -_PROBE_S) < _PROBE_S:
            return False
        self._probed[owner] = time
        place = _lock_path(self._path, owner)
        if not place.exists():
            return False  # without a lock only the heartbeat counts
        lock = _lock_at(place)
        try:
            lock.acquire()
        except (filelock.Timeout, RuntimeError, OSError, NotImplementedError):
            return False
        lock.release()
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)
        self._died.add(owner)
        return True
