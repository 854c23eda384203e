"""Faults of the requests in a batch, and of the requests about batches."""

from __future__ import annotations

import json
import threading

import anthropic
import openai
import pytest

from pandas_genai.testing import Fault, LoopbackProvider

ERRORS = {
    "rate_limit": (429, "rate_limit_error"),
    "insufficient_quota": (429, "rate_limit_error"),
    "server_error": (500, "api_error"),
    "overloaded": (503, "overloaded_error"),
    "bad_request": (400, "invalid_request_error"),
    "context_length": (400, "invalid_request_error"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_a_request_that_fails(connect, wire, length, kind):
    fault = Fault(kind, calls={2}, message="no")
    with LoopbackProvider(length, faults=[fault]) as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies(*"abc"))
        results = vendor.results(batch)
        lines = {line["custom_id"]: line for line in vendor.lines(batch)}
    assert [results[f"c{place}"][0] for place in range(3)] == ["succeeded", "errored", "succeeded"]
    assert results["c1"][1]["error"]["message"] == "no"
    status, error_type = ERRORS[kind]
    if wire == "openai":
        assert lines["c1"]["response"]["status_code"] == status
    else:
        assert lines["c1"]["result"]["error"]["error"]["type"] == error_type
    assert provider.ledger.answered == {"a": 1, "c": 1}


@pytest.mark.parametrize("kind", ["garbage", "truncated", "missing", "doubled", "invented"])
def test_a_reply_that_is_spoilt(connect, wire, length, kind):
    with LoopbackProvider(length, faults=[Fault(kind, text="bad")]) as provider:
        vendor = connect(wire, provider)
        bodies = {"bad": vendor.body("one", "bad"), "good": vendor.body("two", "three")}
        results = vendor.results(vendor.submit(bodies))
        assert len(vendor.entries(results["good"][1])) == 2
    assert {kind for kind, _ in results.values()} == {"succeeded"}
    if kind in ("garbage", "truncated"):
        with pytest.raises(json.JSONDecodeError):
            vendor.entries(results["bad"][1])
        assert provider.ledger.answered == {"two": 1, "three": 1}
    else:
        names = [entry["input_id"] for entry in vendor.entries(results["bad"][1])]
        assert names != ["id-0", "id-1"]


@pytest.mark.parametrize("kind", ["refusal", "content_filter"])
def test_a_request_that_is_refused(connect, wire, length, kind):
    with LoopbackProvider(length, faults=[Fault(kind, text="bad")]) as provider:
        vendor = connect(wire, provider)
        results = vendor.results(vendor.submit(vendor.bodies("good", "bad")))
    kind_, body = results["c1"]
    assert kind_ == "succeeded"
    if wire == "anthropic":
        assert body["stop_reason"] == "refusal"
    elif kind == "refusal":
        assert body["choices"][0]["message"]["refusal"]
    else:
        assert body["choices"][0]["finish_reason"] == "content_filter"
    assert provider.ledger.rows == 1


def test_a_wrong_type(connect, wire, length):
    with LoopbackProvider(length, faults=[Fault("wrong_type")]) as provider:
        vendor = connect(wire, provider)
        [(_, body)] = vendor.results(vendor.submit(vendor.bodies("four"))).values()
    assert vendor.entries(body)[0]["length"] == {"not": 4}


@pytest.mark.parametrize("kind", ["reset", "reset_after", "hang", "html", "error_200"])
def test_requests_in_a_batch_have_no_connection(connect, wire, length, kind):
    faults = [Fault(kind), Fault("forbidden", calls={1})]
    with LoopbackProvider(length, faults=faults) as provider:
        vendor = connect(wire, provider)
        kinds = vendor.kinds(vendor.submit(vendor.bodies("a", "b")))
    assert kinds == {"c0": "errored", "c1": "succeeded"}


def test_batched_requests_are_numbered_over_all_batches(connect, wire, length):
    with LoopbackProvider(length, faults=[Fault("forbidden", calls={2, 4, 5})]) as provider:
        vendor = connect(wire, provider)
        first = vendor.submit(vendor.bodies(*"abc"))
        vendor.status(first)
        second = vendor.submit(vendor.bodies(*"abc"))
        struck = [
            name
            for batch in (first, second)
            for name, kind in sorted(vendor.kinds(batch).items())
            if kind == "errored"
        ]
    assert struck == ["c1", "c0", "c1"]


def test_rate_and_times(connect, wire, length):
    texts = [str(number) for number in range(200)]
    drawn = []
    for _ in range(2):
        with LoopbackProvider(length, faults=[Fault("server_error", rate=0.2)]) as provider:
            vendor = connect(wire, provider)
            kinds = vendor.kinds(vendor.submit(vendor.bodies(*texts)))
            drawn.append({name for name, kind in kinds.items() if kind == "errored"})
    assert drawn[0] == drawn[1]
    assert 20 < len(drawn[0]) < 60
    with LoopbackProvider(length, faults=[Fault("server_error", times=3)]) as provider:
        vendor = connect(wire, provider)
        kinds = list(vendor.kinds(vendor.submit(vendor.bodies(*texts))).values())
    assert kinds.count("errored") == 3


def create_path(wire):
    return "POST /v1/batches" if wire == "openai" else "POST /v1/messages/batches"


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "forbidden"])
def test_a_create_that_fails(connect, wire, length, kind):
    fault = Fault(kind, path=create_path(wire), calls={2}, retry_after=7)
    with LoopbackProvider(length, faults=[fault]) as provider:
        vendor = connect(wire, provider)
        first = vendor.submit(vendor.bodies("a"))
        assert vendor.kinds(first) == {"c0": "succeeded"}
        with pytest.raises(Exception, match="Error code") as refused:
            vendor.submit(vendor.bodies("a"))
        assert refused.value.status_code in (429, 500, 403)
        assert refused.value.response.headers["retry-after"] == "7"
        assert len(provider.batches) == 1
        vendor.submit(vendor.bodies("a"))
        assert len(provider.batches) == 2
        statuses = provider.ledger.statuses
        assert statuses[refused.value.status_code] == 1


