"""The transport: one address, a time for the whole call, a bound on what comes back."""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import ssl
import threading
import time
import traceback
from dataclasses import replace
from typing import ClassVar

import pytest

from pandas_genai.backends.http import Bounds, Transport
from pandas_genai.backends.resolve import Question
from pandas_genai.errors import CallError, RowError, SplitError, StopRunError, WaitError
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider
from pandas_genai.testing.server import Response

KEY = "sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8Nc4Mf6"
BOUNDS = Bounds(seconds=20.0, file_seconds=20.0, reply_bytes=100_000, file_bytes=400_000)
BODY = {"model": "m", "messages": [{"role": "user", "content": "[]"}], "max_tokens": 9}
PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}


@pytest.fixture(params=["openai", "anthropic"])
def backend(request):
    return request.param


def own_client(backend, url):
    import anthropic
    import openai

    factory = openai.OpenAI if backend == "openai" else anthropic.Anthropic
    return factory(api_key=KEY, base_url=url)


@pytest.fixture(params=[0, 2], ids=["first", "later"])
def opened(backend, request):
    """Start a provider that answers as a function says; yields transports to it.

    The first requests are built by the SDK, later ones are those with another body.
    """
    stack = []

    def start(answer, *, bounds=BOUNDS, own=False, **given):
        before = iter(range(request.param))

        def answered(asked, response):
            return response if next(before, None) is not None else answer(asked, response)

        provider = LoopbackProvider(lambda text: {"a": 1}, on_response=answered)
        provider.start()
        stack.append(provider.stop)
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        if own:
            client = own_client(backend, url)
            stack.append(client.close)
            resolved = Question(Task("p"), client=client).resolve()
        else:
            given = {"base_url": url, "api_key": KEY} | given
            resolved = Question(Task("p", backend=backend), **given).resolve()
        client, ours = resolved.open(2)
        if ours:
            stack.append(client.close)
        transport = Transport(client, resolved.endpoint, bounds)
        for _ in range(request.param):
            assert send(transport, backend).ok
        return transport

    yield start
    for end in reversed(stack):
        end()


def send(transport, backend, text="[]"):
    body = BODY | {"messages": [{"role": "user", "content": text}]}
    return transport.post(PATHS[backend], body)


def is_clean(error):
    """Whether nothing of an SDK hangs on an error."""
    seen, left = set(), [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        assert type(one).__module__.split(".")[0] in {"pandas_genai", "builtins"}, one
        left += [one.__cause__, one.__context__]
    assert KEY[8:20] not in "".join(traceback.format_exception(error))
    return True


def failure_of(transport, backend):
    with pytest.raises(CallError) as caught:
        send(transport, backend)
    assert is_clean(caught.value)
    return caught.value


def trickle(request, response):
    def wire():
        yield response.head()
        while True:
            yield b" "
            time.sleep(0.05)

    return replace(response, wire=wire())


def trickled_head(request, response):
    def wire():
        yield b"HTTP/1.1 200 OK\r\nx-slow: "
        while True:
            yield b"a"
            time.sleep(0.05)

    return replace(response, wire=wire())


def continues(request, response):
    def wire():
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n"
            time.sleep(0.01)

    return replace(response, wire=wire())


BOMB = gzip.compress(bytes(99_000_000))


def bomb(kind):
    def answer(request, response):
        return replace(response, body=BOMB, headers={"content-encoding": kind})

    return answer


@pytest.mark.parametrize("answer", [trickle, trickled_head, continues])
def test_a_call_ends_with_its_time_however_the_bytes_come(opened, backend, answer):
    transport = opened(answer, bounds=replace(BOUNDS, seconds=1.0))
    start = time.monotonic()
    error = failure_of(transport, backend)
    assert time.monotonic() - start < 30
    assert isinstance(error, WaitError)
    assert error.reason == "timeout"
    assert "within 1 seconds" in str(error)


def test_the_body_of_a_users_own_client_is_bounded_in_time_too(opened, backend):
    transport = opened(trickle, own=True, bounds=replace(BOUNDS, seconds=1.0))
    assert failure_of(transport, backend).reason == "timeout"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("kind", "status"), [("gzip", 200), ("gzip", 500)])
