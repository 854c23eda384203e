"""``max_cost`` overnight: nothing is submitted that is estimated to cost more."""

from __future__ import annotations

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.testing import LoopbackProvider

SCHEMA = {"answer": ["yes", "no"]}


def rule(text):
    return {"answer": "yes"}


@pytest.fixture
def frame():
    return pd.DataFrame({"text": [f"The row of the number {number:05}." for number in range(300)]})


def where(provider, backend):
    url = provider.openai_url if backend == "openai" else provider.anthropic_url
    return {"base_url": url, "api_key": "k", "backend": backend, "name": "night"}


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize("of_series", [False, True])
def test_nothing_is_submitted_over_the_limit_and_a_higher_one_goes_on(
    frame, backend, of_series, capsys
):
    rows = frame["text"] if of_series else frame
    with LoopbackProvider(rule) as provider:
        here = where(provider, backend)
        plan = frame.genai.estimate("Yes?", SCHEMA, base_url=here["base_url"], backend=backend)
        limit = 0.9 * plan.overnight_cost
        for _ in range(2):
            with pytest.raises(UsageError, match="more than max_cost=") as why:
                rows.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=limit)
            assert "'night' would cost about $0.0" in str(why.value)
            assert "for 300 rows at batch prices" in str(why.value)
            assert "\n" not in str(why.value)
        assert not provider.ledger.requests
        assert provider.batches == []
        assert pandas_genai.jobs()["stage"].tolist() == ["not submitted"]
        limit = 1.01 * plan.overnight_cost
        job = rows.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=limit)
        out = rows.genai.batch_collect("night")
        assert len(provider.batches) == 1
    assert out["answer"].tolist() == ["yes"] * 300
    assert job.report.cost <= limit


def test_a_refused_name_is_free_for_another_task(frame, capsys):
    with LoopbackProvider(rule) as provider:
        here = where(provider, "openai")
        with pytest.raises(UsageError, match="more than max_cost="):
            frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=0)
        frame[:10].genai.batch_submit("Yes or no?", SCHEMA, **here, max_cost=1.0)
        out = frame[:10].genai.batch_collect("night")
    assert out["answer"].notna().all()


def test_a_job_that_did_not_reach_the_provider_is_checked_again(frame, capsys):
    with LoopbackProvider(rule, keys={"right"}) as provider:
        here = where(provider, "openai")
        with pytest.raises(pandas_genai.StopRunError):
            frame.genai.batch_submit("Yes?", SCHEMA, **here | {"api_key": "wrong"})
        here["api_key"] = "right"
        with pytest.raises(UsageError, match="more than max_cost="):
            frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=0)
        frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=1.0)
        # What is at the provider is no longer for this limit to refuse.
        frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=0)
        assert len(provider.batches) == 1


def test_an_unknown_price_is_refused_before_anything_is_written(frame, tmp_path, capsys):
    with LoopbackProvider(rule) as provider:
        here = where(provider, "openai") | {"model": "my-own", "cache": "c.sqlite"}
        with pytest.raises(UsageError, match="the price of 'my-own' is unknown"):
            frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=1.0)
        assert not (tmp_path / "genai_batches").exists()
        prices = {"input": 1.0, "output": 2.0, "batch": 0.5}
        with pytest.raises(UsageError, match="more than max_cost="):
            frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=0.001, prices=prices)
        frame.genai.batch_submit("Yes?", SCHEMA, **here, max_cost=0.1, prices=prices)


@pytest.mark.parametrize("wrong", [{"max_cost": -1}, {"prices": {"input": 1.0}}])
def test_nonsense_is_refused(frame, wrong, tmp_path):
    with pytest.raises(UsageError):
        frame.genai.batch_submit("Yes?", SCHEMA, api_key="k", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_opened_again_is_counted_by_the_prices_that_are_given(frame, capsys):
    prices = {"input": 10.0, "output": 0.0, "batch": 1.0}
    with LoopbackProvider(rule) as provider:
        here = where(provider, "openai")
        frame[:10].genai.batch_submit("Yes?", SCHEMA, **here)
        with pytest.raises(UsageError, match="prices= is a dict such as"):
            pandas_genai.open_job("night", prices={"input": 1.0})
        job = pandas_genai.open_job("night", prices=prices, api_key="k")
        job.collect()
    assert job.report.cost == pytest.approx(job.report.input_tokens * 10.0 / 1e6)
