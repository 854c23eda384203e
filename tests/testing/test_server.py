"""The HTTP server, spoken to in bytes."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from pandas_genai.testing import LoopbackProvider
from pandas_genai.testing.server import HttpServer, Response

BODY = (
    b'{"model":"m","messages":[{"role":"user","content":'
    b'"[{\\"input_id\\":\\"a\\",\\"input_text\\":\\"four\\"}]"}]}'
)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture
def provider():
    with LoopbackProvider(lambda text: {"length": len(text)}) as running:
        yield running


@pytest.fixture
def sock(provider):
    with socket.create_connection(("127.0.0.1", provider.port), timeout=10) as opened:
        yield opened


def read_answer(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65_536)
    return int(head.split()[1]), body


def test_it_listens_on_loopback_only(provider):
    listener = provider._server._listener
    assert listener.getsockname()[0] == "127.0.0.1"


def test_a_request_in_single_bytes(sock):
    for place in range(len(WHOLE)):
        sock.sendall(WHOLE[place : place + 1])
    assert read_answer(sock)[0] == 200


def test_requests_one_after_the_other_on_one_connection(sock, provider):
    sock.sendall(WHOLE + WHOLE)
    assert read_answer(sock)[0] == 200
    provider.wait_for(calls=2)
    assert provider.ledger.rows == 2


def test_a_large_body(sock):
    large = BODY.replace(b"four", b"x" * 3_000_000)
    sock.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(large) + large)
    status, body = read_answer(sock)
    assert (status, b"3000000" in body) == (200, True)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (HEAD + b"no colon here\r\n\r\n", 400),
        (HEAD + b"Content-Length: many\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 411),
    ],
)
def test_what_it_does_not_read_ends_the_connection(sock, provider, sent, status):
    sock.sendall(sent)
    assert read_answer(sock)[0] == status
    assert sock.recv(10) == b""
    assert provider.ledger.calls == 0


def chunked(body, size):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    sent = b"".join(b"%x;by=test\r\n%s\r\n" % (len(part), part) for part in parts)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + sent + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 50, 1_000_000])
def test_a_body_in_chunks(sock, provider, size):
    sent = chunked(BODY, size) + WHOLE
    sock.sendall(sent[:-5])
    assert read_answer(sock)[0] == 200
    sock.sendall(sent[-5:])
    assert read_answer(sock)[0] == 200
    assert provider.ledger.answered == {"four": 2}


@pytest.mark.parametrize("broken", [b"many\r\n", b"f" * 70_000])
def test_a_chunk_without_a_size_is_dropped(sock, provider, broken):
    with pytest.raises(ConnectionError):
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + broken)
        while sock.recv(10):
            pass
        raise ConnectionAbortedError
    assert provider.ledger.calls == 0


def test_a_head_without_end_is_dropped(sock):
    sock.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
    with pytest.raises(ConnectionError):
        while sock.recv(10):
            pass
        raise ConnectionAbortedError


def test_a_client_that_leaves_in_the_middle(provider):
    with socket.create_connection(("127.0.0.1", provider.port)) as sock:
        sock.sendall(WHOLE[:-3])
    with socket.create_connection(("127.0.0.1", provider.port)) as sock:
        sock.sendall(WHOLE)
        assert read_answer(sock)[0] == 200
    assert provider.ledger.calls == 1


def test_after_the_end_nobody_listens():
    with LoopbackProvider(lambda text: {}) as provider:
        held = socket.create_connection(("127.0.0.1", provider.port))
        before = threading.active_count()
    with held:
        assert held.recv(1) == b""
    assert threading.active_count() < before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", provider.port))
    provider.stop()


def test_a_given_port():
    with LoopbackProvider(lambda text: {}) as provider:
        port = provider.port
    with LoopbackProvider(lambda text: {}, port=port) as provider:
        assert provider.port == port


def test_stopping_does_not_wait():
    begun = time.monotonic()
    with LoopbackProvider(lambda text: {}) as provider:
        with socket.create_connection(("127.0.0.1", provider.port)):
            pass
    assert time.monotonic() - begun < 1


def test_an_answer_that_cannot_be_sent_is_reported():
    lost = threading.Event()
    answering, gone = threading.Event(), threading.Event()

    def answer(request):
        answering.set()
        gone.wait(10)
        return Response(200, b"x" * 50_000_000, on_lost=lost.set)

    server = HttpServer(answer).start()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert answering.wait(10)
    gone.set()
    assert lost.wait(10)
    server.stop()
