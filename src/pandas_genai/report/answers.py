"""What a reply brought, as records of the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pandas_genai.storage import Answer
from pandas_genai.task.chunks import Row
from pandas_genai.task.reply import Reply
from pandas_genai.task.task import Task

__all__ = ["answers_of"]


def answers_of(
    task: Task,
    rows: Iterable[Row],
    reply: Reply,
    run_id: str,
    label: Callable[[int], str | None],
) -> list[Answer]:
    """Return the accepted rows of a reply, each with its share of the tokens.

    Parameters
    ----------
    task : Task
        What was asked.
    rows : iterable of Row
        The rows that were sent.
    reply : Reply
        What came back.
    run_id : str
        The run, or the job, that asked.
    label : callable
        From a row's position to what names it for a person.
    """
    answered = [row for row in rows if row.key in reply.accepted]
    shares = reply.usage.shares(len(answered))
    return [
        Answer(
            prompt_hash=task.prompt_hash,
            text_hash=row.key,
            result=reply.accepted[row.key],
            row_id=label(row.position),
            model=task.model,
            model_answered=reply.model,
            run_id=run_id,
            request_id=reply.request_id,
            input_tokens=share.input_tokens,
            cached_tokens=share.cached_tokens,
            output_tokens=share.output_tokens,
        )
        for row, share in zip(answered, shares, strict=True)
    ]
