"""Every fault of the machine, live, in batch and on Dask, for both vendors: one promise for all.

The disk is full, the store locked, killed or damaged, the clock jumps, processes and schedulers are
killed. Each row is right or has failed with its reason, none has the answer of another, control
comes back, nothing counts as done without its answer, and afterwards the rest is asked: what the
store has is not paid again, and what a batch has answered is not either.
"""

import contextlib
import itertools
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from dask_clusters import Programs, kill_a_worker, local_cluster
from distributed import Client
from fault_cases import BACKENDS, CHUNK, WHERE, ask, check, is_whole, kept, rows_of, rule
from fault_child import WRONG_TIME, Child

import pandas_genai
from pandas_genai import CacheError
from pandas_genai.runs.answers import DamagedAnswersWarning
from pandas_genai.testing import LoopbackProvider

ROWS = 240
CALLS = 4
"""At once, however it is asked."""
SEEDS = 2
HOUR = 3_600


class Moments:
    """Does something when the provider has answered so many requests, before the last is sent."""

    def __init__(self):
        self._lock = threading.Lock()
        self._seen = 0
        self._at, self._act = frozenset(), None
        self.passed = 0

    def set(self, act, at):
        """Act at these requests, counted from now on."""
        with self._lock:
            self._seen = self.passed = 0
            self._at, self._act = frozenset(at), act

    def __call__(self, request, response):
        with self._lock:
            self._seen += 1
            due = self._seen in self._at
        if due:
            self._act()
            self.passed += 1
        return response


@dataclass
class Case:
    """One run with one fault.

    Attributes
    ----------
    fixture : callable
        Brings a fixture by its name.
    in_flight : int
        How many answers may be paid twice, as nobody can help it.
    """

    where: str
    seed: int
    cache: str
    given: dict
    moments: Moments
    draw: random.Random
    fixture: Callable
    in_flight: int = 0
    frame: pd.DataFrame = field(init=False)
    process: Child | None = None

    def __post_init__(self):
        self.frame = rows_of(self.seed, ROWS)

    def ask(self, where=None):
        """Ask; what comes back holds whatever goes wrong."""
        found = ask(where or self.where, self.frame, self.given)
        if isinstance(found, pd.DataFrame):
            check(found, self.frame, self.cache)
        elif isinstance(found, CacheError) and "://" not in self.cache:
            assert self.cache in str(found)
        return found

    def child(self, **limits):
        """Ask in a process of its own."""
        return Child(self.where, self.seed, ROWS, self.given, **limits)

    def some_request(self):
        """Return the number of a request that every run makes."""
        return self.draw.randint(1, 3 if self.where == "batch" else 25)

    def kill_soon(self):
        """Kill the process, while it is at whatever follows."""
        threading.Timer(self.draw.uniform(0, 0.05), self.process.kill).start()

    def table(self):
        """Open the store for the tests' own statements; return the table of answers, too."""
        if "://" in self.cache:
            schema = self.cache.rpartition("=")[2]
            return self.fixture("postgres").connect(), f"{schema}.results"
        options = {"timeout": 30, "isolation_level": None, "check_same_thread": False}
        return sqlite3.connect(self.cache, **options), "results"


def full_disk(case):
    if (
        not shutil.which("unshare")
        or subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "true"], check=False
        ).returncode
    ):
        pytest.skip("no disk of one's own can be mounted here")
    no_space(case.child(disk_bytes=4096 * case.draw.randint(20, 60)), case)


def full_quota(case):
    no_space(case.child(file_bytes=4096 * case.draw.randint(3, 25)), case)


def no_space(child, case):
    said = child.ended()
    why = " ".join([said["error"], *said["reasons"]])
    assert re.search(r"disk|space|too large", why), said
    # Under way, and waiting to be written.
    case.in_flight = 2 * CALLS * CHUNK


