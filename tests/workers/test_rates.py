"""Limits a minute: 95 % and more is used after the first minute, and at most 1 % is refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import UsageError
from pandas_genai.backends.rate_headers import SeenLimit
from pandas_genai.backends.registry import backend_named
from pandas_genai.clock import Clock
from pandas_genai.options import RunOptions
from pandas_genai.store import SqliteCache
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import TextInput
from pandas_genai.task.reply import Usage
from pandas_genai.testing import LoopbackProvider
from pandas_genai.workers.rate_limiter import RateLimiter
from pandas_genai.workers.rates import TokenEstimate

sys.path.insert(0, str(Path(__file__).parent))  # for what these tests and a benchmark share
from rate_run import asked, rate_run
from virtual_clock import HastyClock, VirtualClock

BACKENDS = ("openai", "anthropic")


def check(use):
    assert use.used >= 0.95
    assert use.refused <= 0.01
    assert min(use.minutes[1:]) >= 0.9 * max(use.minutes[1:])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_a_stated_limit_of_60_is_used_and_kept(backend, kind):
    check(rate_run(60, backend=backend, kind=kind))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stated_limit_of_600_is_used_and_kept(backend):
    check(rate_run(600, 2.2, backend=backend, clock_type=HastyClock, latency=0))


@pytest.mark.parametrize(
    "backend", ["openai", pytest.param("anthropic", marks=pytest.mark.campaign)]
)
def test_large_also_where_calls_take_their_time(backend):
    check(rate_run(600, 3, backend=backend))


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        pytest.param("openai", "tokens", marks=pytest.mark.campaign),
        ("anthropic", "requests"),
    ],
)
def test_large_a_stated_limit_of_6000_is_used_and_kept(backend, kind):
    options = {"clock_type": HastyClock, "latency": 0, "max_workers": 64}
    check(rate_run(6_000, 2.2, backend=backend, kind=kind, **options))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("limit_kind", ["fixed", "sliding"])
def test_so_is_one_that_is_kept_in_windows(backend, limit_kind):
    check(rate_run(60, 5, backend=backend, provider={"limit_kind": limit_kind}))


@pytest.mark.parametrize("limit_kind", ["bucket", "fixed", "sliding"])
def test_a_set_limit_needs_no_headers(limit_kind):
    use = rate_run(60, stated=False, provider={"limit_kind": limit_kind}, rpm=60)
    check(use)
    assert "s for the limit of 60 requests a minute (rpm=)." in use.report.message


def test_a_set_limit_of_tokens_counts_what_calls_took():
    use = rate_run(60, kind="tokens", stated=False, tpm=3_000)
    took = use.report.input_tokens + use.report.output_tokens
    minutes = use.calls / (sum(use.minutes[1:]) / (len(use.minutes) - 1))
    assert 0.93 * 3_000 <= took / minutes <= 3_000
    assert use.refused == 0


def test_the_lower_of_both_counts():
    use = rate_run(60, 2, rpm=30)
    assert sum(use.minutes) <= 30 * len(use.minutes) + 1
    use = rate_run(60, 3, rpm=5_000)
    check(use)
    assert "60 requests a minute (the provider states it)" in use.report.message


@pytest.mark.parametrize("latency", [0.0, 5.0, 30.0])
def test_however_long_calls_take(latency):
    use = rate_run(60, 6, latency=latency, max_workers=max(8, int(3 * latency)))
    assert use.used >= 0.95
    assert use.refused <= 0.01


@pytest.mark.parametrize(("stated", "runs"), [(True, 4), (False, 2)])
def test_runs_on_one_store_share_a_limit(tmp_path, stated, runs):
    cache, rpm = str(tmp_path / "c.sqlite"), None if stated else 60
    use = rate_run(60, 4, runs=runs, stated=stated, rpm=rpm, cache=cache)
    assert use.used >= 0.95
    assert use.refused <= 0.01


PROCESS = """
import sys
import pandas as pd
from pandas_genai.backends.resolve import Question
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.task.task import Task

