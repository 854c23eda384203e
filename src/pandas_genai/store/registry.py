"""From what a user names as a cache to an open store; the implementations by URL scheme."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple, TypeAlias

from pandas_genai.errors import UsageError
from pandas_genai.redaction import public_url
from pandas_genai.store.base import AnswerStore
from pandas_genai.store.postgres import address
from pandas_genai.store.sqlite.cache import SqliteCache

__all__ = ["SCHEMES", "Cache", "Scheme", "file_of", "in_folder", "is_there", "open_store"]
__all__ += ["configured", "private_url", "relative_url", "shown", "url_of", "using"]

Cache: TypeAlias = AnswerStore | str | os.PathLike[str] | Literal[False]
"""What ``cache=`` takes: an open store, a URL, the path of an SQLite file, False for memory."""

_FILE = "sqlite:///"
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


class Scheme(NamedTuple):
    """One implementation of ``AnswerStore``.

    Parameters
    ----------
    open : callable
        Opens the store of a URL, made where there is none.
    is_there : callable
        Whether there is a store at a URL; makes none.
    public : callable
        The URL as messages and manifests have it, without a password.
    configured : callable
        The URL of a store that a manifest names, which may be another than the user's: refuses
        to go where the user did not say.
    private : callable
        The URL with the password that this process knows, for workers of the same user.
    """

    open: Callable[[str], AnswerStore]
    is_there: Callable[[str], bool]
    public: Callable[[str], str] = public_url
    configured: Callable[[str], str] = str
    private: Callable[[str], str] = str


def _postgres() -> ModuleType:
    try:
        from pandas_genai.store.postgres import store
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "psycopg":
            raise
        raise UsageError(
            "A cache in PostgreSQL needs psycopg: pip install 'pandas-genai[postgres]'."
        ) from None
    return store


_POSTGRES = Scheme(
    lambda url: _postgres().PostgresStore(url),
    lambda url: _postgres().is_there(url),
    address.public,
    address.configured,
    address.private,
)

SCHEMES: dict[str, Scheme] = {
    "sqlite": Scheme(lambda url: SqliteCache(_file(url)), lambda url: _file(url).exists()),
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
}
"""The implementations; each further one is one line here."""


def url_of(cache: Cache) -> str | None:
    """Return the URL that opens a cache in any kernel; None for one in memory.

    Raises
    ------
    UsageError
        If it names no store.
    """
    if cache is False:
        return None
    if isinstance(cache, str) and _URL.match(cache):
        path = file_of(cache)
        return cache if path is None else f"{_FILE}{path.as_posix()}"
    if isinstance(cache, (str, os.PathLike)):
        return f"{_FILE}{_absolute(os.fspath(cache)).as_posix()}"
    if isinstance(cache, AnswerStore):
        return cache.url
    raise UsageError(
        "cache= must be a path, the URL of a store, a SqliteCache, or False for memory only, "
        f"not {cache!r}."
    )


def open_store(cache: Cache) -> tuple[AnswerStore, bool]:
    """Return an open store, and whether it is ours to close.

    Raises
    ------
    UsageError
        If ``cache`` names no store.
    CacheError
        If the store cannot be opened.
    """
    url = url_of(cache)
    if isinstance(cache, AnswerStore):
        return cache, False
    return (SqliteCache(None) if url is None else _scheme(url).open(url)), True


@contextmanager
def using(cache: Cache) -> Iterator[AnswerStore]:
    """Open a store and close it again; one that is open already stays open."""
    store, ours = open_store(cache)
    try:
        yield store
    finally:
        if ours:
            store.close()


def is_there(cache: Cache) -> bool:
    """Whether a store is there; looking makes none."""
    url = url_of(cache)
    return not isinstance(cache, (str, os.PathLike)) or url is None or _scheme(url).is_there(url)


def shown(cache: Cache) -> str:
    """Return what names a cache in messages, without a password."""
    if isinstance(cache, AnswerStore):
        return cache.shown
    if isinstance(cache, str) and _URL.match(cache):
        return str(file_of(cache) or _scheme(cache).public(cache))
    return str(cache)


def file_of(url: str) -> Path | None:
    """Return the file of a URL; None where the store is no file."""
    return _file(url) if _scheme(url) is SCHEMES["sqlite"] else None


def relative_url(url: str, folder: Path) -> str:
    """Return a URL for a manifest: a file relative to its folder, so that both may be moved."""
    path = file_of(url)
    if path is None:
        return url
    try:
        return f"{_FILE}{Path(os.path.relpath(path, folder)).as_posix()}"
    except ValueError:  # on another drive
        return url


def configured(url: str) -> str:
    """Return the URL of a store that a manifest names, once it is the user's own.

    Raises
    ------
    UsageError
        If the store is on a server that the user has not named: no password goes there.
    """
    return _scheme(url).configured(url)


def private_url(cache: Cache) -> str | None:
    """Return what opens a cache in another process of the user, with a password if it has one.

    None for a cache in memory. It is for that process alone, not to be shown or written.
    """
    url = url_of(cache)
    return None if url is None else _scheme(url).private(url)


def in_folder(named: str, folder: Path) -> str:
    """Return the URL that a manifest in a folder names; older ones name the path of a file."""
    if _URL.match(named) and not named.startswith(_FILE):
        return named
    path = os.path.normpath(folder / named.removeprefix(_FILE))
    return f"{_FILE}{Path(path).as_posix()}"


def _scheme(url: str) -> Scheme:
    found = SCHEMES.get(url.partition("://")[0].lower())
    if found is None:
        raise UsageError(
            f"cache={public_url(url)!r} is no store that is known here: give a path, or a URL that "
            f"begins with {' or '.join(f'{name}://' for name in SCHEMES)}."
        )
    return found


def _absolute(path: str) -> Path:
    # Absolute, because the notebook may change its directory before the file is opened again.
    return Path(path).expanduser().absolute()


def _file(url: str) -> Path:
    path = url[len(_FILE) :]
    if not path or not url.lower().startswith(_FILE):
        raise UsageError(
            f"cache={url!r} names no file: write sqlite:///answers.sqlite, with a fourth slash "
            "for an absolute path."
        )
    return _absolute(path)
