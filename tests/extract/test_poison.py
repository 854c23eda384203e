"""One text that fails every request it is in: alone it fails, and it never ends a run."""

from __future__ import annotations

import contextlib
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandas_genai import RowsFailedWarning, StopRunError
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.testing import Fault, LoopbackProvider

BACKENDS = ["openai", "anthropic"]
SCHEMA = {"answer": str}
ATTEMPTS = 5

AZURE = {
    "error": {
        "message": "The response was filtered.",
        "code": "content_filter",
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}
FASTAPI = {"detail": [{"loc": ["body", 1], "msg": "no such text"}]}


def in_a_200(**error):
    choice = {"index": 0, "finish_reason": "error", "error": error, "message": {"content": "{"}}
    return {"status": 200, "body": {"id": "x", "model": "m", "choices": [choice]}}


POISON = {
    "server error": ("server_error", {}, "server error"),
    "unavailable": ("overloaded", {}, "server error"),
    "reset": ("reset", {}, "connection"),
    "page": ("html", {}, "invalid reply"),
    "too many tokens": ("too_large", {}, "request too large"),
    "moderation": ("moderation", {}, "content filter"),
    "too long": ("context_length", {}, "bad request"),
    "bad request": ("bad_request", {}, "bad request"),
    "Azure's filter": ("error", {"status": 400, "body": AZURE}, "content filter"),
    "FastAPI": ("error", {"status": 422, "body": FASTAPI}, "bad request"),
    "refusal": ("refusal", {}, "refusal"),
    "garbage": ("garbage", {}, "invalid reply"),
    "500 in a 200": ("error", in_a_200(code=500, message="It broke."), "server error"),
    "403 in a 200": (
        "error",
        in_a_200(code=403, message="Input flagged by moderation"),
        "content filter",
    ),
}


def echo(text):
    return {"answer": text}


def quietly(extract, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        return extract(*arguments, **options)


def poison(name, text):
    kind, options, _ = POISON[name]
    return Fault(kind, text=text, **options)


def exactly(*names):
    return lambda text: text in names


def check(frame, out, reasons):
    """Every row is right, but the poison, which has its reason."""
    right = [None if text in reasons else text for text in frame["text"]]
    assert [None if value != value else value for value in out["answer"]] == right
    failed = out.genai.errors["reason"]
    assert dict(zip(frame["text"][failed.index], failed, strict=True)) == reasons


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", POISON)
def test_eleven_of_twelve_and_again_at_every_later_run(extract, frame_of, backend, name, tmp_path):
    frame, cache = frame_of(12), tmp_path / "c.sqlite"
    faults = [poison(name, exactly("row 7"))]
    reasons = {"row 7": POISON[name][2]}
    with LoopbackProvider(echo, faults=faults) as provider:
        for run in range(3):
            before = provider.ledger.calls
            out = quietly(extract, frame, provider, SCHEMA, backend=backend, cache=cache)
            check(frame, out, reasons)
            calls = provider.ledger.calls - before
            assert calls <= (3 + 5 + 3 * ATTEMPTS if run == 0 else 4)
            alone = provider.ledger.sent["row 7"]
        # What an earlier run left behind goes out alone: nobody else pays for it.
        assert sum(provider.ledger.answered.values()) == 11
        more = frame_of(30)
        before = provider.ledger.calls
        out = quietly(extract, more, provider, SCHEMA, backend=backend, cache=cache)
    check(more, out, reasons)
    assert provider.ledger.calls - before <= 4 + 4
    assert provider.ledger.sent["row 7"] - alone <= 4


@pytest.mark.parametrize("name", ["server error", "too many tokens", "moderation", "garbage"])
@pytest.mark.parametrize("chunk_size", [1, 12])
def test_a_poison_row_in_the_first_call_of_all(extract, frame_of, name, chunk_size):
    frame = frame_of(12)
    with LoopbackProvider(echo, faults=[poison(name, exactly("row 0"))]) as provider:
        out = quietly(extract, frame, provider, SCHEMA, chunk_size=chunk_size)
    check(frame, out, {"row 0": POISON[name][2]})


def test_many_rows_that_nothing_answers_come_back_as_failures_every_time(
    extract, frame_of, tmp_path
):
    frame, cache = frame_of(60), tmp_path / "c.sqlite"
    # Few enough that the first four calls, whose order is drawn, hardly ever hold one each.
    dead = {f"row {number}" for number in range(0, 60, 12)}
    faults = [poison("server error", dead.__contains__)]
    with LoopbackProvider(echo, faults=faults) as provider:
        for _ in range(3):
            out = quietly(extract, frame, provider, SCHEMA, cache=cache, max_workers=3)
            check(frame, out, dict.fromkeys(dead, "server error"))
            calls, endpoints = provider.ledger.calls, Endpoints()
        quietly(extract, frame, provider, SCHEMA, cache=cache, endpoints=endpoints)
        assert provider.ledger.calls - calls <= 2 * len(dead)


def test_a_row_that_recovers_is_answered_by_the_next_run(extract, frame_of, tmp_path):
    frame, cache = frame_of(12), tmp_path / "c.sqlite"
    with LoopbackProvider(echo, faults=[poison("server error", exactly("row 3"))]) as provider:
        quietly(extract, frame, provider, SCHEMA, cache=cache)
    with LoopbackProvider(echo) as provider:
        check(frame, extract(frame, provider, SCHEMA, cache=cache), {})
    assert provider.ledger.calls == 1


@pytest.mark.parametrize("workers", [1, 20])
@pytest.mark.parametrize("rows", [1, 12, 2_000])
@pytest.mark.parametrize("kind", ["server_error", "rate_limit", "reset"])
def test_a_provider_that_is_down_from_the_start_costs_few_requests(
    extract, frame_of, kind, rows, workers
):
    with LoopbackProvider(echo, faults=[Fault(kind)]) as provider:
        with pytest.raises(StopRunError, match=r"^The (only|first).* call"):
            extract(frame_of(rows), provider, SCHEMA, max_workers=workers)
    assert provider.ledger.calls <= ATTEMPTS + 3 * 2


@pytest.mark.parametrize("workers", [1, 8])
def test_a_provider_that_goes_down_near_the_end_costs_few_requests(
    extract, frame_of, workers, tmp_path
):
    frame, cache = frame_of(200), tmp_path / "c.sqlite"
    faults = [Fault("server_error", calls=range(31, 100_000))]
    with LoopbackProvider(echo, faults=faults) as provider:
        # Ten new chunks are left: what fails is the run, or, of the last, the rows.
        with contextlib.suppress(StopRunError):
            quietly(extract, frame, provider, SCHEMA, cache=cache, max_workers=workers)
    assert provider.ledger.calls <= 30 + ATTEMPTS * (10 + 2 * workers)
    with LoopbackProvider(echo) as provider:
        check(frame, extract(frame, provider, SCHEMA, cache=cache), {})


@settings(
    max_examples=6,  # ten times as many in a campaign
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    poisoned=st.dictionaries(st.integers(0, 59), st.sampled_from(sorted(POISON)), max_size=6),
    chunk_size=st.integers(1, 60),
    workers=st.integers(1, 8),
    backend=st.sampled_from(BACKENDS),
)
def test_drawn_poison_takes_no_neighbour_along(
    extract, frame_of, poisoned, chunk_size, workers, backend
):
    frame = frame_of(60)
    faults = [poison(name, exactly(f"row {number}")) for number, name in poisoned.items()]
    reasons = {f"row {number}": POISON[name][2] for number, name in poisoned.items()}
    options = {"backend": backend, "chunk_size": chunk_size, "max_workers": workers}
    with LoopbackProvider(echo, faults=faults) as provider:
        out = quietly(extract, frame, provider, SCHEMA, **options)
    check(frame, out, reasons)
    # Each poison row costs its chunk and two smaller ones all their attempts, and splits that
    # chunk three times into at most as many pieces as it has rows.
    chunks = -(-60 // chunk_size)
    assert provider.ledger.calls <= chunks + len(poisoned) * (3 * ATTEMPTS + 2 * chunk_size + 4)
