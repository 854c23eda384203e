"""The writer, when something is in its way."""

import logging
import sqlite3
import threading
from contextlib import closing

import pytest

from pandas_genai.errors import CacheError
from pandas_genai.store import SqliteCache
from pandas_genai.store.sqlite.database import Database
from pandas_genai.store.sqlite.opening import connect
from pandas_genai.store.sqlite.writer import Writer

TASK = "a" * 32


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "c.sqlite"
    SqliteCache(path).close()
    return path


@pytest.fixture
def holder(path):
    """Another program that has locked the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


@pytest.fixture
def writer(path):
    writer = Writer(Database(connect(path, 0.05), str(path)), owned=True, warn_after=0.1)
    yield writer
    writer.close(5)
    assert not writer._thread.is_alive()


def there(path, *keys):
    with SqliteCache(path) as cache:
        return cache.present(TASK, keys)


def test_a_lock_is_waited_for(path, holder, writer, answer, caplog):
    settled, warned = [], threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            warned.set()

    logger = logging.getLogger("pandas_genai")
    handler = Handler()
    logger.addHandler(handler)
    try:
        writer.put([answer("k")], settled.append)
        assert warned.wait(30)
        assert not writer.flush(0.01)
        assert settled == []
    finally:
        logger.removeHandler(handler)
    holder.execute("ROLLBACK")
    assert writer.flush(60)
    assert settled == [None]
    assert [record.getMessage() for record in caplog.records] == [
        f"Answers wait because another program has locked {path}: close it."
    ]
    assert there(path, "k") == {"k"}


def test_closing_is_bounded_while_the_file_is_locked(path, holder, answer):
    settled = []
    with SqliteCache(path) as cache:
        writer = cache.writer()
        for number in range(3):
            writer.put([answer(str(number))] * 1_500, settled.append)
        writer.close(0.05)
        assert not writer._thread.is_alive()
        assert [type(error) for error in settled] == [CacheError] * 3
        assert "locked by another program" in str(settled[0])
        holder.execute("ROLLBACK")
        assert cache.present(TASK, ["0", "1", "2"]) == set()


def test_a_full_disk_is_told_to_every_put(path, answer):
    connection = connect(path, 0.05)
    connection.execute("PRAGMA max_page_count = 20")
    writer = Writer(Database(connection, str(path)), owned=True)
    settled = []
    writer.put([answer("small")], settled.append)
    assert writer.flush(60)
    writer.put([answer("large", '"' + "x" * 200_000 + '"')], settled.append)
    assert not writer.flush(60)
    for _ in range(2):
        with pytest.raises(CacheError, match="disk is full"):
            writer.put([answer("later")], settled.append)
    writer.close()
    assert settled[0] is None
    assert isinstance(settled[1], CacheError)
    assert isinstance(settled[1].__cause__, sqlite3.OperationalError)
    assert len(settled) == 2
    assert there(path, "small", "large", "later") == {"small"}


def test_what_waited_behind_an_error_is_told_too(path, holder, writer, answer):
    settled = []
    for number in range(4):
        writer.put([answer(f"{number}-{row}") for row in range(1_000)], settled.append)
    holder.execute("DROP TABLE results")
    holder.execute("COMMIT")
    assert not writer.flush(60)
    assert ["could not be used" in str(error) for error in settled] == [True] * 4


def test_a_full_queue_blocks_until_the_writer_is_closed(path, holder, writer, answer):
    outcome, settled = [], []

    def fill():
        try:
            for number in range(100):
                writer.put([answer(f"{number}-{row}") for row in range(500)], settled.append)
        except CacheError as error:
            outcome.append((number, str(error)))

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert writer._waiting_rows <= 4_500
    writer.close(0.05)
    thread.join(30)
    assert not thread.is_alive()
    ((number, message),) = outcome
    assert number < 20
    assert "closed" in message or "locked" in message
    assert len(settled) == number


def test_a_writer_keeps_its_own_error_from_other_writers(path, answer):
    with SqliteCache(path) as cache:
        bad, good = cache.writer(), cache.writer()
        bad.put([answer("bad", input_tokens=2**70)])
        assert not bad.flush(60)
        good.put([answer("good")])
        assert good.flush(60)
        assert cache.present(TASK, ["bad", "good"]) == {"good"}
