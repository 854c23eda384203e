"""The backends that there are. A new one is a folder beside this file and a line in it."""

from __future__ import annotations

from typing import Any

from pandas_genai.backends.anthropic.backend import AnthropicBackend
from pandas_genai.backends.base import Backend
from pandas_genai.backends.endpoints import VENDOR_URLS
from pandas_genai.backends.openai.backend import OpenAIBackend
from pandas_genai.errors import UsageError
from pandas_genai.task.rules import RULES, rules_of

__all__ = ["backend_named", "backend_of", "names", "register", "unregister"]

_BACKENDS: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Add a backend, under its name: every verb then takes it."""
    _BACKENDS[backend.name] = backend
    VENDOR_URLS[backend.name] = backend.base_url
    RULES[backend.name] = backend


def unregister(name: str) -> None:
    """Take a backend out again."""
    for table in (_BACKENDS, VENDOR_URLS, RULES):
        table.pop(name)


def names() -> tuple[str, ...]:
    """Return what ``backend=`` may be."""
    return tuple(_BACKENDS)


def backend_named(name: str) -> Backend:
    """Return a backend.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    try:
        return _BACKENDS[name]
    except KeyError:
        rules_of(name)  # says which there are
        raise


def backend_of(client: Any) -> Backend:
    """Say which wire format a client of the user speaks.

    Raises
    ------
    UsageError
        If it is no synchronous client of any SDK that is known.
    """
    for backend in _BACKENDS.values():
        if backend.speaks(client):
            return backend
    known = [f"{one.sdk}.{one.client_class}" for one in _BACKENDS.values() if one.sdk]
    raise UsageError(
        f"client= must be an {' or '.join(known)} client (not an Async one), "
        f"not {type(client).__name__}."
    )


for _backend in (OpenAIBackend(), AnthropicBackend()):
    register(_backend)
