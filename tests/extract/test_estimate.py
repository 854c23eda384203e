"""``estimate``: what will happen, for free; with a sample, for little."""

from __future__ import annotations

import json
import time
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest

import pandas_genai
from pandas_genai import StopRunError, UsageError
from pandas_genai.testing import Fault, LoopbackProvider

SCHEMA = {"tone": ["good", "bad"], "why": str}
NOWHERE = "http://127.0.0.1:1/v1"


def rule(text):
    return {"tone": "good", "why": "because " * (len(text) % 23)}


def varied(count, seed=0):
    """Rows whose lengths differ as those of a corpus do."""
    lengths = np.random.default_rng(seed).gamma(1.5, 40.0, count).astype(int)
    return pd.DataFrame({"text": [f"{row}: " + "word " * n for row, n in enumerate(lengths)]})


def where(provider, backend="openai"):
    url = provider.openai_url if backend == "openai" else provider.anthropic_url
    return {"base_url": url, "api_key": "k", "backend": backend}


def test_for_free_means_no_key_no_call_no_file(tmp_path, no_network):
    plan = varied(100).genai.estimate("Tone?", SCHEMA)
    assert list(tmp_path.iterdir()) == []
    assert (plan.rows, plan.texts, plan.calls, plan.cached) == (100, 100, 20, 0)
    assert plan.basis == "characters"
    assert plan.live_cost == pytest.approx(2 * plan.overnight_cost)
    assert plan.live_interval is None


def test_it_counts_what_a_run_would_count():
    texts = ["a text"] * 3 + [None, " ", "\ud800"] + [f"text {number}" for number in range(20)]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=object)})
    known = frame.iloc[[0, 6, 7]]
    with LoopbackProvider(rule) as provider:
        known.genai.extract("Tone?", SCHEMA, **where(provider), progress=False)
        plan = frame.genai.estimate("Tone?", SCHEMA, **where(provider), chunk_size=4)
        assert provider.ledger.rows == 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = frame.genai.extract(
                "Tone?", SCHEMA, **where(provider), chunk_size=4, progress=False
            )
    report = out.genai.report
    assert (plan.rows, plan.empty, plan.twins, plan.cached) == (26, 3, 2, 5)
    assert (plan.rows, plan.twins, plan.cached) == (report.rows, report.twins, report.cached)
    assert (plan.texts, plan.calls) == (18, 5) == (18, report.calls)


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize("chunk_size", [1, 7])
def test_the_characters_are_those_of_the_real_requests(backend, chunk_size):
    frame = pd.DataFrame({"text": [f'{n}: "quoted"\n\n and \\ more' * n for n in range(1, 40)]})
    model = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}[backend]
    options = {"model": model, "backend": backend, "chunk_size": chunk_size}
    plan = frame.genai.estimate("Tone?", SCHEMA, **options)
    characters = 0
    for request in frame.genai.preview("Tone?", SCHEMA, n=99, **options):
        body = request["body"]
        system = body.get("system") or body["messages"][0]["content"]
        characters += len(body["messages"][-1]["content"])
        characters += len(system if isinstance(system, str) else system[0]["text"])
        characters += len(json.dumps(body.get("response_format") or body["output_config"]))
    assert plan.input_tokens == pytest.approx(characters / 4, rel=0.005)


def test_answers_in_the_cache_tell_how_long_answers_are():
    frame = varied(200)
    with LoopbackProvider(lambda text: {"tone": "bad", "why": "long " * 200}) as provider:
        guess = frame.genai.estimate("Tone?", SCHEMA, **where(provider))
        frame[:50].genai.extract("Tone?", SCHEMA, **where(provider), progress=False)
        plan = frame.genai.estimate("Tone?", SCHEMA, **where(provider))
    assert (guess.basis, plan.basis) == ("characters", "cache")
    assert plan.output_tokens / plan.texts == pytest.approx(1000 / 4, rel=0.15)
    assert plan.output_tokens > 3 * guess.output_tokens


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_sample_foretells_the_cost(backend):
    frame = varied(2_000)
    options = {"schema": SCHEMA, "cache": "c.sqlite"}
    with LoopbackProvider(rule) as provider:
        here = where(provider, backend) | options
        plan = frame.genai.estimate("Tone?", **here, sample=50)
        assert (provider.ledger.rows, plan.cached, plan.texts) == (50, 50, 1_950)
        report = frame.genai.extract("Tone?", **here, progress=False).genai.report
        assert set(provider.ledger.answered.values()) == {1}
    low, high = plan.live_interval
    assert (plan.basis, plan.sampled, plan.sample_calls) == ("sample", 50, 10)
    assert low < plan.live_cost < high < 1.5 * low
    assert low <= report.cost <= high or plan.live_cost == pytest.approx(report.cost, rel=0.1)
    assert plan.input_tokens == pytest.approx(report.input_tokens, rel=0.1)
    assert plan.output_tokens == pytest.approx(report.output_tokens, rel=0.1)
    assert plan.overnight_interval == pytest.approx((low / 2, high / 2))


