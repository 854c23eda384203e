"""Several runs, threads or processes, spend one ``max_cost``: together what one would."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import BudgetError
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.testing import LoopbackProvider

SCHEMA = {"answer": ["yes", "no"]}
PRICES = {"input": 1.0, "output": 10.0}


def rule(text):
    return {"answer": "yes"}


def even(count, start=0):
    """Rows of one length, so that each call costs the same."""
    return pd.DataFrame(
        {"text": [f"The row of the number {start + number:06}." for number in range(count)]}
    )


def useful(provider):
    return sum(request.status == 200 for request in provider.ledger.requests)


@pytest.fixture
def each(extract):
    """What a call costs."""
    with LoopbackProvider(rule) as provider:
        frame = extract(even(100), provider, SCHEMA, prices=PRICES)
    return frame.genai.report.cost / 20


def test_runs_one_after_the_other_spend_one_budget(extract, each, tmp_path):
    limit = 30.5 * each
    shared = {"shared": "job", "max_cost": limit, "prices": PRICES, "max_workers": 4}
    with LoopbackProvider(rule) as provider:
        for part in range(2):
            options = shared | {"cache": tmp_path / "c.sqlite"}
            extract(even(50, 50 * part), provider, SCHEMA, **options)
        assert useful(provider) == 20
        with pytest.raises(BudgetError, match="which other runs spend, too"):
            extract(even(100, 100), provider, SCHEMA, **options)
        assert 28 <= useful(provider) <= 30
        before = useful(provider)
        with pytest.raises(BudgetError):
            extract(even(10, 500), provider, SCHEMA, **options)
        assert useful(provider) - before <= 1
        extract(even(10, 500), provider, SCHEMA, **options | {"shared": "another job"})


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("calls", [12.5, 60.5])
def test_runs_at_once_never_spend_more(extract, each, tmp_path, workers, calls):
    options = {"shared": "job", "max_cost": calls * each, "prices": PRICES}
    options |= {"cache": tmp_path / "c.sqlite", "max_workers": workers}

    def part(number):
        try:
            extract(even(150, 150 * number), provider, SCHEMA, **options)
        except BudgetError as error:
            return error
        return None

    with LoopbackProvider(rule, latency=0.002) as provider, ThreadPoolExecutor(3) as pool:
        errors = list(pool.map(part, range(3)))
    assert any(errors)
    assert 0.85 * calls <= useful(provider) <= calls
    runs = pandas_genai.runs(tmp_path / "c.sqlite")
    assert runs["cost"].sum() == pytest.approx(useful(provider) * each)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=st.floats(40, 200), workers=st.integers(1, 24))
def test_little_is_leased_at_any_moment(extract, each, tmp_path_factory, calls, workers):
    """All that a run has leased and not spent is lost when it is killed: a quarter of what is left.

    One call may need more: the first, of which nothing is known, some six times what it costs.
    Of the calls under way, one for each worker, the run may not have heard what they cost.
    """
    cache = tmp_path_factory.mktemp("budget") / "c.sqlite"
    leased = []

    def look(text):
        done = useful(provider)
        with closing(sqlite3.connect(cache)) as store:
            (amount,) = store.execute("SELECT sum(amount) FROM budget_blocks").fetchone()
        leased.append((amount / each - done, calls - done))
        return rule(text)

    options = {"shared": "job", "max_cost": calls * each, "prices": PRICES, "cache": cache}
    with LoopbackProvider(look, latency=0.002) as provider, pytest.raises(BudgetError):
        extract(even(1_200), provider, SCHEMA, max_workers=workers, **options)
    assert 0.9 * calls <= useful(provider) <= calls
    assert len(leased) >= 0.9 * calls
    assert [(more, left) for more, left in leased if more > max(left / 4, 6) + workers] == []


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("calls", [10.5, 14.0, 30.0])
def test_a_budget_of_a_few_calls_is_spent(extract, each, tmp_path, calls, workers):
    """A quarter of it is less than the first call may cost."""
    options = {"shared": "job", "max_cost": calls * each, "prices": PRICES}
    options |= {"cache": tmp_path / "c.sqlite", "max_workers": workers}
    with LoopbackProvider(rule) as provider, pytest.raises(BudgetError):
        extract(even(200), provider, SCHEMA, **options)
    assert calls - 2 <= useful(provider) <= calls


def test_a_run_waits_for_what_another_gives_back(extract, each, tmp_path):
    """What the first has leased for its call in flight leaves too little for another call."""
    options = {"shared": "job", "max_cost": 9.5 * each, "prices": PRICES, "max_workers": 20}
    options |= {"cache": tmp_path / "c.sqlite", "endpoints": Endpoints()}
    with (
        ThreadPoolExecutor() as pool,
        LoopbackProvider(rule) as provider,
        LoopbackProvider(rule) as other,
    ):
        extract(even(5, 900), provider, SCHEMA, **options)
        provider.hold_after(provider.ledger.calls + 1)
        first = pool.submit(extract, even(10), provider, SCHEMA, **options)
        provider.wait_for_in_flight(1)
        second = pool.submit(extract, even(5, 100), other, SCHEMA, **options)
        with pytest.raises(TimeoutError):
            second.result(1.0)
        provider.release()
        assert first.result(60)["answer"].notna().all()
        assert second.result(60)["answer"].notna().all()


PROCESS = """
import sys
import pandas as pd
from pandas_genai import BudgetError
from pandas_genai.backends.resolve import Question
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.task.task import Task

