"""Where a job lies: its directory, its files, its lock."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import filelock
from pydantic_core import from_json

from pandas_genai.backends.batches import FileNames
from pandas_genai.backends.registry import backend_named, names
from pandas_genai.batch.manifest import Manifest, Part, opened, read_manifest, unreadable
from pandas_genai.batch.names import checked_name, file_name
from pandas_genai.errors import JobError, UsageError
from pandas_genai.files import atomic_write

__all__ = ["JobFolder", "JobsFolder"]

T = TypeVar("T")

_README = """\
# Overnight jobs of pandas-genai

One directory a job. `job.json` is the manifest from which a later kernel goes on: which batches
the provider has, and how far each of them is. `batch_input/` holds what was sent (with your
texts), `batch_output/` what came back, as the provider wrote it, `state/` which rows are in which
request. No file holds a key.

Do not change or delete anything here before `df.genai.batch_collect()` reports that all rows are
collected: a batch that is paid for would be lost. Afterwards the answers are in the cache, and a
job's directory may go.

`.gitignore` keeps the texts out of version control.
"""
_HEADING = _README.partition("\n")[0].encode()
_IGNORE = "*\n"
_LOCK_S = 1800.0
_LOCK = "genai_batches.lock"
"""Not ``.lock``: in a folder of the user's, that may be somebody else's."""

_OURS = frozenset({"README.md", ".gitignore", ".lock", _LOCK})
_CACHE = "genai_cache.sqlite"
_JOB_OURS = frozenset({"batch_input", "batch_output", "rows.jsonl", ".lock", ".gitignore"})
_JOB_OURS |= {"original"}  # what the original toolkit wrote, before we went on with its job
_STATE = "state"
"""The directory of a job for what only we read: scripts of others read every file of the others."""
_LEFT = re.compile(
    r"\.(README\.md|\.gitignore|job(_[a-z]+)?\.json|rows(_[a-z]+)?\.jsonl|keys_\d+\.jsonl|failures_\d+\.jsonl"
    r"|(batch|batch_result|batch_error|requests|results|errors|submission)(_.+)?\.(jsonl|json|txt))"
    r"\.(part|[a-z0-9_]{8})"
)
"""What a killed kernel leaves: names that nobody else gives, an editor's ``.job.json.swp`` not."""


class JobsFolder:
    """The folder with all jobs of a notebook.

    Parameters
    ----------
    path : Path
        Made, with its README and ``.gitignore``, when the first job is.
    backend : str, optional
        Whose jobs ``job`` finds, where a directory holds one of each vendor.
    """

    def __init__(self, path: Path, backend: str | None = None) -> None:
        self.path = path.expanduser().absolute()
        self._backend = backend

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

    @property
    def is_ours(self) -> bool:
        """Whether the folder was made for jobs: in any other, nothing but jobs is written."""
        try:
            with opened(self.path / "README.md") as file:
                return file.read(len(_HEADING)) == _HEADING
        except JobError:
            names = {entry.name for entry in self.path.iterdir()}
            left = (name for name in names - _OURS if not name.startswith(_CACHE))
            return all(_LEFT.fullmatch(name) for name in left)

    def describe(self) -> None:
        """Say in the folder what lies there; to be called under the lock."""
        if not self.is_ours:
            return
        _remove_left(self.path.iterdir())
        for name, text in (("README.md", _README), (".gitignore", _IGNORE)):
            if not (self.path / name).exists():
                atomic_write(self.path / name, text)

    def job(self, name: object) -> JobFolder:
        """Return the place of a job, whether or not there is one."""
        job = JobFolder(self.path / checked_name(name))
        if self._backend is None or not job.manifest_path.exists():
            return job
        if job.read_manifest().backend == self._backend:
            return job
        return JobFolder(job.path, self._backend)

    def jobs(self) -> tuple[list[tuple[JobFolder, Manifest]], list[tuple[JobFolder, JobError]]]:
        """Read the manifests of all jobs.

        Returns
        -------
        sound : list
            The jobs with their manifests, the oldest first.
        damaged : list
            The jobs whose manifest cannot be read, with the reason; none is in the way of others.
        """
        sound, damaged = [], []
        for job in self._folders():
            try:
                sound.append((job, job.read_manifest()))
            except JobError as error:
                damaged.append((job, error))
        return sorted(sound, key=lambda found: (found[1].created, found[0].name)), damaged

    def _folders(self) -> Iterator[JobFolder]:
        try:
            names = sorted(os.listdir(self.path))  # noqa: PTH208 - a name that is no text is one, too
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise JobError(f"The folder {self.path} cannot be read: {error.strerror}.") from None
        for name in names:
            yield from JobFolder.found_in(self.path / name)

    def lock(self, tell: Callable[[str], None]) -> Any:
        """Keep other kernels from choosing and writing a job meanwhile."""
        return _locked(self.path / _LOCK, f"the folder {self.path}", tell)


