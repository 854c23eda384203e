"""A batch from its requests to its results, at both vendors."""

from __future__ import annotations

import json

import pytest

from pandas_genai.testing import Fault, LoopbackProvider, Refuse


def test_each_request_is_answered(connect, wire, length):
    with LoopbackProvider(length) as provider:
        vendor = connect(wire, provider)
        bodies = {f"c{size}": vendor.body(*["x" * size] * size) for size in range(1, 30)}
        batch = vendor.submit(bodies)
        assert vendor.status(batch) == ("completed" if wire == "openai" else "ended")
        results = vendor.results(batch)
    assert list(results) != list(bodies)
    assert set(results) == set(bodies)
    for size in range(1, 30):
        kind, body = results[f"c{size}"]
        assert kind == "succeeded"
        assert vendor.entries(body) == [
            {"input_id": f"id-{place}", "length": size} for place in range(size)
        ]


def test_the_order_is_the_seeds(connect, wire, length):
    orders = []
    for seed in (1, 1, 2):
        with LoopbackProvider(length, seed=seed) as provider:
            vendor = connect(wire, provider)
            orders.append(list(vendor.results(vendor.submit(vendor.bodies(*"abcdefghij")))))
    assert orders[0] == orders[1] != orders[2]


def test_the_ledger_has_the_rows_and_no_calls(connect, wire, length):
    with LoopbackProvider(length) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("one", "two", "two"))
        assert provider.ledger.sent == {}
        vendor.status(batch)
        vendor.status(batch)
        books = provider.ledger
    assert books.calls == 0
    assert books.rows == 3
    assert books.answered == books.sent == {"one": 1, "two": 2}
    assert books.tokens_in > 0
    assert books.tokens_out > 0
    assert {request.number for request in books.requests} == {0}
    assert [request.status for request in books.requests] == [200] * len(books.requests)


def test_tokens_are_those_of_live_calls(connect, sdk, wire, length):
    with LoopbackProvider(length) as live:
        asker = connect(wire, live)
        ask = (
            asker.client.chat.completions.create
            if wire == "openai"
            else asker.client.messages.create
        )
        for text in ("a text", "another text"):
            ask(**asker.body(text))
    with LoopbackProvider(length) as provider:
        vendor = connect(wire, provider)
        vendor.status(vendor.submit(vendor.bodies("a text", "another text")))
    assert provider.ledger.tokens_in == live.ledger.tokens_in
    assert provider.ledger.tokens_out == live.ledger.tokens_out