def locked(case):
    """Another program holds the store for a while, and lets it go."""
    held = threading.Lock()

    def let_go(connection):
        connection.execute("ROLLBACK")
        connection.close()
        held.release()

    def hold():
        held.acquire()
        connection, table = case.table()
        if "://" in case.cache:
            connection.execute("BEGIN")
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        else:
            connection.execute(f"BEGIN {case.draw.choice(['IMMEDIATE', 'EXCLUSIVE'])}")
        threading.Timer(case.draw.uniform(0.1, 2), let_go, [connection]).start()

    case.moments.set(hold, [case.some_request()])
    assert is_whole(case.ask())
    assert case.moments.passed == 1
    assert held.acquire(timeout=30)


def restarted(case):
    """The database is killed with all its processes, and is back after a while."""
    server = case.fixture("postgres")

    def strike():
        server.kill()
        time.sleep(case.draw.uniform(0, 1))
        server.start()

    case.moments.set(strike, [case.some_request()])
    assert is_whole(case.ask())
    assert case.moments.passed == 1


def damaged_answers(case):
    """A letter of some answers is another one."""
    assert is_whole(case.ask())
    connection, table = case.table()
    mark = "%s" if "://" in case.cache else "?"
    with contextlib.closing(connection):
        found = connection.execute(f"SELECT text_hash, json_result FROM {table}").fetchall()
        damaged = case.draw.sample(found, case.draw.randint(1, 20))
        for key, text in damaged:
            at = case.draw.randrange(len(text))
            other = text[:at] + chr(ord(text[at]) ^ 1 << case.draw.randrange(5)) + text[at + 1 :]
            change = f"UPDATE {table} SET json_result = {mark} WHERE text_hash = {mark}"
            connection.execute(change, (other, key))
    case.in_flight = len(damaged)
    with pytest.warns(DamagedAnswersWarning, match="are damaged"):
        case.ask()


def damaged_file(case):
    """Some bytes of the closed file are others; where it is refused, a copy is put back."""
    assert is_whole(case.ask())
    path = Path(case.cache)
    good = path.read_bytes()
    bad = bytearray(good)
    for _ in range(case.draw.randint(1, 6)):
        bad[case.draw.randrange(len(bad))] ^= 1 << case.draw.randrange(8)
    path.write_bytes(bad)
    try:
        # Where keys of the file are out of order, SQLite may miss more of them later.
        case.in_flight = ROWS if kept(case.cache, case.frame) < set(case.frame["text"]) else 0
        for _ in range(2):
            found = case.ask()
            if isinstance(found, CacheError):
                raise found
        kept(case.cache, case.frame)
    except CacheError:
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        path.write_bytes(good)


def clock_jumps(case, *seconds):
    """The wall clock of the process jumps in the middle, and for a second time."""
    library, shift = Path("wrong.so"), Path("shift")
    if not shutil.which("cc"):
        pytest.skip("no C compiler builds the library with the wrong time")
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"]
    subprocess.run(command, input=WRONG_TIME, text=True, check=True)
    jumps = list(seconds)

    def jump():
        with shift.open("r+b") as file:
            file.write(struct.pack("l", jumps.pop(0)))

    shift.write_bytes(struct.pack("l", 0))
    first = case.some_request()
    case.moments.set(jump, [first, first + 2])
    if case.where != "batch":
        case.given["rpm"] = 6_000  # which several runs count together, by the wall clock
    said = case.child(wrong_time=(library.resolve(), shift.resolve())).ended()
    assert said == {"answered": ROWS, "error": "", "reasons": []}
    assert case.moments.passed in ({1, 2} if case.where == "batch" else {2})


def killed(case):
    """The process is killed at a random moment, and the next one, too."""
    kills = 0
    for _ in range(2):
        case.moments.set(case.kill_soon, [case.some_request()])
        case.process = case.child()
        kills += case.process.ended() is None
    case.in_flight = kills * CALLS * CHUNK


def workers_killed(case):
    """Workers of a cluster are killed at random moments."""
    kills = []
    with local_cluster(2) as (cluster, _):
        case.moments.set(
            lambda: kills.append(kill_a_worker(cluster, case.draw)),
            case.draw.sample(range(2, 30), 3),
        )
        assert is_whole(case.ask("cluster"))
    assert any(kills)
    case.in_flight = sum(kills) * CALLS * CHUNK


