"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["atomic_write"]


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
    content = data.encode() if isinstance(data, str) else data
    target = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
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
