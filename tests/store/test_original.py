"""The original toolkit's file is upgraded in place."""

import json
import os
import sqlite3
import stat
from contextlib import closing

import pytest

from pandas_genai.errors import CacheError
from pandas_genai.store import SqliteCache

TASK = "a" * 32


def dumped(path):
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_originals_file_is_upgraded_in_place(original):
    original.chmod(0o644)
    with SqliteCache(original) as cache:
        assert cache.all_ids() == {"1", "2", "3"}
        assert cache.all_ids("b" * 16) == {"1"}
        assert cache.get("1") == cache.get("1", "b" * 16) == {"tone": "good"}
        assert cache.get("1", "c" * 16) is None
        assert cache.get("3") == {"tone": "none"}
        assert cache.read("b" * 16, ["1"]) == {}
        assert cache.present("b" * 16, ["1"]) == set()
        cache.put("1", "mine", "c" * 16)
    assert mode(original) == 0o600
    with SqliteCache(original) as cache:
        assert (cache.get("1"), cache.get("1", "b" * 16)) == ("mine", {"tone": "good"})
        assert cache.all_ids() == {"1", "2", "3"}


def test_a_copy_of_the_originals_file_is_kept_beside_it(original):
    before = dumped(original)
    copy = original.with_name(f"{original.name}.before-upgrade")
    with SqliteCache(original), SqliteCache(original):
        assert dumped(copy) == before
        assert mode(copy) == 0o600
    assert sorted(path.name for path in original.parent.iterdir()) == [original.name, copy.name]


def test_a_copy_that_is_there_already_is_not_lost(original):
    before = dumped(original)
    copy = original.with_name(f"{original.name}.before-upgrade")
    copy.write_bytes(b"of another file")
    with SqliteCache(original):
        assert copy.read_bytes() == b"of another file"
        assert dumped(copy.with_name(f"{copy.name}-2")) == before


def test_an_upgrade_that_cannot_keep_a_copy_is_not_begun(original):
    before = original.read_bytes()
    original.parent.chmod(0o500)
    try:
        if os.access(original.parent, os.W_OK):
            pytest.skip("the superuser can write everywhere")
        with pytest.raises(CacheError):
            SqliteCache(original)
    finally:
        original.parent.chmod(0o700)
    assert original.read_bytes() == before


def test_the_originals_rows_without_an_id_are_left_behind(original):
    with closing(sqlite3.connect(original)) as connection, connection:
        connection.execute("INSERT INTO results VALUES (NULL, '{}', NULL)")
    with SqliteCache(original) as cache:
        assert cache.all_ids() == {"1", "2", "3"}


def test_the_originals_file_with_an_interrupted_write_is_recovered(place, original):
    with closing(sqlite3.connect(original, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN")
        values = [(f"x{n}", json.dumps("y" * 500), None) for n in range(2_000)]
        connection.executemany("INSERT INTO results VALUES (?, ?, ?)", values)
        for ending in ("", "-journal"):
            source = original.with_name(original.name + ending)
            (place / f"c.sqlite{ending}").write_bytes(source.read_bytes())
        connection.execute("ROLLBACK")
    with SqliteCache(place / "c.sqlite") as cache:
        assert cache.all_ids() == {"1", "2", "3"}


KILLED = """
import os, signal, sys
from pathlib import Path
from pandas_genai.store.sqlite.opening import _patiently, connect
from pandas_genai.store.sqlite.tables import create_tables

connection = connect(Path(sys.argv[1]), 60)
connection.execute("PRAGMA cache_size = 2")
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("BEGIN IMMEDIATE")
create_tables(connection, "original")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_the_middle_of_the_upgrade_leaves_the_original(original, child):
    with closing(sqlite3.connect(original)) as connection, connection:
        rows = [(f"x{n}", json.dumps("y" * 500), None) for n in range(2_000)]
        connection.executemany("INSERT INTO results VALUES (?, ?, ?)", rows)
    killed = child(KILLED, original)
    assert killed.wait(60) == -9
    assert original.with_name(original.name + "-wal").stat().st_size > 100_000
    with closing(sqlite3.connect(original)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        assert names == [("results",)]
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (2_003,)
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    with SqliteCache(original) as cache:
        assert len(cache.all_ids()) == 2_003
