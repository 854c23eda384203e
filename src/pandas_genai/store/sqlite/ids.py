"""Answers by the user's own ids: ``get``, ``put`` and ``all_ids`` of the original toolkit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from pandas_genai.store.records import checksum, now, storable, whole
from pandas_genai.store.sqlite.history import History
from pandas_genai.store.user_ids import read_of_id, tasks_meant, with_id

__all__ = ["UserIds"]

_BLOCK = 10_000

_JOINED = """
FROM ids LEFT JOIN results
ON results.prompt_hash = ids.prompt_hash AND results.text_hash = ids.text_hash AND repeat = 0
"""
_OF_TASKS = "(:tasks IS NULL OR ids.prompt_hash IN (SELECT value FROM json_each(:tasks)))"

# As bytes: a damaged answer may be no text at all.
_GET = f"""
SELECT CAST(COALESCE(results.json_result, ids.json_result) AS BLOB) AS result,
CASE WHEN results.json_result IS NULL THEN ids.checksum ELSE results.checksum END,
ids.prompt_hash,
CASE WHEN results.json_result IS NULL THEN ids.row_id ELSE ids.text_hash END,
results.json_result IS NOT NULL
{_JOINED}
WHERE {_OF_TASKS} AND ids.row_id = :name AND result IS NOT NULL
ORDER BY ids.rowid DESC LIMIT 1
"""

_ALL_IDS = f"""
SELECT DISTINCT ids.row_id
{_JOINED}
WHERE {_OF_TASKS} AND COALESCE(results.json_result, ids.json_result) IS NOT NULL
"""

# A replaced row gets the highest rowid: the newest answer of an id is its last row.
_PUT = """
INSERT OR REPLACE INTO ids (row_id, prompt_hash, text_hash, json_result, created, checksum)
VALUES (?, ?, NULL, ?, ?, ?)
"""

# What an id was answered of another text is no answer of this one.
_REMEMBER = """
INSERT OR REPLACE INTO ids (row_id, prompt_hash, text_hash, created, json_result, checksum)
SELECT :name, :task, :key, :created, max(json_result), max(checksum) FROM ids
WHERE row_id = :name AND prompt_hash = :task AND (text_hash IS NULL OR text_hash = :key)
"""

_SHARED = """
SELECT ids.rowid, ids.row_id, ids.text_hash, CAST(results.json_result AS BLOB), results.checksum
FROM ids JOIN results
ON results.prompt_hash = ids.prompt_hash AND results.text_hash = ids.text_hash AND repeat = 0
WHERE ids.prompt_hash = ? AND ids.rowid > ? AND (? OR ids.json_result IS NULL)
ORDER BY ids.rowid LIMIT ?
"""
_FILL = "UPDATE ids SET json_result = ?, checksum = ? WHERE rowid = ?"


class UserIds(History):
    """The table ``ids`` of a cache."""

    def get(self, row_id: object, prompt_hash: str | None = None) -> Any | None:
        """Return the newest answer that was put, or asked by ``extract_df``, under an id.

        Parameters
        ----------
        row_id : str
            The user's id.
        prompt_hash : str, optional
            The task, or ``compute_prompt_hash(prompt)`` for any task with that prompt; any task,
            if left out.

        Returns
        -------
        object or None
            The answer read from JSON; None if there is none. One that ``extract_df`` asked begins
            with ``input_id``.
        """
        name: str = storable(str(row_id))
        found = self._database.query(_GET, {"tasks": self._tasks_of(prompt_hash), "name": name})
        if not found:
            return None
        return read_of_id(name, found[0], self._database.name)

    def put(self, row_id: object, result: Any, prompt_hash: str | None = None) -> None:
        """Keep an answer under an id; an earlier one of the same id and task is replaced.

        Parameters
        ----------
        row_id : str
            The user's id.
        result : object
            Anything that JSON can hold.
        prompt_hash : str, optional
            The task.
        """
        text = storable(json.dumps(result, ensure_ascii=False))
        name, task = storable(str(row_id)), prompt_hash or ""
        mark = checksum(task, name, text.encode())
        self._database.write(_PUT, [(name, task, text, now(), mark)])

    def all_ids(self, prompt_hash: str | None = None) -> set[str]:
        """Return the ids that have an answer.

        Parameters
        ----------
        prompt_hash : str, optional
            Of one task, or of all tasks with a prompt: see ``get``.
        """
        return {
            row_id
            for (row_id,) in self._database.query(_ALL_IDS, {"tasks": self._tasks_of(prompt_hash)})
        }

    def remember_ids(self, prompt_hash: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Let ``get`` and ``all_ids`` find the answers of a task under the user's ids.

        Parameters
        ----------
        prompt_hash : str
            The task.
        pairs : iterable of (row_id, text_hash)
            Ids and row keys; the answers may come later.
        """
        created = now()
        rows = (
            {"name": storable(row_id), "task": prompt_hash, "key": key, "created": created}
            for row_id, key in pairs
        )
        while block := list(islice(rows, _BLOCK)):
            self._database.write(_REMEMBER, block)

    def fill_ids(self, prompt_hash: str, *, again: bool = False) -> None:
        """Write the answers of a task into the table ``ids``, for who reads it with SQL.

        Parameters
        ----------
        prompt_hash : str
            The task.
        again : bool, default False
            Whether also those that stand there, because they were asked anew.
        """
        last = 0
        while block := self._database.query(_SHARED, (prompt_hash, last, again, _BLOCK)):
            last, rows = block[-1][0], []
            for place, row_id, key, result, mark in block:
                text = whole(result, mark, prompt_hash, key)
                if text is not None:
                    own = json.dumps(with_id(row_id, json.loads(text)), ensure_ascii=False)
                    own = storable(own)
                    rows.append((own, checksum(prompt_hash, row_id, own.encode()), place))
            self._database.write(_FILL, rows)

    def _tasks_of(self, prompt_hash: str | None) -> str | None:
        return None if prompt_hash is None else json.dumps(tasks_meant(prompt_hash, self.tasks))
