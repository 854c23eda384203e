"""Answers written into an SQLite file, while other processes may hold it."""

from __future__ import annotations

import logging
import time
from typing import Any

from pandas_genai.errors import CacheError
from pandas_genai.store.sqlite.database import Database, is_lock
from pandas_genai.store.writer import GroupWriter

__all__ = ["Writer"]

_log = logging.getLogger("pandas_genai")

_INSERT = """
INSERT OR REPLACE INTO results (
    prompt_hash, text_hash, repeat, row_id, json_result, model, model_answered, created, run_id,
    request_id, input_tokens, cached_tokens, output_tokens, checksum, request
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_INSERT_REQUEST = """
INSERT OR REPLACE INTO requests (
    id, run_id, job, prompt_hash, request_id, model, model_answered, params_sent, created,
    attempts, refused, reason, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
    cost, rows, reply
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Writer(GroupWriter):
    """Writes answers; while another process holds the file it tries again, however long.

    Parameters
    ----------
    database : Database
        The database.
    owned : bool
        Whether the database is closed with the writer.
    warn_after : float
        Seconds of waiting for another process before the log says so.
    """

    def __init__(self, database: Database, *, owned: bool, warn_after: float = 10.0) -> None:
        self._database = database
        self._owned = owned
        self._warn_after = warn_after
        super().__init__(database.name)

    def _keep(self, rows: list[tuple[Any, ...]], requests: list[tuple[Any, ...]]) -> None:
        since = time.monotonic()
        warned = False
        while True:
            try:
                with self._database.transaction() as connection:
                    connection.executemany(_INSERT, rows)
                    connection.executemany(_INSERT_REQUEST, requests)
                break
            except CacheError as error:
                if self.abandoned.is_set() or not is_lock(error.__cause__):
                    raise
            if not warned and time.monotonic() - since >= self._warn_after:
                warned = True
                _log.warning(
                    "Answers wait because another program has locked %s: close it.",
                    self._database.name,
                )
        self._database.check()

    def _let_go(self) -> None:
        if self._owned:
            self._database.close()
