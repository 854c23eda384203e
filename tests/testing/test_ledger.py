"""What the provider remembers, and what tests wait for."""

from __future__ import annotations

import hashlib
import threading

import pytest

from pandas_genai.testing import Fault, Ledger, LoopbackProvider


def length(text):
    return {"length": len(text)}


def test_everything_is_counted(sdk):
    with LoopbackProvider(length) as provider:
        sdk.chat(provider, "a", "b")
        sdk.message(provider, "b", "b", "c")
        sdk.client(provider, "openai").models.list()
        books = provider.ledger
        assert (books.calls, books.rows) == (2, 5)
        assert books.answered == books.sent == {"a": 1, "b": 3, "c": 1}
        assert books.statuses == {200: 3}
        assert (books.in_flight, books.most_in_flight) == (0, 1)
        assert books.tokens_in > 20
        assert books.tokens_out > 20
        chat, message, models = books.requests
    assert (chat.number, chat.method, chat.path) == (1, "POST", "/v1/chat/completions")
    assert chat.body["model"] == "gpt-6-luna"
    assert (message.number, message.status) == (2, 200)
    assert (models.number, models.method, models.body) == (0, "GET", None)


def test_keys_are_not_kept(sdk):
    with LoopbackProvider(length) as provider:
        sdk.chat(provider, "a", key="sk-secret")
        sdk.message(provider, "a", key="sk-secret", extra_headers={"x-api-key": "sk-other"})
    first, second = provider.ledger.requests
    expected = hashlib.sha256(b"Bearer sk-secret").hexdigest()[:8]
    assert first.headers["authorization"] == second.headers["authorization"] == expected
    assert second.headers["x-api-key"] == hashlib.sha256(b"sk-other").hexdigest()[:8]
    assert "sk-" not in repr(provider.ledger.requests)


def test_only_the_last_requests_are_kept(sdk):
    with LoopbackProvider(length, keep_requests=3) as provider:
        for _ in range(5):
            sdk.chat(provider, "a")
    assert [request.number for request in provider.ledger.requests] == [3, 4, 5]
    assert provider.ledger.calls == 5


def test_the_ledger_over_http(sdk):
    import httpx2

    with LoopbackProvider(length, faults=[Fault("reset", calls={2})]) as provider:
        sdk.chat(provider, "a")
        books = httpx2.get(f"{provider.anthropic_url}/ledger").json()
    copy = Ledger.from_dict(books)
    assert books.pop("batches") == books.pop("files") == []
    assert copy.as_dict() == books
    assert copy.answered == {"a": 1}
    assert copy.requests == provider.ledger.requests


def test_the_ledger_is_right_before_the_answer_arrives(sdk):
    with LoopbackProvider(length) as provider:
        for number in range(1, 200):
            sdk.chat(provider, "a")
            assert provider.ledger.rows == number
            assert provider.ledger.in_flight == 0
    assert provider.ledger.most_in_flight == 1


def test_waiting_for_calls_rows_and_calls_in_flight(sdk):
    with LoopbackProvider(length) as provider:
        provider.hold_after(1)
        threads = [
            threading.Thread(target=sdk.chat, args=(provider, str(number))) for number in range(4)
        ]
        sdk.chat(provider, "a")
        provider.wait_for(calls=1, rows=1)
        for thread in threads:
            thread.start()
        provider.wait_for_in_flight(4)
        provider.wait_for(calls=5)
        with pytest.raises(TimeoutError, match="has calls=5, rows=1, in_flight=4"):
            provider.wait_for(rows=2, timeout=0.01)
        with pytest.raises(TimeoutError, match="waited for in_flight=5"):
            provider.wait_for_in_flight(5, timeout=0.01)
        provider.release()
        provider.wait_for(rows=5)
        for thread in threads:
            thread.join(10)
        sdk.chat(provider, "nothing is held any more")
    assert provider.ledger.most_in_flight == 4


def test_rows_count_only_when_somebody_is_there_to_read_them():
    import socket

    body = b'{"model":"m","messages":[{"role":"user","content":"[{\\"input_id\\":\\"a\\",'
    body += b'\\"input_text\\":\\"b\\"}]"}]}'
    head = "POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer k\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    with LoopbackProvider(length) as provider:
        provider.hold_after(0)
        with socket.create_connection(("127.0.0.1", provider.port)) as sock:
            sock.sendall(head.encode() + body)
            provider.wait_for_in_flight(1)
        provider.release()
        assert provider.ledger.wait_until(lambda books: books._statuses[0] == 1, 10)
        assert provider.ledger.rows == 0
        assert provider.ledger.answered == {}
        assert provider.ledger.statuses == {0: 1}
        assert provider.ledger.tokens_out > 0


def test_a_hook_sees_each_call(sdk):
    seen = []
    with LoopbackProvider(length, on_call=seen.append) as provider:
        sdk.chat(provider, "a")
        sdk.message(provider, "a")
    assert seen == [1, 2]


def test_answers_come_back_in_another_order(sdk):
    order = []

    def latency(number, random):
        assert 0 <= random.random() < 1
        return {1: 0.3, 2: 0.0}[number]

    def ask(words):
        sdk.chat(provider, words)
        order.append(words)

    with LoopbackProvider(length, latency=latency) as provider:
        sdk.client(provider, "openai")
        threads = [threading.Thread(target=ask, args=(words,)) for words in ("first", "second")]
        for number, thread in enumerate(threads, 1):
            thread.start()
            provider.wait_for(calls=number)
        for thread in threads:
            thread.join(10)
    assert order == ["second", "first"]


def test_rule_and_latency_may_be_set_while_it_runs(sdk):
    with LoopbackProvider(length) as provider:
        assert provider.latency == 0
        provider.latency = 0.001
        provider.rule = lambda text: {"other": provider.rule is not None}
        assert sdk.results("openai", provider, "a") == [{"input_id": "id-0", "other": True}]
