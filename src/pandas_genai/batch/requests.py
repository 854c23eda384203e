"""Writes the requests of a job to files, as they will be sent, a request at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from pandas_genai.backends.base import Backend
from pandas_genai.backends.batches import Container, Limits
from pandas_genai.backends.endpoints import Capabilities, Endpoint
from pandas_genai.backends.registry import backend_named
from pandas_genai.batch.folder import JobFolder
from pandas_genai.batch.manifest import Part, opened, unreadable
from pandas_genai.errors import UsageError
from pandas_genai.files import new_file
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import RowInput, TextInput
from pandas_genai.task.prompt import inputs_in, user_content
from pandas_genai.task.task import BoundTask

__all__ = ["SentInputs", "Template", "compact", "inputs_of", "write_requests"]

_ID = "custom-id-goes-here-0c7e1f"
_PLACEHOLDER = TextInput("text-goes-here-4b1d9a")
_AT_ONCE = 1 << 20
"""Bytes that are hashed and written together: one by one, requests take a quarter longer."""


class Template:
    """Builds the requests of one task as bytes.

    A body is built once for each number of rows by the builder of the live path; of the others
    only the rows are written. That gives the same bytes, five times as fast.

    Parameters
    ----------
    task : BoundTask
        What is asked.
    endpoint : Endpoint
        Where.
    capabilities : Capabilities
        What it takes.
    """

    def __init__(self, task: BoundTask, endpoint: Endpoint, capabilities: Capabilities) -> None:
        self._task = task
        self._vendor = endpoint.is_vendor
        self._capabilities = capabilities
        self._pieces: dict[int, tuple[bytes, bytes, bytes]] = {}
        self._backend = backend_named(task.backend)

    def line(self, custom_id: str, chunk: Chunk) -> bytes:
        """Return one request: the envelope of the batch, the body of a live call in it."""
        content = user_content(chunk)
        if not isinstance(content, str):
            return compact(self._backend.batches.envelope(custom_id, self.body(chunk)))
        head, middle, tail = self._around(len(chunk.rows))
        return b"".join([head, custom_id.encode(), middle, to_json(content), tail])

    def body(self, chunk: Chunk) -> Any:
        """Return the body of one request as a live call would send it."""
        return self._backend.build(self._task, chunk, self._capabilities, vendor=self._vendor)

    def _around(self, rows: int) -> tuple[bytes, bytes, bytes]:
        if rows not in self._pieces:
            chunk = Chunk((Row("", "", _PLACEHOLDER, 0),) * rows)
            line = compact(self._backend.batches.envelope(_ID, self.body(chunk)))
            head, rest = line.split(_ID.encode())
            middle, tail = rest.split(to_json(user_content(chunk)))
            self._pieces[rows] = (head, middle, tail)
        return self._pieces[rows]


def compact(value: object) -> bytes:
    """Write JSON as both SDKs write the body of a live call."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def write_requests(
    folder: JobFolder,
    task: BoundTask,
    chunks: Iterable[Chunk],
    template: Template,
    limits: Limits,
    custom_id: Callable[[int, int], str],
    blank: Callable[[int], Part],
    labels: Callable[[Sequence[Row]], Sequence[str | None]],
    first: int = 1,
) -> list[Part]:
    """Write requests to as many files as the vendor's limits ask for.

    Parameters
    ----------
    folder : JobFolder
        Where.
    task : BoundTask
        What is asked.
    chunks : iterable of Chunk
        The rows of each request.
    template : Template
        Builds them.
    limits : Limits
        Of one file.
    custom_id : callable
        From the numbers of part and request, from 1, to the request's id.
    blank : callable
        Makes the part of a number.
    labels : callable
        What names each row of a chunk for a person in the cache.
    first : int, default 1
        The number of the first part.

    Returns
    -------
    list of Part
        One a file, complete on disk.

    Raises
    ------
    UsageError
        If a single request is over the limit.
    """
    parts: list[Part] = []
    waiting = iter(chunks)
    chunk = next(waiting, None)
    while chunk is not None:
        part = blank(first + len(parts))
        with ExitStack() as stack:
            path, keys = folder.requests(task.backend, part.number), folder.keys(part.number)
            writer = _PartWriter(
                part,
                stack.enter_context(new_file(path)),
                stack.enter_context(new_file(keys)),
                backend_named(task.backend).batches.container,
                limits,
                labels,
            )
            while chunk is not None:
                name = custom_id(part.number, part.requests + 1)
                if not writer.add(name, template.line(name, chunk), chunk):
                    break
                chunk = next(waiting, None)
            writer.end()
        parts.append(part)
    return parts


