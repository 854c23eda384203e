"""Answers and the cache: what a reply brought, as records; which texts have one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from pandas_genai.report.failures import user_level
from pandas_genai.store import Answer, SqliteCache
from pandas_genai.task.chunks import Row
from pandas_genai.task.reply import Reply
from pandas_genai.task.rows import Keys
from pandas_genai.task.task import Task

__all__ = ["DamagedAnswersWarning", "answered", "answers_of", "warn_of_damage"]

_BLOCK = 9_000


class DamagedAnswersWarning(UserWarning):
    """The cache file holds answers that are not what was written."""


def warn_of_damage(cache: SqliteCache) -> None:
    """Say in one line, at the user's line of code, that damaged answers count as none."""
    count = cache.damaged()
    if count:
        warnings.warn(
            f"{count:,} of the answers in the cache file {cache.path} are damaged and count as "
            "not there: they are asked for again. Check the disk, or restore a copy of the file.",
            DamagedAnswersWarning,
            stacklevel=user_level(),
        )


def answered(cache: SqliteCache, prompt_hash: str, keys: Keys) -> npt.NDArray[np.bool_]:
    """Return for each text whether the cache has its answer; keys are read a block at a time."""
    found = np.zeros(len(keys), dtype=bool)
    for start in range(0, len(keys), _BLOCK):
        block = keys[start : start + _BLOCK]
        known = cache.present(prompt_hash, block)
        if known:
            found[start : start + len(block)] = [key in known for key in block]
    warn_of_damage(cache)
    return found


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
