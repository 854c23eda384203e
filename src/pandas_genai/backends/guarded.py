"""What the SDKs send through: bounded in time and size, bound to one origin.

Imported when the first client is opened, as it imports httpx2.
"""

from __future__ import annotations

import functools
import os
import ssl
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from pandas_genai.backends.endpoints import is_loopback, origin_of
from pandas_genai.backends.exchange import Exchange, Halt

__all__ = ["GuardedClient", "carried", "direct_client"]

_ENCODING = "gzip"
"""What is unpacked here, piece by piece."""
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 16
_MOST_REDIRECTS = 5
_KEEP_IDLE_S = 30.0
_CONNECT_S = 10.0
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_TIMEOUTS = (httpx2.TimeoutException, httpcore2.TimeoutException)

_here = threading.local()


class carried:  # noqa: N801 - used like contextlib's functions
    """Let the requests that this thread sends meanwhile belong to an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> Exchange:
        _here.exchange = self._exchange
        return self._exchange

    def __exit__(self, *_: object) -> None:
        _here.exchange = None


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
            request.headers["accept-encoding"] = _ENCODING
        return request

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request and read the answer into the exchange."""
        exchange: Exchange | None = getattr(_here, "exchange", None)
        if exchange is None:
            return self._inner.send(request, **options)
        try:
            return self._exchanged(request, exchange, options)
        except Halt as halt:
            exchange.fail(halt.kind, halt.text)
            raise
        except zlib.error as error:
            exchange.fail("encoding", f"answered with a body that cannot be unpacked ({error})")
            raise
        except Exception as error:
            kind = "timeout" if isinstance(error, _TIMEOUTS) else "connection"
            over = kind == "timeout" and exchange.seconds_left() <= 0
            text = exchange.too_long if over else f"{type(error).__name__}: {error}"
            exchange.fail(kind, text.strip(": "))
            raise

    def _exchanged(
        self, request: httpx2.Request, exchange: Exchange, options: dict[str, Any]
    ) -> httpx2.Response:
        options |= {"stream": True, "follow_redirects": False}
        for _ in range(_MOST_REDIRECTS):
            response = self._inner.send(request, **options)
            try:
                onward = response.next_request
                if onward is None:
                    raw = response.headers.raw
                    exchange.receive(response.status_code, raw, _unpacked(response, raw))
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


def _unpacked(response: httpx2.Response, headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the body in pieces that are small whatever was sent."""
    found = [value for name, value in headers if name.lower() == b"content-encoding"]
    encoding = b", ".join(found).strip().lower()
    if encoding in (b"", b"identity"):
        return response.iter_raw()
    if encoding == b"gzip":
        return _inflated(response.iter_raw())
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


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads and writes end with the exchange's time."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            left = _left(timeout, httpcore2.WriteTimeout)
            piece = buffer if len(buffer) <= _PIECE else buffer[start : start + _PIECE]
            self._inner.write(piece, left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *args: Any, **options: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.NetworkBackend):
    """Opens such connections."""

    def __init__(self) -> None:
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, left, local_address, socket_options))


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    """Return the seconds that one step may take."""
    exchange: Exchange | None = getattr(_here, "exchange", None)
    if exchange is None:
        return timeout
    left = exchange.seconds_left()
    if left <= 0:
        raise error(exchange.too_long)
    return left if timeout is None else min(timeout, left)


class _Transport(httpx2.BaseTransport):
    """httpx2's own transport, over connections that keep to the exchange's time.

    Each worker has a pool to itself: a pool's lock is held while all its connections are looked
    at, and workers that share one wait for it nearly half of the time.
    """

    def __init__(self, base_url: str, workers: int) -> None:
        self._options: dict[str, Any] = {
            "ssl_context": _certificates(*(os.environ.get(name) for name in _CERTIFICATES)),
            "max_connections": 2,
            "max_keepalive_connections": 1,
            "keepalive_expiry": _KEEP_IDLE_S,
            "network_backend": _Backend(),
        }
        proxy = _proxy_of(base_url)
        self._proxy = None if proxy is None else httpx2.Proxy(proxy)
        self._most = workers
        self._threads = 0
        self._pools: list[httpcore2.ConnectionPool] = []
        self._own = threading.local()
        self._lock = threading.Lock()

    @property
    def _pool(self) -> httpcore2.ConnectionPool:
        """The pool of this thread; threads beyond the workers share theirs."""
        pool: httpcore2.ConnectionPool | None = getattr(self._own, "pool", None)
        if pool is None:
            with self._lock:
                place, self._threads = self._threads % self._most, self._threads + 1
                if place == len(self._pools):
                    self._pools.append(_new_pool(self._proxy, self._options))
                pool = self._own.pool = self._pools[place]
        return pool

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answered = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=_core_url(request.url),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            answered.status,
            headers=answered.headers,
            stream=_Body(answered.stream),
            extensions=answered.extensions,
        )

    def close(self) -> None:
        with self._lock:
            for pool in self._pools:
                pool.close()


@functools.cache
def _certificates(*_named: str | None) -> ssl.SSLContext:
    """Return the trusted certificates, which take longer to read than a small run to answer.

    They are read again where the environment names others.
    """
    return httpx2.create_ssl_context()


class _Body(httpx2.SyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        yield from self._inner

    def close(self) -> None:
        self._inner.close()


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _new_pool(proxy: httpx2.Proxy | None, options: Mapping[str, Any]) -> httpcore2.ConnectionPool:
    if proxy is None:
        return httpcore2.ConnectionPool(**options)
    options = {**options, "proxy_url": _core_url(proxy.url), "proxy_auth": proxy.raw_auth}
    if proxy.url.scheme.startswith("socks"):
        return httpcore2.SOCKSProxy(**options)
    return httpcore2.HTTPProxy(
        **options, proxy_headers=proxy.headers.raw, proxy_ssl_context=proxy.ssl_context
    )


def _proxy_of(base_url: str) -> str | None:
    """Return the proxy that the environment names for an address; none for this machine."""
    url = httpx2.URL(base_url)
    if is_loopback(url.host) or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if found and "://" not in found:
        found = f"http://{found}"
    return found or None


def direct_client(base_url: str, workers: int, seconds: float) -> httpx2.Client:
    """Return a client for one address, with one connection a worker kept alive."""
    timeout = httpx2.Timeout(seconds, connect=_CONNECT_S)
    headers = {"accept-encoding": _ENCODING}
    return httpx2.Client(transport=_Transport(base_url, workers), timeout=timeout, headers=headers)
