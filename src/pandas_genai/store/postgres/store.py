"""``PostgresStore``: the answers that are paid for, where several machines find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from pandas_genai.clock import Clock
from pandas_genai.store.checked import CheckedAnswers, merged_origins
from pandas_genai.store.postgres.address import remembered
from pandas_genai.store.postgres.blocks import PostgresBudget, PostgresRate
from pandas_genai.store.postgres.database import Database
from pandas_genai.store.postgres.ids import UserIds
from pandas_genai.store.postgres.leases import JobLeases, Leases
from pandas_genai.store.postgres.tables import has_tables, make_tables
from pandas_genai.store.postgres.writer import Writer
from pandas_genai.store.records import Origin, Provenance
from pandas_genai.store.writer import OpenWriters

__all__ = ["PostgresStore", "is_there"]

_BLOCK = 3_000

# One look into the index a key, whatever the planner believes of the table: for text_hash = ANY
# it may compare each row of a task with each key. As bytes, because a checksum is one of bytes.
_FOUND = """
FROM unnest(%(keys)s::text[]) AS key CROSS JOIN LATERAL (
    SELECT * FROM results WHERE prompt_hash = %(task)s AND text_hash = key AND repeat = 0 LIMIT 1
) AS found
"""
_LOOKUP = f"SELECT text_hash, convert_to(json_result, 'UTF8'), checksum {_FOUND}"
_BROUGHT = f"SELECT text_hash {_FOUND} WHERE run_id = %(run_id)s"
_ANY = "SELECT EXISTS (SELECT 1 FROM results WHERE prompt_hash = %s)"
_ANSWER_TOKENS = """
SELECT AVG(output_tokens)::float FROM (
    SELECT output_tokens FROM results
    WHERE prompt_hash = %s AND repeat = 0 AND output_tokens > 0 LIMIT 10000
) AS looked_at
"""
_ORIGINS = f"""
SELECT COALESCE(found.model_answered, found.model, ''), MIN(found.created), MAX(found.created),
COUNT(*), COALESCE(SUM(found.input_tokens), 0)::bigint,
COALESCE(SUM(found.cached_tokens), 0)::bigint, COALESCE(SUM(found.output_tokens), 0)::bigint,
COALESCE(SUM(requests.cost / NULLIF(cardinality(requests.rows), 0)), 0)::float, COUNT(requests.cost)
{_FOUND} LEFT JOIN requests ON requests.id = found.request
GROUP BY 1
"""

_PROVENANCE = f"""
SELECT found.text_hash, found.model, found.model_answered, found.created, found.run_id,
found.request_id, found.input_tokens, found.cached_tokens, found.output_tokens,
found.request, requests.params_sent, requests.cost, cardinality(requests.rows)
{_FOUND} LEFT JOIN requests ON requests.id = found.request
"""


class PostgresStore(CheckedAnswers, UserIds, JobLeases):
    """Answers, tasks, runs and failures in a schema of a PostgreSQL database.

    Any thread may use it, and any number of processes on any number of machines. A store has one
    connection for reading and leases, and one for each writer. A server that goes away in the
    middle is waited for, five minutes at most; nothing is lost by that.

    Parameters
    ----------
    url : str
        ``postgresql://user:password@host:port/database?schema=name``. Better leave the password
        to ``PGPASSWORD`` or ``~/.pgpass``. The schema is ``pandas_genai`` by default; it is made
        with its tables where it is not there.
    clock : Clock
        Waits for a server that is away.

    Attributes
    ----------
    url, shown : str
        The URL without the password.

    Raises
    ------
    CacheError
        If the server cannot be reached, or the schema holds something else.
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._address = remembered(url)
        self._clock = clock or Clock()
        self.url: str | None = self._address.public
        self.shown = self._address.public
        database = Database(self._address, self._clock)
        super().__init__(database)
        self._writers = OpenWriters(self.shown)
        try:
            make_tables(database, self._address)
        except BaseException:
            database.close()
            raise

    def __repr__(self) -> str:
        return f"PostgresStore({self.shown!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_any(self, prompt_hash: str) -> bool:
        ((known,),) = self._database.query(_ANY, (prompt_hash,))
        return bool(known)

    def _stored(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for block in _blocks(text_hashes):
            yield from self._database.query(_LOOKUP, {"task": prompt_hash, "keys": block})

    def _brought(
        self, prompt_hash: str, text_hashes: Sequence[str], run_id: str
    ) -> Iterator[tuple[Any, ...]]:
        for block in _blocks(text_hashes):
            values = {"task": prompt_hash, "keys": block, "run_id": run_id}
            yield from self._database.query(_BROUGHT, values)

    def answer_tokens(self, prompt_hash: str) -> float | None:
        """Return how many tokens an answer took under a task, on average; None without any."""
        ((average,),) = self._database.query(_ANSWER_TOKENS, (prompt_hash,))
        return None if average is None else float(average)

    def origins(self, prompt_hash: str, text_hashes: Sequence[str]) -> list[Origin]:
        """Return where the answers to texts come from: an entry a model, most frequent first."""
        return merged_origins(
            Origin(*row)
            for block in _blocks(text_hashes)
            for row in self._database.query(_ORIGINS, {"task": prompt_hash, "keys": block})
        )

    def provenance(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[Provenance]:
        """Say of each answer to some texts who gave it, when, in which request; in any order."""
        for block in _blocks(text_hashes):
            for row in self._database.query(_PROVENANCE, {"task": prompt_hash, "keys": block}):
                yield Provenance.of(*row)

    def writer(self) -> Writer:
        """Return a new writer; closed with the store, if not before."""
        return self._writers.opened(lambda: Writer(Database(self._address, self._clock)))

    def leases(self, prompt_hash: str) -> Leases:
        """Return what keeps other workers from asking rows of a task that a run has under way."""
        return Leases(self._database, prompt_hash)

    def rate(self, name: str, now: Callable[[], float] | None = None) -> PostgresRate:
        """Return what all runs that use a name may send a minute together."""
        return PostgresRate(self._database, name, now)

    def budget(self, name: str, total: float) -> PostgresBudget:
        """Return the budget that all runs that use a name spend together."""
        return PostgresBudget(self._database, name, total)

    def close(self) -> None:
        """Write what its writers hold and let go; closing again does nothing."""
        self._writers.close()
        self._database.close()


def is_there(url: str) -> bool:
    """Whether there is a store at a URL; makes none."""
    address = remembered(url)
    database = Database(address, Clock())
    try:
        return has_tables(database, address)
    finally:
        database.close()


def _blocks(keys: Sequence[str]) -> Iterator[list[str]]:
    """Sorted, neighbours lie near each other; in blocks, other threads get their turn."""
    ordered = sorted(set(keys))
    for start in range(0, len(ordered), _BLOCK):
        yield ordered[start : start + _BLOCK]
