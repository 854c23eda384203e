"""``SqliteCache``: the answers that are paid for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pandas_genai.store.checked import CheckedAnswers, merged_origins
from pandas_genai.store.records import Origin, Provenance, unpacked_keys
from pandas_genai.store.sqlite.blocks import SqliteBudget, SqliteRate
from pandas_genai.store.sqlite.database import FILE_ERRORS, Database, explained
from pandas_genai.store.sqlite.ids import UserIds
from pandas_genai.store.sqlite.leases import JobLeases, Leases
from pandas_genai.store.sqlite.opening import connect, open_file, open_memory
from pandas_genai.store.sqlite.writer import Writer
from pandas_genai.store.writer import OpenWriters

__all__ = ["SqliteCache"]

_BLOCK = 900
# The writer asks again and again instead of waiting long, so that it can be stopped.
_WRITER_PATIENCE_S = 0.5
# No worker waits for a lease while another program holds the file: it looks again later.
_LEASES_PATIENCE_S = 0.2

# As bytes: a damaged answer may be no text at all.
_LOOKUP = """
SELECT text_hash, CAST(json_result AS BLOB), checksum FROM results
WHERE prompt_hash = ? AND text_hash IN (SELECT value FROM json_each(?)) AND repeat = 0
"""

_BROUGHT = """
SELECT text_hash FROM results
WHERE prompt_hash = ? AND text_hash IN (SELECT value FROM json_each(?)) AND repeat = 0
AND run_id = ?
"""

_ANY = "SELECT EXISTS (SELECT 1 FROM results WHERE prompt_hash = ?)"
_ANSWER_TOKENS = """
SELECT AVG(output_tokens) FROM (
    SELECT output_tokens FROM results
    WHERE prompt_hash = ? AND repeat = 0 AND output_tokens > 0 LIMIT 10000
)
"""

_ORIGINS = """
SELECT COALESCE(a.model_answered, a.model, ''), MIN(a.created), MAX(a.created), COUNT(*),
COALESCE(SUM(a.input_tokens), 0), COALESCE(SUM(a.cached_tokens), 0),
COALESCE(SUM(a.output_tokens), 0), TOTAL(q.cost / CASE typeof(q.rows)
WHEN 'blob' THEN length(q.rows) / 16
ELSE CASE WHEN json_valid(q.rows) THEN json_array_length(q.rows) END END), COUNT(q.cost)
FROM results AS a LEFT JOIN requests AS q ON q.id = a.request
WHERE a.prompt_hash = ? AND {which} AND a.repeat = 0
GROUP BY 1
"""
_ORIGINS_OF_ALL = _ORIGINS.format(which="TRUE")
_ORIGINS_OF_SOME = _ORIGINS.format(which="text_hash IN (SELECT value FROM json_each(?))")
_LOOKED_UP = 20_000

_PROVENANCE = """
SELECT text_hash, results.model, results.model_answered, results.created, results.run_id,
results.request_id, results.input_tokens, results.cached_tokens, results.output_tokens,
results.request, requests.params_sent, requests.cost, requests.rows
FROM results LEFT JOIN requests ON requests.id = results.request
WHERE results.prompt_hash = ? AND text_hash IN (SELECT value FROM json_each(?)) AND repeat = 0
"""


def _origin(model: object, first: object, last: object, *sums: Any) -> Origin:
    """Make an origin; what is no text in a damaged file is not known."""
    return Origin(_text(model), _text(first), _text(last), *sums)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class SqliteCache(CheckedAnswers, UserIds, JobLeases):
    """Answers, tasks, runs and failures in one SQLite file.

    Any thread may use it, and several processes may use one file at once (on a local disk:
    SQLite's locks do not hold on most network file systems). A file of the original toolkit is
    upgraded in place and keeps its rows.

    Parameters
    ----------
    db_path : str, path or None
        The file; made, readable by its owner alone, if it does not exist. None keeps everything
        in memory.

    Attributes
    ----------
    path : Path or None
        The file's absolute path.
    shown : str
        The same, for messages.

    Raises
    ------
    CacheError
        If the file is damaged, no cache, or of a newer version; it is left as it is.

    Examples
    --------
    >>> with SqliteCache(None) as cache:
    ...     cache.put("7", {"tone": "positive"})
    ...     cache.get("7"), cache.all_ids()
    ({'tone': 'positive'}, {'7'})
    """

    def __init__(self, db_path: str | os.PathLike[str] | None) -> None:
        self.path: Path | None = None
        self.shown = "in memory"
        if db_path is None:
            database = Database(open_memory(), self.shown)
        else:
            # Absolute, because the notebook may change its directory before the file is reopened.
            self.path = Path(db_path).expanduser().absolute()
            self.shown = str(self.path)
            database = Database(open_file(self.path), self.shown)
        super().__init__(database)
        self._writers = OpenWriters(database.name)

    @property
    def url(self) -> str | None:
        """What opens the file in another kernel; None in memory."""
        return None if self.path is None else f"sqlite:///{self.path.as_posix()}"

    def __repr__(self) -> str:
        return f"SqliteCache({None if self.path is None else str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_any(self, prompt_hash: str) -> bool:
        ((known,),) = self._database.query(_ANY, (prompt_hash,))
        return bool(known)

    def _stored(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for block in _blocks(text_hashes):
            yield from self._database.query(_LOOKUP, (prompt_hash, block))

    def _brought(
        self, prompt_hash: str, text_hashes: Sequence[str], run_id: str
    ) -> Iterator[tuple[Any, ...]]:
        for block in _blocks(text_hashes):
            yield from self._database.query(_BROUGHT, (prompt_hash, block, run_id))

    def answer_tokens(self, prompt_hash: str) -> float | None:
        """Return how many tokens an answer took under a task, on average; None without any.

        Of many answers ten thousand are looked at, chosen by the hashes of their texts.
        """
        ((average,),) = self._database.query(_ANSWER_TOKENS, (prompt_hash,))
        return None if average is None else float(average)

    def origins(self, prompt_hash: str, text_hashes: Sequence[str]) -> list[Origin]:
        """Return where the answers to texts come from: an entry a model, most frequent first."""
        if len(text_hashes) > _LOOKED_UP:  # most often they are all that the task has
            every = [_origin(*row) for row in self._database.query(_ORIGINS_OF_ALL, (prompt_hash,))]
            if sum(origin.answers for origin in every) == len(text_hashes):
                return sorted(every, key=lambda origin: -origin.answers)
        return merged_origins(
            _origin(*row)
            for block in _blocks(text_hashes)
            for row in self._database.query(_ORIGINS_OF_SOME, (prompt_hash, block))
        )

    def provenance(self, prompt_hash: str, text_hashes: Sequence[str]) -> Iterator[Provenance]:
        """Say of each answer to some texts who gave it, when, in which request; in any order."""
        for block in _blocks(text_hashes):
            for *row, keys in self._database.query(_PROVENANCE, (prompt_hash, block)):
                yield Provenance.of(*row, len(unpacked_keys(keys)))

    def writer(self) -> Writer:
        """Return a new writer; closed with the cache, if not before.

        Raises
        ------
        CacheError
            If the cache is closed or its file cannot be opened.
        """
        path = self.path
        if path is None:
            return self._writers.opened(lambda: Writer(self._database, owned=False))
        return self._writers.opened(
            lambda: Writer(_connected(path, _WRITER_PATIENCE_S), owned=True)
        )

    def leases(self, prompt_hash: str) -> Leases:
        """Return what keeps other kernels from asking rows of a task that a run has under way.

        Parameters
        ----------
        prompt_hash : str
            The task.

        Raises
        ------
        CacheError
            If the cache's file cannot be opened.
        """
        database, owned = self._apart("NORMAL")
        return Leases(database, owned=owned, path=self.path, prompt_hash=prompt_hash)

    def rate(self, name: str, now: Callable[[], float] | None = None) -> SqliteRate:
        """Return what all runs on this file that use a name may send a minute together.

        Parameters
        ----------
        name : str
            Whose limit it is.
        now : callable, optional
            Seconds on a clock that all of them share; by default the wall clock.

        Raises
        ------
        CacheError
            If the cache's file cannot be opened.
        """
        database, owned = self._apart("NORMAL")
        return SqliteRate(database, name, now or time.time, owned=owned)

    def budget(self, name: str, total: float) -> SqliteBudget:
        """Return the budget that all runs on this file that use a name spend together.

        Parameters
        ----------
        name : str
            Of the budget.
        total : float
            What all of them may spend.

        Raises
        ------
        CacheError
            If the cache's file cannot be opened.
        """
        database, owned = self._apart("FULL")
        return SqliteBudget(database, name, total, path=self.path, owned=owned)

    def _apart(self, synchronous: str) -> tuple[Database, bool]:
        """Return a connection for leases and blocks, and whether it is to be closed with them."""
        if self.path is None:
            return self._database, False
        database = _connected(self.path, _LEASES_PATIENCE_S)
        database.query(f"PRAGMA synchronous = {synchronous}")
        return database, True

    def close(self) -> None:
        """Write what its writers hold and release the file; closing again does nothing."""
        self._writers.close()
        self._database.close()


def _connected(path: Path, patience_s: float) -> Database:
    try:
        return Database(connect(path, patience_s), str(path), path)
    except FILE_ERRORS as error:
        raise explained(error, str(path)) from error


def _blocks(keys: Sequence[str]) -> Iterator[str]:
    """Sorted, neighbours lie on one page; in blocks, other threads get their turn."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), _BLOCK):
        yield json.dumps(ordered[start : start + _BLOCK])
