"""``AnswerStore``: whatever keeps answers, tasks, runs and failures, as one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from pandas_genai.store.blocks import BudgetBlocks, RateBlocks
from pandas_genai.store.parts import PartRecord
from pandas_genai.store.records import (
    Answer,
    FailureRecord,
    Origin,
    Provenance,
    RequestRecord,
    RunRecord,
    TaskRecord,
)

__all__ = ["AnswerStore", "AnswerWriter", "Granted", "RowLeases"]


class Granted(NamedTuple):
    """Rows that were asked for: those that are leased to us now, and those of other kernels."""

    ours: set[str]
    others: set[str]


class AnswerWriter(Protocol):
    """Saves what threads hand over, durably before it calls back.

    It has one thread of its own, ``genai-writer``, in which all callbacks run, in the order of
    the puts. An error ends the saving: every waiting and every later ``put`` gets it.
    """

    def put(
        self,
        answers: Iterable[Answer],
        done: Callable[[Exception | None], None] | None = None,
        requests: Sequence[RequestRecord] = (),
    ) -> None:
        """Hand over answers and calls, written together; the later answer to a key replaces.

        ``done`` is called with None once they are durable, or with the error that prevented it.
        """

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything put so far is durable, and return whether it is."""

    def close(self, timeout: float | None = None) -> None:
        """Write what waits; closing again does nothing."""


class RowLeases(Protocol):
    """The rows of one task that one run has under way; renewed until it is closed or dies."""

    def acquire(self, keys: Sequence[str]) -> Granted | None:
        """Lease those rows that no living owner has; None where the store is busy: ask again."""

    def free(self, keys: Sequence[str]) -> bool:
        """Whether one of some rows may be leased now."""

    def end(self, keys: Iterable[str]) -> None:
        """Note that rows need no lease any more; others see it with the next ``acquire``."""

    def flush(self) -> None:
        """Let others see at once which rows need no lease any more."""

    def close(self) -> None:
        """End all leases; closing again does nothing."""


@runtime_checkable
class AnswerStore(Protocol):
    """Where answers, tasks, runs and failures are kept, for several threads and kernels at once.

    Every error is a ``CacheError`` that names the store. An answer that is not what was written
    counts as not there. ``tests/store/test_contract*.py`` is what every implementation passes;
    ``store/registry.py`` lists the implementations by the scheme of their URLs.
    """

    @property
    def url(self) -> str | None:
        """What opens the store in another kernel; None if no other kernel can.

        It is written into the manifests of jobs, so that no password may stand in it.
        """

    @property
    def shown(self) -> str:
        """What names the store in messages, without a password."""

    def present(
        self, prompt_hash: str, text_hashes: Sequence[str], run_id: str | None = None
    ) -> set[str]:
        """Return which of some row keys have an answer under a task; one that a run brought."""

    def read(self, prompt_hash: str, text_hashes: Sequence[str]) -> dict[str, str]:
        """Read the answers to texts under a task, as JSON text by row key."""

    def damaged(self) -> int:
        """Return how many damaged answers were met since the last call."""

    def answer_tokens(self, prompt_hash: str) -> float | None:
        """Return how many tokens an answer took under a task, on average; None without any."""

    def origins(self, prompt_hash: str, text_hashes: Sequence[str]) -> list[Origin]:
        """Return where the answers to texts come from: an entry a model, most frequent first."""

    def provenance(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[Provenance]:
        """Say of each answer to some texts who gave it, when, in which request; in any order."""

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

    def rate(self, name: str, now: Callable[[], float] | None = None) -> RateBlocks:
        """Return what all runs that use a name may send a minute together.

        ``now`` returns seconds, on a clock that all of them share; the store's own by default.
        """

    def budget(self, name: str, total: float) -> BudgetBlocks:
        """Return the budget that all runs that use a name spend together."""

    def requests(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the billed calls by column, of one run or of all, in the order of their ids."""

    def save_task(self, task: TaskRecord) -> None:
        """Keep a task in clear; one that is known already stays as it was first asked."""

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks by column, the newest first."""

    def start_run(self, run: RunRecord) -> None:
        """Record that a run has started."""

    def end_run(self, run_id: str, **columns: Any) -> None:
        """Change the named columns of a run, usually at its end; an unknown run is left alone."""

    def count_part(self, record: PartRecord) -> RunRecord:
        """Note what a part of a run has done so far, and return the run, all parts together.

        The first part makes the run. ``store/parts.py`` says how it is counted; a new attempt
        at a part forgets the failures of the one before. Where another attempt at the part began
        after this one, the status that is returned is ``superseded``.
        """

    def parts(self, run_id: str) -> dict[str, int]:
        """Return how many parts of a run there are, by status."""

    def runs(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return one run or all of them by column, the newest first."""

    def save_run_rows(self, run_id: str, blocks: Iterable[bytes], first: int = 0) -> None:
        """Keep the row keys of a run in the order of its input, sixteen bytes each.

        ``first`` is the number of the first block: parts of a run keep theirs one by one.
        """

    def run_rows(self, run_id: str) -> list[str | None]:
        """Return the row keys of a run in the order of its input; None where nothing was sent."""

    def save_failures(self, run_id: str, failures: Iterable[FailureRecord]) -> None:
        """Keep the rows of a run that have no answer."""

    def failures(self, run_id: str) -> list[dict[str, Any]]:
        """Return the rows without an answer of a run by column, in the input's order."""

    def failed(self, prompt_hash: str) -> dict[str, str]:
        """Return the latest reason of every text or answer that ever failed, by row key."""

    def get(self, row_id: object, prompt_hash: str | None = None) -> Any | None:
        """Return the newest answer that was put or remembered under a user's id."""

    def put(self, row_id: object, result: Any, prompt_hash: str | None = None) -> None:
        """Keep an answer under a user's id; an earlier one of the same id and task is replaced."""

    def all_ids(self, prompt_hash: str | None = None) -> set[str]:
        """Return the users' ids that have an answer, of one task or of all."""

    def remember_ids(self, prompt_hash: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Let answers be found under the user's ids too, those that come later as well."""

    def close(self) -> None:
        """Write what its writers hold and let go; closing again does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
