"""Leases in an SQLite file: who has died, and what is in the way."""

import pytest

from pandas_genai.store import SqliteCache
from pandas_genai.store.sqlite.leases import EXPIRY_S, Liveness, machine

TASK = "a" * 32
KEYS = [f"{number:032x}" for number in range(10)]


def test_an_owner_without_a_heartbeat_is_dead_after_a_while():
    clock = [0.0]
    alive = Liveness(None, lambda: clock[0], EXPIRY_S)
    assert list(alive.dead([("a", 1, "elsewhere"), ("b", 1, "elsewhere")])) == []
    clock[0] = EXPIRY_S - 1
    assert list(alive.dead([("a", 1, "elsewhere"), ("b", 2, "elsewhere")])) == []
    clock[0] = EXPIRY_S
    assert list(alive.dead([("a", 1, "elsewhere"), ("b", 2, "elsewhere")])) == ["a"]
    assert list(alive.dead([("a", 2, "elsewhere")])) == []


@pytest.mark.parametrize("name", ["c.sqlite", None])
def test_the_wall_clock_plays_no_part(tmp_path, name):
    cache = SqliteCache(name and tmp_path / name)
    first, second = cache.leases(TASK), cache.leases(TASK)
    first.acquire(KEYS)
    for time_of in ("1970-01-01", "9999-12-31"):
        cache._database.write("UPDATE owners SET beaten = ?", [(time_of,)])
        assert second.acquire(KEYS).ours == set()
    first.close()
    second.close()
    cache.close()


def test_a_machine_has_one_name():
    assert machine() == machine()
    assert len(machine()) == 16


def test_a_locked_file_is_asked_again(tmp_path):
    with SqliteCache(tmp_path / "c.sqlite") as cache, SqliteCache(tmp_path / "c.sqlite") as other:
        leases = cache.leases(TASK)
        with other._database.transaction():
            assert leases.acquire(KEYS) is None
        assert leases.acquire(KEYS).ours == set(KEYS)
        leases.close()
