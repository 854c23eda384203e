"""Right rows and no needless money whatever the provider does."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

from pandas_genai import RowsFailedWarning, StopRunError
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.testing import Fault, LoopbackProvider

BACKENDS = ["openai", "anthropic"]


def echo(text):
    return {"answer": text}


SCHEMA = {"answer": str}


def all_right(frame, out):
    return out["answer"].tolist() == frame["text"].tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_thousands_of_rows_through_every_fault(extract, frame_of, backend, tmp_path):
    faults = [
        Fault("rate_limit", rate=0.05, retry_after=1),
        Fault("server_error", rate=0.03),
        Fault("reset", rate=0.02),
        Fault("garbage", rate=0.02),
        Fault("missing", rate=0.02),
        Fault("doubled", rate=0.01),
        Fault("invented", rate=0.01),
        Fault("truncated", rate=0.01),
    ]
    frame = frame_of(3_000)

    def latency(number, random):
        return random.uniform(0, 0.003)

    cache = tmp_path / "c.sqlite"
    with LoopbackProvider(echo, faults=faults, latency=latency, seed=7) as provider:
        out = _quietly(extract, frame, provider, SCHEMA, backend=backend, cache=cache)
        answered = out["answer"].notna()
        assert all_right(frame[answered], out[answered])
        # Four bad replies in a row to the same row leave one row in every tenth run or so.
        assert out.genai.report.failed == len(out.genai.errors) <= 2
        assert out.genai.report.retries > 0
        while out["answer"].isna().any():
            out = _quietly(extract, frame, provider, SCHEMA, backend=backend, cache=cache)
    assert all_right(frame, out)
    assert sum(provider.ledger.answered.values()) <= 1.2 * len(frame)


def _quietly(extract, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        return extract(*arguments, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["garbage", "missing", "doubled", "invented", "truncated"])
def test_a_bad_reply_costs_its_own_rows_only(extract, frame_of, backend, kind):
    frame = frame_of(20)
    with LoopbackProvider(echo, faults=[Fault(kind, calls={2})]) as provider:
        out = extract(frame, provider, SCHEMA, backend=backend, max_workers=2)
    assert all_right(frame, out)
    most_again = {"missing": 1, "doubled": 1, "invented": 1}.get(kind, 5)
    assert provider.ledger.rows <= 20 + 5
    assert sum(provider.ledger.sent.values()) <= 20 + most_again


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("bad_request", "bad request"),
        ("context_length", "bad request"),
        ("refusal", "refusal"),
        ("garbage", "invalid reply"),
        ("truncated", "truncated"),
        ("wrong_type", "invalid answer"),
    ],
)
def test_one_bad_row_never_takes_its_neighbours_along(extract, frame_of, backend, kind, reason):
    frame = frame_of(15)
    faults = [Fault(kind, text="row 11")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.warns(RowsFailedWarning):
        out = extract(frame, provider, SCHEMA, backend=backend)
    assert out["answer"].isna().tolist() == [number == 11 for number in range(15)]
    assert out.genai.errors["reason"].tolist() == [reason]


@pytest.mark.parametrize(
    ("kind", "most"),
    [("refusal", 1), ("truncated", 1), ("bad_request", 1), ("garbage", 4), ("missing", 4)],
)
def test_how_often_a_row_alone_is_asked(extract, kind, most):
    frame = pd.DataFrame({"text": ["poison"]})
    faults = [Fault(kind, text="poison")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.warns(RowsFailedWarning):
        out = extract(frame, provider, SCHEMA)
    assert provider.ledger.calls == most
    assert out.genai.errors["attempts"].tolist() == [most]


@pytest.mark.parametrize("kind", ["truncated", "refusal", "bad_request"])
def test_a_row_that_is_alone_for_another_reason_gets_another_chance(extract, frame_of, kind):
    """Left out of the first reply, it is asked alone; one bad answer there is bad luck."""
    faults = [Fault("missing", calls={1}), Fault(kind, calls={2})]
    with LoopbackProvider(echo, faults=faults) as provider:
        out = extract(frame_of(5), provider, SCHEMA)
    assert all_right(frame_of(5), out)
    assert provider.ledger.calls == 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "kind",
    ["rate_limit", "server_error", "overloaded", "timeout_408", "conflict", "reset", "html"],
)
def test_what_waiting_mends_is_asked_again(extract, frame_of, clock, backend, kind):
    frame = frame_of(10)
    with LoopbackProvider(echo, faults=[Fault(kind, times=3)]) as provider:
        out = extract(frame, provider, SCHEMA, backend=backend)
    assert all_right(frame, out)
    assert provider.ledger.calls == 2 + 3
    assert out.genai.report.retries == 3
    assert all(2 <= wait <= 30 or kind == "rate_limit" for wait in clock.waits)


def test_retry_after_is_obeyed_by_all_workers(extract, frame_of, clock):
    faults = [Fault("rate_limit", calls={5}, retry_after=40)]
    with LoopbackProvider(echo, faults=faults) as provider:
        extract(frame_of(100), provider, SCHEMA, max_workers=4)
    assert clock.time >= 40


def test_an_error_in_a_200_is_an_error(extract, frame_of):
    frame = frame_of(10)
    with LoopbackProvider(echo, faults=[Fault("error_200", times=2)]) as provider:
        out = extract(frame, provider, SCHEMA)
    assert all_right(frame, out)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bad_key_costs_one_request(extract, frame_of, backend, tmp_path):
    with LoopbackProvider(echo, keys={"right"}) as provider:
        with pytest.raises(StopRunError, match="key was not accepted"):
            extract(frame_of(500), provider, SCHEMA, backend=backend, api_key="sk-wrong-key")
    assert provider.ledger.calls == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unknown_model_costs_one_request(extract, frame_of, backend):
    with LoopbackProvider(echo, models={"a-model"}) as provider:
        with pytest.raises(StopRunError, match="no such model"):
            extract(frame_of(500), provider, SCHEMA, backend=backend, model="another")
    assert provider.ledger.calls == 1


@pytest.mark.parametrize("kind", ["insufficient_quota", "payment_required", "forbidden"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_without_money_the_run_stops_and_keeps_what_it_has(
    extract, frame_of, backend, kind, tmp_path
):
    frame, cache = frame_of(200), tmp_path / "c.sqlite"
    broke = [Fault(kind, calls=set(range(11, 10_000)))]
    with LoopbackProvider(echo, faults=broke) as provider:
        with pytest.raises(StopRunError) as caught:
            extract(frame, provider, SCHEMA, backend=backend, cache=cache, max_workers=2)
        assert "\n" not in str(caught.value)
        assert provider.ledger.calls <= 13
    with LoopbackProvider(echo) as provider:
        out = extract(frame, provider, SCHEMA, backend=backend, cache=cache)
    assert all_right(frame, out)
    assert provider.ledger.rows == 200 - 50


def test_the_first_call_goes_out_alone(extract, frame_of):
    endpoints = Endpoints()
    hanging = [Fault("hang", calls={1})]
    with LoopbackProvider(echo, faults=hanging, latency=0.01) as provider:
        import threading

        def run():
            extract(frame_of(100), provider, SCHEMA, endpoints=endpoints)

        thread = threading.Thread(target=run)
        thread.start()
        provider.wait_for_in_flight(1, timeout=20)
        assert provider.ledger.calls == 1
        provider.release()
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert provider.ledger.most_in_flight > 1


def test_not_alone_once_the_endpoint_answered(extract, frame_of):
    endpoints = Endpoints()
    with LoopbackProvider(echo) as provider:
        extract(frame_of(5), provider, SCHEMA, endpoints=endpoints)
        before = provider.ledger.most_in_flight
        assert before == 1
        provider.latency = 0.05
        extract(frame_of(100, "other"), provider, SCHEMA, endpoints=endpoints, prompt="Other?")
    assert provider.ledger.most_in_flight > 1


def test_a_dead_provider_stops_the_run_at_its_first_call(extract, frame_of):
    with LoopbackProvider(echo) as provider:
        pass
    with pytest.raises(StopRunError, match="could not be reached"):
        extract(frame_of(100), provider, SCHEMA)


def test_a_provider_that_dies_on_the_way_stops_the_run(extract, frame_of, tmp_path):
    faults = [Fault("server_error", calls=set(range(21, 100_000)))]
    cache = tmp_path / "c.sqlite"
    with LoopbackProvider(echo, faults=faults) as provider:
        with pytest.raises(StopRunError, match="calls in a row failed"):
            extract(frame_of(1_000), provider, SCHEMA, cache=cache)
    assert provider.ledger.calls < 20 + 200
    with LoopbackProvider(echo) as provider:
        extract(frame_of(1_000), provider, SCHEMA, cache=cache)
    assert provider.ledger.rows <= 1_000 - 95


def test_a_request_that_is_refused_for_every_row_stops_the_run(extract, frame_of):
    with LoopbackProvider(echo, faults=[Fault("bad_request", rate=1.0)]) as provider:
        with pytest.raises(StopRunError, match="refused"):
            extract(frame_of(1_000), provider, SCHEMA)
    assert provider.ledger.calls < 40


def test_a_few_rows_that_are_all_refused_are_failures(extract, frame_of):
    with LoopbackProvider(echo, faults=[Fault("bad_request", rate=1.0)]) as provider:
        with pytest.warns(RowsFailedWarning):
            out = extract(frame_of(4), provider, SCHEMA)
    assert out["answer"].isna().all()


def test_a_provider_that_asks_to_come_back_tomorrow_stops_the_run(extract, frame_of):
    faults = [Fault("rate_limit", calls={3}, retry_after=86_400)]
    with LoopbackProvider(echo, faults=faults) as provider:
        with pytest.raises(StopRunError, match=r"24\.0 hours"):
            extract(frame_of(100), provider, SCHEMA, max_workers=1)
