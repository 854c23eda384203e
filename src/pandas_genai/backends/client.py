"""Thin SDK clients: one for each endpoint, shared by all threads, the SDK's retries off."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.http import Client
from pandas_genai.errors import CredentialsError
from pandas_genai.settings import checked_key, load_settings

__all__ = ["AnthropicClient", "OpenAIClient", "endpoint_of", "sdk_client", "without_retries"]

OpenAIClient: TypeAlias = Any
AnthropicClient: TypeAlias = Any
"""A user's own client, named for signatures: importing an SDK for its types takes seconds."""


def sdk_client(
    sdk: Any, client_class: str, endpoint: Endpoint, workers: int, account_headers: Iterable[str]
) -> Client:
    """Make an SDK's client whose pool keeps one connection a worker alive.

    Parameters
    ----------
    sdk : module
        The vendor's.
    client_class : str
        Its synchronous client.
    endpoint : Endpoint
        Address and key.
    workers : int
        Threads that share it.
    account_headers : iterable of str
        What the SDK adds from the environment, whatever address it calls.
    """
    from pandas_genai.backends.connections import direct_client
    from pandas_genai.backends.guarded import GuardedClient

    seconds = load_settings().request_timeout
    inner = direct_client(endpoint.base_url, workers, seconds)
    address = urlsplit(endpoint.full_url)
    client: Client = getattr(sdk, client_class)(
        api_key=endpoint.api_key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=inner.timeout,
        default_headers=_own_headers(endpoint, account_headers, sdk.Omit()),
        default_query=dict(parse_qsl(address.query)) or None,
        http_client=GuardedClient(inner, owned=True),
    )
    return client


def _own_headers(
    endpoint: Endpoint, account_headers: Iterable[str], nothing: Any
) -> dict[str, Any] | None:
    """Return the headers that differ from what the SDK would send.

    The SDKs add the organisation, the project and headers from the environment to whatever
    address they call.
    """
    found: dict[str, Any] = {}
    if endpoint.is_apart:
        found = dict.fromkeys(account_headers, nothing)
        given = os.environ.get(f"{endpoint.backend.upper()}_CUSTOM_HEADERS", "")
        found |= {line.partition(":")[0].strip(): nothing for line in given.split("\n")}
        found.pop("", None)
    info = urlsplit(endpoint.full_url).netloc.rpartition("@")[0]
    if info:
        name, _, password = info.partition(":")
        pair = f"{unquote(name)}:{unquote(password)}".encode()
        found["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return found or None


def endpoint_of(client: Any, backend: str) -> Endpoint:
    """Return the address and key of a client of the user that speaks a backend's format.

    Raises
    ------
    CredentialsError
        If its key cannot be sent.
    """
    key = getattr(client, "api_key", None) or getattr(client, "auth_token", None)
    key = key if isinstance(key, str) else ""
    if checked_key(key, "The key of client=") != key:
        raise CredentialsError(
            "The key of client= has white space around it, such as the line's end of the file "
            "that it was read from: make the client with key.strip()."
        )
    return Endpoint(backend, str(client.base_url), key)


def without_retries(client: Any) -> Client:
    """Return the client with its own retries off, as waiting is the pool's.

    Its connections stay its own; what they bring passes through the guarded client.
    """
    import httpx2

    from pandas_genai.backends.guarded import GuardedClient

    inner = getattr(client, "_client", None)
    if not isinstance(inner, httpx2.Client) or isinstance(inner, GuardedClient):
        changes: dict[str, Any] = {}
    else:
        changes = {"http_client": GuardedClient(inner, owned=False)}
    patient: Client = client.with_options(max_retries=0, **changes)
    return patient
