"""What becomes of a batch as time goes by."""

from __future__ import annotations

import time as wall

import pytest

from pandas_genai.testing import BatchFault, LoopbackProvider

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def provide(length, time):
    def make(seconds=HOUR, **options):
        return LoopbackProvider(length, batch_seconds=seconds, wall_clock=time, **options)

    return make


def test_openai_goes_through_its_statuses(connect, provide, time):
    with provide() as provider:
        vendor = connect("openai", provider)
        batch = vendor.submit(vendor.bodies(*"abcdefgh"))
        seen = []
        for _ in range(13):
            shown = vendor.batches.retrieve(batch)
            counts = shown.request_counts
            seen.append((shown.status, counts.total, counts.completed, counts.failed))
            provider.advance(HOUR / 12)
    assert seen == [
        *[("validating", 0, 0, 0)] * 2,
        *[("in_progress", 8, done, 0) for done in (0, 1, 2, 3, 4, 4, 5, 6, 7)],
        ("finalizing", 8, 8, 0),
        ("completed", 8, 8, 0),
    ]
    assert shown.created_at == time.now
    assert shown.in_progress_at == time.now + 360
    assert shown.finalizing_at == time.now + 3240
    assert shown.completed_at == time.now + 3600
    assert shown.expires_at == time.now + DAY
    others = (shown.failed_at, shown.expired_at, shown.cancelling_at, shown.cancelled_at)
    assert others == (None,) * 4


def test_what_is_not_yet_is_not_told(connect, provide):
    with provide() as provider:
        vendor = connect("openai", provider)
        shown = vendor.batches.retrieve(vendor.submit(vendor.bodies("a")))
        assert (shown.in_progress_at, shown.finalizing_at, shown.output_file_id) == (None,) * 3
        assert shown.model is None
        provider.advance(HOUR / 2)
        shown = vendor.batches.retrieve(shown.id)
        assert (shown.finalizing_at, shown.completed_at, shown.output_file_id) == (None,) * 3
        assert shown.model == "gpt-6-luna"


def test_anthropic_tells_nothing_until_it_has_ended(connect, provide, time):
    with provide() as provider:
        vendor = connect("anthropic", provider)
        batch = vendor.submit(vendor.bodies(*"abc"))
        for _ in range(2):
            shown = vendor.batches.retrieve(batch)
            assert shown.processing_status == "in_progress"
            assert shown.request_counts.processing == 3
            assert (shown.ended_at, shown.results_url) == (None, None)
            assert (shown.expires_at - shown.created_at).total_seconds() == DAY
            with pytest.raises(Exception, match="no results yet") as refused:
                vendor.raw_lines(batch)
            assert refused.value.status_code == 400
            provider.advance(HOUR / 2)
        shown = vendor.batches.retrieve(batch)
    assert shown.processing_status == "ended"
    assert shown.ended_at.timestamp() == time.now + HOUR
    assert shown.request_counts.processing == 0
    assert shown.request_counts.succeeded == 3
    assert shown.results_url.endswith(f"/v1/messages/batches/{batch}/results")


def test_nothing_is_answered_before_its_time(connect, wire, provide):
    with provide() as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a", "b"))
        provider.advance(HOUR - 1)
        vendor.status(batch)
        assert provider.ledger.rows == 0
        provider.advance(1)
        assert provider.ledger.rows == 0
        vendor.batches.list()
        assert provider.ledger.answered == {"a": 1, "b": 1}


def test_the_wall_clock_counts(connect, wire, provide, time):
    with provide() as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a"))
        time.now += HOUR
        assert vendor.status(batch) in ("completed", "ended")


def test_the_real_clock_is_the_default(connect, wire, length):
    with LoopbackProvider(length) as provider:
        vendor = connect(wire, provider)
        before = int(wall.time())
        vendor.submit(vendor.bodies("a"))
        assert before <= provider.batches[0].created <= wall.time()


def test_time_does_not_go_back(provide):
    provider = provide()
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="goes forward"):
            provider.advance(seconds)


