"""One request and its answer: bounded in time and size, without secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pandas_genai.backends.json_text import read_json
from pandas_genai.files import new_file
from pandas_genai.redaction import Redactor

__all__ = ["Answer", "Exchange", "Halt", "Template", "carried", "exchange_here"]

_here = threading.local()

_CARRY = 1 << 13
"""Bytes held back at the end of a block without a line's end: a secret may go on in the next."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status, without the secrets that we know.

    Parameters
    ----------
    status : int
        Of HTTP.
    headers : mapping
        By their names in small letters.
    content : bytes
        The body, unpacked; empty where it was streamed into a file.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the request was granted."""
        return 200 <= self.status < 300

    @property
    def parsed(self) -> object:
        """The body as JSON, or as text that is none."""
        try:
            return read_json(self.content)
        except ValueError:
            return self.content.decode("utf-8", "replace")


class Halt(Exception):  # noqa: N818 - a signal that no caller sees
    """Ends an exchange: what happened, as a word and as the rest of a sentence."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Template(Protocol):
    """A request as it was sent, which can be sent again with another body.

    Attributes
    ----------
    content : bytes
        The body that it was sent with.
    pattern : object
        All the rest: equal where requests differ in their bodies alone.
    """

    content: bytes
    pattern: object

    def send(self, content: bytes, exchange: Exchange) -> bool:
        """Send it with a body, and read the answer; False if that leads elsewhere."""


class Exchange:
    """One request on its way.

    Parameters
    ----------
    redactor : Redactor
        Knows the secrets.
    seconds : float
        For all of it, from connecting to the last byte.
    most_bytes : int
        Of the body, unpacked.
    sink : Path, optional
        Where the body of a granted request goes, instead of into memory.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        redactor: Redactor,
        seconds: float,
        most_bytes: int,
        sink: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redactor = redactor
        self.too_long = f"no whole answer within {seconds:g} seconds"
        self._most_bytes = most_bytes
        self._sink = sink
        self._clock = clock
        self._ends = clock() + seconds
        self.answer: Answer | None = None
        self.failure: Halt | None = None
        self.begun = False
        self.built: Callable[[Template], None] | None = None

    def seconds_left(self) -> float:
        """Return how long the exchange may go on."""
        return self._ends - self._clock()

    def fail(self, kind: str, text: str) -> None:
        """Note why there is no answer; the first reason counts."""
        if self.failure is None:
            self.failure = Halt(kind, self._redactor.text(text))

    def receive(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], pieces: Iterable[bytes]
    ) -> None:
        """Read an answer whose head has come.

        Raises
        ------
        Halt
            If it takes too long or is too large.
        """
        self.begun = True
        answer = Answer(status, self._redactor.headers(headers))
        bounded = self._bounded(pieces)
        if self._sink is not None and answer.ok:
            self._store(bounded, self._sink)
            self.answer = answer
            return
        content = self._redactor.data(b"".join(bounded))
        self.answer = Answer(status, answer.headers, content)

    def _bounded(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > self._most_bytes:
                raise Halt("size", f"answered with more than {self._most_bytes:,} bytes")
            if self._clock() > self._ends:
                raise Halt("timeout", self.too_long)
            yield piece

    def _store(self, pieces: Iterable[bytes], path: Path) -> None:
        with new_file(path) as file:
            for block in self._blocks(pieces):
                file.write(block)

    def _blocks(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a body without secrets, in blocks that end where a line does, if one does."""
        pending: list[bytes] = []
        size = 0
        for piece in pieces:
            pending.append(piece)
            size += len(piece)
            if size < _BLOCK:
                continue
            block = b"".join(pending)
            end = block.rfind(b"\n") + 1
            if not end:
                block = self._redactor.data(block)
                end = len(block) - _CARRY
            yield self._redactor.data(block[:end])
            pending = [block[end:]]
            size = len(pending[0])
        yield self._redactor.data(b"".join(pending))


class carried:  # noqa: N801 - used like contextlib's functions
    """Let the requests that this thread sends meanwhile belong to an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> Exchange:
        _here.exchange = self._exchange
        return self._exchange

    def __exit__(self, *_: object) -> None:
        _here.exchange = None


def exchange_here() -> Exchange | None:
    """Return the exchange that this thread is in."""
    found: Exchange | None = getattr(_here, "exchange", None)
    return found
