"""Answers by the user's own ids: ``get``, ``put`` and ``all_ids`` of the original toolkit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Any

from pandas_genai.store.postgres.database import without_nul
from pandas_genai.store.postgres.history import History
from pandas_genai.store.records import checksum, now, storable
from pandas_genai.store.user_ids import read_of_id, tasks_meant

__all__ = ["UserIds"]

_BLOCK = 10_000

_JOINED = """
FROM ids LEFT JOIN results
ON results.prompt_hash = ids.prompt_hash AND results.text_hash = ids.text_hash AND repeat = 0
"""
_OF_TASKS = "(%(tasks)s::text[] IS NULL OR ids.prompt_hash = ANY (%(tasks)s::text[]))"

_GET = f"""
SELECT convert_to(COALESCE(results.json_result, ids.json_result), 'UTF8'),
CASE WHEN results.json_result IS NULL THEN ids.checksum ELSE results.checksum END,
ids.prompt_hash,
CASE WHEN results.json_result IS NULL THEN ids.row_id ELSE ids.text_hash END,
results.json_result IS NOT NULL
{_JOINED}
WHERE {_OF_TASKS} AND ids.digest = %(digest)s
AND COALESCE(results.json_result, ids.json_result) IS NOT NULL
ORDER BY ids.number DESC LIMIT 1
"""

_ALL_IDS = f"""
SELECT DISTINCT ids.row_id
{_JOINED}
WHERE {_OF_TASKS} AND COALESCE(results.json_result, ids.json_result) IS NOT NULL
"""

# A replaced row gets the highest number: the newest answer of an id is its last row.
_PUT = """
INSERT INTO ids (digest, row_id, prompt_hash, json_result, created, checksum)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (digest, prompt_hash) DO UPDATE SET number = excluded.number, text_hash = NULL,
json_result = excluded.json_result, created = excluded.created, checksum = excluded.checksum
"""

# What an id was answered of another text is no answer of this one.
_REMEMBER = """
INSERT INTO ids (digest, row_id, prompt_hash, text_hash, created) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (digest, prompt_hash) DO UPDATE SET number = excluded.number,
text_hash = excluded.text_hash, created = excluded.created,
json_result = CASE WHEN COALESCE(ids.text_hash, excluded.text_hash) = excluded.text_hash
THEN ids.json_result END,
checksum = CASE WHEN COALESCE(ids.text_hash, excluded.text_hash) = excluded.text_hash
THEN ids.checksum END
"""


class UserIds(History):
    """The table ``ids`` of a store."""

    def get(self, row_id: object, prompt_hash: str | None = None) -> Any | None:
        """Return the newest answer that was put or remembered under a user's id."""
        name = _name(row_id)
        values = {"tasks": self._tasks_of(prompt_hash), "digest": _digest(name)}
        found = self._database.query(_GET, values)
        return read_of_id(name, found[0], self._database.name) if found else None

    def put(self, row_id: object, result: Any, prompt_hash: str | None = None) -> None:
        """Keep an answer under a user's id; an earlier one of the same id and task is replaced."""
        text = storable(json.dumps(result, ensure_ascii=False))
        name, task = _name(row_id), prompt_hash or ""
        mark = checksum(task, name, text.encode())
        self._database.write(_PUT, [(_digest(name), name, task, text, now(), mark)])

    def all_ids(self, prompt_hash: str | None = None) -> set[str]:
        """Return the users' ids that have an answer, of one task or of all."""
        found = self._database.query(_ALL_IDS, {"tasks": self._tasks_of(prompt_hash)})
        return {row_id for (row_id,) in found}

    def remember_ids(self, prompt_hash: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Let answers be found under the user's ids too, those that come later as well."""
        created = now()
        names = ((_name(row_id), key) for row_id, key in pairs)
        rows = ((_digest(name), name, prompt_hash, key, created) for name, key in names)
        while block := list(islice(rows, _BLOCK)):
            self._database.write(_REMEMBER, sorted(block))

    def _tasks_of(self, prompt_hash: str | None) -> list[str] | None:
        return None if prompt_hash is None else tasks_meant(prompt_hash, self.tasks)


def _name(row_id: object) -> str:
    """Return an id as the table has it."""
    return str(without_nul(storable(str(row_id))))


def _digest(name: str) -> bytes:
    """Return what an id is looked up by: PostgreSQL indexes no text that is longer than a page."""
    return blake2b(name.encode(), digest_size=16).digest()
