"""What is kept, as plain values: one class for each table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

__all__ = ["Answer", "FailureRecord", "RunRecord", "TaskRecord", "named", "now", "storable"]


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


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one text under one task.

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


def answer_rows(answers: Iterable[Answer]) -> list[tuple[Any, ...]]:
    """Return answers as rows of the table ``results``, in the order of its columns."""
    created = now()
    return [
        (
            answer.prompt_hash,
            answer.text_hash,
            answer.repeat,
            storable(answer.row_id),
            storable(answer.result),
            answer.model,
            storable(answer.model_answered),
            created,
            answer.run_id,
            storable(answer.request_id),
            answer.input_tokens,
            answer.cached_tokens,
            answer.output_tokens,
        )
        for answer in answers
    ]


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
        In ``currency``; None where the price is unknown.
    currency : str
        ISO 4217 code.
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
    currency: str = "USD"
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
    """One row without an answer.

    Parameters
    ----------
    run_id : str
        The run.
    position : int
        The row's position in the input.
    label : str
        The row's index label as JSON text.
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
    label: str
    text_hash: str | None
    reason: str
    message: str
    attempts: int = 0
    request_id: str | None = None
