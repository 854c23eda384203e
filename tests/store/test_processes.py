"""Several processes, and processes that die."""

import time

from pandas_genai.store import SqliteCache


def finished(process, seconds=120):
    out, err = process.communicate(timeout=seconds)
    assert (process.returncode, err) == (0, "")
    return out.strip()


CREATE = """
import sys, time
from pandas_genai.store import SqliteCache

path, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    with SqliteCache(f"{path}-{number}") as cache:
        cache.put(name, number)
        assert cache.get(name) == number
"""


def test_processes_make_the_same_new_file_at_the_same_moment(tmp_path, child):
    rounds = 100
    names = ["x", "y", "z"]
    processes = [child(CREATE, tmp_path / "c", name, rounds, stdin=-1) for name in names]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        finished(process)
    for number in range(rounds):
        with SqliteCache(tmp_path / f"c-{number}") as cache:
            assert cache.all_ids() == set(names)


def test_processes_upgrade_the_originals_file_at_the_same_moment(original, child):
    path = original.with_name("c-0")
    original.rename(path)
    names = ["x", "y", "z"]
    processes = [child(CREATE, original.with_name("c"), name, 1, stdin=-1) for name in names]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        finished(process)
    with SqliteCache(path) as cache:
        assert cache.all_ids() == {"1", "2", "3", *names}


VISIT = """
import sys
from pandas_genai.store import SqliteCache

with SqliteCache(sys.argv[1]) as cache:
    print(sorted(cache.all_ids()))
"""


def test_opening_a_file_twice_keeps_its_locks(tmp_path, child):
    """POSIX drops a process's locks with any descriptor; then a visitor would delete the WAL."""
    path = tmp_path / "c.sqlite"
    with SqliteCache(path) as cache:
        cache.put("1", 1)
        SqliteCache(path).close()
        assert finished(child(VISIT, path)) == "['1']"
        assert (tmp_path / "c.sqlite-wal").exists()
        cache.put("2", 2)
        assert finished(child(VISIT, path)) == "['1', '2']"


LEAVE = """
import sys
from pandas_genai.store import Answer, SqliteCache

cache = SqliteCache(sys.argv[1])
writer = cache.writer()
for number in range(600):
    writer.put([Answer("a" * 32, f"{number}-{part}", "1") for part in range(5)])
"""


def test_a_locked_file_does_not_keep_the_script_from_ending(tmp_path, child):
    path = tmp_path / "c.sqlite"
    with SqliteCache(path) as cache, cache._database.transaction():
        started = time.monotonic()
        process = child(LEAVE.replace("cache = ", "print('go', flush=True)\ncache = "), path)
        out, _ = process.communicate(timeout=60)
        assert (out, process.returncode) == ("go\n", 0)
        assert time.monotonic() - started < 30
