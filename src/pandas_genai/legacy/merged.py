"""The result of a job that the original toolkit began: its answers, and those of ours."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pandas_genai.batch.connection import Connection, ConnectionOptions
from pandas_genai.batch.folder import JobFolder
from pandas_genai.batch.rowfile import saved_rows
from pandas_genai.errors import counted, warn_user
from pandas_genai.legacy.original import OriginalJob
from pandas_genai.runs.failures import RowsFailedWarning
from pandas_genai.store import using
from pandas_genai.task.frames import build_frame
from pandas_genai.task.schema import Schema, compile_schema

__all__ = ["merged_results", "schema_of"]


def schema_of(job: OriginalJob) -> Schema:
    """Return what the answers of the original's job look like, as its requests say."""
    first = job.first
    return compile_schema(None if first is None else first.schema)


def merged_results(job: OriginalJob, options: ConnectionOptions) -> pd.DataFrame:
    """Build the frame of a job that has ended.

    Parameters
    ----------
    job : OriginalJob
        What the original submitted; answers are found by the user's ids.
    options : ConnectionOptions
        How the job of ours in the same directory is worked on, if there is one.

    Returns
    -------
    DataFrame
        ``input_id`` and the fields: a row for each row of the frames that were asked.
    """
    if job.is_topped_up:
        schema, ours = _answers_of_ours(job.folder, options)
    else:
        schema, ours = schema_of(job), {}
    theirs = job.answers(schema)
    labels = job.row_ids(theirs)
    # A row that was asked again, because it had failed or its text was another, is answered by us.
    results: list[str | None] = []
    for name in map(str, labels):
        answers = ours.get(name)
        results.append(theirs.get(name) if not answers else answers.pop(0))
        if answers == []:
            answers.append(results[-1])  # one more row of that id
    missing = sum(
        result is None and name not in ours
        for name, result in zip(map(str, labels), results, strict=True)
    )
    if missing:
        how = "write the requests again with the same job_id, and submit them."
        if any(one.is_lost for one in job.submissions):
            how = "the provider has lost some of its results, which were paid for."
        warn_user(
            f"{counted(missing, 'row')} of the job {job.folder.name!r} have no answer in what the "
            f"original toolkit submitted: {how}",
            RowsFailedWarning,
        )
    index = pd.Index(labels, name="input_id", tupleize_cols=False)
    return build_frame(schema, index, np.arange(len(labels)), results).reset_index()


def _answers_of_ours(
    folder: JobFolder, options: ConnectionOptions
) -> tuple[Schema, dict[str, list[str | None]]]:
    """Return the schema of our job, and its answers by the user's ids, several where ids repeat."""
    with Connection(folder, options) as connection, using(connection.store_url() or False) as cache:
        rows, index = saved_rows(folder, connection.manifest)
        found = cache.read(connection.manifest.prompt_hash, rows.keys)
        answers: dict[str, list[str | None]] = {}
        for label, code in zip(index.tolist(), rows.codes.tolist(), strict=True):
            answer = found.get(rows.keys[code]) if code >= 0 else None
            answers.setdefault(str(label), []).append(answer)
        return connection.task.schema, answers
