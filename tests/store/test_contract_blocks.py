"""What holds of budgets and rates in every store: all together never take more than there is."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandas_genai.store import Flow

NAME = "api.example.com small"


class Hands:
    """A clock that a test moves; shared, as the clock of all takers has to be."""

    now = 1_000.0

    def __call__(self):
        return self.now


def flow(wanted, per_minute=60.0, most=2.0):
    return {"requests": Flow(per_minute, most, wanted)}


def test_all_who_use_a_name_share_what_a_minute_brings(cache):
    hands = Hands()
    first, second = cache.rate(NAME, hands), cache.rate(NAME, hands)
    assert first.take(flow(1.5)) == {"requests": 1.5}
    assert second.take(flow(5)) == {"requests": 0.5}
    assert first.take(flow(5)) == {"requests": 0.0}
    hands.now += 0.25
    assert second.take(flow(5)) == {"requests": 0.25}
    third = cache.rate(NAME, hands)
    assert third.take(flow(5)) == {"requests": 0.0}
    hands.now += 1_000
    assert first.take(flow(5)) == {"requests": 2.0}  # no more than is kept for later
    for one in (first, second, third):
        one.close()
        one.close()


def test_other_names_and_kinds_are_apart(cache):
    hands = Hands()
    one, other = cache.rate(NAME, hands), cache.rate("another", hands)
    assert one.take(flow(2)) == other.take(flow(2)) == {"requests": 2.0}
    both = {"requests": Flow(60, 2, 1), "tokens": Flow(6_000, 200, 150)}
    assert one.take(both) == {"requests": 0.0, "tokens": 150.0}
    assert one.take({}) == {}


def test_what_was_not_sent_is_given_back_and_a_debt_is_paid_first(cache):
    hands = Hands()
    rate = cache.rate(NAME, hands)
    assert rate.take(flow(2)) == {"requests": 2.0}
    rate.give({"requests": 1.5})
    assert rate.take(flow(5)) == {"requests": 1.5}
    rate.give({"requests": -3.0})
    hands.now += 2
    assert rate.take(flow(5)) == {"requests": 0.0}
    hands.now += 2
    assert rate.take(flow(5)) == {"requests": 1.0}


def test_a_clock_that_goes_back_brings_nothing(cache):
    hands = Hands()
    rate = cache.rate(NAME, hands)
    rate.take(flow(2))
    hands.now -= 500
    assert rate.take(flow(5)) == {"requests": 0.0}
    hands.now += 1
    assert rate.take(flow(5)) == {"requests": 1.0}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(0, 10**9),
    st.floats(1, 6_000),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30), st.floats(0, 500)), max_size=30),
)
def test_nobody_takes_more_than_a_minute_brings(cache, name, per_minute, steps):
    hands = Hands()
    takers = [cache.rate(f"{name} {len(steps)} {per_minute}", hands) for _ in range(3)]
    most = per_minute / 30
    total, start = 0.0, hands.now
    for taker, seconds, wanted in steps:
        hands.now += seconds
        taken = takers[taker].take(flow(wanted, per_minute, most))["requests"]
        assert 0 <= taken <= wanted
        total += taken
        brought = most + (hands.now - start) * per_minute / 60
        assert total <= brought * (1 + 1e-9)
    for one in takers:
        one.close()
    hands.now += 3_600  # the next example may draw the same name


@pytest.fixture
def spenders(cache):
    """Two owners that spend one budget."""
    first, second = cache.budget("job", 10.0), cache.budget("job", 10.0)
    yield first, second
    first.close()
    second.close()


def test_what_others_have_leased_is_not_left(spenders):
    first, second = spenders
    assert first.take(2, 4) == (4.0, 6.0, 0)
    assert second.take(2, 4) == (4.0, 2.0, 1)
    assert first.take(3, 5) == (0.0, 2.0, 1)  # less than the least
    assert first.take(1, 5) == (2.0, 0.0, 1)
    assert second.take(0.1, 5) == (0.0, 0.0, 1)


def test_what_is_given_back_may_be_leased_again(spenders):
    first, second = spenders
    first.take(10, 10)
    assert second.take(1, 4) == (0.0, 0.0, 1)
    first.give(3.5)
    assert second.take(1, 4) == (3.5, 0.0, 1)


def test_what_was_leased_is_spent_when_its_owner_closes(cache, spenders):
    first, second = spenders
    first.take(4, 4)
    first.give(1)
    first.close()
    first.close()
    assert second.take(1, 20) == (7.0, 0.0, 0)
    second.give(5)
    second.close()
    third = cache.budget("job", 10.0)
    assert third.take(1, 20) == (5.0, 0.0, 0)
    third.close()
    other = cache.budget("another job", 10.0)
    assert other.take(1, 20) == (10.0, 0.0, 0)
    other.close()


def test_an_owner_without_a_block_is_not_waited_for(spenders):
    first, second = spenders
    assert first.take(2, 6) == (6.0, 4.0, 0)
    assert second.take(5, 6) == (0.0, 4.0, 1)
    assert first.take(5, 6) == (0.0, 4.0, 0)  # the second was given none
    first.end(2.5)
    assert second.take(5, 6) == (6.0, 0.5, 0)
    assert first.take(0.5, 1) == (0.5, 0.0, 1)
    second.end(0)
    first.end(0)
    assert first.take(0.1, 1) == second.take(0.1, 1) == (0.0, 0.0, 0)


def test_a_higher_total_goes_on_where_the_lower_one_ended(cache, spenders):
    first, _ = spenders
    first.take(10, 10)
    first.close()
    again = cache.budget("job", 12.0)
    assert again.take(1, 20) == (2.0, 0.0, 0)
    again.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(0, 10**9),
    st.lists(
        st.tuples(
            st.sampled_from(["take", "give", "end", "close"]),
            st.integers(0, 2),
            st.integers(0, 40),
            st.integers(0, 60),
        ),
        max_size=30,
    ),
)
def test_all_together_never_lease_more_than_there_is(cache, name, steps):
    name = f"{name} {steps}"
    runs = [cache.budget(name, 100.0) for _ in range(3)]
    held, spent = [0, 0, 0], 0
    for action, run, least, more in steps:
        if action == "take":
            taken = runs[run].take(least, least + more)
            assert taken.amount == 0 or least <= taken.amount <= least + more
            held[run] += taken.amount
            assert sum(held) + spent + taken.left == 100
        elif action == "give":
            back = min(least, held[run])
            runs[run].give(back)
            held[run] -= back
        elif action == "end":
            back = min(least, held[run])
            runs[run].end(back)
            spent, held[run] = spent + held[run] - back, 0
        else:
            runs[run].close()
            spent += held[run]
            runs[run], held[run] = cache.budget(name, 100.0), 0
    for one in runs:
        one.give(1_000)
        one.close()


def test_threads_never_lease_more_than_there_is(cache):
    def lease(_):
        blocks, held = cache.budget("threads", 100.0), 0.0
        for _ in range(40):
            while (taken := blocks.take(1, 3)) is None:
                pass
            held += taken.amount
            if held >= 2:
                blocks.give(1)
                held -= 1
        return blocks, held

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lease, range(4)))
    held = sum(held for _, held in found)
    assert 90 < held <= 100
    last = cache.budget("threads", 100.0)
    assert last.take(0, 1_000).amount == 100 - held
    last.close()
    for blocks, _ in found:
        blocks.close()


def test_threads_never_take_more_than_a_minute_brings(cache):
    hands = Hands()

    def take(_):
        rate, taken = cache.rate("threads", hands), 0.0
        for _ in range(100):
            while (found := rate.take(flow(3, 600, 500))) is None:
                pass
            taken += found["requests"]
        return taken

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(4))) == 500
