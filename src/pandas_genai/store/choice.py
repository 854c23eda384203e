"""Which cache a user means."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from pandas_genai.errors import UsageError
from pandas_genai.store.sqlite.cache import SqliteCache

__all__ = ["Cache", "open_cache"]

Cache: TypeAlias = SqliteCache | str | os.PathLike[str] | Literal[False]


def open_cache(cache: Cache) -> tuple[SqliteCache, bool]:
    """Return an open cache, and whether it is ours to close; False is memory only."""
    if isinstance(cache, SqliteCache):
        return cache, False
    if cache is not False and not isinstance(cache, (str, os.PathLike)):
        raise UsageError(
            f"cache= must be a path, a SqliteCache, or False for memory only, not {cache!r}."
        )
    return SqliteCache(None if cache is False else cache), True
