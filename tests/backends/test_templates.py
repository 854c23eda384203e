"""Requests that differ in their bodies alone: built by the SDK twice, then sent by that pattern."""

from __future__ import annotations

import itertools
import json

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai.backends.connections import direct_client
from pandas_genai.backends.guarded import GuardedClient
from pandas_genai.backends.http import Bounds, Transport
from pandas_genai.backends.resolve import Question
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider
from pandas_genai.testing.server import Response

KEY = "sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8Nc4Mf6"
BOUNDS = Bounds(seconds=20.0, file_seconds=20.0, reply_bytes=100_000, file_bytes=400_000)
PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}


class Wire:
    """A provider that keeps the requests as they came, and answers whatever is wanted."""

    def __init__(self):
        self.requests = []
        self.headers = {}
        self.location = None
        self.provider = LoopbackProvider(lambda text: {"a": 1}, on_response=self._answer)

    def _answer(self, request, response):
        self.requests.append(request)
        if self.location is not None and request.path != self.location:
            return Response(307, b"", {"location": self.location})
        return Response(200, b"{}", self.headers)

    def sent(self):
        """Headers in the sequence in which they came, and bodies."""
        return [(list(one.headers.items()), one.raw) for one in self.requests]


@pytest.fixture
def wire():
    found = Wire()
    with found.provider:
        yield found


@pytest.fixture(params=["openai", "anthropic"])
def backend(request):
    return request.param


def resolved_at(wire, backend, **options):
    url = wire.provider.openai_url if backend == "openai" else wire.provider.anthropic_url
    return Question(Task("p", backend=backend), base_url=url, api_key=KEY, **options).resolve()


@pytest.fixture
def transport(wire, backend):
    resolved = resolved_at(wire, backend)
    client, _ = resolved.open(2)
    yield Transport(client, resolved.endpoint, BOUNDS)
    client.close()


def without_length(headers):
    return sorted(pair for pair in headers if pair[0] != "content-length")


def test_later_requests_are_what_the_sdk_sends(wire, backend, transport):
    bodies = [{"model": "m", "messages": [{"content": "ä" * size}]} for size in range(5)]
    for body in bodies:
        transport.post(PATHS[backend], body, headers={"x-own": "1"})
    (first, _), *rest = wire.sent()
    for (headers, raw), body in zip(rest, bodies[1:], strict=True):
        assert without_length(headers) == without_length(first)
        assert json.loads(raw) == body
        assert dict(headers)["content-length"] == str(len(raw))
    assert KEY in dict(first).get("authorization", "") + dict(first).get("x-api-key", "")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A lone half of a surrogate pair is no text: no SDK sends it.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('aé"\\\n'), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def warm():
    """One transport a backend, which knows how requests are built."""
    wire, transports, clients = Wire(), {}, []
    with wire.provider:
        for backend, path in PATHS.items():
            resolved = resolved_at(wire, backend)
            client, _ = resolved.open(1)
            clients.append(client)
            transports[path] = Transport(client, resolved.endpoint, BOUNDS)
            for _ in range(2):
                transports[path].post(path, {"model": "m"})
        yield wire, transports
        for client in clients:
            client.close()


@settings(deadline=None)
@given(content=plain, number=st.integers(0))
def test_bodies_are_byte_for_byte_those_of_the_sdk(warm, content, number):
    wire, transports = warm
    for path, transport in transports.items():
        body = {"model": "m", "messages": content, "number": number}
        transport.post(path, body)
        # Headers that were never sent before: the SDK builds it.
        transport.post(path, body, headers={"x-number": str(len(wire.requests))})
        ours, built = wire.requests[-2:]
        assert ours.raw == built.raw


def test_each_kind_of_request_keeps_its_own_headers(wire, backend, transport):
    for number in range(9):
        transport.post(PATHS[backend], {"model": "m"}, headers={"x-kind": str(number % 2)})
    assert [one.headers["x-kind"] for one in wire.requests] == [str(n % 2) for n in range(9)]


def test_cookies_are_kept_as_the_sdk_keeps_them(wire, backend, transport):
    for number in range(6):
        wire.headers = {"set-cookie": f"session=at-{number}; Path=/"} if number != 3 else {}
        transport.post(PATHS[backend], {"model": "m"})
    found = [one.headers.get("cookie") for one in wire.requests]
    assert found == [None, *(f"session=at-{number}" for number in (0, 1, 2, 2, 4))]


def test_a_redirect_is_left_to_the_sdks_way(wire, backend, transport):
    for _ in range(3):
        transport.post(PATHS[backend], {"model": "m"})
    wire.location = "/v1/elsewhere"
    assert transport.post(PATHS[backend], {"model": "m", "n": 1}).ok
    assert [one.path for one in wire.requests][-1] == "/v1/elsewhere"
    assert json.loads(wire.requests[-1].raw) == {"model": "m", "n": 1}


class Signing:
    """A backend's client that signs each request anew."""

    def __init__(self, url):
        self.api_key = KEY
        self._url = url
        self._http = GuardedClient(direct_client(url, 1, 20.0), owned=True)
        self._numbers = itertools.count()

    def post(self, path, *, cast_to, body, options):
        headers = {"x-signature": str(next(self._numbers))}
        request = self._http.build_request("POST", self._url + path, json=body, headers=headers)
        return self._http.send(request)

    def close(self):
        self._http.close()


def test_a_client_whose_requests_differ_builds_each_of_them(wire):
    resolved = resolved_at(wire, "openai")
    client = Signing(wire.provider.openai_url)
    transport = Transport(client, resolved.endpoint, BOUNDS)
    for _ in range(5):
        assert transport.post("/chat/completions", {"model": "m"}).ok
    client.close()
    assert [one.headers["x-signature"] for one in wire.requests] == list("01234")


def test_a_users_own_client_builds_each_request_itself(wire):
    import openai

    hooked = []
    http = httpx2.Client(event_hooks={"request": [hooked.append]})
    with openai.OpenAI(api_key=KEY, base_url=wire.provider.openai_url, http_client=http) as own:
        resolved = Question(Task("p"), client=own).resolve()
        client, _ = resolved.open(1)
        transport = Transport(client, resolved.endpoint, BOUNDS)
        for _ in range(5):
            assert transport.post("/chat/completions", {"model": "m"}).ok
    assert len(hooked) == len(wire.requests) == 5
