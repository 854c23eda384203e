"""Answers by the user's own ids, as the original toolkit kept them. The same for every store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pandas_genai.errors import CacheError
from pandas_genai.store.records import whole
from pandas_genai.task.fingerprint import compute_prompt_hash

__all__ = ["read_of_id", "tasks_meant", "with_id"]

_SHORT = 16
"""Digits of the hash of a prompt alone; that of a task has more."""


def read_of_id(name: str, found: Sequence[Any], store: str) -> Any:
    """Return the answer of an id.

    Parameters
    ----------
    name : str
        The id.
    found : sequence
        The answer as bytes, its checksum, its task, its row key or id, and whether it is that of
        a text, not one that was put under the id.
    store : str
        The store, for the error.

    Raises
    ------
    CacheError
        If it is damaged.
    """
    *stored, is_shared = found
    text = whole(*stored)
    if text is None:
        raise CacheError(
            f"The answer of row {name!r} in {store} is damaged or no JSON: put it again, or delete "
            "its row of the table ids."
        )
    result = json.loads(text)
    return with_id(name, result) if is_shared else result


def tasks_meant(prompt_hash: str, tasks: Callable[[], Iterable[dict[str, Any]]]) -> list[str]:
    """Return the tasks with a hash: that of a prompt alone may have several.

    Parameters
    ----------
    prompt_hash : str
        Of a task, or ``compute_prompt_hash(prompt)``.
    tasks : callable
        Returns all tasks of the store.
    """
    meant = [prompt_hash]
    if len(prompt_hash) == _SHORT:
        asked = {task["prompt_hash"]: task["prompt"] for task in tasks()}
        meant += [
            task
            for task, prompt in asked.items()
            if prompt and compute_prompt_hash(prompt) == prompt_hash
        ]
    return meant


def with_id(row_id: str, result: Any) -> Any:
    """Return an answer as the original toolkit kept it: the id stands in it."""
    if isinstance(result, dict) and "input_id" not in result:
        return {"input_id": row_id, **result}
    return result
