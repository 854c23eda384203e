"""The tables of a cache file, and whose tables a file holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from pandas_genai.errors import CacheError

__all__ = ["APPLICATION_ID", "VERSION", "Kind", "create_tables", "kind_of", "newer"]

APPLICATION_ID = 0x7067_4149
"""Marks the file as ours (``file genai_cache.sqlite`` shows it)."""

VERSION = 1
"""Of the tables, as ``PRAGMA user_version``."""

Kind: TypeAlias = Literal["new", "original", "ours"]

_IDS = """CREATE TABLE IF NOT EXISTS ids (
    row_id TEXT NOT NULL,
    prompt_hash TEXT NOT NULL DEFAULT '',
    text_hash TEXT,
    json_result TEXT,
    created TEXT,
    PRIMARY KEY (row_id, prompt_hash)
)"""

_TABLES = (
    _IDS,
    """CREATE TABLE IF NOT EXISTS results (
    prompt_hash TEXT NOT NULL,
    text_hash TEXT NOT NULL,
    repeat INTEGER NOT NULL DEFAULT 0,
    row_id TEXT,
    json_result TEXT NOT NULL,
    model TEXT,
    model_answered TEXT,
    created TEXT,
    run_id TEXT,
    request_id TEXT,
    input_tokens INTEGER,
    cached_tokens INTEGER,
    output_tokens INTEGER,
    PRIMARY KEY (prompt_hash, text_hash, repeat)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS tasks (
    prompt_hash TEXT PRIMARY KEY NOT NULL,
    prompt TEXT,
    schema TEXT,
    model TEXT,
    backend TEXT,
    host TEXT,
    params TEXT,
    system TEXT,
    created TEXT
)""",
    """CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY NOT NULL,
    prompt_hash TEXT,
    kind TEXT,
    status TEXT,
    started TEXT,
    ended TEXT,
    version TEXT,
    rows INTEGER,
    ok INTEGER,
    failed INTEGER,
    cached INTEGER,
    empty INTEGER,
    twins INTEGER,
    calls INTEGER,
    retries INTEGER,
    input_tokens INTEGER,
    cached_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    cost REAL,
    currency TEXT,
    models TEXT,
    host TEXT,
    message TEXT
)""",
    """CREATE TABLE IF NOT EXISTS failures (
    run_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    label TEXT,
    text_hash TEXT,
    reason TEXT,
    message TEXT,
    attempts INTEGER,
    request_id TEXT,
    PRIMARY KEY (run_id, position)
)""",
)

_OUR_NAMES = frozenset({"ids", "results", "tasks", "runs", "failures"})
_OUR_COLUMNS = frozenset({"prompt_hash", "text_hash", "repeat", "row_id", "json_result"})
_ORIGINAL_COLUMNS = frozenset({"row_id", "json_result", "prompt_hash"})


def kind_of(connection: sqlite3.Connection, name: str) -> Kind:
    """Tell whose tables a database holds; reads only.

    Parameters
    ----------
    connection : Connection
        The database.
    name : str
        The file, for the error.

    Returns
    -------
    {"new", "original", "ours"}
        Without our marks (no tables, or ours restored from a dump); the original toolkit's
        cache; a cache of this version.

    Raises
    ------
    CacheError
        If it belongs to another program or to a newer version.
    """
    with _one_moment(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {table for (table,) in names if not table.startswith("sqlite_")}
        names = connection.execute("SELECT name FROM pragma_table_info('results')")
        columns = {column for (column,) in names}
    if version > VERSION and (application == APPLICATION_ID or not tables - _OUR_NAMES):
        raise newer(name, version)
    if application == APPLICATION_ID and version == VERSION:
        return "ours"
    if (application, version) == (0, 0):
        if not tables or columns >= _OUR_COLUMNS:
            return "new"
        if columns == _ORIGINAL_COLUMNS and tables & _OUR_NAMES == {"results"}:
            return "original"
    raise CacheError(
        f"{name} is a database of another program and was left as it is: choose another file "
        "for the cache."
    )


@contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Read everything from one state of the file: another process may be making its tables."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def newer(name: str, version: int) -> CacheError:
    """Return the error for a file of a newer version."""
    return CacheError(
        f"The cache file {name} was written by a newer pandas-genai (format {version}, this one "
        f"reads {VERSION}) and was left as it is: upgrade pandas-genai or choose another file."
    )


def create_tables(connection: sqlite3.Connection, kind: Kind) -> None:
    """Make the tables, within the caller's transaction; keep the original toolkit's rows."""
    if kind == "original":
        connection.execute(_IDS)
        connection.execute(
            "INSERT OR REPLACE INTO ids (row_id, prompt_hash, json_result) "
            "SELECT row_id, COALESCE(prompt_hash, ''), json_result FROM results "
            "WHERE row_id IS NOT NULL ORDER BY rowid"
        )
        connection.execute("DROP TABLE results")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
