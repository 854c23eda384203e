"""Reads a job's manifest into typed, bounded values, or says which of its fields is damaged."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BufferedReader
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from pandas_genai.backends.registry import backend_named, names
from pandas_genai.batch.journal import FORMAT, Journal, Part
from pandas_genai.batch.stages import STAGES
from pandas_genai.costs.prices import checked_prices
from pandas_genai.errors import JobError, UsageError

__all__ = ["check_digest", "opened", "read_manifest", "unreadable"]

_LARGEST = 256 * 2**20
"""The largest manifest in bytes: a thousand times that of the largest job."""

_NEVER_BLOCKS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_TEXT_FORMS = frozenset({"column", "columns", "template", "series"})


def read_manifest(path: Path) -> Journal:
    """Read a job's manifest.

    Parameters
    ----------
    path : Path
        ``job.json`` of a job.

    Raises
    ------
    JobError
        If it is missing, damaged or of a newer version; names the file and the field.
    """
    data = _bytes(path)
    try:
        found = from_json(data)
    except ValueError as error:
        raise unreadable(path, f"no JSON: {error}") from None
    version = found.get("format") if isinstance(found, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise JobError(
            f"{path} was written by a newer pandas-genai (format {version}, this one reads "
            f"{FORMAT}): upgrade pandas-genai."
        )
    try:
        journal = _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise unreadable(path, f"{_place(first['loc'])}: {first['msg']}") from None
    for field, why in _contradictions(journal):
        raise unreadable(path, f"{field}: {why}")
    return journal


def _bytes(path: Path) -> bytes:
    with opened(path) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise unreadable(path, f"it has more than {_LARGEST:,} bytes")
    return data


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open one of a job's files for reading; never a pipe, which would block for ever.

    Raises
    ------
    JobError
        If it is missing or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NEVER_BLOCKS)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreadable(path, "it is no regular file")
            yield file
    except OSError as error:
        raise unreadable(path, error.strerror or type(error).__name__) from None


def check_digest(path: Path, digest: str, lines: int | None = None) -> None:
    """Look whether a file, or its first lines, are what was written, by their SHA-256.

    Raises
    ------
    JobError
        If it is not, or cannot be read.
    """
    with opened(path) as file:
        if lines is None:
            found = hashlib.file_digest(file, "sha256")
        else:
            found = hashlib.sha256()
            for line in islice(file, lines):
                found.update(line)
        if found.hexdigest() != digest:
            raise unreadable(path, "it is not what was written")


@cache
def _adapter() -> TypeAdapter[Journal]:
    return TypeAdapter(Journal)


def unreadable(path: Path, why: str) -> JobError:
    """Return the error of a job's file that cannot be read."""
    return JobError(
        f"The job's file {path} cannot be read ({why}): restore it, or move its directory away; "
        "what was submitted and is not collected would be paid for again."
    )


def _place(location: Sequence[int | str]) -> str:
    """Write where a field stands as Python would: ``parts[0].stage``."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return shown.removeprefix(".") or "the whole"


def _contradictions(journal: Journal) -> Iterator[tuple[str, str]]:
    """Find what no job that we wrote can hold, each field being of its type."""
    if journal.format < 1:
        yield "format", "there is no such format"
    if len(journal.text) != 1 or not _TEXT_FORMS.issuperset(journal.text):
        yield "text", "it names not one form of text="
    if len(journal.index_names) != len(journal.index_dtypes) or not journal.index_names:
        yield "index_dtypes", "there is not one for each name of the index"
    if journal.ready and sum(part.rows for part in journal.parts if not part.round) != journal.sent:
        yield "sent", "it is not the sum of the parts' rows"
    try:
        checked_prices(journal.prices)
    except UsageError as error:
        yield "prices", str(error)
    numbers = [part.number for part in journal.parts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "parts", "they are not numbered from 1 in their order"
    yield from _mode_contradictions(journal)
    for place, part in enumerate(journal.parts):
        for field, why in _part_contradictions(part):
            yield f"parts[{place}].{field}", why


def _mode_contradictions(journal: Journal) -> Iterator[tuple[str, str]]:
    if journal.backend not in names():
        yield "backend", f"{journal.backend!r} is no backend that is known"
        return
    modes = {"", *backend_named(journal.backend).output_modes}
    used = {f"parts[{place}].rung": part.rung for place, part in enumerate(journal.parts)}
    if journal.lower is not None:
        used = {"lower": journal.lower[0], **used}
    for field, mode in used.items():
        if mode not in modes:
            yield field, f"{mode!r} is no output mode of this backend"


def _part_contradictions(part: Part) -> Iterator[tuple[str, str]]:
    if not _is_object(part.params_sent or "{}"):
        yield "params_sent", "it is no JSON object"
    if part.requests > part.rows or (part.rows and not part.requests):
        yield "requests", "there are more than rows, or none"
    known = part.batch_id is not None
    refused = part.batch_id in part.rejected
    row = STAGES[part.stage]
    if row.action == "upload" and (known or part.intended is not None or part.rejected):
        yield "stage", f"it is {part.stage!r}, and yet a batch was made of the part"
    if row.action == "create" and known and not refused:
        yield "stage", f"it is {part.stage!r}, and yet a batch was made of the part"
    if row.action == "wait" and not refused:
        yield "stage", "it is 'waiting', and yet no batch was refused"
    if row.names_batch and not known:
        yield "batch_id", f"it names no batch, and yet the stage is {part.stage!r}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False
