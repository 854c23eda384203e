"""A small HTTP/1.1 server: loopback only, a thread a connection, one write an answer.

``http.server`` parses headers through the email package and writes each header by itself, which
costs more than everything else that the provider does for a call.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self

__all__ = ["HTML", "HttpServer", "Request", "Response"]

HTML = b"<!DOCTYPE html><html><body><h1>Welcome to the login page</h1></body></html>"
"""What a proxy answers in the place of a server."""

_HOST = "127.0.0.1"
_BACKLOG = 1024
_MOST_HEAD_BYTES = 65_536
_ONE_WRITE_BYTES = 1 << 20
_JOIN_SECONDS = 2.0
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Request:
    """One request: the names of its headers in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes


@dataclass(slots=True)
class Response:
    """One answer, or the loss of one.

    Parameters
    ----------
    status : int
        Not sent when ``cut`` is ``"before"``.
    body : bytes
        What is answered.
    headers : mapping
        Besides content-type and content-length.
    content_type : str
        Of the body.
    cut : str
        ``"before"``: the connection is reset without an answer; ``"half"``: in the middle of it.
    wire : iterable of bytes, optional
        What is sent instead of all that, a piece at a time; then the connection ends.
    held : bool
        Whether the sender may have left meanwhile.
    on_lost : callable, optional
        Called when the answer could not be sent.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: str = ""
    wire: Iterable[bytes] | None = None
    held: bool = False
    on_lost: Callable[[], None] | None = None

    def as_bytes(self) -> bytes:
        """Return the whole answer as it goes over the wire."""
        return self.head() + self.body

    def head(self) -> bytes:
        """Return what goes before the body."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        head = (
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\n"
            f"content-type: {self.content_type}\r\ncontent-length: {len(self.body)}\r\n{lines}\r\n"
        )
        return head.encode("latin-1")


class _HangUpError(Exception):
    """The connection ends here."""


class _Connection:
    """Reads requests off a socket, whole."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""

    def read(self) -> Request:
        head, body = self._head()
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, path, _ = lines[0].split(" ")
            pairs = [line.split(":", 1) for line in lines[1:]]
            headers = {name.lower(): value.strip() for name, value in pairs}
            length = int(headers.get("content-length", 0))
        except ValueError:
            self._sock.sendall(Response(400, b"{}", {"connection": "close"}).as_bytes())
            raise _HangUpError from None
        self._rest = body
        encoding = headers.get("transfer-encoding", "").lower()
        if encoding not in ("", "chunked"):
            self._sock.sendall(Response(411, b"{}", {"connection": "close"}).as_bytes())
            raise _HangUpError
        raw = b"".join(self._chunks()) if encoding else self._take(length)
        return Request(method, path, headers, raw)

    def _chunks(self) -> Iterator[bytes]:
        """Yield the chunks of a body whose sender did not know its length."""
        while True:
            try:
                size = int(self._line().partition(b";")[0], 16)
            except ValueError:
                raise _HangUpError from None
            if not size:
                break
            yield self._take(size)
            self._line()
        while self._line():  # trailers
            pass

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            if len(self._rest) > _MOST_HEAD_BYTES:
                raise _HangUpError
            self._rest += self._receive(65_536)
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _take(self, size: int) -> bytes:
        """Return the next ``size`` bytes; what came after them is kept."""
        if size <= len(self._rest):
            taken, self._rest = self._rest[:size], self._rest[size:]
            return taken
        parts, missing = [self._rest], size - len(self._rest)
        self._rest = b""
        while missing:
            part = self._receive(min(missing, 1 << 20))
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _head(self) -> tuple[bytes, bytes]:
        data = self._rest
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found:
                return head, body
            if len(data) > _MOST_HEAD_BYTES:
                raise _HangUpError
            data += self._receive(65_536)

    def _receive(self, size: int) -> bytes:
        data = self._sock.recv(size)
        if not data:
            raise _HangUpError
        return data

    def send(self, response: Response) -> None:
        """Send the answer, or lose it as the answer says.

        Raises
        ------
        OSError
            If the other side is gone.
        """
        if response.cut:
            if response.cut == "half":
                whole = response.as_bytes()
                self._sock.sendall(whole[: len(whole) // 2])
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            raise _HangUpError
        if response.wire is not None:
            for piece in response.wire:
                self._sock.sendall(piece)
            raise _HangUpError
        if response.held and self._left():
            raise ConnectionResetError
        if len(response.body) < _ONE_WRITE_BYTES:
            self._sock.sendall(response.as_bytes())
        else:
            self._sock.sendall(response.head())
            self._sock.sendall(response.body)

    def _left(self) -> bool:
        """Whether the other side has closed, which a first write would not notice."""
        self._sock.setblocking(False)
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self._sock.setblocking(True)


class HttpServer:
    """Answers requests on a port of this machine's loopback until it is stopped.

    Parameters
    ----------
    answer : callable
        Request in, Response out; called by the connection's own thread.
    port : int, default 0
        0 takes a free one.
    """

    def __init__(self, answer: Callable[[Request], Response], port: int = 0) -> None:
        self._answer = answer
        self._listener = socket.create_server((_HOST, port), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._stopping = False
        self._acceptor = threading.Thread(
            target=self._accept, name=f"loopback-{self.port}", daemon=True
        )

    def start(self) -> Self:
        """Begin to answer."""
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close every connection and the port. Threads in a slow rule are left behind."""
        self._stopping = True
        # An accept() that blocks does not notice that its socket was closed: it needs a visitor.
        with contextlib.suppress(OSError):
            socket.create_connection((_HOST, self.port), timeout=1).close()
        self._acceptor.join(_JOIN_SECONDS)
        self._listener.close()
        with self._lock:
            still = dict(self._open)
        for sock in still:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in still.values():
            thread.join(_JOIN_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._stopping:
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            with self._lock:
                self._open[sock] = thread
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        connection = _Connection(sock)
        try:
            while not self._stopping:
                response = self._answer(connection.read())
                try:
                    connection.send(response)
                except OSError:
                    if response.on_lost:
                        response.on_lost()
                    return
        except (_HangUpError, OSError):
            pass
        finally:
            with self._lock:
                del self._open[sock]
            sock.close()
