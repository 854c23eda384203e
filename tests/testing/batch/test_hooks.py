"""Who is told of each request about batches."""

from __future__ import annotations

import pytest

from pandas_genai.testing import LoopbackProvider


def create_path(wire):
    return "POST /v1/batches" if wire == "openai" else "POST /v1/messages/batches"


def test_the_hook_sees_each_request_twice(connect, wire, length):
    seen = []

    def hook(moment, line):
        seen.append((moment, line, len(provider.batches)))

    with LoopbackProvider(length, on_request=hook) as provider:
        vendor = connect(wire, provider)
        if wire == "openai":
            file = vendor.upload(b"x")
            seen.clear()
            given = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
            vendor.batches.create(input_file_id=file, **given)
        else:
            vendor.submit(vendor.bodies("a"))
        with pytest.raises(Exception, match="404"):
            vendor.batches.retrieve("batch_0")
    lookup = create_path(wire).replace("POST", "GET") + "/batch_0"
    assert seen == [
        ("arrived", create_path(wire), 0),
        ("handled", create_path(wire), 1),
        ("arrived", lookup, 1),
        ("handled", lookup, 1),
    ]


def test_a_hook_that_fails(connect, wire, length):
    def hook(moment, line):
        raise RuntimeError("my own mistake")

    with pytest.raises(RuntimeError, match="my own mistake"):
        with LoopbackProvider(length, on_request=hook) as provider:
            with pytest.raises(Exception, match="500"):
                connect(wire, provider).batches.list()


def test_the_ledger_keeps_the_requests(connect, wire, length):
    with LoopbackProvider(length) as provider:
        vendor = connect(wire, provider)
        vendor.submit(vendor.bodies("a"))
        created = provider.ledger.requests[-1]
    assert f"{created.method} {created.path}" == create_path(wire)
    key = "input_file_id" if wire == "openai" else "requests"
    assert (created.number, created.status, key in created.body) == (0, 200, True)
    assert provider.ledger.calls == 0
