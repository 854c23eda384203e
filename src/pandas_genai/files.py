"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_write", "new_file"]

_BUFFER = 1 << 20


def atomic_write(path: str | os.PathLike[str], data: bytes | str, *, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The bytes go to a temporary file in the same directory, reach the disk, and take the name in
    one step. A failure leaves the old file as it was and nothing beside it.

    Parameters
    ----------
    path : str or path
        Where to write; a symbolic link is followed.
    data : bytes or str
        The whole content; text is written as UTF-8.
    mode : int, default 0o600
        Permissions of the file.

    Raises
    ------
    OSError
        If the directory is missing or cannot be written, or the disk is full.

    Examples
    --------
    >>> atomic_write("doctest.json", '{"ok": true}')
    >>> Path("doctest.json").read_text()
    '{"ok": true}'
    """
    with new_file(path, mode=mode) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def new_file(
    path: str | os.PathLike[str], *, mode: int = 0o600, scratch: Path | None = None
) -> Iterator[BinaryIO]:
    """Write a file piece by piece; it takes its name once the block has ended without an error.

    Parameters
    ----------
    path, mode
        As for ``atomic_write``.
    scratch : Path, optional
        The temporary file, on the same disk; by default, one beside ``path``.
    """
    target = Path(os.path.realpath(path))
    if scratch is None:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    else:
        name = os.fspath(scratch)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        descriptor = os.open(name, flags, 0o600)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=_BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    """Make the new name itself survive a power cut."""
    if os.name == "nt":  # pragma: no cover - a directory cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
