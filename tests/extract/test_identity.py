"""Paid once: what counts as the same question of the same row."""

from __future__ import annotations

import pandas as pd
import pytest

from pandas_genai import RowsFailedWarning
from pandas_genai.clock import Clock
from pandas_genai.testing import Fault, LoopbackProvider


def echo(text):
    return {"answer": text}


def tone(text):
    return {"label": "good"}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache.sqlite"


def test_the_second_run_asks_nothing(extract, frame_of, cache):
    with LoopbackProvider(echo) as provider:
        first = extract(frame_of(30), provider, {"answer": str}, cache=cache)
        calls = provider.ledger.calls
        second = extract(frame_of(30), provider, {"answer": str}, cache=cache)
    assert provider.ledger.calls == calls
    pd.testing.assert_frame_equal(first, second, check_flags=False)
    assert second.genai.report.cached == 30
    assert second.genai.report.calls == 0


def test_a_full_cache_needs_no_key_and_no_provider(extract, frame_of, cache):
    with LoopbackProvider(echo) as provider:
        extract(frame_of(5), provider, {"answer": str}, cache=cache)
    out = extract(frame_of(5), provider, {"answer": str}, cache=cache, api_key=None)
    assert out["answer"].notna().all()


def test_order_ids_and_index_are_irrelevant(extract, frame_of, cache):
    frame = frame_of(30)
    with LoopbackProvider(echo) as provider:
        extract(frame, provider, {"answer": str}, cache=cache)
        shuffled = frame.sample(frac=1, random_state=1).set_axis(range(100, 130))
        out = extract(shuffled, provider, {"answer": str}, cache=cache)
    assert provider.ledger.rows == 30
    assert out["answer"].tolist() == shuffled["text"].tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "Another prompt."},
        {"schema": ["good", "bad", "neither"]},
        {"schema": ["bad", "good"]},
        {"model": "gpt-5.4-mini"},
        {"params": {"max_tokens": 4000}},
        {"backend": "anthropic"},
    ],
)
def test_every_part_of_the_task_makes_it_another(extract, frame_of, cache, change):
    base = {"schema": ["good", "bad"], "cache": cache}
    with LoopbackProvider(tone) as provider:
        extract(frame_of(4), provider, **base)
        extract(frame_of(4), provider, **{**base, **change})
        assert provider.ledger.rows == 8
        extract(frame_of(4), provider, **base)
        extract(frame_of(4), provider, **{**base, **change})
    assert provider.ledger.rows == 8


def test_ports_and_chunk_sizes_do_not_count(extract, frame_of, cache):
    with LoopbackProvider(tone) as provider:
        extract(frame_of(4), provider, cache=cache)
    with LoopbackProvider(tone) as other:
        extract(frame_of(4), other, cache=cache, chunk_size=2, max_workers=1)
    assert other.ledger.calls == 0


def test_a_changed_text_is_another_row(extract, cache):
    with LoopbackProvider(echo) as provider:
        extract(pd.DataFrame({"text": ["a", "b"]}), provider, {"answer": str}, cache=cache)
        extract(pd.DataFrame({"text": ["a", "b "]}), provider, {"answer": str}, cache=cache)
    assert provider.ledger.answered == {"a": 1, "b": 1, "b ": 1}


def test_fresh_asks_again_and_overwrites(extract, frame_of, cache):
    answers = {"value": "first"}
    with LoopbackProvider(lambda text: {"answer": answers["value"]}) as provider:
        extract(frame_of(6), provider, {"answer": str}, cache=cache)
        answers["value"] = "second"
        out = extract(frame_of(6), provider, {"answer": str}, cache=cache, fresh=True)
        assert set(out["answer"]) == {"second"}
        again = extract(frame_of(6), provider, {"answer": str}, cache=cache)
    assert set(again["answer"]) == {"second"}
    assert provider.ledger.rows == 12


def test_a_row_that_fails_when_asked_fresh_does_not_show_its_old_answer(extract, frame_of, cache):
    with LoopbackProvider(echo) as provider:
        extract(frame_of(6), provider, {"answer": str}, cache=cache)
    faults = [Fault("refusal", text="row 2")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.warns(RowsFailedWarning):
        out = extract(frame_of(6), provider, {"answer": str}, cache=cache, fresh=True)
    assert out["answer"].isna().tolist() == [number == 2 for number in range(6)]


def test_failed_rows_are_asked_again_by_the_next_run(extract, frame_of, cache):
    faults = [Fault("refusal", text="row 2")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.warns(RowsFailedWarning):
        extract(frame_of(6), provider, {"answer": str}, cache=cache)
    with LoopbackProvider(echo) as provider:
        out = extract(frame_of(6), provider, {"answer": str}, cache=cache)
    assert provider.ledger.answered == {"row 2": 1}
    assert out["answer"].notna().all()


def test_what_another_kernel_answered_meanwhile_is_not_asked(extract, frame_of, cache):
    """The second run starts while the first is under way, which finds its answers.

    It asks whatever the first has leased (``fresh``): without that, it would wait for the call
    from which it is started here.
    """

    class Shifted(Clock):
        shift = 0.0

        def monotonic(self):
            return super().monotonic() + self.shift

    frame, clock = frame_of(50), Shifted()
    with LoopbackProvider(echo) as other, LoopbackProvider(echo) as provider:
        started = []

        def first_call(text):
            if not started:
                started.append(True)
                extract(frame, other, {"answer": str}, cache=cache, fresh=True)
                clock.shift = 1.0  # however fast that was, it is worth another look
            return echo(text)

        provider.rule = first_call
        out = extract(frame, provider, {"answer": str}, cache=cache, clock=clock)
    assert other.ledger.rows == 50
    assert provider.ledger.calls == 1
    assert out["answer"].tolist() == frame["text"].tolist()


def test_memory_only_writes_no_file(extract, frame_of, tmp_path):
    with LoopbackProvider(echo) as provider:
        out = extract(frame_of(6), provider, {"answer": str}, cache=False)
    assert out["answer"].notna().all()
    assert list(tmp_path.iterdir()) == []
