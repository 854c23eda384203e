"""The most tokens that a call can take: what it can cost is known before it begins."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pandas_genai.backends.base import Backend
from pandas_genai.backends.caller import request_body
from pandas_genai.backends.endpoints import Endpoint, Endpoints
from pandas_genai.backends.registry import backend_named
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Usage
from pandas_genai.task.sizes import CALL_CHARACTERS, answer_characters
from pandas_genai.task.task import BoundTask

__all__ = ["AnswerRange", "Ceiling"]

_HIDDEN = 256
"""Tokens that a vendor may add around a prompt: its template, and its words on tools or formats.
Our own instructions, in English, count four times as many bytes as tokens and cover the rest."""

_JOINT = 8
"""Tokens by which a prompt may grow where its parts meet."""

_LONGEST_TOKEN = 16
"""A prompt that counts fewer than one token in so many bytes was not counted right."""

_MOST_OF_IMAGE = 6_000
"""Tokens: the vendors scale images down to fewer. A file that has more bytes may have more."""

_DEFAULT_MOST = 16_000
_HIGHEST = 128_000
_GROWTH = 4
_SPARE, _STEP = 32, 16
_ENOUGH = 4
"""Counted calls after which the next are expected to be like them, whatever the schema says."""

_MARGIN = 1.1


class Spread:
    """The mean and the spread of what was seen so far."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self._sum += value
        self._squares += value * value

    @property
    def high(self) -> float:
        """The mean and two and a half standard deviations; 0 before anything was seen."""
        if not self.count:
            return 0.0
        mean = self._sum / self.count
        return mean + 2.5 * math.sqrt(max(0.0, self._squares / self.count - mean * mean))


@dataclass(frozen=True)
class AnswerRange:
    """How long one call's answer may be.

    Parameters
    ----------
    least : int
        Tokens that an answer of its rows hardly ever exceeds.
    most : int
        Tokens beyond which no answer is expected.
    fixed : bool
        Whether the user chose the limit, and it is not ours to lower.
    """

    least: int
    most: int
    fixed: bool = False


@dataclass
class Ceiling:
    """What calls of one task can take at most.

    Every token stands for at least one byte of UTF-8, so that a request never has more tokens than
    bytes, but for what the vendor adds. Once a call was counted, the part that all calls share is
    known more closely: it had no more tokens than that whole call. An answer has no more tokens
    than the limit that is sent with the request.

    Parameters
    ----------
    task : BoundTask
        What is asked.
    body : callable
        Builds the body of a call for one chunk.
    """

    task: BoundTask
    body: Callable[[Chunk], Mapping[str, Any]]
    _backend: Backend = field(init=False, repr=False)
    _shared: dict[int, int] = field(default_factory=dict, init=False, repr=False)
    _seen: Spread = field(default_factory=Spread, init=False, repr=False)
    _needs: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _taken: int = field(default=_HIGHEST, init=False, repr=False)

    def __post_init__(self) -> None:
        self._backend = backend_named(self.task.backend)

    @classmethod
    def of(cls, task: BoundTask, endpoint: Endpoint, endpoints: Endpoints) -> Self:
        """Return the ceiling of the requests that an endpoint would be sent now."""
        return cls(task, lambda chunk: request_body(task, chunk, endpoint, endpoints))

    def sent(self, body: Mapping[str, Any]) -> int:
        """Return the most tokens that a request can have."""
        prompt = self._backend.prompt_of(body)
        own = len(prompt.user.encode())
        own += sum(max(_MOST_OF_IMAGE, len(part.data)) for part in prompt.media)
        shared = self.shared_bytes(body)
        known = self._shared.get(shared)
        return own + (shared + _HIDDEN if known is None else known + _JOINT)

    def shared_bytes(self, body: Mapping[str, Any]) -> int:
        """Count the bytes of a request without its rows."""
        rest = self._backend.without_rows(body)
        return len(json.dumps(rest, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def answer_range(self, chunk: Chunk, body: Mapping[str, Any]) -> AnswerRange:
        """Return how long the answer to a chunk may be."""
        limit = self._backend.limit_of(body)  # some backends send one with every request
        if limit is not None and not self.task.sent_params.keys().isdisjoint(
            self._backend.limit_names
        ):
            return AnswerRange(limit, limit, fixed=True)
        thinking = self._backend.thinking_tokens(body)
        least = max(self._expected(len(chunk.rows)) + thinking, self._needed(chunk))
        least = -(-least // _STEP) * _STEP
        most = max(_DEFAULT_MOST, _GROWTH * least) if limit is None else limit
        most = min(most, _HIGHEST, self._taken)
        return AnswerRange(min(least, most), most)

    def _expected(self, rows: int) -> int:
        """Return the tokens that an answer of so many rows hardly ever exceeds."""
        seen = math.ceil(rows * self._seen.high * _MARGIN)
        if self._seen.count >= _ENOUGH:
            return seen + _SPARE
        guessed = rows * answer_characters(self.task.schema) + CALL_CHARACTERS
        return max(guessed, seen) + _SPARE

    def _needed(self, chunk: Chunk) -> int:
        """Return what is known of this chunk, from an answer that was cut off."""
        return self._needs.get(chunk.rows[0].key, 0)

    def learn(self, chunk: Chunk, shared: int, usage: Usage) -> None:
        """Note what a call took whose request had so many bytes in common with others."""
        sent = usage.input_tokens
        if sent * _LONGEST_TOKEN >= shared:
            self._shared[shared] = min(sent, self._shared.get(shared, sent))
        self._seen.add(usage.output_tokens / len(chunk.rows))

    def forget(self) -> None:
        """Trust no count of requests any more: one was billed higher than it could be."""
        self._shared.clear()

    def cut_off(self, chunk: Chunk, limit: int) -> bool:
        """Note that an answer was cut off at this limit; whether it may have a higher one."""
        key = chunk.rows[0].key
        self._needs[key] = limit * _GROWTH
        if self.answer_range(chunk, self.body(chunk)).least > limit:
            return True
        del self._needs[key]
        return False

    def takes(self, limit: int) -> None:
        """Note a limit that the endpoint took after it had refused a higher one."""
        self._taken = min(self._taken, limit)
