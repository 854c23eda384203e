"""What is kept, as plain values: one class for each table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple, Protocol
from zlib import crc32

from pydantic_core import from_json

from pandas_genai.errors import CacheError

__all__ = ["Answer", "FailureRecord", "Origin", "Provenance", "RequestRecord", "RunRecord"]
__all__ += ["TaskRecord"]
__all__ += ["checked_columns", "checksum", "keys_in_blocks", "named", "now", "packed_keys"]
__all__ += ["storable", "unpacked_keys", "whole"]

_KEY_DIGITS = 32


class _Record(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


def now() -> str:
    """Return this moment as ISO 8601 text in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def storable(value: Any) -> Any:
    r"""Return a value that SQLite can hold.

    A model may answer with half of a surrogate pair, which UTF-8 cannot hold. It is kept as the
    escape ``\udXXX``: in JSON that is the same text, and one row never spoils its neighbours.

    Parameters
    ----------
    value : object
        Anything; only text is looked at.

    Examples
    --------
    >>> print(storable('"\ud83d"'))
    "\ud83d"
    """
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def named(record: _Record) -> dict[str, Any]:
    """Return a record's values by column."""
    return {item.name: storable(getattr(record, item.name)) for item in fields(record)}


def checked_columns(columns: Iterable[str]) -> None:
    """See that the table ``runs`` has some columns.

    Raises
    ------
    TypeError
        If there is no such column.
    """
    known = RunRecord.__dataclass_fields__
    for name in columns:
        if name not in known:
            raise TypeError(f"The table runs has no column {name!r}: it has {', '.join(known)}.")


class Answer(NamedTuple):
    """The answer to one text under one task.

    A tuple, because one is made for every row of every run: five times as fast as a frozen
    dataclass.

    Parameters
    ----------
    prompt_hash, text_hash : str
        The task and the row key.
    result : str
        The validated answer as JSON text.
    row_id : str, optional
        What names the row for a person; no part of its identity.
    model, model_answered : str, optional
        The model that was asked, and the one that the provider says answered.
    run_id, request_id : str, optional
        Where the answer came from.
    input_tokens, cached_tokens, output_tokens : int
        This row's share of its call.
    repeat : int
        Which of several answers to the same text; 0 is the one that is looked up.
    request : RequestRecord, optional
        The call that brought it, written in the same transaction.
    """

    prompt_hash: str
    text_hash: str
    result: str
    row_id: str | None = None
    model: str | None = None
    model_answered: str | None = None
    run_id: str | None = None
    request_id: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    repeat: int = 0
    request: RequestRecord | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RequestRecord:
    """One billed call, whether or not its answers were accepted.

    Parameters
    ----------
    run_id, prompt_hash : str
        The run that brought it and its task.
    rows : sequence of str
        The row keys that were sent.
    request_id : str or None
        The provider's id of the request.
    model, model_answered : str
        The model that was asked, and the one that the provider says answered.
    params_sent : str
        The parameters as they were sent after adaptation, as JSON text.
    attempts : int
        HTTP requests until this reply came.
    refused : int
        Rows of it without an accepted answer.
    reason : str or None
        Why the first of them was refused.
    input_tokens, cached_tokens, cache_write_tokens, output_tokens : int or None
        As the provider counted them; None where it did not.
    cost : float or None
        In US dollars; None where usage or price is unknown.
    job : str or None
        The batch job.
    reply : bytes or None
        The body of the reply without secrets; None where it is not kept.
    number : int or None
        The record's id, where it must be the same when the call is recorded again.
    """

    run_id: str
    prompt_hash: str
    rows: Sequence[str]
    request_id: str | None = None
    model: str = ""
    model_answered: str = ""
    params_sent: str = ""
    attempts: int = 1
    refused: int = 0
    reason: str | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    job: str | None = None
    reply: bytes | None = None
    number: int | None = None


def request_rows(numbered: Mapping[RequestRecord, int]) -> list[tuple[Any, ...]]:
    """Return calls as rows of the table ``requests``, in the order of its columns and its key."""
    created = now()
    return [
        (
            number,
            request.run_id,
            request.job,
            request.prompt_hash,
            storable(request.request_id),
            request.model,
            storable(request.model_answered),
            request.params_sent,
            created,
            request.attempts,
            request.refused,
            storable(request.reason),
            request.input_tokens,
            request.cached_tokens,
            request.cache_write_tokens,
            request.output_tokens,
            request.cost,
            packed_keys(request.rows),
            request.reply,
        )
        for request, number in sorted(numbered.items(), key=itemgetter(1))
    ]


