"""``max_cost``: no call is begun that could pass it."""

from __future__ import annotations

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import BudgetError, UsageError
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {"answer": ["yes", "no"]}
PRICES = {"input": 1.0, "output": 10.0}


def rule(text):
    return {"answer": "yes"}


def even(count):
    """Rows of one length, so that each call costs the same."""
    return pd.DataFrame(
        {"text": [f"The row of the number {number:06}." for number in range(count)]}
    )


def useful(provider):
    """How many calls were answered: finding out how an endpoint wants to be asked costs nothing."""
    return sum(request.status == 200 for request in provider.ledger.requests)


def whole_cost(extract, frame, **manner):
    with LoopbackProvider(rule) as provider:
        return extract(frame, provider, SCHEMA, **manner).genai.report.cost


@pytest.fixture
def cache():
    with pandas_genai.SqliteCache(None) as opened:
        yield opened


def last_run(cache):
    return pandas_genai.runs(cache).iloc[0]


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize("workers", [1, 32])
@pytest.mark.parametrize("opened", [False, True])
def test_no_call_passes_the_limit(extract, cache, backend, workers, opened):
    frame = even(500)
    endpoints = Endpoints()
    each = whole_cost(extract, frame, backend=backend) / 100
    limit = 37.4 * each
    with LoopbackProvider(rule, latency=0.002) as provider:
        if opened:
            extract(even(1), provider, SCHEMA, backend=backend, endpoints=endpoints)
        before = useful(provider)
        with pytest.raises(BudgetError) as caught:
            extract(
                frame,
                provider,
                SCHEMA,
                backend=backend,
                cache=cache,
                max_workers=workers,
                endpoints=endpoints,
                max_cost=limit,
            )
        calls = useful(provider) - before
    run = last_run(cache)
    assert 34 <= calls <= 37
    assert 0.9 * limit < run["cost"] <= limit
    assert run["cost"] == pytest.approx(calls * each)
    assert caught.value.spent == pytest.approx(run["cost"])
    assert (run["status"], run["ok"]) == ("stopped", 5 * calls)
    kept = f"{5 * calls} of 500 rows are answered and kept. Raise max_cost= and run the cell again"
    assert kept in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_no_cache_keeps_is_not_said_to_be_kept(extract):
    with LoopbackProvider(rule) as provider, pytest.raises(BudgetError) as caught:
        extract(even(20), provider, SCHEMA, cache=False, max_cost=0)
    assert "0 of 20 rows were answered and are lost, because cache=False" in str(caught.value)


def test_raising_the_limit_goes_on_and_pays_no_row_twice(extract, cache):
    frame = even(100)
    total = whole_cost(extract, frame)
    with LoopbackProvider(rule) as provider:
        for _ in range(2):
            with pytest.raises(BudgetError):
                extract(frame, provider, SCHEMA, cache=cache, max_cost=0.4 * total)
        out = extract(frame, provider, SCHEMA, cache=cache, max_cost=0.6 * total)
        assert set(provider.ledger.answered.values()) == {1}
    assert out["answer"].notna().all()


def test_enough_is_no_limit_and_the_cache_costs_nothing(extract, cache):
    frame = even(40)
    with LoopbackProvider(rule) as provider:
        whole = extract(frame, provider, SCHEMA, cache=cache, max_cost=1.0)
        again = extract(frame, provider, SCHEMA, cache=cache, max_cost=0)
    assert whole.genai.report.ok == again.genai.report.ok == 40
    assert again.genai.report.cost == 0


def test_a_limit_below_one_call_sends_nothing(extract):
    with LoopbackProvider(rule) as provider:
        with pytest.raises(BudgetError, match=r"\$0\.00 of max_cost=\$0\.00, which the next call"):
            extract(even(10), provider, SCHEMA, max_cost=0)
        assert provider.ledger.calls == 0


def test_useless_replies_count(extract, cache):
    """Every reply of a chunk is garbage, and billed."""
    with LoopbackProvider(rule, faults=[Fault("garbage", rate=0.5)], seed=3) as provider:
        frame = even(200)
        with pytest.raises(BudgetError):
            extract(frame, provider, SCHEMA, cache=cache, max_workers=8, max_cost=0.0015)
        billed = useful(provider)
    run = last_run(cache)
    assert 0.0013 < run["cost"] <= 0.0015
    assert run["calls"] == billed > run["ok"] / 5


def test_retries_hold_the_reserve_of_one_call(extract, cache):
    faults = [Fault("rate_limit", rate=0.2, retry_after=1), Fault("server_error", rate=0.1)]
    frame = even(300)
    each = whole_cost(extract, frame) / 60
    with LoopbackProvider(rule, faults=faults, seed=5) as provider:
        with pytest.raises(BudgetError):
            extract(frame, provider, SCHEMA, cache=cache, max_workers=20, max_cost=20.5 * each)
    spent = last_run(cache)["cost"]
    assert 17 * each < spent <= 20.5 * each
    assert spent / each == pytest.approx(round(spent / each))


def test_calls_of_any_length_wait_for_each_other_and_stay_in_the_limit(extract, cache):
    """Thirty-two calls at once would hold more than there is: they wait, and then go on."""

    def talkative(text):
        return {"answer": "word " * (int(text[-7:-1]) * 7919 % 80)}

    frame = even(1_000)
    with LoopbackProvider(talkative, latency=0.002) as provider:
        total = extract(frame, provider, {"answer": str}).genai.report.cost
        limit = 0.2 * total
        with pytest.raises(BudgetError):
            extract(frame, provider, {"answer": str}, cache=cache, max_workers=32, max_cost=limit)
    assert 0.9 * limit < last_run(cache)["cost"] <= limit


def test_an_unknown_price_is_refused_before_anything_is_sent(extract):
    with LoopbackProvider(rule) as provider:
        with pytest.raises(UsageError, match="'my-own' is unknown: pass prices="):
            extract(even(3), provider, SCHEMA, model="my-own", max_cost=1.0)
        out = extract(even(3), provider, SCHEMA, model="my-own", max_cost=1.0, prices=PRICES)
        assert provider.ledger.calls == 1
    report = out.genai.report
    paid = (report.input_tokens * 1.0 + report.output_tokens * 10.0) / 1e6
    assert report.cost == pytest.approx(paid)


def test_a_model_that_answers_under_an_unknown_name_counts_as_the_one_asked(extract):
    names = {"gpt-6-luna": "a-deployment-of-ours"}
    with LoopbackProvider(rule, answers_as=names) as provider:
        with pytest.raises(BudgetError):
            extract(even(100), provider, SCHEMA, max_cost=0.0001)


def test_the_door_takes_both(tmp_path):
    frame = even(50)
    with LoopbackProvider(rule) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": "c.sqlite"}
        options = where | {"progress": False, "prices": PRICES, "max_cost": 0.001}
        with pytest.raises(BudgetError):
            frame.genai.extract("Yes?", SCHEMA, **options)
        with pytest.raises(BudgetError):
            frame["text"].genai.extract("Yes?", SCHEMA, **options)
