"""Where a job lies: its directory, its files, its lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
from pydantic_core import from_json

from pandas_genai.batch.journal import Journal, Part
from pandas_genai.batch.names import checked_name
from pandas_genai.errors import JobError, UsageError
from pandas_genai.store import atomic_write
from pandas_genai.task.task import Backend

__all__ = ["HANDLE", "JobFolder", "JobsFolder"]

HANDLE = "job.json"
"""The job's handle: its journal."""

_README = """\
# Overnight jobs of pandas-genai

One directory a job. `job.json` is the handle from which any later kernel goes on: which batches
the provider has, and how far each of them is. `batch_input/` holds what was sent (with your
texts), `batch_output/` what came back, as the provider wrote it. No file holds a key.

Do not change or delete anything here before `df.genai.batch_collect()` has said that all rows are
collected: a batch that is paid for would be lost. Afterwards the answers are in the cache, and a
job's directory may go.

`.gitignore` keeps the texts out of version control.
"""
_LOCK_S = 1800.0


class JobsFolder:
    """The folder with all jobs of a notebook.

    Parameters
    ----------
    path : Path
        Made, with its README and ``.gitignore``, when the first job is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    def make(self) -> None:
        """Make the folder, readable by its owner alone.

        Raises
        ------
        UsageError
            If there can be none.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"Jobs cannot lie in {self.path} ({error.strerror}): pass as folder= a directory "
                "that exists or can be made."
            ) from error

    def describe(self) -> None:
        """Say in the folder what lies there; to be called under the lock."""
        for name, text in (("README.md", _README), (".gitignore", "*\n")):
            for path in self.path.glob(f".{name}.*"):
                path.unlink(missing_ok=True)
            if not (self.path / name).exists():
                atomic_write(self.path / name, text)

    def job(self, name: object) -> JobFolder:
        """Return the place of a job, whether or not there is one."""
        return JobFolder(self.path / checked_name(name))

    def jobs(self) -> list[JobFolder]:
        """Return all jobs, the oldest first."""
        found = [JobFolder(handle.parent) for handle in self.path.glob(f"*/{HANDLE}")]
        return sorted(found, key=lambda job: (job.journal().created, job.name))

    def lock(self, tell: Callable[[str], None]) -> Any:
        """Keep other kernels from choosing and writing a job meanwhile."""
        return _locked(self.path / ".lock", f"the folder {self.path}", tell)


class JobFolder:
    """The directory of one job.

    Parameters
    ----------
    path : Path
        The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.handle = path / HANDLE
        self.rows = path / "rows.jsonl"

    @property
    def exists(self) -> bool:
        """Whether there is a job."""
        return self.handle.exists()

    def make(self) -> None:
        """Make the directories, readable by their owner alone."""
        for path in (self.path, self.path / "batch_input", self.path / "batch_output"):
            path.mkdir(mode=0o700, exist_ok=True)

    def journal(self) -> Journal:
        """Read the job's journal."""
        return Journal.load(self.handle)

    def save(self, journal: Journal) -> None:
        """Write the job's journal."""
        journal.save(self.handle)

    def tidy(self) -> None:
        """Remove what a killed kernel left half written; to be called under the lock."""
        for pattern in (f".{HANDLE}.*", ".submission*.json.*", ".*.part"):
            for path in self.path.rglob(pattern):
                path.unlink(missing_ok=True)

    def lock(self, tell: Callable[[str], None]) -> Any:
        """Keep other kernels from working on the job meanwhile."""
        return _locked(self.path / ".lock", f"the job {self.name!r}", tell)

    def requests(self, backend: Backend, number: int) -> Path:
        """Return where the requests of a part are."""
        if backend == "openai":
            return self.path / "batch_input" / f"batch_{number}.jsonl"
        return self.path / "batch_input" / f"requests{_and(number)}.json"

    def keys(self, number: int) -> Path:
        """Return where the row keys of a part's requests are."""
        return self.path / "batch_input" / f"keys_{number}.jsonl"

    def submission(self, backend: Backend, part: Part) -> Path:
        """Return where it is noted that a batch was created."""
        if backend == "openai":
            return self.path / "batch_output" / f"submission_{_named(part)}.json"
        return self.path / "batch_input" / f"submission{_and(part.number)}.json"

    def results(self, backend: Backend, part: Part) -> Path:
        """Return where the results of a batch are, as the provider wrote them."""
        name = (
            f"batch_result_{_named(part)}" if backend == "openai" else f"results{_and(part.number)}"
        )
        return self.path / "batch_output" / f"{name}.jsonl"

    def errors(self, backend: Backend, part: Part) -> Path:
        """Return where the errors of a batch are, as the provider wrote them."""
        name = (
            f"batch_error_{_named(part)}" if backend == "openai" else f"errors{_and(part.number)}"
        )
        return self.path / "batch_output" / f"{name}.txt"

    def failures(self, number: int) -> Path:
        """Return where the rows of a part are that have no answer."""
        return self.path / "batch_output" / f"failures_{number}.jsonl"


def lines_of(path: Path) -> Iterator[Any]:
    """Read one of our own JSON lines files, a line at a time."""
    with path.open("rb") as file:
        for line in file:
            yield from_json(line)


@contextmanager
def open_new(path: Path) -> Iterator[Any]:
    """Open a file for its owner alone that will be there whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _named(part: Part) -> str:
    """Return a batch's id as a part of a file's name: some servers have slashes in it."""
    return str(part.batch_id).replace("/", "_")


def _and(number: int) -> str:
    return "" if number == 1 else f"_{number}"


@contextmanager
def _locked(path: Path, what: str, tell: Callable[[str], None]) -> Iterator[None]:
    lock = filelock.FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        tell(f"Another kernel is at work on {what}: waiting for it.")
        try:
            lock.acquire(timeout=_LOCK_S)
        except filelock.Timeout:
            raise JobError(
                f"Another kernel has been at work on {what} for {_LOCK_S / 60:.0f} minutes: try "
                "again when it is done, or restart it."
            ) from None
    try:
        yield
    finally:
        lock.release()
