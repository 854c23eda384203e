"""Replies that are paid and of no use end a run soon; rows that are refused do not."""

from __future__ import annotations

import random
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandas_genai import RowsFailedWarning, StopRunError
from pandas_genai.testing import Fault, LoopbackProvider

BACKENDS = ["openai", "anthropic"]
SCHEMA = {"answer": str}
PROSE = "I am happy to help! The first text is rather positive."
MONEY = {"error": {"message": "You have used all that was granted.", "type": "grant_error"}}


def echo(text):
    return {"answer": text}


def right_or_failed(frame, out):
    answered = out["answer"].notna()
    assert out["answer"][answered].tolist() == frame["text"][answered].tolist()
    return int((~answered).sum())


def share(percent, seed=0):
    """A predicate that is true of so many texts in a hundred."""
    return lambda text: random.Random(f"{seed} {text}").random() * 100 < percent


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("garbage", message=PROSE), "I am happy to help!"),
        (Fault("refusal"), "refused"),
        (Fault("truncated"), "cut off"),
        (Fault("wrong_type", text=lambda text: True), "answer"),
        (Fault("error", status=400, body=MONEY), "You have used all that was granted."),
        (Fault("moderation"), "flagged by moderation"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
@pytest.mark.parametrize("chunk_size", [1, 5, 200])
def test_nothing_of_use_ever_costs_two_dozen_calls(
    extract, frame_of, backend, fault, words, chunk_size
):
    def mistyped(text):
        return {"answer": {"not": "text"}}

    rule = mistyped if fault.kind == "wrong_type" else echo
    faults = [] if fault.kind == "wrong_type" else [fault]
    options = {"backend": backend, "chunk_size": chunk_size, "max_workers": 20}
    with LoopbackProvider(rule, faults=faults) as provider:
        with pytest.raises(StopRunError, match="The first 20 rows") as caught:
            extract(frame_of(2_000), provider, SCHEMA, **options)
    assert words in str(caught.value)
    assert provider.ledger.calls <= 22


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [1, 20])
def test_replies_that_become_useless_on_the_way_end_the_run(
    extract, frame_of, backend, workers, tmp_path
):
    cache = tmp_path / "c.sqlite"
    faults = [Fault("garbage", message=PROSE, calls=range(61, 100_000))]
    options = {"backend": backend, "cache": cache, "max_workers": workers}
    with LoopbackProvider(echo, faults=faults) as provider:
        with pytest.raises(StopRunError, match=r"The last 30 rows .*I am happy to help"):
            extract(frame_of(800), provider, SCHEMA, **options)
    # The last good reply may be overtaken by a useless one of each worker.
    assert provider.ledger.calls <= 60 + 10 + 30 + 3 * workers - 1
    with LoopbackProvider(echo) as provider:
        out = extract(frame_of(800), provider, SCHEMA, **options)
    assert right_or_failed(frame_of(800), out) == 0
    assert provider.ledger.rows == 800 - 300


@pytest.mark.parametrize("kind", ["refusal", "bad_request", "wrong_type"])
def test_rows_that_are_refused_every_time_end_no_later_run(extract, frame_of, kind, tmp_path):
    frame, cache = frame_of(150), tmp_path / "c.sqlite"
    with LoopbackProvider(echo, faults=[Fault(kind, text=share(30))]) as provider:
        counts = []
        for _ in range(3):
            with pytest.warns(RowsFailedWarning):
                out = extract(frame, provider, SCHEMA, cache=cache)
            counts.append((right_or_failed(frame, out), provider.ledger.calls))
    (failed, first), (again, second), (thrice, third) = counts
    assert failed == again == thrice == sum(map(share(30), frame["text"]))
    # Alone from the start, a refused row costs one call.
    assert kind == "wrong_type" or (second - first, third - second) == (failed, failed)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(["refusal", "wrong_type", "missing", "bad_request", "moderation"]),
    percent=st.integers(0, 40),
    seed=st.integers(0, 1_000),
    chunk_size=st.integers(1, 20),
    workers=st.integers(1, 8),
)
def test_a_share_of_refused_rows_never_ends_a_run(
    extract, frame_of, kind, percent, seed, chunk_size, workers
):
    frame, bad = frame_of(120), share(percent, seed)
    options = {"chunk_size": chunk_size, "max_workers": workers}
    with LoopbackProvider(echo, faults=[Fault(kind, text=bad)]) as provider:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RowsFailedWarning)
            out = extract(frame, provider, SCHEMA, **options)
    assert out["answer"].isna().tolist() == [bad(text) for text in frame["text"]]
    right_or_failed(frame, out)
