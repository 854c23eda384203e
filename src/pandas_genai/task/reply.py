"""The reply of one call, and its check against what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic_core import to_json

from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.evidence import ground
from pandas_genai.task.nesting import MAX_DEPTH, is_too_deep
from pandas_genai.task.schema import Schema

__all__ = ["Failure", "Refusal", "Reply", "RowCheck", "Usage", "check_reply"]


_strictly = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
).encode


def _encode(result: object) -> str:
    """Write an answer as JSON: by pydantic, five times as fast, wherever it can and may."""
    try:
        text = to_json(result).decode()
    except ValueError:  # half of a surrogate pair, and what no JSON can hold
        return _strictly(result)
    # It writes numbers that JSON does not know; json refuses them.
    return _strictly(result) if "NaN" in text or "Infinity" in text else text


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more calls.

    Parameters
    ----------
    input_tokens : int
        All tokens sent, cached ones included.
    cached_tokens : int
        Those of them that were read from the vendor's prompt cache.
    cache_write_tokens : int
        Those of them that were written to it.
    output_tokens : int
        Tokens answered, reasoning included.
    unknown_calls : int
        Calls among them of which the provider sent no usable counts: their tokens are not 0 but
        unknown, and the sums above are lower bounds.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    unknown_calls: int = 0

    @property
    def known(self) -> bool:
        """Whether every call was counted by its provider."""
        return self.unknown_calls == 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.unknown_calls + other.unknown_calls,
        )

    def shares(self, rows: int) -> Iterator[tuple[int, int, int]]:
        """Split the tokens of a call over its rows so that they add up again.

        Parameters
        ----------
        rows : int
            How many.

        Returns
        -------
        iterator of (int, int, int)
            Of each row: tokens sent, those of them that were cached, tokens answered.
        """

        def split(tokens: int) -> list[int]:
            each, rest = divmod(tokens, rows)
            return [each + 1] * rest + [each] * (rows - rest)

        if not rows:
            return iter(())
        counts = (self.input_tokens, self.cached_tokens, self.output_tokens)
        return zip(*map(split, counts), strict=True)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one row of a reply was not accepted."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A distinct input that was given up, and why.

    Parameters
    ----------
    row : Row
        Its row.
    refusal : Refusal
        The last reason.
    attempts : int
        HTTP requests in which it was sent.
    request_id : str, optional
        The vendor's id of the last of them.
    """

    row: Row
    refusal: Refusal
    attempts: int
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call came back with.

    Parameters
    ----------
    accepted : dict
        Row key to the validated result as JSON text.
    refused : dict
        Row key to the reason. Together with ``accepted`` it has every row that was sent.
    usage : Usage
        What the call cost in tokens.
    model : str
        The model that the provider says answered.
    request_id : str, optional
        The vendor's id of the request.
    params_sent : str
        The parameters as they were sent after adaptation (output mode, limits, sampling), as
        canonical JSON; empty where the call did not record them.
    content : bytes, optional
        The body of the reply as it came, secrets taken out; None where it is not kept.
    """

    accepted: dict[str, str]
    refused: dict[str, Refusal] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    request_id: str | None = None
    params_sent: str = ""
    content: bytes | None = None


RowCheck: TypeAlias = Callable[[Row, object], None]
"""Held against each answer that the schema takes: is given the row, whose ``input`` is what was
sent of it, live and in batch, and the result as plain JSON; raises ValueError to refuse it."""


def check_reply(
    payload: object, chunk: Chunk, schema: Schema, checks: Sequence[RowCheck] = ()
) -> tuple[dict[str, str], dict[str, Refusal]]:
    """Hold a parsed reply against the rows that were sent.

    Only an id that was sent, and was answered once (or twice with the same words), is accepted,
    and only if its entry is valid under the schema. Everything else is refused by row. An id in
    capitals or between spaces is the same id, unless two rows of the chunk could then be meant.

    Parameters
    ----------
    payload : object
        The parsed JSON of the reply.
    chunk : Chunk
        What was sent.
    schema : Schema
        What an entry must look like.
    checks : sequence of RowCheck
        What is held against a row's input besides.

    Returns
    -------
    accepted, refused : dict, dict
        By row key; every row of the chunk is in exactly one of them.
    """
    entries = _entries(payload)
    if entries is None:
        refusal = Refusal("invalid reply", 'The reply has no list "all_results".')
        return {}, {row.key: refusal for row in chunk.rows}
    name_of: Callable[[str], str] = str
    by_token = _by_token(entries, name_of)
    # Nearly always every id came back as it was sent, and no other.
    if by_token.keys() != {row.token for row in chunk.rows} and _are_told_apart(chunk):
        name_of = _folded
        by_token = _by_token(entries, name_of)
    accepted: dict[str, str] = {}
    refused: dict[str, Refusal] = {}
    for row in chunk.rows:
        found = by_token.get(name_of(row.token), [])
        try:
            accepted[row.key] = _result(found, schema, row, checks)
        except _RefusedError as error:
            refused[row.key] = Refusal(error.reason, str(error))
    return accepted, refused


def _by_token(
    entries: list[object], name_of: Callable[[str], str]
) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        token = entry.get("input_id")
        # A token of digits may come back as a number; nothing else than these two is an id.
        if isinstance(token, (str, int)) and not isinstance(token, bool):
            fields = dict(entry)
            del fields["input_id"]
            found.setdefault(name_of(str(token)), []).append(fields)
    return found


def _are_told_apart(chunk: Chunk) -> bool:
    return len({_folded(row.token) for row in chunk.rows}) == len(chunk.rows)


class _RefusedError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _result(
    found: list[dict[str, object]], schema: Schema, row: Row, checks: Sequence[RowCheck]
) -> str:
    if not found:
        raise _RefusedError("missing in reply", "The model left this row out of its reply.")
    if len(found) > 1 and any(fields != found[0] for fields in found[1:]):
        raise _RefusedError(
            "doubled in reply", f"The model answered this row {len(found)} times, differently."
        )
    try:
        result = schema.validate(found[0])
        if schema.evidence:
            ground(result, [row.input.text], schema)
        for check in checks:
            check(row, result)
        text = _encode(result)
    except (ValueError, RecursionError) as error:
        raise _RefusedError("invalid answer", str(error)) from error
    # A user's own model may unfold what was a text in the reply.
    if text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(result):
        raise _RefusedError("invalid answer", f"The answer is nested deeper than {MAX_DEPTH}.")
    return text


def _folded(token: str) -> str:
    return token.strip().lower()


def _entries(payload: object) -> list[object] | None:
    if isinstance(payload, dict):
        for name in ("all_results", "results"):
            if isinstance(payload.get(name), list):
                found: list[object] = payload[name]
                return found
    return None