def packed_keys(keys: Sequence[str]) -> bytes | str:
    """Return row keys as one value: sixteen bytes a key where all of them are hashes."""
    if all(len(key) == _KEY_DIGITS for key in keys):
        try:
            return bytes.fromhex("".join(keys))
        except ValueError:
            pass
    return json.dumps(list(keys))


def unpacked_keys(packed: object) -> list[str]:
    """Return the row keys in a value of ``packed_keys``; none where it is damaged."""
    if isinstance(packed, str):
        try:
            found = from_json(packed)
        except ValueError:
            found = None
        return [str(key) for key in found] if isinstance(found, list) else []
    text = packed.hex() if isinstance(packed, bytes) else ""
    return [text[start : start + _KEY_DIGITS] for start in range(0, len(text), _KEY_DIGITS)]


def keys_in_blocks(blocks: Iterable[tuple[Any, ...]], run_id: str, store: str) -> list[str | None]:
    """Return the row keys of a run in the order of its input; None where nothing was sent.

    Parameters
    ----------
    blocks : iterable of (bytes, bytes)
        Digest and keys of some rows after another.
    run_id, store : str
        The run and the store, for the error.

    Raises
    ------
    CacheError
        If keys are not what their digest says.
    """
    found: list[str | None] = []
    for digest, keys in blocks:
        if not isinstance(keys, bytes) or blake2b(keys, digest_size=16).digest() != digest:
            raise CacheError(
                f"The row keys of the run {run_id!r} in the cache {store} are damaged: restore a "
                "copy, or run the cell again."
            )
        found += [key if key.strip("0") else None for key in unpacked_keys(keys)]
    return found


def checksum(prompt_hash: str, text_hash: str, result: bytes, repeat: int = 0) -> int:
    """Return what tells whether an answer is still the one that was written, on its own row.

    A CRC-32: it is there against damage, not against forgery, and is computed for every row of
    every run, three times as fast as a cryptographic hash.
    """
    return crc32(result, crc32(f"{text_hash}\0{repeat}\0".encode(), _head(prompt_hash)))


@lru_cache(maxsize=32)
def _head(prompt_hash: str) -> int:
    """Return the checksum of what all rows of a task have in common."""
    return crc32(f"{prompt_hash}\0".encode())


def whole(result: bytes, mark: object, prompt_hash: str, text_hash: str) -> str | None:
    """Return an answer's text as it was written; None where it is damaged.

    Parameters
    ----------
    result : bytes
        What the file holds.
    mark : int or None
        Its checksum; answers of version 1 have none and must at least be JSON that can be read.
    prompt_hash, text_hash : str
        Where it was found.
    """
    try:
        if mark is None:
            from_json(result)
        elif mark != checksum(prompt_hash, text_hash, result):
            return None
        return result.decode()
    except ValueError:
        return None


def answer_rows(
    answers: Iterable[Answer], number_of: Callable[[RequestRecord], int]
) -> list[tuple[Any, ...]]:
    """Return answers as rows of the table ``results``, in the order of its columns and its key."""
    created = now()
    rows = []
    for answer in answers:
        task, key, result, row_id, model, answered, run_id, call, *tokens, repeat, request = answer
        if not result.isascii():
            result = storable(result)
        if row_id is not None and not row_id.isascii():
            row_id = storable(row_id)
        rows.append(
            (
                task,
                key,
                repeat,
                row_id,
                result,
                model,
                answered if answered is None or answered.isascii() else storable(answered),
                created,
                run_id,
                call if call is None or call.isascii() else storable(call),
                *tokens,
                checksum(task, key, result.encode(), repeat),
                None if request is None else number_of(request),
            )
        )
    rows.sort(key=itemgetter(1))  # neighbours in the file are written together
    return rows


