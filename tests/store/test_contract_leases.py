"""What holds of leases in every store: a row is under way in one kernel at a time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai.store import SqliteCache
from pandas_genai.store.sqlite.leases import EXPIRY_S, Leases
from pandas_genai.store.sqlite.owner import Liveness, machine

TASK, OTHER = "a" * 32, "b" * 32
KEYS = [f"{number:032x}" for number in range(10)]


@pytest.fixture
def two(cache):
    """Leases of two runs on one store."""
    first, second = cache.leases(TASK), cache.leases(TASK)
    yield first, second
    first.close()
    second.close()


def test_a_row_is_leased_once(two):
    first, second = two
    assert first.acquire(KEYS[:4]) == (set(KEYS[:4]), set())
    assert second.acquire(KEYS[2:6]) == ({*KEYS[4:6]}, {*KEYS[2:4]})
    assert not second.free(KEYS[:4])
    assert second.free(KEYS[3:7])


def test_a_lease_ends_with_its_last_row(two):
    first, second = two
    first.acquire(KEYS[:2])
    first.end(KEYS[:1])
    first.acquire([])
    assert second.acquire(KEYS[:2]).ours == set()
    first.end(KEYS[:2])
    first.acquire([])
    assert second.acquire(KEYS[:2]).ours == set(KEYS[:2])


def test_closing_ends_all_leases(two):
    first, second = two
    first.acquire(KEYS)
    first.close()
    first.close()
    assert second.acquire(KEYS).ours == set(KEYS)


def test_the_leases_of_another_task_are_its_own(cache, two):
    first, _ = two
    other = cache.leases(OTHER)
    first.acquire(KEYS)
    assert other.acquire(KEYS).ours == set(KEYS)
    other.close()


def test_a_key_that_is_no_hash_may_be_leased(two):
    first, second = two
    assert first.acquire(["k", "ü"]).ours == {"k", "ü"}
    assert second.acquire(["ü", "x"]) == ({"x"}, {"ü"})


def test_an_owner_without_a_heartbeat_is_dead_after_a_while():
    clock = [0.0]
    alive = Liveness(None, lambda: clock[0], EXPIRY_S)
    assert list(alive.dead([("a", 1, "elsewhere"), ("b", 1, "elsewhere")])) == []
    clock[0] = EXPIRY_S - 1
    assert list(alive.dead([("a", 1, "elsewhere"), ("b", 2, "elsewhere")])) == []
    clock[0] = EXPIRY_S
    assert list(alive.dead([("a", 1, "elsewhere"), ("b", 2, "elsewhere")])) == ["a"]
    assert list(alive.dead([("a", 2, "elsewhere")])) == []


def test_the_wall_clock_plays_no_part(cache, two):
    first, second = two
    first.acquire(KEYS)
    for time_of in ("1970-01-01", "9999-12-31"):
        cache._link.write("UPDATE owners SET beaten = ?", [(time_of,)])
        assert second.acquire(KEYS).ours == set()


DYING = """
import sys, os, signal
from pandas_genai.store import SqliteCache
leases = SqliteCache(sys.argv[1]).leases("a" * 32)
leases.acquire([f"{number:032x}" for number in range(10)])
print("leased", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_died_on_this_machine_is_recognised_at_once(tmp_path, child):
    path = tmp_path / "c.sqlite"
    process = child(DYING, path, stdin=-1)
    assert process.stdout.readline() == "leased\n"
    with SqliteCache(path) as cache:
        leases = cache.leases(TASK)
        assert leases.acquire(KEYS).ours == set()
        process.stdin.write("die\n")
        process.stdin.flush()
        assert process.wait(60) == -9
        start = time.monotonic()
        while not leases.free(KEYS):
            assert time.monotonic() - start < EXPIRY_S / 2
            time.sleep(0.05)
        assert leases.acquire(KEYS).ours == set(KEYS)
        leases.close()
    assert [file.name for file in tmp_path.iterdir()] == ["c.sqlite"]


def test_a_machine_has_one_name():
    assert machine() == machine()
    assert len(machine()) == 16


def test_a_locked_file_is_asked_again(tmp_path):
    with SqliteCache(tmp_path / "c.sqlite") as cache, SqliteCache(tmp_path / "c.sqlite") as other:
        leases = cache.leases(TASK)
        with other._link.transaction():
            assert leases.acquire(KEYS) is None
        assert leases.acquire(KEYS).ours == set(KEYS)
        leases.close()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["acquire", "end", "close"]),
            st.integers(0, 2),
            st.sets(st.integers(0, 9)),
        ),
        max_size=30,
    )
)
def test_no_row_is_leased_twice_whatever_kernels_do(steps):
    with SqliteCache(None) as cache:
        runs = [cache.leases(TASK) for _ in range(3)]
        held = [set(), set(), set()]
        for action, run, numbers in steps:
            keys = [KEYS[number] for number in numbers]
            if action == "acquire":
                granted = runs[run].acquire([key for key in keys if key not in held[run]])
                others = set().union(*(held[other] for other in range(3) if other != run))
                assert not granted.ours & others
                held[run] |= granted.ours
            elif action == "end":
                runs[run].end(keys)
                held[run] -= set(keys)
            else:
                runs[run].close()
                runs[run], held[run] = cache.leases(TASK), set()
        for leases in runs:
            assert isinstance(leases, Leases)
            leases.close()


def test_what_has_ended_is_seen_at_once_where_that_is_asked_for(two):
    first, second = two
    first.acquire(KEYS)
    first.end(KEYS)
    assert second.acquire(KEYS[:1]).ours == set()
    first.flush()
    assert second.acquire(KEYS).ours == set(KEYS)
