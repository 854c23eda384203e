"""What the tests of the cache share."""

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pandas_genai.errors import CacheError
from pandas_genai.store import SCHEMES, Answer, SqliteCache, open_store

sys.path.insert(0, str(Path(__file__).parent))  # for the stores of these tests
import broken_stores
import memory_store

TASK = "a" * 32

STORES = {
    "file": lambda request: f"sqlite:///{request.getfixturevalue('tmp_path')}/cache.sqlite",
    "memory": lambda request: False,
    "dictionaries": lambda request: (
        f"{memory_store.SCHEME}://{request.getfixturevalue('tmp_path').name}"
    ),
    "postgres": lambda request: request.getfixturevalue("postgres_url"),
}
"""What goes through the contract: one line for each implementation, what opens it in a test."""

SURVIVING = ["file", "postgres"]
"""Those of them that outlive a process, which go through ``test_contract_processes.py`` too."""


@pytest.fixture(autouse=True)
def schemes():
    """The stores of these tests, by the schemes of their URLs."""
    names = broken_stores.register()
    yield
    for name in names:
        del SCHEMES[name]
    memory_store.STORES.clear()


@pytest.fixture(params=STORES)
def cache(request):
    """An open store of each implementation."""
    store, ours = open_store(STORES[request.param](request))
    assert ours
    with store:
        yield store


@pytest.fixture(params=SURVIVING)
def url(request):
    """The URL of a new store, of each implementation that outlives a process."""
    return STORES[request.param](request)


@pytest.fixture
def answer():
    """Makes an answer to a text under a task."""

    def make(key, result='{"tone": "good"}', task=TASK, **columns):
        return Answer(prompt_hash=task, text_hash=key, result=result, **columns)

    return make


@pytest.fixture
def save(answer):
    """Saves answers by row key and waits until they are on disk."""

    def saving(cache, results, task=TASK):
        writer = cache.writer()
        writer.put([answer(key, result, task) for key, result in results.items()])
        assert writer.flush(60)
        writer.close()

    return saving


@pytest.fixture
def original(tmp_path):
    """A file as the original toolkit made it: three rows, one without a prompt hash."""
    path = tmp_path / "original.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE results "
            "(row_id TEXT PRIMARY KEY, json_result TEXT NOT NULL, prompt_hash TEXT)"
        )
        connection.executemany(
            "INSERT INTO results VALUES (?, ?, ?)",
            [
                ("1", '{"tone": "good"}', "b" * 16),
                ("2", '{"tone": "bad"}', "c" * 16),
                ("3", '{"tone": "none"}', None),
            ],
        )
    return path


@pytest.fixture
def child():
    """Starts a Python process with the package; what is left of it is killed."""
    started = []

    def start(code, *arguments, **options):
        command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def place(tmp_path):
    """A folder whose name would mean something in a URI."""
    folder = tmp_path / "a folder with # and ? and ü%20"
    folder.mkdir()
    return folder


@pytest.fixture
def filled():
    """Makes a cache file of some size."""

    def make(path, rows=500):
        with SqliteCache(path) as cache:
            for start in range(0, rows, 500):
                ids = ((str(start + number), "k" * 32) for number in range(500))
                cache.remember_ids(TASK, ids)
            cache.put("1", {"tone": "good"})
        return path

    return make


def state(folder):
    """Every file in a folder, to the byte and the nanosecond."""
    return {
        path.name: (
            # What SQLite's processes share in memory changes when one of them reads.
            None if path.name.endswith("-shm") else path.read_bytes(),
            None if path.name.endswith("-shm") else path.stat().st_mtime_ns,
            stat.S_IMODE(path.stat().st_mode),
        )
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.fixture
def refused():
    """Sees that a file is refused in one sentence and not touched."""

    def look(path, match):
        before = state(path.parent)
        with pytest.raises(CacheError, match=match) as caught:
            SqliteCache(path)
        assert state(path.parent) == before
        assert str(path) in str(caught.value)
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)

    return look


@pytest.fixture
def interrupted():
    """Copies a database in the middle of a write, as a power cut would leave it."""

    def copy(path, place, script=""):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            before = "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2"
            connection.executescript(f"{before}; {script}")
            connection.execute("BEGIN")
            connection.execute("CREATE TABLE more (text)")
            connection.executemany("INSERT INTO more VALUES (?)", [("y" * 500,)] * 2_000)
            for ending in ("", "-journal"):
                source = path.with_name(path.name + ending)
                (place / f"c.sqlite{ending}").write_bytes(source.read_bytes())
            connection.execute("ROLLBACK")
        return place / "c.sqlite"

    return copy
