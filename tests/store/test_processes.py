"""Several processes, and processes that die."""

import time

from pandas_genai.store import SqliteCache

TASK = "a" * 32

WRITE = """
import sys
from pandas_genai.store import Answer, SqliteCache

path, name, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
failed = []
with SqliteCache(path) as cache:
    writer = cache.writer()
    for start in range(0, rows, 5):
        answers = [Answer("a" * 32, f"{name}-{n}", str(n)) for n in range(start, start + 5)]
        writer.put(answers, lambda error: failed.append(error) if error else None)
        if start % 500 == 0:
            cache.put(f"{name}-{start}", start)
            cache.present("a" * 32, [f"{name}-{start}"])
    writer.close()
print(len(failed))
"""


def finished(process, seconds=120):
    out, err = process.communicate(timeout=seconds)
    assert (process.returncode, err) == (0, "")
    return out.strip()


def test_two_processes_write_at_once(tmp_path, child):
    path, rows = tmp_path / "c.sqlite", 25_000
    processes = [child(WRITE, path, name, rows) for name in ("x", "y")]
    assert [finished(process) for process in processes] == ["0", "0"]
    wanted = {f"{name}-{number}" for name in ("x", "y") for number in range(rows)}
    with SqliteCache(path) as cache:
        assert cache.present(TASK, list(wanted)) == wanted
        assert len(cache.all_ids()) == 2 * rows / 500


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


ACKNOWLEDGE = """
import os, sys
from pandas_genai.store import Answer, SqliteCache

cache = SqliteCache(sys.argv[1])
writer = cache.writer()
number = 0
while True:
    keys = [str(number + part) for part in range(5)]
    line = (" ".join(keys) + "\\n").encode()
    # One write of one line: a kill cannot leave half of it.
    writer.put([Answer("a" * 32, key, "1") for key in keys], lambda _, line=line: os.write(1, line))
    number += 5
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path, child):
    path = tmp_path / "c.sqlite"
    process = child(ACKNOWLEDGE, path)
    lines = [process.stdout.readline() for _ in range(400)]
    process.kill()
    lines += process.stdout.readlines()
    keys = " ".join(lines).split()
    assert len(keys) >= 2_000
    with SqliteCache(path) as cache:
        assert cache.present(TASK, keys) == set(keys)


LEAVE = """
import sys
from pandas_genai.store import Answer, SqliteCache

cache = SqliteCache(sys.argv[1])
writer = cache.writer()
for number in range(600):
    writer.put([Answer("a" * 32, f"{number}-{part}", "1") for part in range(5)])
"""


def test_what_waits_is_saved_when_the_script_ends(tmp_path, child):
    finished(child(LEAVE, tmp_path / "c.sqlite"))
    wanted = {f"{number}-{part}" for number in range(600) for part in range(5)}
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        assert cache.present(TASK, list(wanted)) == wanted


def test_a_locked_file_does_not_keep_the_script_from_ending(tmp_path, child):
    path = tmp_path / "c.sqlite"
    with SqliteCache(path) as cache, cache._link.transaction():
        started = time.monotonic()
        process = child(LEAVE.replace("cache = ", "print('go', flush=True)\ncache = "), path)
        out, _ = process.communicate(timeout=60)
        assert (out, process.returncode) == ("go\n", 0)
        assert time.monotonic() - started < 30