def strict(schema):
    wrapped = {"name": "all_results", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": wrapped}}


LOOSE = {"type": "object", "properties": {}, "additionalProperties": True}
REFUSED = {
    "openai": [
        {"messages": []},
        {"messages": None},
        {"model": None},
        {"stream": True},
        {"top_k": 3},
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": "no rows"}]},
        strict(LOOSE),
    ],
    "anthropic": [
        {"messages": []},
        {"max_tokens": None},
        {"stream": True},
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": "no rows"}]},
        {"output_config": {"format": {"type": "json_schema", "schema": LOOSE}}},
        {"tools": [], "tool_choice": {"type": "tool", "name": "none"}},
    ],
}


@pytest.mark.parametrize(
    ("vendor_name", "more"), [(name, more) for name, cases in REFUSED.items() for more in cases]
)
def test_what_a_call_refuses_a_batch_refuses(connect, length, vendor_name, more):
    import httpx2

    with LoopbackProvider(length) as provider:
        vendor = connect(vendor_name, provider)
        body = vendor.body("a", **more)
        path = "/chat/completions" if vendor_name == "openai" else "/v1/messages"
        with pytest.raises(Exception, match="400") as live:
            vendor.client.post(path, body=body, cast_to=httpx2.Response)
        batch = vendor.submit({"bad": body, "good": vendor.body("b")})
        results = vendor.results(batch)
        said = live.value.response.json()
    kind, refused = results["bad"]
    assert kind == "errored"
    assert refused["error"] == said["error"]
    assert results["good"][0] == "succeeded"
    assert provider.ledger.answered == {"b": 1}


def test_anthropic_says_of_each_request_that_its_model_is_unknown(connect, length):
    with LoopbackProvider(length, models={"claude-haiku-4-5"}) as provider:
        vendor = connect("anthropic", provider)
        batch = vendor.submit({"a": vendor.body("a", model="claude-0"), "b": vendor.body("b")})
        results = vendor.results(batch)
    assert results["a"][0] == "errored"
    assert results["a"][1]["error"] == {"type": "not_found_error", "message": "model: claude-0"}
    assert results["b"][0] == "succeeded"


def test_the_version_of_the_header_counts(connect, length):
    with LoopbackProvider(length) as provider:
        vendor = connect("anthropic", provider)
        bodies = {"a": vendor.body("a", temperature=0.5)}
        old = {"anthropic-version": "2023-06-01", "x-api-key": "k"}
        assert vendor.kinds(vendor.submit(bodies, extra_headers=old)) == {"a": "succeeded"}
        assert vendor.kinds(vendor.submit(bodies)) == {"a": "errored"}


def test_openai_sorts_into_two_files(connect, length):
    with LoopbackProvider(length, faults=[Fault("server_error", text="bad")]) as provider:
        vendor = connect("openai", provider)
        batch = vendor.submit(vendor.bodies("good", "bad", "fine"))
        good, bad = vendor.lines(batch, "output_file_id"), vendor.lines(batch, "error_file_id")
        shown = vendor.batches.retrieve(batch)
    assert {line["custom_id"] for line in good} == {"c0", "c2"}
    assert all(line["error"] is None for line in good + bad)
    assert [line["custom_id"] for line in bad] == ["c1"]
    assert bad[0]["response"]["status_code"] == 500
    assert bad[0]["response"]["body"]["error"]["type"] == "server_error"
    assert len({line["id"] for line in good + bad}) == 3
    counts = shown.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    assert shown.usage.total_tokens == provider.ledger.tokens_in + provider.ledger.tokens_out


def test_all_that_fail_leave_no_output_file(connect, length):
    with LoopbackProvider(length, faults=[Fault("forbidden")]) as provider:
        vendor = connect("openai", provider)
        batch = vendor.batches.retrieve(vendor.submit(vendor.bodies("a", "b")))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert batch.error_file_id


def test_a_rule_that_refuses_or_fails(connect, wire):
    def rule(text):
        if text == "refused":
            raise Refuse
        return {"length": 1 / len(text)}

    with pytest.raises(Exception, match="ZeroDivisionError"):
        with LoopbackProvider(rule) as provider:
            vendor = connect(wire, provider)
            results = vendor.results(vendor.submit(vendor.bodies("refused", "", "x")))
    assert [results[name][0] for name in ("c0", "c1", "c2")] == [
        "succeeded",
        "errored",
        "succeeded",
    ]
    refused = results["c0"][1]
    assert (
        refused["choices"][0]["message"]["refusal"]
        if wire == "openai"
        else refused["stop_reason"] == "refusal"
    )


def test_the_sdks_own_readers(connect, length):
    with LoopbackProvider(length) as provider:
        vendor = connect("anthropic", provider)
        batch = vendor.submit(vendor.bodies("a", "b"))
        found = {each.custom_id: each.result for each in vendor.batches.results(batch)}
        assert {name: result.type for name, result in found.items()} == {
            "c0": "succeeded",
            "c1": "succeeded",
        }
        vendor = connect("openai", provider)
        batch = vendor.batches.retrieve(vendor.submit(vendor.bodies("a")))
        line = json.loads(vendor.client.files.content(batch.output_file_id).text)
        assert line["custom_id"] == "c0"


def test_a_compatible_server_leaves_out_what_it_may(connect, length):
    with LoopbackProvider(length, dialect="bare") as provider:
        vendor = connect("openai", provider)
        batch = vendor.batches.retrieve(vendor.submit(vendor.bodies("a")))
        assert (batch.request_counts, batch.usage, batch.expires_at) == (None, None, None)
        assert "error_file_id" not in batch.model_fields_set
        assert (batch.status, len(vendor.lines(batch.id))) == ("completed", 1)


def test_an_unicode_custom_id_comes_back_as_it_was(connect, length):
    with LoopbackProvider(length) as provider:
        vendor = connect("openai", provider)
        name = 'a "quoted" naïve 名\u2028'
        batch = vendor.submit({name: vendor.body("ü\u2028ü")})
        assert [vendor.entries(body) for _, body in vendor.results(batch).values()] == [
            [{"input_id": "id-0", "length": 3}]
        ]
        assert list(vendor.results(batch)) == [name]
