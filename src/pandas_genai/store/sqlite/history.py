"""What was asked and how it went: the tables ``tasks``, ``runs`` and ``failures``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from sqlite3 import Connection
from typing import Any

from pandas_genai.store.history import Statements, StoredHistory, digest_of_block
from pandas_genai.store.parts import POSITIONS, SUPERSEDED, Attempt, PartRecord, counted
from pandas_genai.store.records import (
    FailureRecord,
    RunRecord,
    TaskRecord,
    checked_columns,
    named,
    unpacked_keys,
)
from pandas_genai.store.sqlite.database import Database

__all__ = ["History"]


def _insert(table: str, columns: Iterable[str], conflict: str = "REPLACE") -> str:
    """Return the statement that writes a row of named values."""
    names = list(columns)
    values = ", ".join(f":{name}" for name in names)
    return f"INSERT OR {conflict} INTO {table} ({', '.join(names)}) VALUES ({values})"  # noqa: S608 - columns of our own records


# A table of their own: version 0.1 reads every column of runs, and would trip over more of them.
_DETAILS = ("params_sent", "params_dropped", "unknown_calls", "answered_from", "answered_to")
_RUN = [name for name in RunRecord.__dataclass_fields__ if name not in _DETAILS]
_START_RUN = _insert("runs", _RUN)
_SET = ", ".join(f"{name} = :{name}" for name in _RUN)
_END_RUN = f"UPDATE runs SET {_SET} WHERE run_id = :run_id"  # noqa: S608 - columns of our own records
_SAVE_DETAILS = _insert("run_details", ("run_id", *_DETAILS))
_RUNS = f"""
SELECT {", ".join(_RUN)}, params_sent, params_dropped, COALESCE(unknown_calls, 0) AS unknown_calls,
answered_from, answered_to
FROM runs LEFT JOIN run_details USING (run_id)
WHERE :run_id IS NULL OR run_id = :run_id
ORDER BY started DESC, runs.rowid DESC
"""  # noqa: S608 - columns of our own records
_ATTEMPTS = """
SELECT attempt, status, counts FROM run_parts WHERE run_id = ? AND part = ? ORDER BY id
"""
_OTHER_PARTS = """
SELECT DISTINCT status FROM run_parts WHERE run_id = ? AND part <> ? AND status <> ?
"""
_PARTS = """
SELECT status, COUNT(*) FROM run_parts WHERE run_id = ? AND status <> ? GROUP BY status
"""
_SUPERSEDE = "UPDATE run_parts SET status = ? WHERE run_id = ? AND part = ?"
_SAVE_PART = """
INSERT INTO run_parts (run_id, part, attempt, status, counts) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run_id, part, attempt) DO UPDATE SET status = excluded.status, counts = excluded.counts
"""
_FORGET_FAILURES = "DELETE FROM failures WHERE run_id = ? AND position >= ? AND position < ?"
_SAVE_TASK = _insert("tasks", (*TaskRecord.__dataclass_fields__, "created"), "IGNORE")
_SAVE_FAILURE = _insert("failures", FailureRecord.__dataclass_fields__)

# Each column by its name: of a damaged file that is an error of the database, whatever is damaged.
_TASKS = """
SELECT prompt_hash, prompt, schema, model, backend, host, params, system, created
FROM tasks ORDER BY created DESC, rowid DESC
"""
_REQUESTS = """
SELECT id, run_id, job, prompt_hash, request_id, model, model_answered, params_sent, created,
attempts, refused, reason, input_tokens, cached_tokens, cache_write_tokens, output_tokens, cost,
rows, reply
FROM requests WHERE :run_id IS NULL OR run_id = :run_id ORDER BY id
"""
_FAILURES = """
SELECT run_id, position, label, text_hash, reason, message, attempts, request_id
FROM failures WHERE run_id = ? AND label IS NOT NULL ORDER BY position
"""

_SAVE_BLOCK = "INSERT OR IGNORE INTO row_blocks (digest, keys) VALUES (?, ?)"
_SAVE_ROWS = "INSERT OR REPLACE INTO run_rows (run_id, block, digest) VALUES (?, ?, ?)"
_RUN_ROWS = """
SELECT digest, keys FROM run_rows JOIN row_blocks USING (digest) WHERE run_id = ? ORDER BY block
"""

_FAILED = """
SELECT text_hash, reason FROM runs JOIN failures USING (run_id)
WHERE prompt_hash = ? AND text_hash IS NOT NULL ORDER BY started, runs.rowid
"""


def _run_of(connection: Connection, run_id: str) -> RunRecord | None:
    cursor = connection.execute(_RUNS, {"run_id": run_id})
    names = [column[0] for column in cursor.description]
    row = cursor.fetchone()
    return None if row is None else RunRecord(**dict(zip(names, row, strict=True)))


def _save_run(connection: Connection, run: RunRecord) -> None:
    connection.execute(_END_RUN, named(run))
    connection.execute(_SAVE_DETAILS, named(run))


class History(StoredHistory[Database]):
    """The log of a cache file."""

    _statements = Statements(
        _SAVE_TASK,
        _TASKS,
        _RUNS,
        _PARTS,
        _RUN_ROWS,
        _REQUESTS,
        _SAVE_FAILURE,
        _FAILURES,
        _FAILED,
    )

    def start_run(self, run: RunRecord) -> None:
        """Record that a run has started."""
        with self._database.transaction() as connection:
            connection.execute(_START_RUN, named(run))
            connection.execute(_SAVE_DETAILS, named(run))

    def end_run(self, run_id: str, **columns: Any) -> None:
        """Change the named columns of a run, usually at its end; an unknown run is left alone.

        Parameters
        ----------
        run_id : str
            The run.
        **columns
            New values by column of the table ``runs``.

        Raises
        ------
        TypeError
            If there is no such column.
        """
        checked_columns(columns)
        with self._database.transaction() as connection:
            run = _run_of(connection, run_id)
            if run is not None:
                _save_run(connection, replace(run, **columns))

    def count_part(self, record: PartRecord) -> RunRecord:
        """Note what a part of a run has done so far, and return the run, all parts together."""
        run_id, part = record.counts.run_id, record.part
        with self._database.transaction() as connection:
            attempts = [Attempt(*row) for row in connection.execute(_ATTEMPTS, (run_id, part))]
            found = connection.execute(_OTHER_PARTS, (run_id, part, SUPERSEDED))
            before = _run_of(connection, run_id)
            run, attempt, is_new = counted(before, attempts, {one for (one,) in found}, record)
            if before is None:
                connection.execute(_START_RUN, named(run))
            if is_new:
                connection.execute(_SUPERSEDE, (SUPERSEDED, run_id, part))
                places = (part * POSITIONS, (part + 1) * POSITIONS)
                connection.execute(_FORGET_FAILURES, (run_id, *places))
            connection.execute(_SAVE_PART, (run_id, part, *attempt))
            _save_run(connection, run)
        return replace(run, status=SUPERSEDED) if attempt.status == SUPERSEDED else run

    def save_run_rows(self, run_id: str, blocks: Iterable[bytes], first: int = 0) -> None:
        """Keep the row keys of a run in the order of its input.

        Blocks of keys are kept once, whichever runs have them: a run of a million rows takes 16
        megabytes the first time, and a few kilobytes when it is repeated.

        Parameters
        ----------
        run_id : str
            The run.
        blocks : iterable of bytes
            The keys of some rows after another, sixteen bytes each; zeros where nothing was sent.
        first : int
            The number of the first block.
        """
        with self._database.transaction() as connection:
            for number, keys in enumerate(blocks, first):
                digest = digest_of_block(keys)
                connection.execute(_SAVE_BLOCK, (digest, keys))
                connection.execute(_SAVE_ROWS, (run_id, number, digest))

    def requests(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the billed calls by column, of one run or of all, in the order of their ids."""
        found = super().requests(run_id)
        return [{**request, "rows": unpacked_keys(request["rows"])} for request in found]
