"""What opening a cache does to its file."""

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from pandas_genai.errors import CacheError
from pandas_genai.store import SqliteCache
from pandas_genai.store.sqlite.database import Database
from pandas_genai.store.sqlite.opening import _patiently, connect
from pandas_genai.store.sqlite.tables import create_tables

TASK = "a" * 32


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_is_its_owners_alone(place):
    path = place / "c.sqlite"
    before = os.umask(0)
    try:
        with SqliteCache(path) as cache:
            cache.put("1", 1)
            files = sorted(place.iterdir())
            assert [file.name for file in files] == ["c.sqlite", "c.sqlite-shm", "c.sqlite-wal"]
            assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)
    assert names_in(place) == ["c.sqlite"]


def test_a_wider_file_of_ours_is_tightened(place, filled):
    path = filled(place / "c.sqlite")
    path.chmod(0o644)
    with SqliteCache(path) as cache:
        assert mode(path) == 0o600
        assert cache.get("1") == {"tone": "good"}


def test_an_empty_file_becomes_a_cache(place):
    path = place / "c.sqlite"
    path.touch()
    with SqliteCache(path) as cache:
        cache.put("1", 1)
    assert mode(path) == 0o600


def test_what_is_kept_is_there_later(place, filled):
    path = filled(place / "c.sqlite")
    with SqliteCache(str(path)) as cache:
        assert cache.get("1") == {"tone": "good"}
        assert cache.path == path
        assert repr(cache) == f"SqliteCache({str(path)!r})"
    assert repr(SqliteCache(None)) == "SqliteCache(None)"


def test_a_relative_path_outlives_a_change_of_directory(place, monkeypatch, save):
    monkeypatch.chdir(place)
    with SqliteCache("c.sqlite") as cache:
        monkeypatch.chdir(place.parent)
        save(cache, {"k": "1"})
        assert cache.path == place / "c.sqlite"
    assert names_in(place) == ["c.sqlite"]


def test_the_home_directory_may_be_abbreviated(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    with SqliteCache("~/c.sqlite"):
        assert (place / "c.sqlite").exists()


def test_a_link_is_followed(place, filled):
    target = filled(place / "target.sqlite")
    (place / "link.sqlite").symlink_to(target)
    (place / "dangling.sqlite").symlink_to(place / "made.sqlite")
    with SqliteCache(place / "link.sqlite") as cache, SqliteCache(place / "dangling.sqlite"):
        assert cache.get("1") == {"tone": "good"}
    assert (place / "link.sqlite").is_symlink()
    assert mode(place / "made.sqlite") == 0o600


def test_closing_releases_the_file(place, answer):
    path = place / "c.sqlite"
    cache = SqliteCache(path)
    writer = cache.writer()
    writer.put([answer("k")])
    cache.close()
    held = [os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    assert not [name for name in held if name.startswith(str(place))]
    assert names_in(place) == ["c.sqlite"]


def test_the_file_is_marked_safe_and_plain(place, save):
    path = place / "c.sqlite"
    with SqliteCache(path) as cache:
        save(cache, {"k": "1"})
        for connection in (cache._database._open(), cache.writer()._database._open()):
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("PRAGMA application_id").fetchone() == (0x70674149,)
        rows = connection.execute("select prompt_hash,row_id,json_result from results").fetchall()
    assert rows == [(TASK, None, "1")]


@pytest.mark.parametrize("beside", [("-wal", "-shm"), ("-wal",)])
def test_a_file_of_ours_of_a_killed_process_is_recovered(place, beside):
    with SqliteCache(place / "live.sqlite") as cache:
        cache.put("1", "saved")
        left = place / "left"
        left.mkdir()
        for ending in ("", *beside):
            (left / f"c.sqlite{ending}").write_bytes((place / f"live.sqlite{ending}").read_bytes())
    with SqliteCache(left / "c.sqlite") as cache:
        assert cache.get("1") == "saved"


def test_a_file_restored_from_a_dump_is_ours(place, filled):
    path = filled(place / "c.sqlite")
    copy = place / "copy.sqlite"
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
        new.executescript("\n".join(old.iterdump()))
    with SqliteCache(copy) as cache:
        assert cache.get("1") == {"tone": "good"}


def test_another_journal_mode_is_set_right(place, filled):
    path = filled(place / "c.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with SqliteCache(path) as cache:
        assert cache._database.query("PRAGMA journal_mode") == [("wal",)]


def test_a_cache_that_is_open_may_be_opened_again(place, answer):
    path = place / "c.sqlite"
    with SqliteCache(path) as first, SqliteCache(path) as second:
        writer = first.writer()
        writer.put([answer("k")])
        assert writer.flush(60)
        assert second.present(TASK, ["k"]) == {"k"}
        second.put("1", 1)
        assert first.get("1") == 1


def test_many_threads_open_one_new_file(place):
    failed = []

    def work(number):
        try:
            with SqliteCache(place / "c.sqlite") as cache:
                cache.put(str(number), number)
        except CacheError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with SqliteCache(place / "c.sqlite") as cache:
        assert cache.all_ids() == {str(number) for number in range(16)}


def test_an_answer_that_is_no_json_is_named(place, filled):
    path = filled(place / "c.sqlite")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ids SET json_result = '{' WHERE row_id = '1'")
    with SqliteCache(path) as cache, pytest.raises(CacheError, match=r"row '1' .* no JSON"):
        cache.get("1")


def test_a_file_held_by_another_program_says_so(place, filled):
    path = filled(place / "c.sqlite")
    holder = sqlite3.connect(path, isolation_level=None)
    with closing(holder), closing(Database(connect(path, 0.0), str(path))) as link:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(CacheError, match="locked by another program"):
            link.write("DELETE FROM ids WHERE row_id = ?", [("1",)])
        holder.execute("ROLLBACK")
        link.write("DELETE FROM ids WHERE row_id = ?", [("1",)])


def test_a_file_that_cannot_be_written_says_so(place, filled):
    path = filled(place / "c.sqlite")
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
    with closing(Database(connection, str(path))) as link:
        with pytest.raises(CacheError, match="cannot be written"):
            link.write("DELETE FROM ids WHERE row_id = ?", [("1",)])
        with pytest.raises(CacheError, match="could not be used"):
            link.records("SELECT * FROM nothing")


def test_a_file_that_vanished_is_not_made_by_sqlite(place):
    with pytest.raises(sqlite3.OperationalError):
        connect(place / "c.sqlite", 0.0)
    assert names_in(place) == []
    with SqliteCache(place / "c.sqlite") as cache:
        for name in names_in(place):
            (place / name).unlink()
        with pytest.raises(CacheError, match="could not be used"):
            cache.writer()


def test_tables_are_made_once_for_all(place):
    with SqliteCache(place / "c.sqlite") as cache:
        create_tables(cache._database._open(), "new")
        assert cache.runs() == []


def test_a_connection_to_no_database_is_closed_again(place):
    path = place / "c.sqlite"
    path.write_bytes(b"not a database" * 500)
    with pytest.raises(sqlite3.DatabaseError):
        connect(path, 0.0)


def test_a_lock_that_ignores_the_busy_timeout_is_waited_for(place, filled):
    path = filled(place / "c.sqlite")
    calls = []
    with closing(connect(path, 0.0)) as holder, closing(connect(path, 0.0)) as other:
        holder.execute("BEGIN IMMEDIATE")

        def begin():
            calls.append(1)
            if len(calls) == 3:
                holder.execute("ROLLBACK")
            return other.execute("BEGIN IMMEDIATE")

        _patiently(begin)
        assert len(calls) == 3
        with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
            _patiently(begin)
