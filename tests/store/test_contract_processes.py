"""What holds of every store that outlives a process: several processes, and some that die."""

import time

import broken_stores

from pandas_genai.store import open_store

TASK = "a" * 32
KEYS = [f"{number:032x}" for number in range(10)]

OPEN = f"""
import os, signal, sys
sys.path.insert(0, {broken_stores.FOLDER!r})
import broken_stores
from pandas_genai.store import Answer, open_store

broken_stores.register()
store, _ = open_store(sys.argv[1])
"""


def finished(process, seconds=120):
    out, err = process.communicate(timeout=seconds)
    assert (process.returncode, err) == (0, "")
    return out.strip()


WRITE = """
name, rows = sys.argv[2], int(sys.argv[3])
failed = []
with store:
    writer = store.writer()
    for start in range(0, rows, 5):
        answers = [Answer("a" * 32, f"{name}-{n}", str(n)) for n in range(start, start + 5)]
        writer.put(answers, lambda error: failed.append(error) if error else None)
        if start % 500 == 0:
            store.put(f"{name}-{start}", start)
            store.present("a" * 32, [f"{name}-{start}"])
    writer.close()
print(len(failed))
"""


def test_two_processes_write_at_once(url, child):
    rows = 25_000
    processes = [child(OPEN + WRITE, url, name, rows) for name in ("x", "y")]
    assert [finished(process) for process in processes] == ["0", "0"]
    wanted = {f"{name}-{number}" for name in ("x", "y") for number in range(rows)}
    with open_store(url)[0] as store:
        assert store.present(TASK, list(wanted)) == wanted
        assert len(store.all_ids()) == 2 * rows / 500


ACKNOWLEDGE = """
writer = store.writer()
number = 0
while True:
    keys = [str(number + part) for part in range(5)]
    line = (" ".join(keys) + "\\n").encode()
    # One write of one line: a kill cannot leave half of it.
    writer.put([Answer("a" * 32, key, "1") for key in keys], lambda _, line=line: os.write(1, line))
    number += 5
"""


def test_what_was_acknowledged_survives_a_kill(url, child):
    process = child(OPEN + ACKNOWLEDGE, url)
    lines = [process.stdout.readline() for _ in range(400)]
    process.kill()
    lines += process.stdout.readlines()
    keys = " ".join(lines).split()
    assert len(keys) >= 2_000
    with open_store(url)[0] as store:
        assert store.present(TASK, keys) == set(keys)


LEAVE = """
writer = store.writer()
for number in range(600):
    writer.put([Answer("a" * 32, f"{number}-{part}", "1") for part in range(5)])
"""


def test_what_waits_is_saved_when_the_script_ends(url, child):
    finished(child(OPEN + LEAVE, url))
    wanted = {f"{number}-{part}" for number in range(600) for part in range(5)}
    with open_store(url)[0] as store:
        assert store.present(TASK, list(wanted)) == wanted


DYING = """
leases = store.leases("a" * 32)
leases.acquire([f"{number:032x}" for number in range(10)])
print("leased", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_leases_of_a_process_that_died_on_this_machine_end_at_once(url, tmp_path, child):
    process = child(OPEN + DYING, url, stdin=-1)
    assert process.stdout.readline() == "leased\n"
    with open_store(url)[0] as store:
        leases = store.leases(TASK)
        assert leases.acquire(KEYS).ours == set()
        process.stdin.write("die\n")
        process.stdin.flush()
        assert process.wait(60) == -9
        start = time.monotonic()
        while not leases.free(KEYS):
            assert time.monotonic() - start < 15
            time.sleep(0.05)
        assert leases.acquire(KEYS).ours == set(KEYS)
        leases.close()
    assert len(list(tmp_path.iterdir())) <= 1  # nothing is left of the leases
