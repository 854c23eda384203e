"""What cannot be a cache is refused in one sentence, and left as it is."""

import sqlite3
from contextlib import closing

import pytest

from pandas_genai.errors import CacheError
from pandas_genai.store import SqliteCache

TASK = "a" * 32
ORIGINAL = (
    "CREATE TABLE results (row_id TEXT PRIMARY KEY, json_result TEXT NOT NULL, prompt_hash TEXT)"
)


def test_a_folder_is_no_cache(place):
    with pytest.raises(CacheError, match="is a folder"):
        SqliteCache(place)
    with pytest.raises(CacheError, match="no ordinary file"):
        SqliteCache("/dev/null")


def test_the_folder_must_exist(place):
    with pytest.raises(CacheError, match="there is no folder"):
        SqliteCache(place / "missing" / "c.sqlite")
    (place / "file").touch()
    with pytest.raises(CacheError, match="there is no folder"):
        SqliteCache(place / "file" / "c.sqlite")
    with pytest.raises(CacheError, match="cannot be read or made"):
        SqliteCache("/proc/c.sqlite")


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"id,text\n1,good\n" * 500,
        b"SQLite format 3\x00",
        b"\x00" * 8192,
        bytes(range(256)) * 32,
    ],
)
def test_what_is_no_database_is_left_alone(place, content, refused):
    path = place / "c.sqlite"
    path.write_bytes(content)
    refused(path, "is not a cache file")


def test_a_file_that_was_cut_off_is_left_alone(place, refused, filled):
    path = filled(place / "c.sqlite", 5_000)
    whole = path.read_bytes()
    for size in (100, 200, 4096, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "cut off|damaged")


@pytest.mark.parametrize("start", [100, 4096, 8192, 40_000])
def test_a_damaged_file_is_left_alone(place, start, refused, filled):
    path = filled(place / "c.sqlite", 5_000)
    content = bytearray(path.read_bytes())
    content[start : start + 2_000] = b"\xa5" * 2_000
    path.write_bytes(content)
    refused(path, "is damaged")


def test_damage_that_shows_only_later_is_an_error_too(place, filled):
    path = filled(place / "c.sqlite", 50_000)
    with SqliteCache(path) as cache, path.open("r+b") as file:
        file.seek(40_960)
        file.write(b"\xa5" * 1_000_000)
        file.flush()
        with pytest.raises(CacheError, match="is damaged"):
            cache.all_ids()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE places (url TEXT)",
        "CREATE TABLE places (url TEXT); PRAGMA user_version = 30",
        "CREATE TABLE results (row_id TEXT, score REAL)",
        "CREATE TABLE runs (run_id TEXT)",
        "CREATE TABLE t (a); PRAGMA application_id = 7",
        "PRAGMA application_id = 7",
        "CREATE TABLE results (row_id TEXT, json_result TEXT, prompt_hash); CREATE TABLE runs (a)",
        "PRAGMA journal_mode = WAL; CREATE TABLE places (url TEXT)",
        "CREATE VIEW people AS SELECT 1 AS name",
        f"{ORIGINAL}; CREATE TABLE precious (a)",
        f"{ORIGINAL}; CREATE VIEW tones AS SELECT json_result FROM results",
        f"{ORIGINAL}; CREATE INDEX by_hash ON results (prompt_hash)",
        f"{ORIGINAL}; CREATE TRIGGER noted AFTER INSERT ON results BEGIN SELECT 1; END",
        f"{ORIGINAL}; PRAGMA user_version = 1",
        ORIGINAL.replace("TEXT PRIMARY KEY", "INTEGER PRIMARY KEY"),
        ORIGINAL.replace("prompt_hash TEXT)", "prompt_hash TEXT, score REAL)"),
        ORIGINAL.replace("json_result TEXT NOT NULL", "json_result TEXT"),
        ORIGINAL.replace("prompt_hash TEXT)", "prompt_hash TEXT) WITHOUT ROWID"),
    ],
)
def test_the_database_of_another_program_is_left_alone(place, script, refused):
    path = place / "c.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    refused(path, "another program")


@pytest.mark.parametrize("extra", ["", "CREATE TABLE votes (a)", "PRAGMA journal_mode = DELETE"])
def test_a_newer_file_is_never_touched(place, extra, refused, filled):
    path = filled(place / "c.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA user_version = 3; {extra}")
    refused(path, "newer pandas-genai")


def test_a_newer_file_in_use_is_never_touched(place, refused, filled):
    path = filled(place / "c.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 3")
        connection.execute("INSERT INTO ids (row_id) VALUES ('new')")
        refused(path, "newer pandas-genai")
        assert connection.execute("SELECT count(*) FROM ids").fetchone() == (502,)


@pytest.mark.parametrize("beside", [("-wal", "-shm"), ("-wal",)])
def test_a_newer_file_of_a_killed_process_is_never_touched(place, beside, refused, filled):
    path = filled(place / "live.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 3")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO ids (row_id) VALUES ('new')")
        left = place / "left"
        left.mkdir()
        for ending in ("", *beside):
            (left / f"c.sqlite{ending}").write_bytes((place / f"live.sqlite{ending}").read_bytes())
    refused(left / "c.sqlite", "newer pandas-genai")


def test_an_interrupted_newer_file_is_never_touched(place, tmp_path, refused, filled, interrupted):
    path = filled(tmp_path / "whole.sqlite")
    refused(interrupted(path, place, "PRAGMA user_version = 3"), "newer pandas-genai")


def test_an_interrupted_database_of_another_program_stays_what_it_was(place, tmp_path, interrupted):
    path = tmp_path / "whole.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE places (url TEXT)")
    broken = interrupted(path, place)
    with pytest.raises(CacheError, match="another program"):
        SqliteCache(broken)
    with closing(sqlite3.connect(broken)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("places",)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_damaged_file_beside_a_wal_is_left_alone(place, refused):
    path = place / "c.sqlite"
    with SqliteCache(place / "live.sqlite") as cache:
        cache.put("1", 1)
        (place / "c.sqlite-wal").write_bytes((place / "live.sqlite-wal").read_bytes())
    path.write_bytes(b"not a database" * 500)
    refused(path, "is not a cache file")