def test_a_small_body_that_unpacks_to_a_large_one_is_refused(opened, backend, kind, status, own):
    import tracemalloc

    transport = opened(lambda *both: replace(bomb(kind)(*both), status=status), own=own)
    tracemalloc.start()
    error = failure_of(transport, backend)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(error, SplitError)
    assert "100,000 bytes" in str(error)
    assert most < 5_000_000


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("members", [1, 3])
def test_packed_answers_are_read(opened, backend, own, members):
    def answer(request, response):
        size = len(response.body) // members + 1
        parts = [response.body[at : at + size] for at in range(0, len(response.body), size)]
        body = b"".join(gzip.compress(part) for part in parts)
        return replace(response, body=body, headers={"content-encoding": "gzip"})

    found = send(opened(answer, own=own), backend)
    assert found.ok
    assert json.loads(found.content)["id"]


def test_what_follows_a_packed_answer_is_padding_and_what_ends_early_is_said(opened, backend):
    def packed(change):
        head = {"content-encoding": "gzip"}
        return lambda _, r: replace(r, body=change(gzip.compress(r.body)), headers=head)

    assert json.loads(send(opened(packed(lambda raw: raw + bytes(9))), backend).content)["id"]
    assert send(opened(packed(lambda raw: b"")), backend).content == b""
    error = failure_of(opened(packed(lambda raw: raw[:-30])), backend)
    assert "ends too early" in str(error)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd", "deflate", "\x1b[2J"])
def test_an_encoding_that_nobody_asked_for(opened, backend, encoding):
    transport = opened(
        lambda _, response: replace(response, headers={"content-encoding": encoding})
    )
    error = failure_of(transport, backend)
    assert error.reason == "invalid reply"
    assert str(error).isprintable()


def test_a_body_that_is_not_what_its_header_says(opened, backend):
    transport = opened(lambda _, response: replace(response, headers={"content-encoding": "gzip"}))
    assert "cannot be unpacked" in str(failure_of(transport, backend))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_to_another_address_is_followed(opened, backend, status, own):
    asked = []

    def elsewhere(request, response):
        asked.append(request)
        return response

    with LoopbackProvider(lambda text: {"a": 1}, on_response=elsewhere) as other:
        target = f"http://me:pw@127.0.0.1:{other.port}/v1/chat/completions?key=secret"

        def answer(request, response):
            return Response(status, b"", {"location": target})

        error = failure_of(opened(answer, own=own), backend)
        assert isinstance(error, StopRunError)
        assert f"http://127.0.0.1:{other.port}" in str(error)
        assert "pw" not in str(error)
        assert "secret" not in str(error)
    assert asked == []


def test_a_redirect_on_the_same_address_is_followed_and_not_for_ever(opened, backend):
    def once(request, response):
        if request.path.startswith("/old"):
            target = request.path.removeprefix("/old")
            return Response(307, b"", {"location": target})
        return response

    transport = opened(once)
    assert transport.post(f"/old{PATHS[backend]}", BODY).status in (200, 404)
    error = failure_of(opened(lambda *_: Response(307, b"", {"location": "/v1/again"})), backend)
    assert "one redirect after the other" in str(error)


@pytest.mark.parametrize("location", ["", "http://[", "//", "\x00"])
def test_a_redirect_to_nowhere_is_an_answer_like_any_other(opened, backend, location):
    transport = opened(lambda *_: Response(302, b"{}", {"location": location}))
    try:
        assert not send(transport, backend).ok
    except CallError as error:
        assert is_clean(error)  # noqa: PT017 - either is right, as long as it is ours


@pytest.mark.parametrize("own", [False, True])
def test_every_status_is_an_answer(opened, backend, own):
    for status in (400, 401, 404, 429, 500, 529):
        answer = send(
            opened(lambda _, r, s=status: replace(r, status=s, body=b"{}"), own=own), backend
        )
        assert (answer.status, answer.content, answer.ok) == (status, b"{}", False)


def test_what_cannot_be_sent_is_that_rows_failure(opened, backend):
    transport = opened(lambda _, response: response)
    with pytest.raises(RowError) as caught:
        transport.post(PATHS[backend], {"model": "m", "messages": [{"content": "\ud800"}]})
    assert is_clean(caught.value)


def test_nobody_listens(backend):
    with LoopbackProvider(lambda text: {}) as provider:
        url = provider.anthropic_url
    resolved = Question(Task("p", backend=backend), base_url=url, api_key=KEY).resolve()
    client, _ = resolved.open(1)
    error = failure_of(Transport(client, resolved.endpoint, BOUNDS), backend)
    assert "could not be reached" in str(error)
    client.close()
    assert failure_of(Transport(client, resolved.endpoint, BOUNDS), backend).reason == "connection"


def test_a_connection_that_breaks_off(opened, backend):
    transport = opened(lambda _, response: replace(response, cut="half"))
    assert failure_of(transport, backend).reason == "connection"


@pytest.mark.parametrize("split", [1, 7, 5_000_000])
def test_a_file_is_streamed_bounded_and_without_secrets(opened, backend, tmp_path, split):
    line = json.dumps({"custom_id": "x", "text": f"naïve {KEY} " + "w" * 900}).encode()
    body = (line + b"\n") * 300 if split != 7 else line * 300

    def answer(request, response):
        return Response(200, body)

    transport = opened(answer)
    to = tmp_path / "results.jsonl"
    assert transport.fetch("/results", to, "application/binary").ok
    stored = to.read_bytes()
    assert KEY[8:20].encode() not in stored
    assert stored.count(b"custom_id") == 300
    if split != 7:
        assert {json.loads(one)["custom_id"] for one in stored.splitlines()} == {"x"}
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]

    to.unlink()
    body *= 2
    with pytest.raises(SplitError, match="400,000 bytes"):
        transport.fetch("/results", to, "application/binary")
    assert not to.exists()