url, cache, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
texts = [f"The row of the number {start + number:06}." for number in range(60)]
question = Question(Task("Tone?", {"tone": ["good", "bad"]}), url, "k")
options = RunOptions(cache=cache, chunk_size=1, rpm=900)
Extraction(question, texts, pd.RangeIndex(60), options).run()
"""


def test_processes_on_one_store_share_a_limit(tmp_path):
    rule, calls = (lambda text: {"tone": "good"}), []
    times, clock = [], Clock()

    def answered(request, response):
        times.append(clock.monotonic())
        return response

    with LoopbackProvider(
        rule, dialect="bare", requests_per_minute=900, on_response=answered
    ) as provider:
        command = [sys.executable, "-c", PROCESS, provider.openai_url, str(tmp_path / "c.sqlite")]
        processes = [subprocess.Popen([*command, str(start)]) for start in (0, 1_000)]
        assert [process.wait(120) for process in processes] == [0, 0]
        calls = [request.status for request in provider.ledger.requests]
    assert calls.count(429) <= 1
    assert calls.count(200) == 120
    # One process would take 60 / 14.7 s alone, two as much together as one for all.
    assert max(times) - min(times) >= (120 - 20) / 15


# What a provider may state


def headers_of(backend, kind="requests", limit="600", remaining="0", reset="60s"):
    if backend == "openai":
        parts = {"limit": limit, "remaining": remaining, "reset": reset}
        return {f"x-ratelimit-{part}-{kind}": value for part, value in parts.items()}
    parts = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"anthropic-ratelimit-{kind}-{part}": value for part, value in parts.items()}


@pytest.mark.parametrize(
    "stated",
    [
        {"limit": "1", "remaining": "0", "reset": "60s"},
        {"limit": "600", "remaining": "0", "reset": "30s"},
        {"limit": "600", "remaining": "0", "reset": "1h"},
        {"limit": "600", "remaining": "0", "reset": ""},
        {"limit": "0", "remaining": "0", "reset": "0s"},
        {"limit": "nan", "remaining": "-1", "reset": "soon"},
        {"limit": "600", "remaining": "1e400", "reset": "9" * 50 + "s"},
    ],
)
def test_a_wrong_header_never_stalls_a_run(stated):
    def lying(request, response):
        response.headers = {**response.headers, **headers_of("openai", **stated)}
        return response

    with VirtualClock() as clock:
        start = clock.monotonic()
        texts = [f"row {number}" for number in range(150)]
        with LoopbackProvider(lambda text: {"tone": "good"}, on_response=lying) as provider:
            (frame,) = asked(provider, texts, "openai", clock, 1, {"max_workers": 8})
        assert frame["tone"].notna().all()
        assert clock.monotonic() - start <= 240
        if clock.monotonic() - start > 2:
            assert "limit of 600 requests a minute" in frame.genai.report.message


@given(
    st.sampled_from(BACKENDS),
    st.dictionaries(
        st.sampled_from(
            [
                f"{start}{middle}{end}"
                for start, middles, ends in (
                    ("x-ratelimit-", ["limit-", "remaining-", "reset-"], ["requests", "tokens"]),
                    (
                        "anthropic-ratelimit-",
                        ["requests-", "tokens-", "input-tokens-", "output-tokens-"],
                        ["limit", "remaining", "reset"],
                    ),
                )
                for middle in middles
                for end in ends
            ]
            + ["date"]
        ),
        st.one_of(
            st.text(max_size=30),
            st.integers(-5, 10**15).map(str),
            st.floats().map(str),
            st.sampled_from(["6m0s", "1.5s", "2ms", "2026-11-01T10:00:30Z", "", "Infinity"]),
            st.just("Sun, 01 Nov 2026 10:00:00 GMT"),
        ),
    ),
)
def test_any_headers_are_read(backend, headers):
    for seen in backend_named(backend).rate_limits(headers):
        assert 0 < seen.per_minute <= 1e12
        assert 0 <= seen.remaining <= seen.per_minute
        assert seen.reset_s is None or seen.reset_s >= 0


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_both_vendors_headers_are_read(kind):
    found = headers_of("openai", kind, "600", "599", "1m0.5s")
    assert backend_named("openai").rate_limits(found) == (SeenLimit(kind, 600, 599, 60.5),)
    found = headers_of("anthropic", f"input-{kind}", "600", "599", "2026-11-01T10:00:30Z")
    found["date"] = "Sun, 01 Nov 2026 10:00:00 GMT"
    expected = () if kind == "requests" else (SeenLimit("input_tokens", 600, 599, 30),)
    assert backend_named("anthropic").rate_limits(found) == expected


# The limiter alone


class Hands(Clock):
    """Waits by moving its hands."""

    def __init__(self):
        self.time, self.looks = 100.0, 0

    def monotonic(self):
        self.looks += 1
        return self.time

    def wait(self, stop, seconds):
        assert 0 < seconds <= 60
        self.time += seconds
        return stop.is_set()


def chunk(name):
    return Chunk((Row(name, name, TextInput(name), 0),))


def limiter_of(clock, cache, limits=None, usage=Usage(100, 0, 0, 20), **options):  # noqa: B008
    estimate = TokenEstimate(lambda chunk: usage, cached_count=options.pop("cached_count", True))
    return RateLimiter(
        8,
        clock,
        opened=True,
        limits=limits,
        estimate=estimate,
        open_blocks=lambda: cache.rate("limit", clock.monotonic),
        **options,
    )


def test_without_a_limit_nothing_isasked():
    clock, stop = Hands(), threading.Event()
    limiter = RateLimiter(8, clock, opened=True, open_blocks=lambda: pytest.fail("opened"))
    for number in range(10):
        assert limiter.may_send(chunk(str(number)), stop)
    assert clock.looks == 0
    stop.set()
    assert not limiter.may_send(chunk("a"), stop)


def test_no_trip_to_the_store_for_each_call():
    clock, stop, trips = Hands(), threading.Event(), []

    class Counted:
        def __init__(self, inner):
            self.inner = inner

        def take(self, flows):
            trips.append(flows)
            return self.inner.take(flows)

    with SqliteCache(None) as cache:
        limiter = RateLimiter(
            8,
            clock,
            opened=True,
            limits={"rpm": 6_000},
            open_blocks=lambda: Counted(cache.rate("limit", clock.monotonic)),
        )
        for number in range(1_000):
            assert limiter.may_send(chunk(str(number)), stop)
    assert 9 <= clock.time - 100 <= 10.5
    assert len(trips) <= 1_000 / 8


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 10_000),
    st.lists(
        st.tuples(st.floats(0, 20_000), st.floats(0, 20_000), st.none() | st.floats(0, 1e6)),
        min_size=1,
        max_size=25,
    ),
)
def test_no_statement_makes_a_call_wait_for_long(first, stated):
    clock, stop = Hands(), threading.Event()
    with SqliteCache(None) as cache:
        limiter = limiter_of(clock, cache)
        limiter.see(chunk("a"), [SeenLimit("tokens", first, first, 1.0)])
        for number, (limit, remaining, reset) in enumerate(stated):
            one, before = chunk(str(number)), clock.time
            assert limiter.may_send(one, stop)
            assert clock.time - before <= 190
            if limit:
                seen = SeenLimit("requests", limit, min(remaining, limit), reset)
                limiter.see(one, [seen, seen._replace(kind="tokens")])
            limiter.used(one, Usage(number * 10, 0, 0, number))
            limiter.end(one)


def test_what_anthropic_reads_from_its_cache_does_not_count():
    usage = Usage(1_000, 900, 0, 20)
    estimate = TokenEstimate(lambda chunk: Usage(500, 0, 0, 50), cached_count=False)
    before = estimate.of(chunk("a"))
    assert (before.of("input_tokens"), before.of("output_tokens")) == (500, 50)
    took = estimate.learn(chunk("a"), usage)
    assert took.of("tokens") == 120
    after = estimate.of(chunk("b"))
    assert (after.of("input_tokens"), after.of("output_tokens")) == (100, 20)
    counting = TokenEstimate(lambda chunk: Usage(500, 0, 0, 50), cached_count=True)
    assert counting.learn(chunk("a"), usage).of("tokens") == 1_020


def test_stop_ends_the_waiting_of_all_workers():
    stop, ended = threading.Event(), []
    with SqliteCache(None) as cache:
        limiter = RateLimiter(
            8, Clock(), opened=True, limits={"rpm": 1}, open_blocks=lambda: cache.rate("limit")
        )
        assert limiter.may_send(chunk("first"), stop)
        threads = [
            threading.Thread(target=lambda: ended.append(limiter.may_send(chunk("x"), stop)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        stop.set()
        for thread in threads:
            thread.join(10)
    assert ended == [False] * 8


@pytest.mark.parametrize("name", ["rpm", "tpm"])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "60", float("nan")])
def test_a_limit_is_a_whole_number(name, wrong):
    with pytest.raises(UsageError, match=f"{name}= must be a whole number of at least 1"):
        RunOptions(**{name: wrong})
