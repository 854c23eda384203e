"""The rows of the frame that was submitted: their labels and their keys, never their texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pandas as pd
from pydantic_core import to_json

from pandas_genai.batch.folder import JobFolder, lines_of
from pandas_genai.batch.manifest import Manifest, opened, unreadable
from pandas_genai.files import new_file
from pandas_genai.runs.report import label_value
from pandas_genai.task.rows import Rows, rows_of_keys

__all__ = ["level_dtypes", "row_keys", "save_rows", "saved_rows"]

_BLOCK = 10_000
_KEY = re.compile(r"[0-9a-f]{32}")


def save_rows(job: JobFolder, index: pd.Index, rows: Rows, kept: int = 0) -> str:
    """Write for each row its label and its key; null had no text, "" one that cannot be sent.

    Parameters
    ----------
    job : JobFolder
        Where.
    index, rows : Index, Rows
        What to write.
    kept : int, default 0
        How many lines of the file that is there stay before them.

    Returns
    -------
    str
        SHA-256 of the file.
    """
    unsendable = set(rows.unsendable)
    digest = hashlib.sha256()
    before: Iterable[bytes] = ()
    if kept:
        with opened(job.rows) as earlier:
            before = list(islice(earlier, kept))
    with new_file(job.rows) as file:
        for line in before:
            digest.update(line)
            file.write(line)
        for start in range(0, len(rows), _BLOCK):
            codes = rows.codes[start : start + _BLOCK]
            keys = iter(rows.keys.take(codes[codes >= 0]))
            cells = [
                f'"{next(keys)}"' if code >= 0 else '""' if position in unsendable else "null"
                for position, code in enumerate(codes.tolist(), start)
            ]
            labels = _as_json(index[start : start + _BLOCK].tolist())
            lines = [f"[{label},{cell}]\n" for label, cell in zip(labels, cells, strict=True)]
            block = "".join(lines).encode()
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _as_json(labels: list[Any]) -> Iterator[str]:
    if set(map(type, labels)) == {int}:  # nearly always
        return map(str, labels)
    return (to_json(label_value(label)).decode() for label in labels)


def row_keys(job: JobFolder, digest: str = "") -> Iterator[str | None]:
    """Read the keys of the rows that were submitted."""
    for _, key in lines_of(job.rows, _labelled, digest):
        yield key


def _labelled(line: Any) -> tuple[Any, str | None]:
    label, key = line
    if key not in (None, "") and not _KEY.fullmatch(key):
        raise ValueError(f"{key!r:.80} is no key of a row")
    return tuple(label) if isinstance(label, list) else label, key


def level_dtypes(index: pd.Index) -> list[str]:
    """Return the type of each level of an index, in pandas' words."""
    dtypes = index.dtypes if isinstance(index, pd.MultiIndex) else [index.dtype]
    return [str(dtype) for dtype in dtypes]


def saved_rows(job: JobFolder, manifest: Manifest) -> tuple[Rows, pd.Index]:
    """Return the rows that were submitted, and the index of their frame."""
    labels: list[Any] = []

    def keys() -> Iterator[str | None]:
        for label, key in lines_of(job.rows, _labelled, manifest.rows_digest, manifest.rows):
            labels.append(label)
            yield key

    rows = rows_of_keys(keys()).repeated(manifest.repeats)
    if len(rows) != manifest.rows:
        raise unreadable(job.rows, f"it has {len(rows):,} rows, the job {manifest.rows:,}")
    names, dtypes = manifest.index_names, manifest.index_dtypes
    if len(names) == 1:
        return rows, _typed(labels, dtypes[0], names[0])
    if not all(isinstance(label, tuple) and len(label) == len(names) for label in labels):
        raise unreadable(job.rows, f"not every label has {len(names)} levels")
    levels = list(zip(*labels, strict=True)) or [()] * len(names)
    typed = [_typed(list(level), dtype) for level, dtype in zip(levels, dtypes, strict=True)]
    return rows, pd.MultiIndex.from_arrays(typed, names=names)


def _typed(labels: list[Any], dtype: str, name: Any = None) -> pd.Index:
    """Read labels back into their type; those of a type that cannot be read stay as written."""
    try:
        typed: pd.Index = pd.Index(labels, dtype=dtype, name=name, tupleize_cols=False)
    except (TypeError, ValueError, ArithmeticError):
        typed = pd.Index(labels, name=name, tupleize_cols=False)
    return typed