url, cache, start, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
rows, workers = int(sys.argv[5]), int(sys.argv[6])
texts = [f"The row of the number {start + number:06}." for number in range(rows)]
question = Question(Task("Tone?", {"answer": ["yes", "no"]}), url, "k")
options = RunOptions(
    cache=cache,
    shared="job",
    max_cost=limit,
    prices={"input": 1.0, "output": 10.0},
    max_workers=workers,
)
try:
    Extraction(question, texts, pd.RangeIndex(rows), options).run()
except BudgetError as error:
    print("stopped", error)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def begin(request, tmp_path):
    """Start a process that spends from one budget with all that were started so."""
    store = tmp_path / "c.sqlite"
    if request.param == "postgres":
        store = request.getfixturevalue("postgres_url")

    def start(provider, limit, *, first_row=0, rows=1_000, workers=4):
        values = [store, first_row, limit, rows, workers]
        command = [sys.executable, "-c", PROCESS, provider.openai_url, *map(str, values)]
        process = started.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        )
        started.callback(process.kill)
        return process

    with ExitStack() as started:
        yield start


def test_a_process_that_is_killed_leaves_no_more_to_spend(each, begin):
    limit = 120 * each
    with LoopbackProvider(rule, latency=0.01) as provider:
        first = begin(provider, limit)
        provider.wait_for(calls=30, timeout=60)
        second = begin(provider, limit, first_row=1_000)
        provider.wait_for(calls=50, timeout=60)
        first.kill()
        first.communicate()
        out, _ = second.communicate(timeout=120)
        assert "stopped" in out
        cost = useful(provider) * each
    assert 0.75 * limit <= cost <= limit


@pytest.mark.campaign
def test_many_that_are_killed_leave_most_of_it_to_the_last(each, begin):
    """Each holds some four times what the calls cost that it has under way."""
    calls, kills, workers = 3_000, 20, 8
    limit, drawn = calls * each, random.Random(5)
    options = {"rows": 5 * calls, "workers": workers}
    with LoopbackProvider(rule, latency=0.05) as provider:
        for _ in range(kills):
            before = provider.ledger.calls
            process = begin(provider, limit, **options)
            provider.wait_for(calls=before + drawn.randint(20, 60), timeout=60)
            process.kill()
            process.communicate()
        out, _ = begin(provider, limit, **options).communicate(timeout=300)
        assert "stopped" in out
        spent = useful(provider)
    print(f"{spent} of {calls} calls, {(calls - spent) / kills:.1f} lost for each kill")
    assert calls - kills * 6 * workers <= spent <= calls
