"""Asks the embedded model, whose server is started again where it has died meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pandas_genai import local
from pandas_genai.backends.caller import Caller
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.resolve import Resolved
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Reply

__all__ = ["Embedded"]


class Embedded:
    """Asks this process's own server; callable as a ``Caller`` is.

    A server that was killed (by the kernel when memory is short, by a person) leaves a call
    without an answer, which is tried again as after any lost connection. By then the server has
    been started again, at another port, and so with another client.

    Parameters
    ----------
    resolved : Resolved
        The task, its address not known yet.
    caller : callable
        Makes a ``Caller`` of a client and an endpoint.
    workers : int
        Calls at once.
    on_progress : callable
        Called with how the download of the weights goes, if one is needed.

    Raises
    ------
    LocalModelError
        If the server cannot be started, now or again.
    """

    def __init__(
        self,
        resolved: Resolved,
        caller: Callable[[Any, Endpoint], Caller],
        workers: int,
        on_progress: Callable[[local.Download], None],
    ) -> None:
        self._resolved = resolved
        self._make_caller = caller
        self._workers = workers
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._clients: list[Any] = []
        self._connect(local.start(on_progress))

    def __call__(self, chunk: Chunk) -> Reply:
        """Send the chunk to the server that runs now.

        Raises
        ------
        CallError
            As a ``Caller`` does.
        LocalModelError
            If the server has died and cannot be started again.
        """
        with self._lock:
            base_url = local.start(self._on_progress)
            if base_url != self.endpoint.base_url:
                self._connect(base_url)
            caller = self._caller
        return caller(chunk)

    def close(self) -> None:
        """Release the connections."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()

    def _connect(self, base_url: str) -> None:
        resolved = self._resolved.at(base_url)
        client, _ = resolved.open(self._workers)
        self._clients.append(client)  # another worker may still wait on the one before
        self.endpoint: Endpoint = resolved.endpoint
        self._caller = self._make_caller(client, resolved.endpoint)
