"""What an error that ended a run carries: the frame of what was answered so far."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import pandas as pd

from pandas_genai.errors import CacheError, PartialResult
from pandas_genai.store import AnswerStore, is_there, using

__all__ = ["RunStore"]

Build: TypeAlias = Callable[[AnswerStore], pd.DataFrame | None]
"""Reads the frame of what is answered out of a cache; None where nothing is."""


class RunStore:
    """A cache that a run uses, and that an error of it may still read when the run is gone.

    Parameters
    ----------
    cache : AnswerStore
        The cache, open.
    ours : bool
        Whether it was opened for the run, and is closed with it.
    """

    def __init__(self, cache: AnswerStore, *, ours: bool) -> None:
        self._cache = cache
        self._ours = ours
        self._url = cache.url
        self._needed = False

    def release(self) -> None:
        """Close the cache, where it is ours and no error needs it."""
        if self._ours and not self._needed:
            self._cache.close()

    def carry(self, error: BaseException, build: Build) -> None:
        """Let an error have the frame so far. It is read when somebody asks for it."""
        if not isinstance(error, PartialResult):
            return
        error.carry(lambda: self._built(build))
        if self._ours and self._url is None:
            self._needed = True
            weakref.finalize(error, self._cache.close)

    def _built(self, build: Build) -> pd.DataFrame | None:
        with self._opened() as cache:
            return build(cache)

    @contextmanager
    def _opened(self) -> Iterator[AnswerStore]:
        """Open the cache anew where that is possible: the run, or the user, may have closed it."""
        if self._url is None:
            yield self._cache
            return
        if not is_there(self._url):
            raise CacheError(f"The cache {self._cache.shown!r} with the answers is gone.")
        with using(self._url) as cache:
            yield cache
