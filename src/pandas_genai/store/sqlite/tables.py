"""The tables of a cache file, and whose tables a file holds."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from pandas_genai.errors import CacheError

__all__ = ["APPLICATION_ID", "BLOCK_TABLES", "VERSION", "Kind", "create_tables", "kind_of", "newer"]

APPLICATION_ID = 0x7067_4149
"""Marks the file as ours (``file genai_cache.sqlite`` shows it)."""

VERSION = 2
"""Of the tables, as ``PRAGMA user_version``.

Version 2 added to ``results`` the columns ``checksum`` and ``request``, to ``ids`` the column
``checksum``, and the tables from ``run_details`` on. The table ``runs`` keeps its columns, so
that a kernel of version 0.1 that has the file open goes on writing. ``currency`` is such a column:
nothing writes or reads it any more.
"""

Kind: TypeAlias = Literal["new", "original", "older", "ours"]

_IDS = """CREATE TABLE IF NOT EXISTS ids (
    row_id TEXT NOT NULL,
    prompt_hash TEXT NOT NULL DEFAULT '',
    text_hash TEXT,
    json_result TEXT,
    created TEXT,
    checksum INTEGER,
    PRIMARY KEY (row_id, prompt_hash)
)"""

BLOCK_TABLES = (
    """CREATE TABLE IF NOT EXISTS rates (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    level REAL NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (name, kind)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS budgets (
    name TEXT PRIMARY KEY NOT NULL,
    spent REAL NOT NULL
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS budget_blocks (
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    amount REAL NOT NULL,
    PRIMARY KEY (name, owner)
) WITHOUT ROWID""",
)
"""Rates and budgets that runs share; made when they are first used, too, in an older file."""

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
    checksum INTEGER,
    request INTEGER,
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
    """CREATE TABLE IF NOT EXISTS run_details (
    run_id TEXT PRIMARY KEY NOT NULL,
    params_sent TEXT,
    params_dropped TEXT,
    unknown_calls INTEGER,
    answered_from TEXT,
    answered_to TEXT
)""",
    """CREATE TABLE IF NOT EXISTS run_rows (
    run_id TEXT NOT NULL,
    block INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (run_id, block)
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS run_parts (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    part INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    status TEXT NOT NULL,
    counts TEXT NOT NULL,
    UNIQUE (run_id, part, attempt)
)""",
    """CREATE TABLE IF NOT EXISTS row_blocks (
    digest BLOB PRIMARY KEY NOT NULL,
    keys BLOB NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY,
    run_id TEXT,
    job TEXT,
    prompt_hash TEXT,
    request_id TEXT,
    model TEXT,
    model_answered TEXT,
    params_sent TEXT,
    created TEXT,
    attempts INTEGER,
    refused INTEGER,
    reason TEXT,
    input_tokens INTEGER,
    cached_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    cost REAL,
    rows BLOB,
    reply BLOB
)""",
    """CREATE TABLE IF NOT EXISTS owners (
    owner TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    machine TEXT,
    pid INTEGER,
    beats INTEGER NOT NULL DEFAULT 0,
    beaten TEXT
) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS leases (
    id INTEGER PRIMARY KEY,
    prompt_hash TEXT NOT NULL,
    owner TEXT NOT NULL,
    rows BLOB NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS leases_of_task ON leases (prompt_hash, owner)",
    *BLOCK_TABLES,
)

_ADDED = (
    ("ids", "checksum", "INTEGER"),
    ("results", "checksum", "INTEGER"),
    ("results", "request", "INTEGER"),
)
"""Columns that version 1 does not have."""

_OUR_NAMES = frozenset(
    {"ids", "results", "tasks", "runs", "failures", "leases_of_task"}
    | {"run_details", "run_rows", "run_parts", "row_blocks", "requests", "owners", "leases"}
    | {"rates", "budgets", "budget_blocks"}
)
_OUR_COLUMNS = frozenset({"prompt_hash", "text_hash", "repeat", "row_id", "json_result"})
_ORIGINAL = "createtableresults(row_idtextprimarykey,json_resulttextnotnull,prompt_hashtext)"


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
    {"new", "original", "older", "ours"}
        Without our marks (empty, or ours restored from a dump); the original toolkit's cache,
        to the letter; a cache of version 1; a cache of this version.

    Raises
    ------
    CacheError
        If it belongs to another program or to a newer version.
    """
    with _one_moment(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        names = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        made = {str(thing): str(sql) for thing, sql in names}
        names = connection.execute("SELECT name FROM pragma_table_info('results')")
        columns = {column for (column,) in names}
    foreign = made.keys() - _OUR_NAMES
    if version > VERSION and (application == APPLICATION_ID or not foreign):
        raise newer(name, version)
    if application == APPLICATION_ID and 1 <= version <= VERSION:
        return "ours" if version == VERSION else "older"
    if (application, version) == (0, 0) and not foreign:
        if not made or columns >= _OUR_COLUMNS:
            return "new"
        if made.keys() == {"results"} and _plain(made["results"]) == _ORIGINAL:
            return "original"
    raise CacheError(
        f"{name} is a database of another program and was left as it is: choose another file "
        "for the cache."
    )


def _plain(statement: str) -> str:
    """Return a statement without what makes no difference: spaces, quotes, case."""
    return (
        re.sub(r"[\s\"'`\[\]]", "", statement)
        .lower()
        .replace("createtableifnotexists", "createtable")
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
    """Make or upgrade the tables, within the caller's transaction; every row is kept."""
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
    for table, column, of_type in _ADDED:
        found = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        if column not in {name for (name,) in found}:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {of_type}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
