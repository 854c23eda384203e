"""What was asked and how it went: the tables ``tasks``, ``runs``, ``failures`` and ``requests``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from psycopg.rows import dict_row

from pandas_genai.store.history import Statements, StoredHistory, digest_of_block
from pandas_genai.store.parts import POSITIONS, SUPERSEDED, Attempt, PartRecord, counted
from pandas_genai.store.postgres.database import Connection, Database, cleaned
from pandas_genai.store.records import (
    FailureRecord,
    RunRecord,
    TaskRecord,
    checked_columns,
    named,
)

__all__ = ["History"]


def _insert(table: str, columns: Iterable[str], key: str, *, renewed: bool = True) -> str:
    """Return the statement that writes a row of named values, over an earlier one of its key."""
    names = list(columns)
    values = ", ".join(f"%({name})s" for name in names)
    changed = ", ".join(f"{name} = excluded.{name}" for name in names)
    then = f"UPDATE SET {changed}" if renewed else "NOTHING"
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) ON CONFLICT ({key}) DO {then}"  # noqa: S608 - columns of our own records
    )


_RUN = tuple(RunRecord.__dataclass_fields__)
_TASK = (*TaskRecord.__dataclass_fields__, "created")
_FAILURE = tuple(FailureRecord.__dataclass_fields__)
_REQUEST = (
    *("id", "run_id", "job", "prompt_hash", "request_id", "model", "model_answered"),
    *("params_sent", "created", "attempts", "refused", "reason", "input_tokens", "cached_tokens"),
    *("cache_write_tokens", "output_tokens", "cost", "rows", "reply"),
)
_START_RUN = _insert("runs", _RUN, "run_id")
_SAVE_TASK = _insert("tasks", _TASK, "prompt_hash", renewed=False)
_SAVE_FAILURE = _insert("failures", _FAILURE, "run_id, position")
_ATTEMPTS = """
SELECT attempt, status, counts FROM run_parts WHERE run_id = %s AND part = %s ORDER BY number
"""
_OTHER_PARTS = """
SELECT DISTINCT status FROM run_parts WHERE run_id = %s AND part <> %s AND status <> %s
"""
_PARTS = """
SELECT status, COUNT(*) FROM run_parts WHERE run_id = %s AND status <> %s GROUP BY status
"""
_SUPERSEDE = "UPDATE run_parts SET status = %s WHERE run_id = %s AND part = %s"
_SAVE_PART = """
INSERT INTO run_parts (run_id, part, attempt, status, counts) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (run_id, part, attempt) DO UPDATE SET status = excluded.status, counts = excluded.counts
"""
_FORGET_FAILURES = "DELETE FROM failures WHERE run_id = %s AND position >= %s AND position < %s"
_SAVE_BLOCK = _insert("row_blocks", ("digest", "keys"), "digest", renewed=False)
_SAVE_ROWS = _insert("run_rows", ("run_id", "block", "digest"), "run_id, block")

# All columns are ours.
_TASKS = f"SELECT {', '.join(_TASK)} FROM tasks ORDER BY created DESC, number DESC"  # noqa: S608 - columns of our own records
_OF_RUN = "WHERE %(run_id)s::text IS NULL OR run_id = %(run_id)s"
_RUNS = f"SELECT {', '.join(_RUN)} FROM runs {_OF_RUN} ORDER BY started DESC, number DESC"  # noqa: S608 - columns of our own records
_REQUESTS = f"SELECT {', '.join(_REQUEST)} FROM requests {_OF_RUN} ORDER BY id"  # noqa: S608 - columns of our own records
_FAILURES = f"""
SELECT {", ".join(_FAILURE)}
FROM failures WHERE run_id = %s AND label IS NOT NULL ORDER BY position
"""  # noqa: S608 - columns of our own records
_RUN_ROWS = """
SELECT digest, keys FROM run_rows JOIN row_blocks USING (digest) WHERE run_id = %s ORDER BY block
"""
_FAILED = """
SELECT text_hash, reason FROM runs JOIN failures USING (run_id)
WHERE prompt_hash = %s AND text_hash IS NOT NULL ORDER BY started, number
"""


class History(StoredHistory[Database]):
    """The log of a store in PostgreSQL."""

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
        self._database.write(_START_RUN, [named(run)])

    def end_run(self, run_id: str, **columns: Any) -> None:
        """Change the named columns of a run, usually at its end; an unknown run is left alone."""
        checked_columns(columns)
        changed = ", ".join(f"{name} = %({name})s" for name in columns)
        if changed:
            statement = f"UPDATE runs SET {changed} WHERE run_id = %(of)s"  # noqa: S608 - checked
            self._database.write(statement, [columns | {"of": run_id}])

    def count_part(self, record: PartRecord) -> RunRecord:
        """Note what a part of a run has done so far, and return the run, all parts together."""
        return self._database.run(lambda connection: self._counted(connection, record))

    def _counted(self, connection: Connection, record: PartRecord) -> RunRecord:
        run_id, part = record.counts.run_id, record.part
        self._database.take_turn(connection, "run", run_id)
        attempts = [Attempt(*row) for row in connection.execute(_ATTEMPTS, (run_id, part))]
        found = connection.execute(_OTHER_PARTS, (run_id, part, SUPERSEDED))
        others = {status for (status,) in found}
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(_RUNS, {"run_id": run_id}).fetchone()
        before = None if row is None else RunRecord(**row)
        run, attempt, is_new = counted(before, attempts, others, record)
        connection.execute(_START_RUN, cleaned(named(run)))
        if is_new:
            connection.execute(_SUPERSEDE, (SUPERSEDED, run_id, part))
            places = (part * POSITIONS, (part + 1) * POSITIONS)
            connection.execute(_FORGET_FAILURES, (run_id, *places))
        connection.execute(_SAVE_PART, cleaned((run_id, part, *attempt)))
        return replace(run, status=SUPERSEDED) if attempt.status == SUPERSEDED else run

    def save_run_rows(self, run_id: str, blocks: Iterable[bytes], first: int = 0) -> None:
        """Keep the row keys of a run in the order of its input; blocks of keys are kept once."""
        rows: list[dict[str, Any]] = [
            {"run_id": run_id, "block": number, "digest": digest_of_block(keys), "keys": keys}
            for number, keys in enumerate(blocks, first)
        ]

        def work(connection: Connection) -> None:
            with connection.cursor() as cursor:
                # In one order, because several runs may keep the same blocks at once.
                blocks_first = sorted(rows, key=lambda row: row["digest"])
                cursor.executemany(_SAVE_BLOCK, blocks_first)
                cursor.executemany(_SAVE_ROWS, rows)

        self._database.run(work)
