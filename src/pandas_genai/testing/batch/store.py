"""Where files and batches are kept: in memory, or in a folder that outlives the provider."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Store"]


class Store:
    """Bytes by name. A name is ``kind/name``, and each kind is a folder.

    Parameters
    ----------
    folder : Path, optional
        Made if it is not there; None keeps everything in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._kept: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Keep some bytes: in the folder they appear whole or not at all."""
        if self.folder is None:
            self._kept[name] = data
            return
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(data)
        part.replace(path)

    def get(self, name: str) -> bytes:
        """Return what was kept."""
        return self._kept[name] if self.folder is None else (self.folder / name).read_bytes()

    def drop(self, name: str) -> None:
        """Forget what was kept."""
        if self.folder is None:
            del self._kept[name]
        else:
            (self.folder / name).unlink()

    def names(self, kind: str) -> list[str]:
        """Return the names of one kind."""
        if self.folder is None:
            return [name for name in self._kept if name.startswith(f"{kind}/")]
        paths = (self.folder / kind).glob("*")
        return sorted(f"{kind}/{path.name}" for path in paths if path.suffix != ".part")
