"""Whether a worker sees the cache file that the user's kernel sees."""

from __future__ import annotations

import contextlib
import os
import platform
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from pandas_genai.errors import UsageError

__all__ = ["Sight", "check_sight", "check_workers", "sight_of"]


class Sight(NamedTuple):
    """A file as one process sees it.

    Parameters
    ----------
    machine : str
        The machine since its last start; containers on one machine have it in common.
    file : tuple of int, or None
        Device and number of the file, which differ where a container has its own file system;
        None where it is not there.
    """

    machine: str
    file: tuple[int, int] | None


def sight_of(path: Path) -> Sight:
    """Look at a file from this process."""
    try:
        found = path.stat()
    except OSError:
        return Sight(_machine(), None)
    return Sight(_machine(), (found.st_dev, found.st_ino))


def _machine() -> str:
    if os.name == "posix":
        with contextlib.suppress(OSError):  # Linux has it, macOS does not
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{platform.node()}-{uuid.getnode():x}"


def check_sight(path: Path, expected: Sight) -> None:
    """Refuse an SQLite file that this process does not share with the user's kernel.

    Raises
    ------
    UsageError
        If the machine is another, or the file is.
    """
    found = sight_of(path)
    if found.machine != expected.machine:
        raise UsageError(_refusal(path, "a worker is on another machine"))
    if found.file != expected.file:
        raise UsageError(_refusal(path, "a worker sees another file under that name, or none"))


def check_workers(client: Any, path: Path) -> None:
    """Ask all workers of a cluster at once; those that come later are asked when they begin.

    Raises
    ------
    UsageError
        If one of them does not share the file.
    """
    here = sight_of(path)
    for worker, seen in client.run(sight_of, path).items():
        if Sight(*seen).machine != here.machine:
            raise UsageError(_refusal(path, f"the worker {worker} is on another machine"))
        if Sight(*seen).file != here.file:
            raise UsageError(
                _refusal(path, f"the worker {worker} sees another file under that name, or none")
            )


def _refusal(path: Path, why: str) -> str:
    return (
        f"The cache {str(path)!r} is an SQLite file, which only processes of one machine can "
        f"share, and {why}: name a PostgreSQL store, cache='postgresql://...'."
    )
