"""How runs went: databases differ in their statements, not in what is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from pandas_genai.store.parts import SUPERSEDED
from pandas_genai.store.records import FailureRecord, TaskRecord, keys_in_blocks, named, now

__all__ = ["Statements", "StoredHistory", "digest_of_block"]


class _Database(Protocol):
    """A database, as far as it is needed here."""

    name: str

    def query(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]: ...

    def records(self, statement: str, values: Any = ()) -> list[dict[str, Any]]: ...

    def write(self, statement: str, rows: Iterable[Any]) -> None: ...


_D = TypeVar("_D", bound=_Database)


class Statements(NamedTuple):
    """The statements of one kind of database."""

    save_task: str
    tasks: str
    runs: str
    parts: str
    run_rows: str
    requests: str
    save_failure: str
    failures: str
    failed: str


class StoredHistory(Generic[_D]):
    """The log of a store; every method does what ``AnswerStore`` says of it.

    Parameters
    ----------
    database : Database
        The database.
    """

    _statements: ClassVar[Statements]

    def __init__(self, database: _D) -> None:
        self._database = database

    def save_task(self, task: TaskRecord) -> None:
        """Keep a task in clear; one that is known already stays as it was first asked."""
        self._database.write(self._statements.save_task, [named(task) | {"created": now()}])

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks by column, the newest first."""
        return self._database.records(self._statements.tasks)

    def runs(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return one run or all of them by column, the newest first."""
        return self._database.records(self._statements.runs, {"run_id": run_id})

    def parts(self, run_id: str) -> dict[str, int]:
        """Return how many parts of a run there are, by status."""
        return dict(self._database.query(self._statements.parts, (run_id, SUPERSEDED)))

    def run_rows(self, run_id: str) -> list[str | None]:
        """Return the row keys of a run in the order of its input; None where nothing was sent."""
        found = self._database.query(self._statements.run_rows, (run_id,))
        return keys_in_blocks(found, run_id, self._database.name)

    def requests(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Return the billed calls by column, of one run or of all, in the order of their ids."""
        return self._database.records(self._statements.requests, {"run_id": run_id})

    def save_failures(self, run_id: str, failures: Iterable[FailureRecord]) -> None:
        """Keep the rows and the single answers of a run that failed."""
        rows = [named(failure) | {"run_id": run_id} for failure in failures]
        if rows:
            self._database.write(self._statements.save_failure, rows)

    def failed(self, prompt_hash: str) -> dict[str, str]:
        """Return the latest reason of every text or answer that ever failed, by row key.

        A text may have been answered since; rows without a text are left out.
        """
        return dict(self._database.query(self._statements.failed, (prompt_hash,)))

    def failures(self, run_id: str) -> list[dict[str, Any]]:
        """Return the rows without an answer of a run by column, in the input's order."""
        return self._database.records(self._statements.failures, (run_id,))


def digest_of_block(keys: bytes) -> bytes:
    """Return the name of a block of row keys, by which equal blocks are kept once."""
    return blake2b(keys, digest_size=16).digest()