class JobFolder:
    """The directory of one job.

    Parameters
    ----------
    path : Path
        The directory.
    second : str, default ""
        Set for the second job of a directory, which holds one of another vendor already: what the
        names of its own files end in.
    """

    def __init__(self, path: Path, second: str = "") -> None:
        ending = f"_{second}" if second else ""
        self.path = path
        self.name = path.name
        self.manifest_path = path / f"job{ending}.json"
        self.rows = path / f"rows{ending}.jsonl"
        self._state = path / f"{_STATE}{ending}"
        self._is_second = bool(second)

    @classmethod
    def found_in(cls, path: Path) -> Iterator[JobFolder]:
        """Yield the jobs of a directory: one, or one of each vendor."""
        job = cls(path)
        if job.exists:
            yield job
            others = (cls(path, backend) for backend in names())
            yield from (other for other in others if other.manifest_path.exists())

    @property
    def exists(self) -> bool:
        """Whether there is a job, sound or damaged."""
        try:
            os.lstat(self.manifest_path)
        except (FileNotFoundError, NotADirectoryError):
            # Something was submitted from here, and what says so is gone.
            return self.rows.exists() and any(self.path.glob("batch_*put/submission*.json"))
        except (OSError, ValueError):  # a directory that cannot be looked into
            return True
        return True

    @property
    def is_free(self) -> bool:
        """Whether a job may be written here: nothing is there, or what a killed kernel left."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - a name that is no text is one, too
        except FileNotFoundError:
            return True
        except OSError:
            return False
        ours = _JOB_OURS | {self._state.name}
        if self._is_second:
            ours |= {"job.json", _STATE}
        return all(name in ours or _LEFT.fullmatch(name) for name in names)

    def make(self, *, ignored: bool = True) -> None:
        """Make the directories, readable by their owner alone.

        Parameters
        ----------
        ignored : bool, default True
            Whether the folder around keeps the texts out of version control already.
        """
        for path in self._directories():
            path.mkdir(mode=0o700, exist_ok=True)
        if not ignored:
            atomic_write(self.path / ".gitignore", _IGNORE)

    def read_manifest(self) -> Manifest:
        """Read the job's manifest.

        Raises
        ------
        JobError
            If it is damaged.
        """
        return read_manifest(self.manifest_path)

    def save(self, manifest: Manifest) -> None:
        """Write the job's manifest."""
        manifest.save(self.manifest_path)

    def tidy(self) -> None:
        """Remove what a killed kernel left half written; to be called under the lock."""
        for path in self._directories():
            if path.is_dir():
                _remove_left(path.iterdir())
        self._state.mkdir(mode=0o700, exist_ok=True)  # a job of version 0.1 has none

    def _directories(self) -> tuple[Path, ...]:
        return self.path, self.path / "batch_input", self.path / "batch_output", self._state

    def _own(self, name: str, earlier: str) -> Path:
        """Return where a file of ours is; version 0.1 wrote it beside those of the provider."""
        path, before = self._state / name, self.path / earlier / name
        return before if not path.exists() and os.path.lexists(before) else path

    def lock(self, tell: Callable[[str], None]) -> Any:
        """Keep other kernels from working on the job meanwhile."""
        return _locked(self.path / ".lock", f"the job {self.name!r}", tell)

    def requests(self, backend: str, number: int) -> Path:
        """Return where the requests of a part are."""
        return self._of(_names(backend).requests, number)

    def keys(self, number: int) -> Path:
        """Return where the row keys of a part's requests are."""
        return self._own(f"keys_{number}.jsonl", "batch_input")

    def submission(self, backend: str, part: Part) -> Path:
        """Return where it is noted that a batch was created."""
        return self._of(_names(backend).submission, part.number, part.batch_id)

    def results(self, backend: str, part: Part) -> Path:
        """Return where the results of a batch are, as the provider wrote them."""
        return self._of(_names(backend).results, part.number, part.batch_id)

    def errors(self, backend: str, part: Part) -> Path:
        """Return where the errors of a batch are, as the provider wrote them."""
        return self._of(_names(backend).errors, part.number, part.batch_id)

    def _of(self, name: str, number: int, batch_id: str | None = None) -> Path:
        suffix = "" if number == 1 else f"_{number}"
        return self.path / name.format(part=number, _part=suffix, batch=file_name(batch_id))

    def failures(self, number: int) -> Path:
        """Return where the rows of a part are that have no answer."""
        return self._own(f"failures_{number}.jsonl", "batch_output")


def lines_of(
    path: Path, read: Callable[[Any], T], digest: str = "", most: int | None = None
) -> Iterator[T]:
    """Read one of our own JSON lines files, a line at a time.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Makes a value of a line's JSON; a ``ValueError``, ``TypeError`` or ``LookupError`` of it
        is a damaged line.
    digest : str, optional
        SHA-256 of the file as it was written; looked at once all is read.
    most : int, optional
        How many lines it has; a kernel that was killed while it added some may have left more.

    Raises
    ------
    JobError
        If it is missing or damaged; names the file and the line.
    """
    found = hashlib.sha256()
    with opened(path) as file:
        for number, line in enumerate(islice(file, most), 1):
            found.update(line)
            try:
                value = read(from_json(line))
            except (ValueError, TypeError, LookupError) as error:
                raise unreadable(path, f"line {number} is damaged: {error}") from None
            yield value
    if digest and found.hexdigest() != digest:
        raise unreadable(path, "it is not what was written")


def _remove_left(paths: Iterator[Path]) -> None:
    for path in paths:
        if _LEFT.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _names(backend: str) -> FileNames:
    return backend_named(backend).batches.files


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
