"""Thin SDK clients: one for each endpoint, shared by all threads, the SDK's retries off."""

from __future__ import annotations

import importlib
from typing import Any

from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.errors import UsageError
from pandas_genai.task.task import Backend

__all__ = ["TIMEOUT_S", "backend_of", "endpoint_of", "make_client", "without_retries"]

TIMEOUT_S = 600.0
"""Seconds that one read may take, as in both SDKs; connecting may take ten."""

_KEEP_IDLE_S = 30.0


def make_client(endpoint: Endpoint, workers: int) -> Any:
    """Make an SDK client whose pool keeps one connection a worker alive.

    The SDK is imported here, when it is first needed: importing both takes seconds.
    """
    import httpx2

    sdk = importlib.import_module(endpoint.backend)
    timeout = httpx2.Timeout(TIMEOUT_S, connect=10.0)
    limits = httpx2.Limits(
        max_connections=workers + 4,
        max_keepalive_connections=workers,
        keepalive_expiry=_KEEP_IDLE_S,
    )
    factory = sdk.OpenAI if endpoint.backend == "openai" else sdk.Anthropic
    return factory(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=sdk.DefaultHttpxClient(limits=limits, timeout=timeout),
    )


def backend_of(client: Any) -> Backend:
    """Say which wire format a client of the user speaks.

    Raises
    ------
    UsageError
        If it is no synchronous client of either SDK.
    """
    bases = {base.__module__.partition(".")[0] for base in type(client).__mro__}
    backends: tuple[Backend, ...] = ("openai", "anthropic")
    for backend in backends:
        if backend in bases and not type(client).__name__.startswith("Async"):
            return backend
    raise UsageError(
        f"client= must be an openai.OpenAI or anthropic.Anthropic client (not an Async one), "
        f"not {type(client).__name__}."
    )


def endpoint_of(client: Any) -> Endpoint:
    """Return the address and key of a client of the user."""
    key = getattr(client, "api_key", None) or getattr(client, "auth_token", None)
    return Endpoint(backend_of(client), str(client.base_url), key if isinstance(key, str) else "")


def without_retries(client: Any) -> Any:
    """Return the client with its own retries off: waiting is the pool's."""
    return client.with_options(max_retries=0)