def test_a_file_that_is_refused_leaves_none(opened, tmp_path):
    transport = opened(lambda *_: Response(404, b'{"error": "gone"}'))
    to = tmp_path / "results.jsonl"
    answer = transport.fetch("/results", to, "application/binary")
    assert (answer.status, answer.parsed) == (404, {"error": "gone"})
    assert not to.exists()


def test_basic_authentication_and_a_key_in_the_query_still_work(opened, backend):
    seen = []

    def answer(request, response):
        seen.append(request)
        return replace(response, status=200)

    with LoopbackProvider(lambda text: {"a": 1}, on_response=answer) as provider:
        url = f"http://me:p%40w@127.0.0.1:{provider.port}/v1?key=hidden"
        resolved = Question(Task("p", backend=backend), base_url=url, api_key=KEY).resolve()
        assert "hidden" not in repr(resolved)
        client, _ = resolved.open(1)
        Transport(client, resolved.endpoint, BOUNDS).post("/x", BODY)
        client.close()
    expected = base64.b64encode(b"me:p@w").decode()
    assert seen[0].headers["authorization"] == f"Basic {expected}"
    assert seen[0].path == "/v1/x?key=hidden"


class _Proxy(http.server.BaseHTTPRequestHandler):
    asked: ClassVar = []

    def do_POST(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


@pytest.fixture
def proxy(monkeypatch):
    _Proxy.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield _Proxy.asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_directly_whatever_the_proxy(proxy, backend, host):
    with LoopbackProvider(lambda text: {"a": 1}) as provider:
        url = f"http://{host}:{provider.port}" + ("/v1" if backend == "openai" else "")
        resolved = Question(Task("p", backend=backend), base_url=url, api_key=KEY).resolve()
        client, _ = resolved.open(1)
        send(Transport(client, resolved.endpoint, BOUNDS), backend)
        client.close()
    assert proxy == []


@pytest.mark.parametrize("without", ["", "example.org,models.example"])
def test_another_machine_is_asked_through_the_proxy(proxy, backend, monkeypatch, without):
    monkeypatch.setenv("NO_PROXY", without)
    url = "http://models.example.net/v1"
    resolved = Question(Task("p", backend=backend), base_url=url, api_key=KEY).resolve()
    client, _ = resolved.open(1)
    assert send(Transport(client, resolved.endpoint, BOUNDS), backend).content == b"{}"
    client.close()
    assert proxy[0].startswith("http://models.example.net/v1/")


@pytest.mark.parametrize("opened", [0], indirect=True)
def test_the_bounds_are_settings(monkeypatch, opened, backend):
    monkeypatch.setenv("PANDAS_GENAI_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("PANDAS_GENAI_MAX_REPLY_BYTES", "10")
    transport = opened(lambda _, response: response, bounds=None)
    assert "more than 10 bytes" in str(failure_of(transport, backend))


def test_trusted_certificates_are_read_once_for_each_place(monkeypatch, backend, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(True)[0]))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    resolved = Question(Task("p", backend=backend), api_key=KEY).resolve()
    resolved.open(1)[0].close()
    trusted.unlink()
    resolved.open(1)[0].close()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "another.pem"))
    with pytest.raises(FileNotFoundError):
        resolved.open(1)
