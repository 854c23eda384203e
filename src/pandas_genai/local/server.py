"""The local model's server: a child process on loopback, one a kernel."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from pathlib import Path

from pandas_genai.errors import LocalModelError
from pandas_genai.local.weights import OnProgress, extra_missing, weights
from pandas_genai.settings import LOCAL_MODEL

__all__ = ["CONTEXT", "serve", "start", "stop"]

CONTEXT = 8_192
"""Tokens of one request, prompt and answer together."""

_CHILD = Path(__file__).with_name("child.py")
_READY_S = 120.0
_END_S = 10.0


class Server:
    """A running child process.

    Parameters
    ----------
    path : Path
        The weights.
    threads, parallel : int
        Threads of the model, and requests that it answers at once.
    """

    def __init__(self, path: Path, threads: int, parallel: int) -> None:
        self.pid = os.getpid()
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - lives as long as the child
        numbers = map(str, (threads, parallel, CONTEXT))
        self._process = subprocess.Popen(  # noqa: S603 - our own script, without a shell
            [sys.executable, str(_CHILD), str(self.pid), str(path), LOCAL_MODEL, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_without_keys(),
        )
        _servers.add(self)
        try:
            self.base_url = f"{self._address()}/v1"
            self._wait_until_healthy()
        except BaseException:
            self.close()
            raise

    def alive(self) -> bool:
        """Whether this process started the child, and it still runs."""
        return self.pid == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        """End the child: it ends by itself when its standard input does."""
        if self.pid != os.getpid():
            return
        self.let_go()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def let_go(self) -> None:
        """Close this process's ends of the pipes; a forked process has copies of them."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _address(self) -> str:
        """Wait for the line in which the child says where it listens."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return str(json.loads(line)["listening"])
        raise self._died()

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _READY_S
        health = self.base_url.removesuffix("/v1") + "/health"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._died()
            try:
                with opener.open(health, timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise LocalModelError(f"The local model did not get ready within {_READY_S:.0f} s.")

    def _died(self) -> LocalModelError:
        self._process.wait(_END_S)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else "it wrote nothing"
        return LocalModelError(
            f"The local model's server ended with code {self._process.returncode}: {last[:300]}"
        )


def _without_keys() -> dict[str, str]:
    """The environment, less what the child has no business to know."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_API_KEY", "_TOKEN", "_SECRET"))
    }


def _started(
    path: Path | None, threads: int | None, parallel: int, on_progress: OnProgress | None
) -> Server:
    if importlib.util.find_spec("xllamacpp") is None:
        raise extra_missing("xllamacpp")
    found = path or weights(on_progress)
    return Server(found, threads or max(1, (os.cpu_count() or 2) - 1), parallel)


@contextlib.contextmanager
def serve(
    path: Path | None = None,
    *,
    threads: int | None = None,
    parallel: int = 1,
    on_progress: OnProgress | None = None,
) -> Iterator[str]:
    """Serve the local model while the block runs.

    Parameters
    ----------
    path : Path, optional
        Weights of your own; left out, the package's own are found or fetched.
    threads : int, optional
        Threads of the model; the number of processors less one, if left out: with all of them
        taken, one busy program beside it makes it eight times slower.
    parallel : int, default 1
        Requests that are answered at once.
    on_progress : callable, optional
        Called with how far the download is, if one is needed.

    Yields
    ------
    str
        The base URL of an OpenAI-compatible server on loopback.

    Raises
    ------
    LocalModelError
        If the extra is not installed, the weights cannot be fetched, or the server does not start.

    Notes
    -----
    ``with local.serve() as base_url: df.genai.extract(..., base_url=base_url, model=local.MODEL)``
    does what ``model="local"`` does, for as long as the block runs.
    """
    server = _started(path, threads, parallel, on_progress)
    try:
        yield server.base_url
    finally:
        server.close()


_lock = threading.Lock()
_server: Server | None = None
_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _forget_after_fork() -> None:
    """Leave the servers to the process that started them, which may die before its copies."""
    global _lock, _server  # noqa: PLW0603 - a thread that is gone may have held the lock
    _lock = threading.Lock()
    _server = None
    for server in _servers:
        server.let_go()
    _servers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_after_fork)


def start(on_progress: OnProgress | None = None) -> str:
    """Return the base URL of this process's one server, started when it is first needed.

    Raises
    ------
    LocalModelError
        As for ``serve``.
    """
    global _server  # noqa: PLW0603 - one server a process is the point
    with _lock:
        if _server is None or not _server.alive():
            if _server is not None:
                _server.close()
            _server = _started(None, None, 1, on_progress)
        return _server.base_url


def stop() -> None:
    """End this process's server, if it runs."""
    global _server  # noqa: PLW0603 - the same one
    with _lock:
        if _server is not None:
            _server.close()
            _server = None


atexit.register(stop)