def scheduler_killed(case):
    """The scheduler is killed, and started again beside a worker that it does not know."""
    with Programs(1) as cluster:

        def strike():
            cluster.kill_scheduler()
            cluster.start()

        with Client(cluster.url, timeout="60s") as client:
            client.wait_for_workers(1, timeout=60)
            case.moments.set(strike, [case.draw.randint(2, 15)])
            with contextlib.suppress(CancelledError, OSError):  # whatever Dask says
                case.ask("cluster")
        assert case.moments.passed == 1
        with Client(cluster.url, timeout="60s") as client:
            client.wait_for_workers(1, timeout=60)
            assert is_whole(case.ask("cluster"))
    case.in_flight = CALLS * CHUNK


BOTH = ["sqlite", "postgres"]
FAULTS = {
    "disk full": (full_disk, ["sqlite"], WHERE),
    "quota full": (full_quota, ["sqlite"], WHERE),
    "store locked": (locked, BOTH, WHERE),
    "store restarted": (restarted, ["postgres"], WHERE),
    "answers damaged": (damaged_answers, BOTH, WHERE),
    "file damaged": (damaged_file, ["sqlite"], WHERE),
    "clock back": (lambda case: clock_jumps(case, -HOUR, 0), BOTH, WHERE),
    "clock forward": (lambda case: clock_jumps(case, HOUR, 0), BOTH, WHERE),
    "process killed": (killed, BOTH, ["live", "batch"]),
    "workers killed": (workers_killed, BOTH, ["dask"]),
    "scheduler killed": (scheduler_killed, BOTH, ["dask"]),
}
IN_THE_SUITE = {
    "disk full": ("sqlite", "live", "openai"),
    "quota full": ("sqlite", "batch", "anthropic"),
    "store locked": ("postgres", "dask", "openai"),
    "store restarted": ("postgres", "live", "anthropic"),
    "answers damaged": ("sqlite", "dask", "openai"),
    "file damaged": ("sqlite", "batch", "anthropic"),
    "clock back": ("sqlite", "batch", "openai"),
    "clock forward": ("postgres", "live", "anthropic"),
    "process killed": ("sqlite", "live", "openai"),
}
"""One case of each that takes seconds; the campaign has all. ``tests/dask/test_kills.py`` kills
workers."""


def play(fault, store, where, backend, seed, fixture):
    cache = fixture("postgres_url") if store == "postgres" else "c.sqlite"
    moments = Moments()
    draw = random.Random(f"{fault} {store} {where} {backend} {seed}")
    given = {"cache": cache, "api_key": "k", "chunk_size": CHUNK, "backend": backend}
    with LoopbackProvider(rule, latency=0.02, folder="provider", on_response=moments) as provider:
        given["base_url"] = getattr(provider, f"{backend}_url")
        case = Case(where, seed, cache, given, moments, draw, fixture)
        FAULTS[fault][0](case)
        moments.set(None, [])
        before, paid = kept(cache, case.frame), provider.ledger.answered.copy()
        for _ in range(3):
            found = case.ask()
            if is_whole(found):
                break
        assert is_whole(found), found
        answered = provider.ledger.answered
    assert not before & set(answered - paid), "what the store has is never paid again"
    twice = answered.total() - len(answered)
    print(f"{twice} paid twice, at most {case.in_flight}")
    if where == "batch" and "damaged" not in fault:
        assert twice == 0, "what a batch has answered is never paid again"
    assert twice <= case.in_flight
    last = pandas_genai.runs(cache).iloc[0]
    assert (last["status"], last["failed"]) == ("completed", 0)


def cases():
    """The whole table: every fault, everywhere, with each store and vendor that it concerns."""
    for fault, (_, stores, wheres) in FAULTS.items():
        for place in itertools.product(stores, wheres, BACKENDS):
            for seed in range(SEEDS):
                ours = place == IN_THE_SUITE.get(fault) and seed == 0
                marks = [] if ours else [pytest.mark.campaign]
                yield pytest.param(fault, *place, seed, marks=marks)


@pytest.mark.parametrize(("fault", "store", "where", "backend", "seed"), list(cases()))
def test_nothing_is_lost_or_wrong_or_paid_again(request, fault, store, where, backend, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        play(fault, store, where, backend, seed, request.getfixturevalue)
