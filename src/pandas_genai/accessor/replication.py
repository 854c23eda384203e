"""The labels of an archive again, for the frame that they were made of: nothing is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.accessor.evidence import OwnColumns
from pandas_genai.accessor.joining import mark_order
from pandas_genai.accessor.origin import answer_columns
from pandas_genai.batch.texts import FrameInputs, TextForm, text_form
from pandas_genai.display.cards import ReportCard
from pandas_genai.display.evaluation import EvaluationCard
from pandas_genai.errors import UsageError, counted, printable
from pandas_genai.runs import ATTR, Report
from pandas_genai.runs.report import errors_frame, remember
from pandas_genai.task.annotations import Column, Template
from pandas_genai.task.repeats import build_labels
from pandas_genai.task.rows import Rows, distinct_rows
from pandas_genai.task.schema import Schema, compile_schema
from pandas_genai.validity.archive import Archive, read_archive
from pandas_genai.validity.arguments import path_of
from pandas_genai.validity.codebook import codebook_of_schema
from pandas_genai.validity.evaluate import Evaluation, evaluate

__all__ = ["Replication", "keyed", "replicate", "schema_of", "texts_by_key"]


@dataclass(frozen=True)
class Replication:
    """What an archive gives back.

    Attributes
    ----------
    labels : DataFrame
        The labels, under the index of the frame; ``.genai.report`` and ``.genai.errors`` work.
    report : Report
        The report of the run that made them.
    evaluation : DataFrame or None
        The labels against the hand codes in the archive; None where there are none.
    """

    labels: pd.DataFrame
    report: Report
    evaluation: Evaluation | None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.labels, self.report, self.evaluation))


def replicate(
    path: str | Path,
    df: pd.DataFrame | pd.Series[Any],
    *,
    text: Column | list[Column] | Template | None = None,
) -> Replication:
    """Have the labels of an archive again, for the texts that they were made of.

    Nothing is asked, and no key, cache or network is used.

    Parameters
    ----------
    path : str or Path
        What ``labels.genai.export`` wrote.
    df : DataFrame or Series
        The rows that were labelled, in any order.
    text : column, list of columns, or template, optional
        What was sent of each row, as ``extract`` took it; left out: what the archive says.

    Returns
    -------
    Replication
        ``labels``, ``report`` and ``evaluation``.

    Raises
    ------
    UsageError
        If the archive is damaged or was changed, or the frame has other rows; one sentence says
        which.

    Examples
    --------
    See ``labels.genai.export``.
    """
    if not isinstance(df, pd.DataFrame | pd.Series):
        raise UsageError(f"The archive is of a DataFrame, not of a {type(df).__name__}.")
    archive = read_archive(path_of(path, "an archive"))
    schema = schema_of(archive)
    form = _chosen_form(archive, df, text)
    rows, values = keyed(df, form)
    _check_rows(archive, rows, df.index, path)
    report = Report.of(archive.run, _errors(archive, rows, df.index))
    rows = rows.repeated(report.repeats)
    whole = "column" in form or "series" in form
    results = archive.results(schema, texts_by_key(rows, values) if whole else {})
    keys = list(rows.keys)
    labels = build_labels(schema, df.index, rows, [results.get(key) for key in keys])
    if archive.texts is not None or whole:
        OwnColumns(df, form, schema).find(labels)
    remember(report)
    labels.attrs[ATTR] = report.run_id
    mark_order(labels, many=schema.many)
    evaluation = None
    if archive.codes is not None:
        fields = answer_columns(labels) or list(labels.columns)
        evaluation = EvaluationCard.showing(evaluate(labels, fields, archive.codes))
    codebook = codebook_of_schema(schema, archive.task["prompt"])
    return Replication(labels, ReportCard.showing(report).about(codebook), evaluation)


def schema_of(archive: Archive) -> Schema:
    """Return the schema of the labels in an archive."""
    return compile_schema(json.loads(archive.task["schema"]))


def _chosen_form(archive: Archive, df: Any, text: Any) -> TextForm:
    if text is not None or archive.form is None or isinstance(df, pd.Series):
        return text_form(df, text)
    if "series" in archive.form:  # a Series was asked: its texts are a column by now
        return text_form(df)
    return archive.form


def keyed(data: Any, form: TextForm) -> tuple[Rows, list[Any]]:
    """Return the rows of a frame, and what is sent of each."""
    values = list(FrameInputs(data, form))
    return distinct_rows(values), values


def texts_by_key(rows: Rows, values: list[Any]) -> dict[str, str]:
    """Return what was sent, by row key."""
    return {key: str(values[at]) for key, at in zip(rows.keys, rows.first.tolist(), strict=True)}


def _check_rows(archive: Archive, rows: Rows, index: pd.Index, path: object) -> None:
    """Refuse a frame with other rows than those that were labelled."""
    theirs = sorted(key or "" for key in archive.keys)
    keys = [*rows.keys, ""]
    ours = [keys[code] for code in rows.codes.tolist()]
    if sorted(ours) == theirs:
        return
    known = set(theirs)
    foreign = [at for at, key in enumerate(ours) if key not in known]
    if foreign:
        label = printable(repr(index[foreign[0]]), 60)
        raise UsageError(
            f"{path} is for other rows: {counted(len(foreign), 'row')} of this frame, the first at "
            f"{label}, {'has' if len(foreign) == 1 else 'have'} a text that it does not know."
        )
    raise UsageError(
        f"{path} is for {counted(len(theirs), 'row')}, and this frame has {len(ours):,}: give the "
        "whole frame that was labelled."
    )


def _errors(archive: Archive, rows: Rows, index: pd.Index) -> pd.DataFrame:
    """Return why rows have no answer, found by their keys, or as rows without text."""
    names = ("reason", "message", "attempts", "request_id")
    by_key = {one["text_hash"]: [one[name] for name in names] for one in archive.failures}
    keys: list[str | None] = [*rows.keys, None]
    found = [
        (at, by_key[key])
        for at, key in enumerate(keys[code] for code in rows.codes.tolist())
        if key in by_key
    ]
    labels = index.take(np.array([at for at, _ in found], dtype=np.int64))
    return errors_frame(labels, [cells for _, cells in found])
