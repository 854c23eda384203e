"""The plan: what it says, and which way it suggests; forecasts and prices behind it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pandas_genai import UsageError
from pandas_genai.costs.plan import Plan
from pandas_genai.costs.prices import checked_prices, known_price, pricer
from pandas_genai.costs.sampled import BilledCall, extrapolated, interval_of
from pandas_genai.task.reply import Usage
from pandas_genai.task.schema import compile_schema
from pandas_genai.task.sizes import answer_characters


@pytest.fixture
def plan():
    return Plan(
        rows=10_000,
        empty=10,
        duplicates=490,
        cached=500,
        texts=9_000,
        calls=1_800,
        chunk_size=5,
        workers=20,
        model="gpt-6-luna",
        host="api.openai.com",
        input_tokens=1_000_000,
        cached_tokens=0,
        output_tokens=200_000,
        live_cost=0.2,
        batch_cost=0.1,
        live_interval=None,
        batch_interval=None,
        live_seconds=3_600.0,
        has_batch=True,
        is_local=False,
        basis="characters",
    )


@pytest.mark.parametrize(
    ("changes", "suggestion", "reason"),
    [
        ({}, "overnight", "9,000 texts take more than 15 minutes live"),
        ({"texts": 1_999}, "live", "fewer than 2,000 texts"),
        ({"texts": 2_000}, "overnight", "2,000 texts take"),
        ({"live_seconds": 899.0}, "live", "less than 15 minutes"),
        ({"live_seconds": 900.0}, "overnight", "9,000 texts take"),
        ({"has_batch": False}, "live", "no batch API is known at api.openai.com"),
        ({"has_batch": False, "host": "loopback"}, "live", "no batch API is known on this machine"),
        ({"has_batch": False, "is_local": True}, "live", "the embedded model has no batch API"),
        ({"texts": 0}, "live", "nothing is left to ask"),
    ],
)
def test_the_rule(plan, changes, suggestion, reason):
    changed = dataclasses.replace(plan, **changes)
    assert changed.suggestion == suggestion
    assert changed.reason.startswith(reason) or reason in changed.reason


def test_it_prints_what_a_person_asks_for(plan):
    text = str(plan)
    assert repr(plan) == text
    counts, calls, tokens, *ways = text.splitlines()
    assert counts == (
        "10,000 rows: 500 answered already, 10 empty, 490 duplicates of another row; "
        "9,000 texts to ask"
    )
    assert calls == "calls: 1,800 of 5 rows to gpt-6-luna at api.openai.com"
    assert tokens.startswith("tokens: about 1,000,000 in, 200,000 out (from characters alone: ")
    assert ways == [
        "live: about $0.20, about 60 min with 20 workers",
        "overnight: about $0.10, within 24 hours",
        "suggested: overnight (9,000 texts take more than 15 minutes live)",
    ]


def test_a_sample_and_its_intervals_are_named(plan):
    sampled = dataclasses.replace(
        plan,
        basis="sample",
        sampled=50,
        sample_calls=10,
        sample_cost=0.00123,
        live_interval=(0.18, 0.22),
        cached_tokens=7_000,
        live_seconds=30_000.0,
    )
    text = str(sampled)
    assert "about $0.20 (90 % interval $0.18 to $0.22), about 8 h with 20 workers" in text
    assert "from a sample of 50 texts in 10 calls, $0.001230" in text
    assert "1,000,000 in (7,000 of them cached)" in text
    one = dataclasses.replace(sampled, sample_calls=1, sample_cost=None, workers=1, chunk_size=1)
    assert "in 1 call, at an unknown price" in str(one)
    assert "with 1 worker\n" in str(one)
    assert "of 1 row to" in str(one)


def test_an_unknown_price_is_never_zero(plan):
    unknown = dataclasses.replace(plan, live_cost=None, batch_cost=None)
    assert str(unknown).count("price unknown (pass prices=)") == 2
    local = dataclasses.replace(
        plan, is_local=True, has_batch=False, live_cost=0.0, batch_cost=None
    )
    assert "live: free, about" in str(local)
    assert "overnight: not with the embedded model" in str(local)


def test_own_prices():
    prices = {"input": 2.0, "output": 10.0, "cached": 0.5, "batch": 0.25}
    usage = Usage(1_000, 400, 100, 50)
    live = pricer(backend="openai", base_url="", prices=prices)(usage, "any")
    assert live == pytest.approx((600 * 2.0 + 400 * 0.5 + 50 * 10.0) / 1e6)
    batch = pricer(backend="openai", base_url="", prices=prices, batch=True)(usage, "any")
    assert batch == pytest.approx(live / 4)
    plain = {"input": 2.0, "output": 10.0}
    full = pricer(backend="openai", base_url="", prices=plain)(usage, "any")
    assert full == pytest.approx((1_000 * 2.0 + 50 * 10.0) / 1e6)
    half = pricer(backend="openai", base_url="", prices=plain, batch=True)(usage, "any")
    assert half == pytest.approx(full / 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"input": 1.0},
        {"input": -1.0, "output": 1.0},
        {"input": float("inf"), "output": 1.0},
        {"input": "1", "output": 1.0},
        {"input": 1.0, "output": 1.0, "currency": "EUR"},
        [1.0, 2.0],
    ],
)
def test_prices_that_are_none(wrong):
    with pytest.raises(UsageError, match="prices= is a dict such as") as caught:
        checked_prices(wrong)
    assert "\n" not in str(caught.value)


def test_an_unknown_price_cannot_be_a_limit():
    price = pricer(backend="openai", base_url="http://127.0.0.1/v1")
    with pytest.raises(UsageError, match="'nobodys' is unknown: pass prices="):
        known_price(price, "nobodys")
    assert known_price(price, "gpt-6-luna")(Usage(1_000)) > 0


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (["positive", "negative", "neutral"], '"label": "positive", '),
        ({"year": int, "share": float, "is_new": bool}, '"year": 202, "share": 0.25, "is_new": '),
        ({"topics": [str]}, '"topics": ["' + 60 * "x" + '", "' + 60 * "x" + '"], '),
        ({"why": str}, '"why": "' + 60 * "x" + '", '),
        ({"why": str | None}, '"why": "' + 60 * "x" + '", '),
    ],
)
def test_the_guess_is_as_long_as_an_answer_of_that_kind(schema, answer):
    entry = '{"input_id": "abcde", ' + answer + "}, "
    assert answer_characters(compile_schema(schema)) == pytest.approx(len(entry), rel=0.15)


def test_the_guess_knows_limits_records_and_free_answers():
    short = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "maxLength": 8},
            "firm": {"type": "object", "properties": {"name": {"type": "string"}}},
            "either": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {}}]},
        },
    }
    assert 100 < answer_characters(compile_schema(short)) < 320
    one = compile_schema({"name": str})
    many = compile_schema({"type": "array", "items": json.loads(one.canonical)})
    assert answer_characters(many) > 1.5 * answer_characters(one)
    assert answer_characters(compile_schema(None)) > 100


def calls_of(rng, count):
    foreseen = rng.uniform(200, 2_000, count)
    sent = foreseen * rng.normal(0.9, 0.05, count)
    answered = rng.gamma(4.0, 25.0, count)
    return [
        BilledCall(float(expected), 5, Usage(round(tokens), 0, 0, round(out)))
        for expected, tokens, out in zip(foreseen, sent, answered, strict=True)
    ]


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    price = lambda usage: usage.input_tokens * 1e-7 + usage.output_tokens * 5e-7
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        everything = calls_of(rng, 400)
        sample, rest = everything[:20], everything[20:]
        truth = sum(price(call.usage) for call in rest)
        foreseen = sum(call.foreseen for call in rest)
        low, high = interval_of(sample, foreseen, 5 * len(rest), len(rest), price)
        held += low <= truth <= high
    assert 80 <= held <= 98


def test_useless_replies_of_the_sample_count_for_all():
    good, bad = BilledCall(100.0, 5, Usage(100, 0, 0, 50)), BilledCall(0, 0, Usage(60, 0, 0, 30))
    totals = extrapolated([good, bad], 1_000.0, 50, 10)
    assert (totals.sent, totals.answered) == (1_600.0, 800.0)
    assert totals.cost(lambda usage: None) is None


def test_no_interval_of_a_single_call_or_an_unknown_price():
    call = BilledCall(100.0, 5, Usage(100, 0, 0, 50))
    assert interval_of([call], 1.0, 1, 1, lambda usage: 1.0) is None
    assert interval_of([call, call], 1.0, 1, 1, lambda usage: None) is None
    assert interval_of([call, call], 0.0, 0, 0, lambda usage: 1.0) == (0.0, 0.0)
