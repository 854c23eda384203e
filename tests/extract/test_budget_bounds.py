"""``max_cost`` holds whatever the answers are like: streams and faults are drawn anew each time."""

from __future__ import annotations

import random
from contextlib import suppress

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import BudgetError
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {"answer": str}
PRICES = {"input": 1.0, "output": 10.0}
DRAWN = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbered(count):
    return pd.DataFrame({"text": [f"The row of the number {row:06}." for row in range(count)]})


def billed(provider):
    """What the provider itself counted: also answers that were lost on their way."""
    ledger = provider.ledger
    return (ledger.tokens_in * PRICES["input"] + ledger.tokens_out * PRICES["output"]) / 1e6


class Stream:
    """Answers of given lengths, in the order in which they are asked for."""

    def __init__(self, lengths):
        self._lengths = iter(lengths)
        self._last = 1

    def __call__(self, text):
        self._last = next(self._lengths, self._last)
        return {"answer": "word " * self._last}


def jump(base, factor, after):
    """Short answers, and then suddenly long ones for ever."""
    return [base] * after + [base * factor] * 2_000


def heavy(base, seed, shape):
    drawn = random.Random(seed)
    return [min(3_000, round(base * drawn.paretovariate(shape))) for _ in range(2_000)]


streams = st.one_of(
    st.builds(jump, st.integers(1, 20), st.integers(2, 80), st.integers(0, 150)),
    st.builds(heavy, st.integers(1, 10), st.integers(0, 999), st.floats(0.6, 2.0)),
)
faults = st.lists(
    st.sampled_from(
        [
            Fault("reset_after", rate=0.1),
            Fault("garbage", rate=0.2),
            Fault("server_error", rate=0.2),
            Fault("rate_limit", rate=0.1),
            Fault("refusal", rate=0.1),
            Fault("missing", rate=0.1),
        ]
    ),
    max_size=2,
)


@DRAWN
@given(
    stream=streams,
    faults=faults,
    limit=st.floats(0.002, 0.1),
    workers=st.sampled_from([1, 8, 64]),
    chunk_size=st.sampled_from([1, 5]),
    backend=st.sampled_from(["openai", "anthropic"]),
)
@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_no_stream_of_answers_passes_the_limit(
    extract, stream, faults, limit, workers, chunk_size, backend
):
    with LoopbackProvider(Stream(stream), faults=faults, seed=7) as provider:
        with suppress(BudgetError):
            out = extract(
                numbered(200),
                provider,
                SCHEMA,
                backend=backend,
                max_workers=workers,
                chunk_size=chunk_size,
                max_cost=limit,
                prices=PRICES,
            )
            cut = out.genai.errors["reason"].eq("truncated")
            assert not cut.any()  # a limit of ours never makes a row fail
        assert billed(provider) <= limit


@settings(DRAWN, max_examples=5)
@given(longest=st.integers(2, 60), seed=st.integers(0, 99), workers=st.sampled_from([4, 32]))
def test_a_limit_leaves_ordinary_work_alone(extract, longest, seed, workers):
    """Twice the cost is no limit, half of it is spent nearly whole."""
    frame, drawn = numbered(150), random.Random(seed)
    lengths = [drawn.randint(1, longest) for _ in range(150)]
    asked = {"chunk_size": 1, "max_workers": workers, "prices": PRICES}
    with LoopbackProvider(Stream(lengths)) as provider:
        total = extract(frame, provider, SCHEMA, **asked).genai.report.cost
    with LoopbackProvider(Stream(lengths)) as provider:
        whole = extract(frame, provider, SCHEMA, max_cost=2 * total, **asked)
        assert whole["answer"].notna().all()
    with LoopbackProvider(Stream(lengths)) as provider:
        with pytest.raises(BudgetError):
            extract(frame, provider, SCHEMA, max_cost=0.5 * total, **asked)
        # What is left is the most that one call can cost, of a budget of some 75 calls.
        assert 0.75 * 0.5 * total < billed(provider) <= 0.5 * total


def test_an_attempt_that_was_lost_stays_spent(extract):
    """Nobody says what such a call cost: it counts with the most that it could."""
    faults = [Fault("reset_after", rate=0.5)]
    with LoopbackProvider(Stream([5]), faults=faults, seed=1) as provider:
        with pytest.raises(BudgetError, match="for calls whose cost nobody said") as caught:
            extract(numbered(300), provider, SCHEMA, max_cost=0.05, prices=PRICES)
        assert billed(provider) <= caught.value.spent <= 0.05
    report = caught.value.result.genai.report
    assert report.cost < caught.value.spent
    assert report.unknown_calls > 0
    assert report.cost_text.startswith("at least $")


def test_answers_without_a_count_cost_all_that_was_reserved(extract):
    with LoopbackProvider(Stream([5]), dialect="bare") as provider:
        with pytest.raises(BudgetError, match="for calls whose cost nobody said") as caught:
            extract(numbered(500), provider, SCHEMA, max_cost=0.02, prices=PRICES)
        assert billed(provider) <= caught.value.spent <= 0.02
    report = caught.value.result.genai.report
    assert report.cost is None
    assert "tokens: unknown" in str(report)
    assert "cost: unknown" in str(report)


def test_the_users_own_limit_is_what_is_reserved_and_sent(extract):
    with LoopbackProvider(Stream([2])) as provider:
        extract(numbered(20), provider, SCHEMA, max_cost=1.0, params={"max_tokens": 700})
        sent = [call.body for call in provider.ledger.requests if call.status == 200]
        assert {body.get("max_tokens", body.get("max_completion_tokens")) for body in sent} == {700}


def test_without_max_cost_no_limit_is_sent(extract):
    with LoopbackProvider(Stream([2])) as provider:
        extract(numbered(20), provider, SCHEMA)
        for call in provider.ledger.requests:
            assert not {"max_tokens", "max_completion_tokens"} & call.body.keys()


def test_an_answer_cut_off_at_our_limit_is_asked_for_again(extract):
    lengths = [2] * 30 + [900] + [2] * 500
    with LoopbackProvider(Stream(lengths)) as provider:
        asked = {"chunk_size": 1, "max_workers": 32, "prices": PRICES, "max_cost": 0.06}
        out = extract(numbered(100), provider, SCHEMA, **asked)
    assert out["answer"].notna().all()


@pytest.mark.parametrize("cost", [10**400, -(10**400), float("nan"), float("inf"), "5", True, -1])
def test_what_is_no_amount_is_one_sentence(extract, cost):
    with LoopbackProvider(Stream([2])) as provider:
        with pytest.raises(pandas_genai.UsageError) as caught:
            extract(numbered(1), provider, SCHEMA, max_cost=cost)
        assert not provider.ledger.calls
    assert len(str(caught.value)) < 200
