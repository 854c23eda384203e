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


TOGETHER = """
from pandas_genai.store import RequestRecord

writer = store.writer()
number = 0
while True:
    keys = [f"{number + part:032x}" for part in range(5)]
    call = RequestRecord("r1", "a" * 32, keys)
    answers = [Answer("a" * 32, key, "1", request=call) for key in keys]
    writer.put(answers, lambda _: os.write(1, b"."))
    number += 5
"""


def test_a_kill_leaves_no_answer_without_its_call(url, child):
    process = child(OPEN + TOGETHER, url)
    assert len(process.stdout.read(200)) == 200
    process.kill()
    process.stdout.read()
    with open_store(url)[0] as store:
        recorded = {key for call in store.requests("r1") for key in call["rows"]}
        every = [f"{number:032x}" for number in range(len(recorded) + 10_000)]
        assert len(recorded) >= 1_000
        assert store.present(TASK, every) == recorded


HISTORY = """
from pandas_genai.store import FailureRecord, RunRecord, TaskRecord

store.save_task(TaskRecord("a" * 32, "Tone?", "{}", "m", "openai", "host", "{}", "You label."))
store.start_run(RunRecord("r1", "a" * 32, "extract", "running", "2026-11-01T10:00:00.000+00:00"))
store.save_run_rows("r1", [bytes(16), b"x" * 16])
store.save_failures("r1", [FailureRecord("r1", 1, "1", "k", "refusal", "No.")])
store.lease_job("a" * 32, "j1", "/jobs/1", ["k"])
print("kept", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_recorded_survives_a_kill(url, child):
    process = child(OPEN + HISTORY, url)
    assert process.stdout.readline() == "kept\n"
    assert process.wait(60) == -9
    with open_store(url)[0] as store:
        assert store.tasks()[0]["prompt"] == "Tone?"
        assert store.runs("r1")[0]["status"] == "running"
        assert store.run_rows("r1") == [None, (b"x" * 16).hex()]
        assert store.failures("r1")[0]["reason"] == "refusal"
        assert store.failed(TASK) == {"k": "refusal"}
        assert store.leasing_jobs(TASK) == {"j1": "/jobs/1"}


LEASE = """
print("ready", flush=True)
sys.stdin.readline()
leases = store.leases("a" * 32)
for start in range(0, 1_000, 10):
    keys = [f"{number:032x}" for number in range(start, start + 20)]
    while (granted := leases.acquire(keys)) is None:
        pass
    print(*granted.ours, flush=True)
sys.stdin.readline()
leases.close()
"""


def test_processes_never_lease_a_row_twice(url, child):
    open_store(url)[0].close()
    processes = [child(OPEN + LEASE, url, stdin=-1) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    leased = [[process.stdout.readline() for _ in range(100)] for process in processes]
    first, second = (set(" ".join(lines).split()) for lines in leased)
    assert not first & second
    assert len(first | second) == 1_010
    for process in processes:
        process.stdin.write("end\n")
        process.stdin.flush()
        process.wait(60)


SPENDING = """
budget = store.budget("job", 10.0)
budget.take(2, 4)
print("leased", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_block_of_a_process_that_died_counts_as_spent(url, tmp_path, child):
    process = child(OPEN + SPENDING, url, stdin=-1)
    assert process.stdout.readline() == "leased\n"
    with open_store(url)[0] as store:
        budget = store.budget("job", 10.0)
        assert budget.take(7, 7) == (0.0, 6.0, 1)
        process.stdin.write("die\n")
        process.stdin.flush()
        assert process.wait(60) == -9
        start = time.monotonic()
        while budget.take(7, 7).others:
            assert time.monotonic() - start < 15
            time.sleep(0.05)
        assert budget.take(1, 7) == (6.0, 0.0, 0)
        budget.close()
    with open_store(url)[0] as store:
        budget = store.budget("job", 12.0)
        assert budget.take(1, 7) == (2.0, 0.0, 0)
        budget.close()
    assert len(list(tmp_path.iterdir())) <= 1  # nothing is left of the locks


SHARING = """
import time

from pandas_genai.store import Flow

budget, rate = store.budget("job", 300.0), store.rate("limit")
print("ready", flush=True)
start, left, leased, taken = float(sys.stdin.readline()), 300, 0.0, 0.0
while time.time() < start + 2 or left:
    block = budget.take(1, 5)
    if block is not None:
        leased, left = leased + block.amount, block.left
    sent = rate.take({"requests": Flow(6_000, 50, 7)})
    taken += 0 if sent is None else sent["requests"]
print(leased, taken, time.time() - start, flush=True)
sys.stdin.readline()
budget.close()
"""


def test_processes_share_a_budget_and_a_rate(url, child):
    open_store(url)[0].close()
    processes = [child(OPEN + SHARING, url, stdin=-1) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    start = time.time()
    for process in processes:
        process.stdin.write(f"{start}\n")
        process.stdin.flush()
    found = [[float(part) for part in process.stdout.readline().split()] for process in processes]
    leased, taken, _ = map(sum, zip(*found, strict=True))
    longest = max(seconds for *_, seconds in found)
    assert leased == 300
    assert 195 <= taken <= 50 + longest * 100 + 1e-6
    assert min(one[1] for one in found) > 0
    for process in processes:
        process.stdin.write("end\n")
        process.stdin.flush()
        assert process.wait(60) == 0
