"""What an error that ended a run carries: the frame of what was answered so far."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from pandas_genai.errors import CacheError, PartialResult
from pandas_genai.store import SqliteCache

__all__ = ["Kept"]

Build: TypeAlias = Callable[[SqliteCache], pd.DataFrame | None]
"""Reads the frame of what is answered out of a cache; None where nothing is."""


class Kept:
    """A cache that a run uses, and that an error of it may still read when the run is gone.

    Parameters
    ----------
    cache : SqliteCache
        The cache, open.
    ours : bool
        Whether it was opened for the run, and is closed with it.
    """

    def __init__(self, cache: SqliteCache, *, ours: bool) -> None:
        self._cache = cache
        self._ours = ours
        self._path = None if cache.path is None else Path(cache.path).absolute()
        self._needed = False

    def let_go(self) -> None:
        """Close the cache, unless it is not ours, or an error needs it: memory is nowhere else."""
        if self._ours and not self._needed:
            self._cache.close()

    def carry(self, error: BaseException, build: Build) -> None:
        """Let an error have the frame so far. It is read when somebody asks for it."""
        if not isinstance(error, PartialResult):
            return
        error.carry(lambda: self._built(build))
        if self._ours and self._path is None:
            self._needed = True
            weakref.finalize(error, self._cache.close)

    def _built(self, build: Build) -> pd.DataFrame | None:
        with self._opened() as cache:
            return build(cache)

    @contextmanager
    def _opened(self) -> Iterator[SqliteCache]:
        """Open the cache anew where it is in a file: the run, or the user, may have closed it."""
        if self._path is None:
            yield self._cache
            return
        if not self._path.exists():
            raise CacheError(f"The cache file {str(self._path)!r} with the answers is gone.")
        with SqliteCache(self._path) as cache:
            yield cache