def test_a_request_that_is_lost_had_no_effect(connect, wire, length):
    with LoopbackProvider(length, faults=[Fault("reset", path=create_path(wire))]) as provider:
        vendor = connect(wire, provider)
        with pytest.raises(Exception, match="Connection error"):
            vendor.submit(vendor.bodies("a"))
        assert provider.batches == []
        assert provider.ledger.requests[-1].status == 0


def test_an_answer_that_is_lost_had_its_effect(connect, wire, length):
    fault = Fault("reset_after", path=create_path(wire), times=1)
    with LoopbackProvider(length, faults=[fault]) as provider:
        vendor = connect(wire, provider)
        with pytest.raises(Exception, match="Connection error"):
            vendor.submit(vendor.bodies("a"))
        assert len(provider.batches) == 1
        assert [batch.id for batch in vendor.batches.list()] == [provider.batches[0].id]


def test_a_download_that_breaks_off(connect, length):
    fault = Fault("reset_after", path="GET /v1/files", calls={1})
    with LoopbackProvider(length, faults=[fault]) as provider:
        vendor = connect("openai", provider)
        batch = vendor.batches.retrieve(vendor.submit(vendor.bodies("a")))
        with pytest.raises(Exception, match=r"[Cc]onnection"):
            vendor.client.files.content(batch.output_file_id)
        assert vendor.kinds(batch.id) == {"c0": "succeeded"}


@pytest.mark.parametrize(("kind", "begins"), [("html", "<!DOCTYPE"), ("error_200", '{"error":')])
def test_an_answer_of_something_else(length, kind, begins):
    import httpx2

    with LoopbackProvider(length, faults=[Fault(kind, path="/v1/files", times=1)]) as provider:
        url, headers = f"{provider.openai_url}/files", {"authorization": "Bearer k"}
        answer = httpx2.post(url, files={"file": b"x"}, data={"purpose": "batch"}, headers=headers)
        assert (answer.status_code, answer.text.startswith(begins)) == (200, True)
        assert provider.files == []
        assert provider.ledger.statuses == {200: 1}
        answer = httpx2.post(url, files={"file": b"x"}, data={"purpose": "batch"}, headers=headers)
        assert [file.id for file in provider.files] == [answer.json()["id"]]


@pytest.fixture
def hanging(connect, wire, length):
    """A provider that holds the creation of a batch, which has just arrived."""
    arrived, said = threading.Event(), []

    def hook(moment, line):
        if (moment, line) == ("arrived", create_path(wire)):
            arrived.set()

    def submit():
        try:
            said.append(vendor.submit(vendor.bodies("a")))
        except (openai.APIConnectionError, anthropic.APIConnectionError) as error:
            said.append(type(error).__name__)

    fault = Fault("hang", path=create_path(wire), times=1)
    provider = LoopbackProvider(length, faults=[fault], on_request=hook).start()
    vendor = connect(wire, provider)
    thread = threading.Thread(target=submit)
    thread.start()
    assert arrived.wait(10)
    yield provider, thread, said
    provider.stop()


def test_a_request_that_hangs(hanging):
    provider, thread, said = hanging
    assert provider.batches == []
    provider.release()
    thread.join(10)
    assert [batch.id for batch in provider.batches] == said


def test_a_request_that_hangs_until_the_end(hanging):
    provider, thread, said = hanging
    provider.stop()
    thread.join(10)
    assert said == ["APIConnectionError"]
    assert provider.batches == []


def test_a_path_leaves_calls_alone(connect, sdk, length):
    faults = [Fault("forbidden", path="/v1/"), Fault("conflict", calls={2})]
    with LoopbackProvider(length, faults=faults) as provider:
        assert sdk.results("openai", provider, "four")[0]["length"] == 4
        with pytest.raises(Exception, match="409"):
            sdk.chat(provider, "four")
        for wire in ("openai", "anthropic"):
            with pytest.raises(Exception, match="403"):
                connect(wire, provider).batches.list()


def test_the_rate_of_a_path(connect, length):
    with LoopbackProvider(
        length, faults=[Fault("server_error", path="GET /", rate=0.3)]
    ) as provider:
        vendor, failed = connect("openai", provider), 0
        for _ in range(60):
            try:
                vendor.batches.list()
            except openai.InternalServerError:
                failed += 1
    assert 6 < failed < 35


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("reset", {"path": "POST /v1/chat/completions"}),
        ("reset", {"path": "v1"}),
        ("garbage", {"path": "/v1/batches"}),
        ("reset", {"path": "/v1/batches", "text": "x"}),
    ],
)
def test_a_path_that_can_never_be_struck(kind, more):
    with pytest.raises(ValueError, match="path="):
        Fault(kind, **more)