class Provenance(NamedTuple):
    """Who gave one answer, when, in which request, and what that took.

    Parameters
    ----------
    text_hash : str
        The row's key.
    model, model_answered : str or None
        The model that was asked, and the one that the provider says has answered.
    created : str or None
        When, as ISO 8601 text in UTC.
    run_id, request_id : str or None
        The run that asked, and the vendor's id of the call.
    input_tokens, cached_tokens, output_tokens : int or None
        The row's share of the request's tokens.
    request : int or None
        The number of the request in the table ``requests``: rows that have the same shared it.
        None for answers of version 0.1.
    params_sent : str or None
        Its parameters as they were sent, as JSON.
    cost : float or None
        The row's share of its cost in US dollars: what it cost, divided by the rows it asked for.
    """

    text_hash: str
    model: str | None
    model_answered: str | None
    created: str | None
    run_id: str | None
    request_id: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    request: int | None
    params_sent: str | None
    cost: float | None

    @classmethod
    def of(cls, *columns: Any) -> Provenance:
        """Make it of columns; the last two are the cost of the request and its rows."""
        *own, cost, rows = columns
        return cls._make([*own, cost / rows if rows and cost is not None else None])


@dataclass(frozen=True, slots=True)
class Origin:
    """Where some of the answers in a cache come from.

    Parameters
    ----------
    model : str
        The model that answered.
    first, last : str
        When the first and the last of them came, as ISO 8601 text in UTC.
    answers, input_tokens, cached_tokens, output_tokens : int
        How many there are, and what they took together.
    cost : float
        Their share of what their requests cost in US dollars, as far as that is known.
    priced : int
        Of how many answers it is.
    """

    model: str
    first: str
    last: str
    answers: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: float = 0.0
    priced: int = 0

    def __add__(self, other: Origin) -> Origin:
        return Origin(
            self.model,
            min(self.first, other.first),
            max(self.last, other.last),
            self.answers + other.answers,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
            self.priced + other.priced,
        )


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task in clear.

    Parameters
    ----------
    prompt_hash : str
        Identity of the task.
    prompt : str
        The user's instructions.
    schema : str
        The schema as JSON text.
    model, backend, host : str
        Who is asked.
    params : str
        The parameters as JSON text.
    system : str
        The instructions as they are sent.
    """

    prompt_hash: str
    prompt: str
    schema: str
    model: str
    backend: str
    host: str
    params: str
    system: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run and its counts; most of them are known only at its end.

    Parameters
    ----------
    run_id, prompt_hash : str
        The run and its task.
    kind : str
        ``extract`` or a later way of asking.
    status : str
        ``running``, ``completed``, ``stopped`` or ``failed``; a run whose process died stays
        ``running``.
    started, ended : str
        ISO 8601 text in UTC.
    version : str
        The package's version.
    rows, ok, failed, cached, empty, twins, calls, retries : int
        Counts, as the report names them.
    input_tokens, cached_tokens, cache_write_tokens, output_tokens : int
        Tokens of the whole run.
    cost : float or None
        In US dollars; None where the price is unknown.
    models : str
        The models that answered, as a JSON list.
    host : str
        The endpoint's host.
    message : str or None
        Why the run ended as it did.
    params_sent, params_dropped : str or None
        The parameters as they were sent after adaptation, and those that were left out, as JSON
        text; None where that was not recorded.
    unknown_calls : int
        Calls of which the provider sent no usable counts of tokens.
    answered_from, answered_to : str or None
        When the first and the last of its answers were made, those from the cache included.
    """

    run_id: str
    prompt_hash: str
    kind: str
    status: str
    started: str
    ended: str | None = None
    version: str = ""
    rows: int = 0
    ok: int = 0
    failed: int = 0
    cached: int = 0
    empty: int = 0
    twins: int = 0
    calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    models: str = "[]"
    host: str = ""
    message: str | None = None
    params_sent: str | None = None
    params_dropped: str | None = None
    unknown_calls: int = 0
    answered_from: str | None = None
    answered_to: str | None = None


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One row without an answer, or a single answer that failed of a row that was asked repeatedly.

    Parameters
    ----------
    run_id : str
        The run.
    position : int
        The row's position in the input; of a single answer one behind those of all rows.
    label : str or None
        The row's index label as JSON text; None of a single answer.
    text_hash : str or None
        The row key; None where there was no text.
    reason, message : str
        The failure's class, and the sentence for a person.
    attempts : int
        How often the row was sent.
    request_id : str or None
        The vendor's id of the last request.
    """

    run_id: str
    position: int
    label: str | None
    text_hash: str | None
    reason: str
    message: str
    attempts: int = 0
    request_id: str | None = None
