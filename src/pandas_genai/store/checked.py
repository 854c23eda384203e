"""Answers as they were written: what a store holds is checked whenever it is read."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pandas_genai.store.records import Origin, whole

__all__ = ["CheckedAnswers", "merged_origins"]

_MANY = 1_000


class CheckedAnswers(ABC):
    """Reads answers and counts those that are damaged, each once."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._damage_lock = threading.Lock()
        self._damaged: set[tuple[str, str]] = set()
        self._new_damage = 0

    @abstractmethod
    def _has_any(self, prompt_hash: str) -> bool:
        """Whether there is any answer under a task."""

    @abstractmethod
    def _stored(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield row key, answer and checksum of those texts that have an answer."""

    def read(self, prompt_hash: str, text_hashes: Sequence[str]) -> dict[str, str]:
        """Return the answers to texts under a task.

        Parameters
        ----------
        prompt_hash : str
            The task.
        text_hashes : sequence of str
            Row keys.

        Returns
        -------
        dict
            JSON text by row key; keys without an answer are absent, as are those whose answer is
            damaged.
        """
        return dict(self._whole(prompt_hash, text_hashes))

    @abstractmethod
    def _brought(
        self, prompt_hash: str, text_hashes: Sequence[str], run_id: str
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the row keys of those texts whose answer a run has brought."""

    def present(
        self, prompt_hash: str, text_hashes: Sequence[str], run_id: str | None = None
    ) -> set[str]:
        """Return which of some row keys have an answer under a task that is not damaged.

        Parameters
        ----------
        prompt_hash : str
            The task.
        text_hashes : sequence of str
            Row keys.
        run_id : str, optional
            The run that brought the answer; left out: any.
        """
        found = {key for key, _ in self._whole(prompt_hash, text_hashes)}
        if run_id is None or not found:
            return found
        return {key for (key,) in self._brought(prompt_hash, list(found), run_id)}

    def damaged(self) -> int:
        """Return how many damaged answers were met since the last call."""
        with self._damage_lock:
            count, self._new_damage = self._new_damage, 0
        return count

    def _whole(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[tuple[str, str]]:
        # Of a new task there is nothing at all, which one look tells.
        if len(text_hashes) > _MANY and not self._has_any(prompt_hash):
            return
        damaged = set()
        for key, result, mark in self._stored(prompt_hash, text_hashes):
            text = whole(result, mark, prompt_hash, key)
            if text is None:
                damaged.add((prompt_hash, key))
            else:
                yield key, text
        if damaged:
            with self._damage_lock:
                self._new_damage += len(damaged - self._damaged)
                self._damaged |= damaged


def merged_origins(found: Iterable[Origin]) -> list[Origin]:
    """Return an entry a model of what was found in blocks, most frequent first."""
    merged: dict[str, Origin] = {}
    for new in found:
        old = merged.get(new.model)
        merged[new.model] = new if old is None else old + new
    return sorted(merged.values(), key=lambda origin: -origin.answers)
