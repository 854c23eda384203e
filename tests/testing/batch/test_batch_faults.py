"""Faults of whole batches and of the lines of their results."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from pandas_genai.testing import BatchFault, Fault, LoopbackProvider

DAY = 86_400.0


def provider_with(rule, *kinds, **options):
    faults = [BatchFault(kind) if isinstance(kind, str) else kind for kind in kinds]
    return LoopbackProvider(rule, batch_faults=faults, **options)


@pytest.mark.parametrize(
    ("kind", "code"), [("validation", "invalid_json_line"), ("token_limit", "token_limit_exceeded")]
)
def test_openai_fails_while_validating(connect, length, time, kind, code):
    options = {"batch_seconds": 100, "wall_clock": time}
    with provider_with(length, BatchFault(kind, message="why"), **options) as provider:
        vendor = connect("openai", provider)
        batch = vendor.submit(vendor.bodies("a"))
        assert vendor.status(batch) == "validating"
        provider.advance(10)
        shown = vendor.batches.retrieve(batch)
    assert shown.status == "failed"
    assert [(error.code, error.message) for error in shown.errors.data] == [(code, "why")]
    assert (shown.output_file_id, shown.error_file_id) == (None, None)
    assert shown.failed_at == time.now + 10
    assert provider.ledger.rows == 0


def test_the_messages_of_openais_faults(connect, length):
    with provider_with(length, BatchFault("token_limit", batches=[1]), "validation") as provider:
        vendor = connect("openai", provider)
        for line in (None, 1):
            batch = vendor.batches.retrieve(vendor.submit(vendor.bodies("a")))
            [error] = batch.errors.data
            assert error.message
            assert error.line in (line, 1)


@pytest.mark.parametrize("kind", ["validation", "token_limit"])
def test_anthropic_has_no_such_faults(connect, length, kind):
    with provider_with(length, BatchFault(kind, times=1)) as provider:
        vendor = connect("anthropic", provider)
        assert vendor.kinds(vendor.submit(vendor.bodies("a"))) == {"c0": "succeeded"}
        vendor = connect("openai", provider)
        assert vendor.status(vendor.submit(vendor.bodies("a"))) == "failed"
        assert vendor.status(vendor.submit(vendor.bodies("a"))) == "completed"


@pytest.mark.parametrize("seconds", [0, 1000])
@pytest.mark.parametrize(("finished", "done"), [(0.5, 5), (0.0, 0), (1.0, 10)])
def test_a_batch_expires(connect, wire, length, time, seconds, finished, done):
    fault, options = BatchFault("expire", finished=finished), {"wall_clock": time}
    with provider_with(length, fault, batch_seconds=seconds, **options) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*"abcdefghij"))
        provider.advance(seconds)
        assert vendor.status(batch) == ("expired" if wire == "openai" else "ended")
        assert (
            Counter(vendor.kinds(batch).values())
            == Counter({"succeeded": done, "expired": 10 - done}) + Counter()
        )
        shown = vendor.batches.retrieve(batch)
    assert provider.ledger.rows == done
    if wire == "openai":
        assert (shown.output_file_id is None) == (done == 0)
        assert (shown.error_file_id is None) == (done == 10)
        assert shown.expired_at == time.now + seconds


def test_which_requests_expire_is_drawn(connect, wire, length):
    with provider_with(length, "expire") as provider:
        vendor = connect(wire, provider)
        kinds = vendor.kinds(vendor.submit(vendor.bodies(*map(str, range(40)))))
    expired = [place for place in range(40) if kinds[f"c{place}"] == "expired"]
    assert len(expired) == 20
    assert expired != list(range(20, 40))


def test_a_batch_never_ends_unless_it_is_cancelled(connect, wire, length, time):
    options = {"batch_seconds": 1000, "wall_clock": time}
    with provider_with(length, BatchFault("never_ends", finished=0.25), **options) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*"abcd"))
        provider.advance(100 * DAY)
        assert vendor.status(batch) == "in_progress"
        vendor.batches.cancel(batch)
        provider.advance(100)
        assert Counter(vendor.kinds(batch).values()) == {"succeeded": 1, "canceled": 3}


@pytest.mark.parametrize("wire", ["anthropic"])
def test_counts_may_stay_at_zero_until_the_end(connect, wire, length, time):
    options = {"batch_seconds": 60, "wall_clock": time}
    with provider_with(length, BatchFault("no_counts"), **options) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*"abcd"))
        assert set(vendor.batches.retrieve(batch).request_counts.to_dict().values()) == {0}
        provider.advance(60)
        assert vendor.batches.retrieve(batch).request_counts.succeeded == 4


def test_each_request_fails(connect, wire, length):
    with provider_with(length, BatchFault("all_failed", message="down")) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a", "b"))
        results = vendor.results(batch)
        shown = vendor.batches.retrieve(batch)
        lines = vendor.lines(batch)
    assert {kind for kind, _ in results.values()} == {"errored"}
    assert {body["error"]["message"] for _, body in results.values()} == {"down"}
    if wire == "openai":
        assert (shown.status, shown.output_file_id) == ("completed", None)
        assert {line["response"]["status_code"] for line in lines} == {500}
    assert provider.ledger.rows == 0


def test_a_slow_batch(connect, wire, length, time):
    with provider_with(length, "slow", batch_seconds=1000, wall_clock=time) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a"))
        provider.advance(9999)
        assert vendor.status(batch) in ("finalizing", "in_progress")
        provider.advance(1)
        assert vendor.kinds(batch) == {"c0": "succeeded"}


def test_which_batches_are_struck(connect, wire, length):
    faults = BatchFault("all_failed", batches=[2, 4]), BatchFault("expire", times=1, finished=0)
    with provider_with(length, *faults) as provider:
        vendor = connect(wire, provider)
        kinds = [vendor.kinds(vendor.submit(vendor.bodies("a")))["c0"] for _ in range(4)]
        assert kinds == ["expired", "errored", "succeeded", "errored"]
        assert provider.batch_faults == faults
        provider.batch_faults = []
        provider.batch_faults = [BatchFault("all_failed", batches={5})]
        assert vendor.kinds(vendor.submit(vendor.bodies("a"))) == {"c0": "errored"}
        assert vendor.kinds(vendor.submit(vendor.bodies("a"))) == {"c0": "succeeded"}


def readable(lines):
    found = []
    for line in lines:
        try:
            found.append(json.loads(line)["custom_id"])
        except json.JSONDecodeError:
            found.append(None)
    return Counter(found)


def struck(connect, wire, length, *faults, texts="abcdefghij"):
    with provider_with(length, *faults) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*texts))
        lines = vendor.raw_lines(batch)
    return readable(lines), lines, provider.ledger


NAMES = Counter(f"c{place}" for place in range(10))


@pytest.mark.parametrize(("lines", "count"), [(None, 1), (0.3, 3), (1.0, 10), (0.0, 0)])
@pytest.mark.parametrize("kind", ["garbage", "missing", "doubled", "unknown"])
def test_lines_that_are_struck(connect, wire, length, kind, lines, count):
    fault = BatchFault(f"line_{kind}", lines=lines)
    names, _, books = struck(connect, wire, length, fault)
    ours = Counter({name: many for name, many in names.items() if name in NAMES})
    garbage = names[None]
    strangers = names.total() - ours.total() - garbage
    expected = {"garbage": (count, 0), "unknown": (0, count)}.get(kind, (0, 0))
    assert (garbage, strangers) == expected
    changed = {"garbage": -count, "missing": -count, "doubled": count, "unknown": 0}[kind]
    assert ours.total() == 10 + changed
    assert set(ours.values()) <= {1, 2}
    assert books.rows == (10 - count if kind in ("garbage", "missing") else 10)
    assert books.sent.total() == 10


def test_lines_by_their_text(connect, wire, length):
    texts = ["good", "bad one", "good", "bad two"]
    fault = BatchFault("line_missing", text="bad")
    names, _, books = struck(connect, wire, length, fault, texts=texts)
    assert names == {"c0": 1, "c2": 1}
    assert books.answered == {"good": 2}
    fault = BatchFault("line_missing", text="bad", lines=0.5)
    assert struck(connect, wire, length, fault, texts=texts)[0].total() == 3
    fault = BatchFault("line_missing", text="none such")
    assert struck(connect, wire, length, fault, texts=texts)[0].total() == 4


def test_a_last_line_that_is_cut_off(connect, wire, length):
    names, lines, books = struck(connect, wire, length, "line_truncated")
    assert names[None] == 1
    assert readable(lines[-1:]) == {None: 1}
    assert not lines[-1].endswith(b"\n")
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert books.rows == 9


def test_several_faults_of_lines(connect, wire, length):
    faults = BatchFault("line_garbage", lines=0.5), BatchFault("line_unknown", lines=1.0)
    names, _, _ = struck(connect, wire, length, *faults)
    assert names[None] == 5
    assert names.total() == 15
    names, lines, _ = struck(
        connect, wire, length, BatchFault("line_missing", lines=1.0), "line_truncated"
    )
    assert (names.total(), lines) == (0, [])


def test_lines_of_the_error_file(connect, length):
    fault = BatchFault("line_garbage", text="bad")
    with provider_with(length, fault, faults=[Fault("forbidden", text="bad")]) as provider:
        vendor = connect("openai", provider)
        batch = vendor.submit(vendor.bodies("good", "bad"))
        assert readable(vendor.raw_lines(batch, "output_file_id")) == {"c0": 1}
        assert readable(vendor.raw_lines(batch, "error_file_id")) == {None: 1}


def test_a_kind_that_is_none():
    with pytest.raises(ValueError, match="no batch fault 'typo': it is one of all_failed, "):
        BatchFault("typo")


@pytest.mark.parametrize("more", [{"finished": 1.5}, {"lines": -1}])
def test_a_share_that_is_none(more):
    with pytest.raises(ValueError, match="is no share"):
        BatchFault("expire", **more)
