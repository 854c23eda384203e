"""How many tokens calls will take, before they are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

from pandas_genai.backends.caller import request_body
from pandas_genai.backends.endpoints import Endpoint, Endpoints
from pandas_genai.backends.registry import backend_named
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import MEDIA_SIZE, NO_INPUT
from pandas_genai.task.reply import Usage
from pandas_genai.task.sizes import CALL_CHARACTERS, answer_characters
from pandas_genai.task.task import BoundTask

__all__ = ["PER_TOKEN", "Forecast"]

PER_TOKEN = 4
"""Characters a token: no tokenizer works offline for every model."""

_READ_CHUNKS = 20


@dataclass
class Forecast:
    """What calls of one task will take, from characters alone.

    The requests are the real ones, with the system prompt and the schema; of many of them only
    the texts are counted. Discounts of a prompt cache and a model's thinking are not foreseen.

    Parameters
    ----------
    task : BoundTask
        What is asked.
    body : callable
        Builds the body of a call for one chunk.
    answer : float, optional
        Tokens of one row's answer, where they are known; otherwise guessed from the schema.
    """

    task: BoundTask
    body: Callable[[Chunk], Mapping[str, Any]]
    answer: float | None = None
    _around: dict[int, int] = field(default_factory=dict, init=False, repr=False)
    _escaped: float = field(default=1.0, init=False, repr=False)

    @classmethod
    def of(cls, task: BoundTask, endpoint: Endpoint, endpoints: Endpoints) -> Self:
        """Return the forecast of the requests that an endpoint would be sent now."""
        return cls(task, lambda chunk: request_body(task, chunk, endpoint, endpoints))

    def read(self, chunks: Iterable[Chunk]) -> None:
        """Learn from the first chunks how much longer texts become in a request."""
        sent = plain = 0
        for chunk in islice(chunks, _READ_CHUNKS):
            sent += self._characters(self.body(chunk)) - self.around(len(chunk.rows))
            plain += _characters(chunk)
        if plain:
            self._escaped = sent / plain

    def around(self, rows: int) -> int:
        """Return the characters of a call's request without the texts of its rows."""
        if rows not in self._around:
            self._around[rows] = self._characters(self.blank(rows))
        return self._around[rows]

    def blank(self, rows: int) -> Mapping[str, Any]:
        """Return the body of a call for so many rows without texts."""
        return self.body(Chunk((Row("", "abcde", NO_INPUT, 0),) * rows))

    def input_tokens(self, rows: int, characters: float, chunk_size: int) -> float:
        """Return the tokens sent for so many rows whose texts have so many characters."""
        full, rest = divmod(rows, chunk_size)
        around = full * self.around(chunk_size) if full else 0
        around += self.around(rest) if rest else 0
        return (around + characters * self._escaped) / PER_TOKEN

    def output_tokens(self, rows: int, chunk_size: int) -> float:
        """Return the tokens answered for so many rows."""
        if self.answer is not None:
            return rows * self.answer
        calls = -(-rows // chunk_size)
        guessed = rows * answer_characters(self.task.schema) + calls * CALL_CHARACTERS
        return guessed / PER_TOKEN

    def _characters(self, body: Mapping[str, Any]) -> int:
        """Count the characters of a request that a model reads: messages, and schemas as JSON."""
        prompt = backend_named(self.task.backend).prompt_of(body)
        schemas = (json.dumps(schema, ensure_ascii=False) for schema in prompt.schemas.values())
        texts = len(prompt.system) + len(prompt.user) + sum(map(len, schemas))
        return texts + MEDIA_SIZE * len(prompt.media)

    def usage(self, chunk: Chunk) -> Usage:
        """Return what the call for one chunk will take."""
        rows = len(chunk.rows)
        sent = self.input_tokens(rows, _characters(chunk), rows)
        return Usage(round(sent), 0, 0, round(self.output_tokens(rows, rows)))


def _characters(chunk: Chunk) -> int:
    return sum(row.input.characters for row in chunk.rows)
