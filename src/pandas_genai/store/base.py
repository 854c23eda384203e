"""What a store of answers is: whatever keeps answers, tasks, runs and failures, as one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pandas_genai.store.records import (
    Answer,
    FailureRecord,
    RequestRecord,
    RunRecord,
    TaskRecord,
)

__all__ = ["AnswerStore", "AnswerWriter", "Granted", "RowLeases"]


class Granted(NamedTuple):
    """What came of asking for rows: those that are ours now, and those of other kernels."""

    ours: set[str]
    others: set[str]


class AnswerWriter(Protocol):
    """Saves what threads hand over, durably before it calls back."""

    def put(
        self,
        answers: Iterable[Answer],
        done: Callable[[Exception | None], None] | None = None,
        requests: Sequence[RequestRecord] = (),
    ) -> None:
        """Hand over answers and calls, written together; ``done`` hears when they are durable."""

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything put so far is durable; whether it is."""

    def close(self, timeout: float | None = None) -> None:
        """Write what waits; closing again does nothing."""


class RowLeases(Protocol):
    """The rows of one task that one run has under way; renewed until it is closed or dies."""

    def acquire(self, keys: Sequence[str]) -> Granted | None:
        """Lease those rows that no living owner has; None where the store is busy: ask again."""

    def free(self, keys: Sequence[str]) -> bool:
        """Whether one of some rows may be leased now."""

    def end(self, keys: Iterable[str]) -> None:
        """Note that rows need no lease any more; others see it a little later."""

    def flush(self) -> None:
        """Let others see at once which rows need no lease any more."""

    def close(self) -> None:
        """End all leases; closing again does nothing."""


class AnswerStore(Protocol):
    """Where answers, tasks, runs and failures are kept, for several threads and kernels at once.

    Every error is a ``CacheError`` that names the store. An answer that is not what was written
    counts as not there.
    """

    @property
    def path(self) -> Path | None:
        """The file, where the store is one."""

    def present(self, prompt_hash: str, text_hashes: Sequence[str]) -> set[str]:
        """Return which of some row keys have an answer under a task."""

    def lookup(self, prompt_hash: str, text_hashes: Sequence[str]) -> dict[str, str]:
        """Read the answers to texts under a task, as JSON text by row key."""

    def damaged(self) -> int:
        """Return how many damaged answers were met since this was asked last."""

    def answer_tokens(self, prompt_hash: str) -> float | None:
        """Return how many tokens an answer took under a task, on average; None without any."""

    def writer(self) -> AnswerWriter:
        """Return what writes answers and calls; closed with the store, if not before."""

    def leases(self, prompt_hash: str) -> RowLeases:
        """Return what keeps other kernels from asking rows of a task that a run asks."""

    def lease_job(self, prompt_hash: str, job: str, place: str, keys: Sequence[str]) -> set[str]:
        """Lease rows for a batch job; return those that another job has."""

    def leasing_jobs(self, prompt_hash: str) -> dict[str, str]:
        """Return the directories of the jobs that have leased rows of a task, by job."""

    def end_job(self, job: str) -> None:
        """End all leases of a batch job."""

    def requests(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the billed calls by column, of one run or of all."""

    def save_task(self, task: TaskRecord) -> None:
        """Keep a task in clear; one that is known already stays as it was first asked."""

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks by column, the newest first."""

    def start_run(self, run: RunRecord) -> None:
        """Record that a run has started."""

    def end_run(self, run_id: str, **columns: Any) -> None:
        """Change the named columns of a run, usually at its end."""

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs by column, the newest first."""

    def save_run_rows(self, run_id: str, blocks: Iterable[bytes]) -> None:
        """Keep the row keys of a run in the order of its input, sixteen bytes each."""

    def run_rows(self, run_id: str) -> list[str | None]:
        """Return the row keys of a run in the order of its input; None where nothing was sent."""

    def save_failures(self, run_id: str, failures: Iterable[FailureRecord]) -> None:
        """Keep the rows of a run that have no answer."""

    def failures(self, run_id: str) -> list[dict[str, Any]]:
        """Return the failures of a run by column, in the input's order."""

    def failed(self, prompt_hash: str) -> dict[str, str]:
        """Return why texts of a task failed when they were asked last, by row key."""

    def remember_ids(self, prompt_hash: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Let answers be found under the user's ids too."""

    def close(self) -> None:
        """Write what its writers hold and let go; closing again does nothing."""
