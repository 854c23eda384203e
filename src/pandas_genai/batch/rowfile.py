"""The rows of the frame that was submitted: their labels and their keys, never their texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from pydantic_core import to_json

from pandas_genai.batch.folder import JobFolder, lines_of, open_new
from pandas_genai.report.report import label_value
from pandas_genai.task.rows import Rows, rows_of_keys

__all__ = ["row_keys", "save_rows", "saved_rows"]

_BLOCK = 10_000


def save_rows(job: JobFolder, index: pd.Index, rows: Rows) -> None:
    """Write for each row its label and its key; null had no text, "" one that cannot be sent."""
    unsendable = set(rows.unsendable)
    with open_new(job.rows) as file:
        for start in range(0, len(rows), _BLOCK):
            codes = rows.codes[start : start + _BLOCK]
            keys = iter(rows.keys.take(codes[codes >= 0]))
            labels = zip(index[start : start + _BLOCK].tolist(), codes.tolist(), strict=True)
            lines = []
            for position, (label, code) in enumerate(labels, start):
                absent = "" if position in unsendable else None
                lines.append([label_value(label), next(keys) if code >= 0 else absent])
            file.write(b"".join(to_json(line) + b"\n" for line in lines))


def row_keys(job: JobFolder) -> Iterator[str | None]:
    """Read the keys of the rows that were submitted."""
    for _, key in lines_of(job.rows):
        yield key


def saved_rows(job: JobFolder, names: list[Any]) -> tuple[Rows, pd.Index]:
    """Return the rows that were submitted, and the index of their frame."""
    labels: list[Any] = []

    def keys() -> Iterator[str | None]:
        for label, key in lines_of(job.rows):
            labels.append(tuple(label) if isinstance(label, list) else label)
            yield key

    rows = rows_of_keys(keys())
    if len(names) > 1:
        return rows, pd.MultiIndex.from_tuples(labels, names=names)
    return rows, pd.Index(labels, name=names[0] if names else None)