def test_a_cancelled_batch_keeps_what_was_finished(connect, wire, provide, time):
    with provide() as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*"abcdefgh"))
        provider.advance(HOUR / 2)
        shown = vendor.batches.cancel(batch)
        assert vendor.status(batch) == ("cancelling" if wire == "openai" else "canceling")
        provider.advance(HOUR / 10 - 1)
        assert vendor.status(batch) == ("cancelling" if wire == "openai" else "canceling")
        provider.advance(1)
        assert vendor.status(batch) == ("cancelled" if wire == "openai" else "ended")
        kinds = list(vendor.kinds(batch).values())
        shown = vendor.batches.retrieve(batch)
    assert (kinds.count("succeeded"), kinds.count("canceled")) == (4, 4)
    assert provider.ledger.rows == 4
    if wire == "openai":
        assert shown.cancelling_at == time.now + HOUR / 2
        assert shown.cancelled_at == time.now + HOUR * 0.6
        assert (shown.completed_at, shown.finalizing_at) == (None, None)
        assert (shown.request_counts.completed, shown.request_counts.total) == (4, 8)
    else:
        assert shown.cancel_initiated_at.timestamp() == time.now + HOUR / 2
        assert shown.request_counts.canceled == 4


def test_cancelling_shows_what_was_finished(connect, provide):
    with provide() as provider:
        vendor = connect("openai", provider)
        batch = vendor.submit(vendor.bodies(*"abcdefgh"))
        provider.advance(HOUR / 2)
        vendor.batches.cancel(batch)
        provider.advance(60)
        assert vendor.batches.retrieve(batch).request_counts.completed == 4


def test_a_batch_that_is_cancelled_before_it_begins(connect, wire, provide):
    with provide() as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a", "b"))
        vendor.batches.cancel(batch)
        provider.advance(HOUR)
        assert set(vendor.kinds(batch).values()) == {"canceled"}
    assert provider.ledger.rows == 0


def test_an_unread_file_that_is_cancelled(connect, provide):
    with provide() as provider:
        vendor = connect("openai", provider)
        good = b'{"custom_id":"a","body":{}}'
        batch = vendor.start(b"no json\n\n" + good + b"\n[]\n{}\n")
        vendor.batches.cancel(batch)
        provider.advance(HOUR)
        assert vendor.status(batch) == "cancelled"
        assert vendor.kinds(batch) == {"a": "canceled"}
        assert provider.batches[0].texts == []


def test_what_has_ended_is_not_cancelled(connect, wire, provide):
    with provide(0) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a"))
        with pytest.raises(Exception, match="cancel") as refused:
            vendor.batches.cancel(batch)
        assert refused.value.status_code == (409 if wire == "openai" else 400)
        assert vendor.kinds(batch) == {"c0": "succeeded"}


def test_cancelling_twice(connect, provide, time):
    with provide() as provider:
        openai = connect("openai", provider)
        batch = openai.submit(openai.bodies("a"))
        openai.batches.cancel(batch)
        with pytest.raises(Exception, match="status 'cancelling'"):
            openai.batches.cancel(batch)
        anthropic = connect("anthropic", provider)
        batch = anthropic.submit(anthropic.bodies("a"))
        first = anthropic.batches.cancel(batch)
        provider.advance(10)
        assert anthropic.batches.cancel(batch).cancel_initiated_at == first.cancel_initiated_at


def test_a_batch_expires_after_a_day(connect, wire, provide, time):
    with provide(2 * DAY) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*"abcdefgh"))
        provider.advance(DAY - 1)
        assert vendor.status(batch) == "in_progress"
        provider.advance(1)
        assert vendor.status(batch) == ("expired" if wire == "openai" else "ended")
        kinds = list(vendor.kinds(batch).values())
        shown = vendor.batches.retrieve(batch)
    assert (kinds.count("succeeded"), kinds.count("expired")) == (4, 4)
    assert provider.ledger.rows == 4
    if wire == "openai":
        assert shown.expired_at == shown.expires_at == time.now + DAY
        assert (shown.completed_at, shown.finalizing_at) == (None, None)
        assert shown.request_counts.completed == 4
    else:
        assert shown.request_counts.expired == 4
        assert shown.ended_at == shown.expires_at


def test_batches_end_in_the_order_of_time(connect, provide):
    answered = []
    with provide(on_request=None) as provider:
        provider.rule = lambda text: answered.append(text) or {"length": 1}
        provider.batch_faults = [BatchFault("slow", batches=[1])]
        first, second = connect("openai", provider), connect("anthropic", provider)
        first.submit(first.bodies("slow"))
        second.submit(second.bodies("quick"))
        provider.advance(DAY)
        assert [batch.status for batch in provider.batches] == ["completed", "ended"]
    assert answered == ["quick", "slow"]