@dataclass
class _PartWriter:
    """Fills one file, as long as requests fit."""

    part: Part
    requests: Any
    keys: Any
    container: Container
    limits: Limits
    labels: Callable[[Sequence[Row]], Sequence[str | None]]

    def __post_init__(self) -> None:
        self._digest = hashlib.sha256()
        self._keys_digest = hashlib.sha256()
        self._pending: list[bytes] = []
        self._named: list[bytes] = []
        self._pending_bytes = 0
        self._space = self.limits.bytes - self.container.size
        self._put(self.container.head)

    def add(self, custom_id: str, line: bytes, chunk: Chunk) -> bool:
        """Write one request; False where it belongs into the next file."""
        part, between = self.part, self.container.between
        if part.requests and (
            part.requests >= self.limits.requests
            or part.bytes + len(between) + len(line) > self._space
        ):
            return False
        if len(line) > self._space:
            raise UsageError(
                f"The request with row {chunk.rows[0].position} (counted from 0) has "
                f"{len(line):,} bytes, a batch takes {self.limits.bytes:,}: shorten its text."
            )
        self._put(between + line if part.requests else line)
        keys = [row.key for row in chunk.rows]
        named = to_json([custom_id, keys, self.labels(chunk.rows)]) + b"\n"
        self._named.append(named)
        part.requests += 1
        part.rows += len(chunk.rows)
        part.characters += chunk.characters
        return True

    def end(self) -> None:
        """Write what stands after the last request."""
        self._put(self.container.tail)
        self._flush()
        self.part.digest = self._digest.hexdigest()
        self.part.keys_digest = self._keys_digest.hexdigest()

    def _put(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)
        self.part.bytes += len(data)
        if self._pending_bytes >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._digest.update(data)
        self.requests.write(data)
        named = b"".join(self._named)
        self._keys_digest.update(named)
        self.keys.write(named)
        self._pending, self._named, self._pending_bytes = [], [], 0


def inputs_of(path: Path, backend: str) -> Iterable[tuple[str, dict[str, RowInput]]]:
    """Read back what was sent: for each request its custom id, and the input of each token."""
    known = backend_named(backend)
    with opened(path) as file:
        for line in known.batches.container.requests_in(file):
            custom_id, body = known.batches.opened(json.loads(line))
            prompt = known.prompt_of(body)
            yield custom_id, inputs_in(prompt.user, prompt.media)


class SentInputs:
    """The inputs of a part's rows, read back from its request file when someone asks for one.

    Parameters
    ----------
    path : Path
        The file.
    backend : Backend
        Whose format it is in.
    custom_ids : iterable of str
        Those of its requests, in its order.
    """

    def __init__(self, path: Path, backend: Backend, custom_ids: Iterable[str]) -> None:
        self._path = path
        self._backend = backend
        self._custom_ids = custom_ids
        self._lines: dict[str, tuple[int, int]] = {}

    def of(self, custom_id: str, keys: Sequence[str]) -> Mapping[str, RowInput]:
        """Return the inputs of one request by row key; nothing is read yet."""
        return _SentRequest(self, custom_id, keys)

    def read(self, custom_id: str, keys: Sequence[str]) -> dict[str, RowInput]:
        """Read the inputs of one request."""
        with opened(self._path) as file:
            if not self._lines:
                self._lines = dict(zip(self._custom_ids, self._found(file), strict=False))
            if custom_id not in self._lines:
                raise unreadable(self._path, f"it does not have {custom_id!r}")
            start, length = self._lines[custom_id]
            file.seek(start)
            line = next(iter(self._backend.batches.container.requests_in([file.read(length)])))
        found, body = self._backend.batches.opened(json.loads(line))
        if found != custom_id:
            raise unreadable(self._path, f"it has {found!r:.80} in the place of {custom_id!r}")
        prompt = self._backend.prompt_of(body)
        return dict(zip(keys, inputs_in(prompt.user, prompt.media).values(), strict=True))

    def _found(self, file: Iterable[bytes]) -> Iterator[tuple[int, int]]:
        """Return where each request begins, and its length."""
        start = 0
        for line in file:
            if any(self._backend.batches.container.requests_in([line])):
                yield start, len(line)
            start += len(line)


class _SentRequest(Mapping[str, RowInput]):
    """The inputs of one request, read when the first is asked for."""

    __slots__ = ("_custom_id", "_file", "_found", "_keys")

    def __init__(self, file: SentInputs, custom_id: str, keys: Sequence[str]) -> None:
        self._file = file
        self._custom_id = custom_id
        self._keys = keys
        self._found: dict[str, RowInput] | None = None

    def __getitem__(self, key: str) -> RowInput:
        if self._found is None:
            self._found = self._file.read(self._custom_id, self._keys)
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
