"""What holds of leases in every store: a row is under way in one kernel at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
def test_no_row_is_leased_twice_whatever_kernels_do(cache, steps):
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
        leases.close()


def test_what_has_ended_is_seen_at_once_where_that_is_asked_for(two):
    first, second = two
    first.acquire(KEYS)
    first.end(KEYS)
    assert second.acquire(KEYS[:1]).ours == set()
    first.flush()
    assert second.acquire(KEYS).ours == set(KEYS)


def test_the_rows_of_a_job_are_leased_until_it_has_ended(cache, two):
    assert cache.leasing_jobs(TASK) == {}
    assert cache.lease_job(TASK, "j1", "/jobs/1", KEYS[:4]) == set()
    assert cache.lease_job(TASK, "j2", "/jobs/2", KEYS[2:6]) == set(KEYS[2:4])
    assert cache.lease_job(OTHER, "j3", "/jobs/3", KEYS) == set()
    assert cache.leasing_jobs(TASK) == {"j1": "/jobs/1", "j2": "/jobs/2"}
    assert two[0].acquire(KEYS).ours == set(KEYS)  # what runs have under way is another matter
    cache.end_job("j1")
    cache.end_job("j1")
    assert cache.leasing_jobs(TASK) == {"j2": "/jobs/2"}
    assert cache.lease_job(TASK, "j4", "/jobs/4", KEYS[:6]) == set(KEYS[4:6])
    for job in ("j2", "j3", "j4"):
        cache.end_job(job)


def test_threads_never_lease_a_row_twice(cache):
    some = [f"{number:032x}" for number in range(400)]

    def lease(_):
        leases, ours = cache.leases(TASK), set()
        for start in range(0, 400, 5):
            while (granted := leases.acquire(some[start : start + 10])) is None:
                pass
            ours |= granted.ours
        return leases, ours

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lease, range(4)))
    for leases, _ in found:
        leases.close()
    assert sum(len(ours) for _, ours in found) == 400
    assert set().union(*(ours for _, ours in found)) == set(some)