def test_a_sample_sees_the_prompt_cache_and_what_is_wasted():
    frame = varied(400)
    prompt = "Tone? " + "Consider every word of it with great care. " * 120
    faults = [Fault("garbage", rate=0.15)]
    with LoopbackProvider(rule, faults=faults, seed=1) as provider:
        plan = frame.genai.estimate(prompt, SCHEMA, **where(provider), sample=100)
        free = frame.genai.estimate(prompt, SCHEMA, **where(provider))
    assert plan.sample_calls > 20
    assert plan.cached_tokens > 0.5 * plan.input_tokens
    assert free.cached_tokens == 0
    assert plan.input_tokens > free.input_tokens


def test_a_sample_of_everything_leaves_nothing():
    frame = varied(8)
    with LoopbackProvider(rule) as provider:
        plan = frame.genai.estimate("Tone?", SCHEMA, **where(provider), sample=100)
        assert (plan.texts, plan.calls, plan.live_cost, plan.sampled) == (0, 0, 0.0, 8)
        assert plan.live_interval == (0.0, 0.0)
        again = frame.genai.estimate("Tone?", SCHEMA, **where(provider), sample=100)
        assert (again.sampled, again.sample_cost, again.reason) == (
            0,
            0.0,
            "nothing is left to ask",
        )
        assert provider.ledger.rows == 8


def test_a_sample_without_a_cache_is_asked_again(tmp_path):
    with LoopbackProvider(rule) as provider:
        plan = varied(30).genai.estimate("Tone?", SCHEMA, **where(provider), sample=10, cache=False)
    assert (plan.sampled, plan.texts, plan.cached) == (10, 30, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_that_gets_no_answer_says_why():
    with LoopbackProvider(rule, keys={"another"}) as provider, pytest.raises(StopRunError):
        varied(30).genai.estimate("Tone?", SCHEMA, **where(provider), sample=10)


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_sample_with_a_text_that_gets_no_valid_answer_says_so_on_the_card(backend):
    def sometimes(text):
        return rule(text) | ({"tone": "blue"} if text.startswith("7:") else {})

    frame = varied(10)
    with LoopbackProvider(sometimes) as provider:
        plan = frame.genai.estimate("Tone?", SCHEMA, **where(provider, backend), sample=10)
    assert plan.sample_failures == "invalid answer 1"
    assert "; without an answer: invalid answer 1)" in str(plan)
    assert plan.texts == 1


def test_a_cache_of_ones_own_stays_open():
    with LoopbackProvider(rule) as provider, pandas_genai.SqliteCache(None) as cache:
        options = where(provider) | {"cache": cache}
        frame = varied(20)
        frame["text"].genai.extract("Tone?", SCHEMA, **options, progress=False)
        plan = frame["text"].genai.estimate("Tone?", SCHEMA, **options)
        assert (plan.cached, plan.texts) == (20, 0)
        assert cache.all_ids() == set()


def test_prices():
    frame = varied(500)
    options = {"base_url": NOWHERE, "model": "nobodys"}
    plan = frame.genai.estimate("Tone?", SCHEMA, **options)
    assert (plan.live_cost, plan.overnight_cost) == (None, None)
    assert "price unknown" in str(plan)
    prices = {"input": 1.0, "output": 4.0, "batch": 0.4}
    plan = frame.genai.estimate("Tone?", SCHEMA, **options, prices=prices)
    expected = (plan.input_tokens * 1.0 + plan.output_tokens * 4.0) / 1e6
    assert plan.live_cost == pytest.approx(expected, rel=0.01)
    assert plan.overnight_cost == pytest.approx(0.4 * plan.live_cost)


def test_the_embedded_model_is_free_and_never_overnight():
    plan = varied(5_000).genai.estimate("Tone?", SCHEMA, model="local")
    assert (plan.live_cost, plan.overnight_cost, plan.suggestion) == (0.0, None, "live")
    assert (plan.chunk_size, plan.workers, plan.is_local) == (1, 1, True)
    assert plan.live_seconds > 1_000


def test_what_is_suggested():
    small, large = varied(100), varied(60_000)
    assert small.genai.estimate("Tone?", SCHEMA).suggestion == "live"
    assert large.genai.estimate("Tone?", SCHEMA).suggestion == "overnight"
    assert large.genai.estimate("Tone?", SCHEMA, max_workers=200).suggestion == "live"
    assert large.genai.estimate("Tone?", SCHEMA, base_url=NOWHERE).suggestion == "live"


@pytest.mark.parametrize("frame", ["empty", "missing", "twins", "emoji", "two_text_columns"])
def test_awkward_frames(frames, frame):
    text = ["title", "body"] if frame == "two_text_columns" else "text"
    plan = frames[frame].genai.estimate("Tone?", SCHEMA, text=text)
    assert plan.rows == len(frames[frame])
    assert "suggested: live" in str(plan)


@pytest.mark.parametrize("sample", [-1, 1.5, True, "10"])
def test_a_sample_that_is_no_number(sample):
    with pytest.raises(UsageError, match="sample= must be a whole number"):
        varied(3).genai.estimate("Tone?", SCHEMA, sample=sample)


def test_a_million_rows_in_seconds_and_little_memory():
    frame = pd.DataFrame({"text": [f"Row {number} says something." for number in range(1_000_000)]})
    before = time.process_time()
    plan = frame.genai.estimate("Tone?", SCHEMA)
    assert time.process_time() - before < 30
    assert (plan.texts, plan.suggestion) == (1_000_000, "overnight")
    tracemalloc.start()
    frame[:200_000].genai.estimate("Tone?", SCHEMA)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 40e6
