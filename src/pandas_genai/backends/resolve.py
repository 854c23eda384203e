"""From what a user names, and what the settings add, to an endpoint, a task and a client."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

from pandas_genai.backends.base import Backend
from pandas_genai.backends.client import endpoint_of
from pandas_genai.backends.endpoints import NO_KEY, Endpoint, origin_of
from pandas_genai.backends.http import Client
from pandas_genai.backends.registry import backend_named, backend_of, names
from pandas_genai.errors import CredentialsError, UsageError
from pandas_genai.redaction import public_url
from pandas_genai.settings import (
    LOCAL_MODEL,
    Settings,
    checked_key,
    confirmed_base_url,
    load_settings,
)
from pandas_genai.task.task import BoundTask, Task, note_endpoint

__all__ = ["Question", "Resolved"]

_LOCAL_URL = "http://127.0.0.1/v1"
"""Stands for the embedded server until it has a port."""


@dataclass(frozen=True)
class Question:
    """A task, and where it is asked as a user names it.

    Parameters
    ----------
    task : Task
        What is asked.
    base_url, api_key, client : optional
        The arguments of ``df.genai.extract``.
    variant : str, default ""
        Under which answers are kept apart from those of the same task, as of ``BoundTask``.
    """

    task: Task
    base_url: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    client: Any = field(default=None, repr=False)
    variant: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the embedded model is asked."""
        return self.task.model == "local"

    def resolve(self) -> Resolved:
        """Check everything that can be checked before a request.

        Raises
        ------
        UsageError
            If an argument or a setting is wrong.
        CredentialsError
            If the key must not be sent to the address. A missing key is no error yet: an
            answer from the cache needs none.
        """
        if self.is_local:
            endpoint, model = self._local(), LOCAL_MODEL
        else:
            endpoint, model = self._endpoint()
        bound = BoundTask.of(
            self.task,
            model=model,
            backend=endpoint.backend,
            host=endpoint.identity,
            variant=self.variant,
        )
        note_endpoint(self.task, bound)
        return Resolved(endpoint, bound, self.client, is_local=self.is_local)

    def _local(self) -> Endpoint:
        given = {"backend": self.task.backend, "base_url": self.base_url, "client": self.client}
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"model='local' brings its own server: leave {name}= out.")
        return Endpoint("openai", _LOCAL_URL, NO_KEY)

    def _endpoint(self) -> tuple[Endpoint, str]:
        settings = load_settings()
        backend = _backend(self, settings.default_backend)
        model = self.task.model or settings.default_model or backend.default_model
        if self.client is not None:
            if self.base_url is not None or self.api_key is not None:
                raise UsageError(
                    "client= brings its own address and key: leave base_url= and api_key= out."
                )
            return endpoint_of(self.client, backend.name), model
        given = None if self.api_key is None else checked_key(self.api_key, "api_key=")
        url = self.base_url.strip() if self.base_url is not None else None
        if url is not None and "://" not in url:
            shown = public_url(url)
            raise UsageError(
                f"base_url={shown!r} is no address: it starts with https:// or http://."
            )
        if url is None:
            url = confirmed_base_url(settings, backend.name, given, dict(os.environ))
        url = url or backend.base_url
        key = self._key(settings, backend, given)
        if not key and origin_of(url) != origin_of(backend.base_url):
            key = NO_KEY
        apart = _is_apart(backend, self.base_url, url, key)
        return Endpoint(backend.name, url, key, is_apart=apart), model

    def _key(self, settings: Settings, backend: Backend, given: str | None) -> str:
        if given or (given is not None and self.base_url is not None):
            # An empty key with an address is an unset variable: no other key is meant for there.
            return given
        return checked_key(settings.api_key(backend.name) or "", backend.variable("API_KEY"))


def _is_apart(backend: Backend, given: str | None, url: str, key: str) -> bool:
    """Whether neither the address nor the key is the environment's."""
    if key and key == os.environ.get(backend.variable("API_KEY"), "").strip():
        return False
    known = {backend.base_url, os.environ.get(backend.variable("BASE_URL"), "").strip()}
    return given is not None or url not in known


@dataclass(frozen=True)
class Resolved:
    """A task, and where it is asked.

    Parameters
    ----------
    endpoint : Endpoint
        Address and key; the key is empty where none was found.
    task : BoundTask
        What is asked.
    client : optional
        The user's own client, if one was given.
    is_local : bool, default False
        Whether the embedded model is asked; its server's port is not known yet.
    """

    endpoint: Endpoint
    task: BoundTask
    client: Any = field(default=None, repr=False)
    is_local: bool = False

    def at(self, base_url: str) -> Resolved:
        """Return the same at another address."""
        return replace(self, endpoint=replace(self.endpoint, base_url=base_url))

    def open(self, workers: int) -> tuple[Client, bool]:
        """Return a client, and whether it is ours to close.

        Raises
        ------
        CredentialsError
            If there is no key.
        """
        backend = backend_named(self.endpoint.backend)
        if self.client is not None:
            return backend.without_retries(self.client), False
        if not self.endpoint.api_key:
            raise _no_key(backend)
        return backend.open_client(self.endpoint, workers), True


def _backend(question: Question, default: str) -> Backend:
    task = question.task
    if question.client is not None:
        spoken = backend_of(question.client)
        if task.backend is not None and task.backend != spoken.name:
            raise UsageError(
                f"backend={task.backend!r}, but client= speaks {spoken.name!r}: drop one."
            )
        return spoken
    if task.backend is not None:
        return backend_named(task.backend)
    if task.model and question.base_url is None:
        for backend in map(backend_named, names()):
            if backend.names_model(task.model):
                return backend
    return backend_named(default)


def _no_key(backend: Backend) -> CredentialsError:
    variable, settings = backend.variable("API_KEY"), load_settings()
    others = [one for one in map(backend_named, names()) if settings.api_key(one.name)]
    hint = "".join(
        f" A key for {other.label} is there: backend={other.name!r} uses it." for other in others
    )
    return CredentialsError(
        f"No key for {backend.name}: set the variable {variable}, write {variable}=... into a file "
        f"named .env in this directory, or pass api_key=; model='local' needs none.{hint}"
    )
