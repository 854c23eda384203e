"""Answers written into a PostgreSQL database, many of them in one round trip."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from pandas_genai.store.postgres.database import Connection, Database, cleaned
from pandas_genai.store.records import unpacked_keys
from pandas_genai.store.writer import GroupWriter

__all__ = ["Writer"]

_ANSWER = (
    *("prompt_hash", "text_hash", "repeat", "row_id", "json_result", "model", "model_answered"),
    *("created", "run_id", "request_id", "input_tokens", "cached_tokens", "output_tokens"),
    *("checksum", "request"),
)
_REQUEST = (
    *("id", "run_id", "job", "prompt_hash", "request_id", "model", "model_answered"),
    *("params_sent", "created", "attempts", "refused", "reason", "input_tokens", "cached_tokens"),
    *("cache_write_tokens", "output_tokens", "cost", "rows", "reply"),
)


def _upsert(table: str, columns: tuple[str, ...], keys: int) -> str:
    names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns[keys:])
    return (
        f"INSERT INTO {table} ({names}) VALUES ({values}) "  # noqa: S608 - our own columns
        f"ON CONFLICT ({', '.join(columns[:keys])}) DO UPDATE SET {changed}"
    )


_INSERT = _upsert("results", _ANSWER, 3)
_INSERT_REQUEST = _upsert("requests", _REQUEST, 1)


class Writer(GroupWriter):
    """Writes answers over a connection of its own.

    Parameters
    ----------
    database : Database
        The database; closed with the writer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        super().__init__(database.name)

    def _keep(self, rows: list[tuple[Any, ...]], requests: list[tuple[Any, ...]]) -> None:
        # In the order of their keys, so that two writers of the same rows do not wait for each
        # other; the sort keeps a later answer to a key behind an earlier one.
        answers = [cleaned(row) for row in sorted(rows, key=itemgetter(0, 1, 2))]
        calls = [
            cleaned((*call[:-2], unpacked_keys(call[-2]), call[-1]))
            for call in sorted(requests, key=itemgetter(0))
        ]

        def work(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(_INSERT, answers)
                cursor.executemany(_INSERT_REQUEST, calls)

        self._database.run(work, self.abandoned)

    def _let_go(self) -> None:
        self._database.close()
