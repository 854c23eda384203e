"""What the SDKs send through: bounded in time and size, bound to one origin.

Imported when the first client is opened, as it imports httpx2.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore2
import httpx2

from pandas_genai.backends.connections import ENCODING, DirectClient, core_url
from pandas_genai.backends.endpoints import origin_of
from pandas_genai.backends.exchange import Exchange, Halt, exchange_here

__all__ = ["GuardedClient", "RequestTemplate"]

_GZIP = b"\x1f\x8b"
_PIECE = 1 << 16
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_TIMEOUTS = (httpx2.TimeoutException, httpcore2.TimeoutException)


class GuardedClient(httpx2.Client):
    """An HTTP client that reads answers itself, for the exchange that its thread is in.

    The SDK gets an answer without a body: the exchange has it, unpacked, bounded and redacted.

    Parameters
    ----------
    inner : httpx2.Client
        Builds and sends the requests.
    owned : bool
        Whether closing this closes that.
    """

    def __init__(self, inner: httpx2.Client, *, owned: bool) -> None:
        super().__init__(transport=httpx2.MockTransport(_unused), timeout=inner.timeout)
        self._inner = inner
        self._owned = owned

    def build_request(self, *args: Any, **options: Any) -> httpx2.Request:
        """Build a request that asks only for the encoding that is unpacked piece by piece."""
        request = self._inner.build_request(*args, **options)
        if not self._owned:
            request.headers["accept-encoding"] = ENCODING
        return request

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request and read the answer into the exchange."""
        exchange = exchange_here()
        if exchange is None:
            return self._inner.send(request, **options)
        try:
            return self._exchanged(request, exchange, options)
        except Exception as error:
            _note(exchange, error)
            raise

    def _exchanged(
        self, request: httpx2.Request, exchange: Exchange, options: dict[str, Any]
    ) -> httpx2.Response:
        options |= {"stream": True, "follow_redirects": False}
        if exchange.built is not None and isinstance(self._inner, DirectClient):
            exchange.built(RequestTemplate(request, self._inner))
        for _ in range(_MOST_REDIRECTS):
            response = self._inner.send(request, **options)
            try:
                onward = response.next_request
                if onward is None:
                    raw = response.headers.raw
                    exchange.receive(response.status_code, raw, _unpacked(response.iter_raw(), raw))
                    # Of a refusal the SDK would read the body, which is gone.
                    granted = response.status_code < 300
                    return response if granted else httpx2.Response(response.status_code)
                _check_origin(request.url, onward.url)
            finally:
                response.close()
            request = onward
        raise Halt("redirect", "answers with one redirect after the other")

    def close(self) -> None:
        """Close the connections, where they are ours."""
        super().close()
        if self._owned:
            self._inner.close()


class RequestTemplate:
    """A request as an SDK built it, to be sent again with another body.

    An SDK builds each request anew, and spends twice as long on that as on sending it, although
    nothing but the body differs. Address, authentication and all other headers stay the SDK's.

    Parameters
    ----------
    request : Request
        As the SDK built it.
    client : DirectClient
        Over whose connections it goes, with the cookies that the client has.
    """

    def __init__(self, request: httpx2.Request, client: DirectClient) -> None:
        self.content = request.content if _is_read(request) else b""
        self._client = client
        self._method, self._address = request.method, request.url
        self._url = core_url(request.url)
        self._extensions = request.extensions
        own = (b"content-length", b"cookie")
        self._headers = [pair for pair in request.headers.raw if pair[0].lower() not in own]
        self.pattern: object = (self._method, self._address, self._headers, self._extensions)

    def send(self, content: bytes, exchange: Exchange) -> bool:
        """Send it with a body, and read the answer into the exchange.

        Returns
        -------
        bool
            False where the answer leads elsewhere: whether to go there is for ``GuardedClient``.
        """
        try:
            response = self._client.connections.send(self._with(content))
            try:
                headers = response.headers
                if response.status in _REDIRECTS:
                    return False
                self._keep_cookies(response.status, headers)
                exchange.receive(
                    response.status, headers, _unpacked(response.iter_stream(), headers)
                )
            finally:
                response.close()
        except Exception as error:
            _note(exchange, error)
            raise
        return True

    def _with(self, content: bytes) -> httpcore2.Request:
        headers = [*self._headers, (b"content-length", b"%d" % len(content))]
        if len(self._client.cookies.jar):
            request = httpx2.Request(self._method, self._address)
            self._client.cookies.set_cookie_header(request)
            cookie = request.headers.get("cookie")
            if cookie is not None:
                headers.append((b"cookie", cookie.encode()))
        sent = httpcore2.Request(self._method, self._url, extensions=self._extensions)
        sent.headers, sent.stream = headers, (content,)  # bytes already: not looked at once more
        return sent

    def _keep_cookies(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if any(name.lower() == b"set-cookie" for name, _ in headers):
            request = httpx2.Request(self._method, self._address)
            response = httpx2.Response(status, headers=headers, request=request)
            self._client.cookies.extract_cookies(response)


def _is_read(request: httpx2.Request) -> bool:
    return isinstance(request.stream, httpx2.ByteStream)


def _note(exchange: Exchange, error: Exception) -> None:
    """Note why there is no answer."""
    if isinstance(error, Halt):
        exchange.fail(error.kind, error.text)
    elif isinstance(error, zlib.error):
        exchange.fail("encoding", f"answered with a body that cannot be unpacked ({error})")
    else:
        kind = "timeout" if isinstance(error, _TIMEOUTS) else "connection"
        over = kind == "timeout" and exchange.seconds_left() <= 0
        text = exchange.too_long if over else f"{type(error).__name__}: {error}"
        exchange.fail(kind, text.strip(": "))


def _unused(request: httpx2.Request) -> httpx2.Response:
    raise AssertionError(request.method)


def _check_origin(asked: httpx2.URL, onward: httpx2.URL) -> None:
    origin = origin_of(str(onward))
    if origin != origin_of(str(asked)):
        raise Halt(
            "redirect",
            f"redirects to another address, {origin}, to which neither texts nor key are sent: if "
            "that is where they should go, give it as base_url",
        )


def _unpacked(pieces: Iterator[bytes], headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the body in pieces that are small whatever was sent."""
    found = [value for name, value in headers if name.lower() == b"content-encoding"]
    encoding = b", ".join(found).strip().lower()
    if encoding in (b"", b"identity"):
        return pieces
    if encoding == b"gzip":
        return _inflated(pieces)
    shown = encoding[:40].decode("latin-1")
    raise Halt("encoding", f"answered in an encoding that was not asked for, {shown!r}")


def _inflated(packed: Iterable[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(16 + zlib.MAX_WBITS)
    begun = False
    for piece in packed:
        rest = piece
        while rest:
            if member.eof:
                if not rest.startswith(_GZIP):
                    return  # padding
                member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            begun = True
            yield member.decompress(rest, _PIECE)
            rest = member.unused_data if member.eof else member.unconsumed_tail
    yield member.flush()
    if begun and not member.eof:
        raise zlib.error("it ends too early")
