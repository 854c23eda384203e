"""Which files were found to have the pinned bytes: 491 MB are not hashed at each start."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pandas_genai.local.sources import Pin
from pandas_genai.store import atomic_write

__all__ = ["remember", "verified"]


def verified(path: Path, pin: Pin, directory: Path) -> bool:
    """Whether a file has the pinned bytes; computed once for each state of the file."""
    try:
        state = path.stat()
    except OSError:
        return False
    if state.st_size != pin.size:
        return False
    if _remembered(directory).get(str(path.resolve())) == [state.st_mtime_ns, pin.sha256]:
        return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != pin.sha256:
            return False
    remember(path, directory, pin.sha256)
    return True


def _remembered(directory: Path) -> dict[str, list[object]]:
    try:
        found: dict[str, list[object]] = json.loads((directory / "verified.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def remember(path: Path, directory: Path, sha256: str) -> None:
    """Note that a file, as it is now, has these bytes."""
    known = _remembered(directory) | {str(path.resolve()): [path.stat().st_mtime_ns, sha256]}
    directory.mkdir(parents=True, exist_ok=True)
    atomic_write(directory / "verified.json", json.dumps(known))
