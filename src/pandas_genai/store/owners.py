"""Who has leases: heartbeats, and whether an owner is still alive. The same for every store."""

from __future__ import annotations

import contextlib
import functools
import platform
import secrets
import threading
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import filelock

from pandas_genai.errors import CacheError

__all__ = ["BEAT_S", "EXPIRY_S", "OwnedLeases", "OwnedRows", "OwnerLock", "OwnerLocks", "machine"]

BEAT_S = 5.0
"""How often an owner renews its leases."""

EXPIRY_S = 30.0
"""After how long without a heartbeat its leases are taken over."""

_PROBE_S = 1.0


@functools.cache
def machine() -> str:
    """Return what names this machine, in whichever process."""
    name = f"{platform.node()}\0{uuid.getnode():x}"
    return blake2b(name.encode(), digest_size=8).hexdigest()


def _lock_at(path: Path) -> filelock.BaseFileLock:
    # Not of one thread: the run's last worker releases what its first one acquired.
    return filelock.FileLock(path, timeout=0, mode=0o600, thread_local=False)


class OwnerLock:
    """A lock that the operating system lets go when its owner dies, however it dies.

    Parameters
    ----------
    place : Path or None
        The lock's file; None where nobody else can look.
    """

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._lock = None if place is None else _lock_at(place)

    def acquire(self) -> None:
        """Take the lock; on a file system without locks, only the heartbeat counts."""
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


class OwnerLocks:
    """The locks of other owners on this machine.

    Parameters
    ----------
    place_of : callable
        Where an owner's lock lies; None where nobody can look.
    clock : callable
        Seconds on a clock that never goes back.
    """

    def __init__(self, place_of: Callable[[str], Path | None], clock: Callable[[], float]) -> None:
        self._place_of = place_of
        self._clock = clock
        self._probed: dict[str, float] = {}
        self._died: set[str] = set()

    def is_let_go(self, owner: str, where: str) -> bool:
        """Whether an owner on this machine has died: the operating system let its lock go.

        Parameters
        ----------
        owner, where : str
            The owner and its machine.
        """
        if owner in self._died:
            return True
        place, time = self._place_of(owner), self._clock()
        if (
            where != machine()
            or place is None
            or time - self._probed.get(owner, -_PROBE_S) < _PROBE_S
        ):
            return False
        self._probed[owner] = time
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


class OwnedLeases(ABC):
    """What one owner has leased, which a thread of its own renews until it is closed.

    Parameters
    ----------
    place_of : callable
        Where an owner's lock lies; None where nobody can look.
    """

    def __init__(self, place_of: Callable[[str], Path | None]) -> None:
        self.owner = secrets.token_hex(8)
        self._owner_lock = OwnerLock(place_of(self.owner))
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._beating: threading.Thread | None = None

    @abstractmethod
    def _renew(self) -> None:
        """Write one heartbeat."""

    @abstractmethod
    def _end_all(self) -> None:
        """Remove the owner with all that it has leased."""

    def close(self) -> None:
        """End all leases; closing again does nothing."""
        self._closing.set()
        # Where that fails they are taken over, because their owner's lock is let go.
        with self._asking, contextlib.suppress(CacheError):
            self._end_all()
        self._owner_lock.release()

    def _start(self) -> None:
        """Begin with the heartbeat, before anything is leased."""
        with self._lock:
            if self._beating is not None or self._closing.is_set():
                return
            self._owner_lock.acquire()
            self._beating = threading.Thread(target=self._beat, name="genai-beat", daemon=True)
            self._beating.start()

    def _beat(self) -> None:
        """Renew the leases until they are closed."""
        while not self._closing.wait(BEAT_S):
            with contextlib.suppress(CacheError):  # held by another program, or closed meanwhile
                self._renew()


class _Block:
    """Rows that were leased together, and how many of them have not ended."""

    def __init__(self, number: int, left: int) -> None:
        self.number = number
        self.left = left


class OwnedRows(OwnedLeases):
    """The rows that one owner has leased, in blocks.

    A block is removed once all its rows have ended: what that costs does not grow with the rows
    of the run.
    """

    def __init__(self, place_of: Callable[[str], Path | None]) -> None:
        super().__init__(place_of)
        self._blocks: dict[str, _Block] = {}
        self._ended: deque[int] = deque()

    @abstractmethod
    def _write_ended(self, ended: list[int]) -> None:
        """Remove the blocks that have ended, with a heartbeat."""

    def end(self, keys: Iterable[str]) -> None:
        """Note that rows need no lease any more; it is ended with the next transaction."""
        with self._lock:
            for key in keys:
                block = self._blocks.pop(key, None)
                if block is not None:
                    block.left -= 1
                    if block.left == 0:
                        self._ended.append(block.number)

    def flush(self) -> None:
        """Write at once which leases have ended."""
        self._renew()

    def _renew(self) -> None:
        ended = self._take_ended()
        try:
            self._write_ended(ended)
        except CacheError:
            self._ended.extend(ended)
            raise

    def _hold(self, number: int, keys: Sequence[str]) -> None:
        """Note that rows were leased as a block with a number."""
        block = _Block(number, len(keys))
        with self._lock:
            self._blocks.update((key, block) for key in keys)

    def _take_ended(self) -> list[int]:
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
        return ended
