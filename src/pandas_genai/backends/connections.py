"""The connections to one address: one a worker, whose reads and writes end with an exchange's time.

Imported when the first client is opened, as it imports httpx2.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from pandas_genai.backends.endpoints import is_loopback
from pandas_genai.backends.exchange import exchange_here

__all__ = ["ENCODING", "Connections", "DirectClient", "core_url", "direct_client"]

ENCODING = "gzip"
"""What an answer may be packed with; nothing else is asked for."""
_PIECE = 1 << 16
_KEEP_IDLE_S = 30.0
_CONNECT_S = 10.0
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads and writes end with the exchange's time.

    What is written waits until it is a piece or an answer is read: head and body of a request go
    out in one packet.
    """

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # A server that has refused a request may have answered, and closed, before its end.
        with contextlib.suppress(httpcore2.WriteError):
            self._flush(timeout)
        return self._inner.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if len(self._unsent) + len(buffer) <= _PIECE:
            self._unsent += buffer
            return
        self._flush(timeout)
        for start in range(0, len(buffer), _PIECE):
            left = _left(timeout, httpcore2.WriteTimeout)
            self._inner.write(buffer[start : start + _PIECE], left)

    def _flush(self, timeout: float | None) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent:
            self._inner.write(unsent, _left(timeout, httpcore2.WriteTimeout))

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
    exchange = exchange_here()
    if exchange is None:
        return timeout
    left = exchange.seconds_left()
    if left <= 0:
        raise error(exchange.too_long)
    return left if timeout is None else min(timeout, left)


class Connections(httpx2.BaseTransport):
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

    def send(self, request: httpcore2.Request) -> httpcore2.Response:
        """Send a request over this thread's connection."""
        return self._pool.handle_request(request)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request of httpx2."""
        answered = self.send(
            httpcore2.Request(
                method=request.method,
                url=core_url(request.url),
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
        """Close the connections of all threads."""
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


def core_url(url: httpx2.URL) -> httpcore2.URL:
    """Return an address of httpx2 for httpcore2."""
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _new_pool(proxy: httpx2.Proxy | None, options: Mapping[str, Any]) -> httpcore2.ConnectionPool:
    if proxy is None:
        return httpcore2.ConnectionPool(**options)
    options = {**options, "proxy_url": core_url(proxy.url), "proxy_auth": proxy.raw_auth}
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


class DirectClient(httpx2.Client):
    """A client for one address.

    Parameters
    ----------
    connections : Connections
        What it sends over.
    seconds : float
        For one read or write.
    """

    def __init__(self, connections: Connections, seconds: float) -> None:
        timeout = httpx2.Timeout(seconds, connect=_CONNECT_S)
        headers = {"accept-encoding": ENCODING}
        super().__init__(transport=connections, timeout=timeout, headers=headers)
        self.connections = connections


def direct_client(base_url: str, workers: int, seconds: float) -> DirectClient:
    """Return a client for one address, with one connection a worker kept alive."""
    return DirectClient(Connections(base_url, workers), seconds)
