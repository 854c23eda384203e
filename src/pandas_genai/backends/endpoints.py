"""Where a request goes, and what that endpoint was found to take."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from pandas_genai.redaction import public_url

__all__ = [
    "ENDPOINTS",
    "NO_KEY",
    "VENDOR_URLS",
    "Capabilities",
    "Endpoint",
    "Endpoints",
    "host_of",
    "identity_of",
    "is_loopback",
    "origin_of",
]

NO_KEY = "no-key"
"""What is sent as key to a server that was named without one."""

VENDOR_URLS: dict[str, str] = {}
"""What is called when no base URL is given, by backend; ``registry.register`` fills it."""

_USUAL_SEGMENTS = frozenset({"api", "openai", "v1", "v1beta"})
"""Of paths that say nothing about who answers, only how to speak."""


def host_of(base_url: str) -> str:
    """Return the host of an address, lower case.

    Ports never count, and every address of this machine is ``"loopback"``: a local server
    gets another port each time it starts.

    Examples
    --------
    >>> host_of("https://api.openai.com/v1")
    'api.openai.com'
    >>> host_of("http://localhost:11434/v1")
    'loopback'
    """
    host = (urlsplit(base_url).hostname or base_url).lower()
    return "loopback" if is_loopback(host) else host


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """Return scheme, host and port: who gets what is sent to an address.

    Examples
    --------
    >>> origin_of("https://API.openai.com/v1")
    'https://api.openai.com:443'
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{parts.port or _PORTS.get(scheme, '')}"


def identity_of(base_url: str) -> str:
    """Return what a task's identity knows of an address: its host, and a path that tells more.

    A path counts where it has a segment other than ``api``, ``openai``, ``v1`` and ``v1beta``:
    two deployments on one host may answer under the same model name. User info, port, query and
    fragment never count.

    Examples
    --------
    >>> identity_of("https://my-resource.openai.azure.com/openai/v1/")
    'my-resource.openai.azure.com'
    >>> identity_of("http://localhost:8000/deployments/A/v1")
    'loopback/deployments/A/v1'
    """
    segments = [part for part in urlsplit(base_url).path.split("/") if part]
    host = host_of(base_url)
    return host if set(segments) <= _USUAL_SEGMENTS else "/".join([host, *segments])


@dataclass(frozen=True)
class Endpoint:
    """An address and the key that opens it.

    Parameters
    ----------
    backend : str
        The wire format's name.
    base_url : str
        As the vendor's SDK understands it. A user name, a password and a query that it holds
        go into ``full_url``: what is left may be stored and shown.
    api_key : str
        Not part of the representation.
    full_url : str
        What is called; not part of the representation either.
    is_apart : bool
        Whether neither key nor address are the environment's, whose headers then stay away.
    """

    backend: str
    base_url: str
    api_key: str = field(repr=False, default="")
    full_url: str = field(repr=False, default="")
    is_apart: bool = False

    def __post_init__(self) -> None:
        shown = public_url(self.base_url)
        if public_url(self.full_url) != shown:
            object.__setattr__(self, "full_url", self.base_url)
        object.__setattr__(self, "base_url", shown)

    @property
    def host(self) -> str:
        """The host alone."""
        return host_of(self.base_url)

    @property
    def identity(self) -> str:
        """What a task's identity knows of the address."""
        return identity_of(self.base_url)

    @property
    def shown(self) -> str:
        """The address for a message."""
        return self.base_url

    @property
    def is_vendor(self) -> bool:
        """Whether this is the vendor's own API, not a compatible server."""
        return origin_of(self.base_url) == origin_of(VENDOR_URLS[self.backend])


@dataclass(frozen=True)
class Capabilities:
    """What one model at one endpoint takes.

    Parameters
    ----------
    output_mode : str
        How the schema is enforced: one of the backend's ``output_modes``.
    dropped : frozenset of str
        Optional parameters that were refused.
    """

    output_mode: str
    dropped: frozenset[str] = frozenset()

    def without(self, name: str) -> Capabilities:
        """Return the same, less one parameter."""
        return replace(self, dropped=self.dropped | {name})


class Endpoints:
    """What a process has learnt of the endpoints it called. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._capabilities: dict[tuple[str, ...], Capabilities] = {}
        self._windows: dict[tuple[str, str], int] = {}
        self._answered: set[tuple[str, str, str]] = set()

    def capabilities(
        self, base_url: str, model: str, kind: str, start: Capabilities
    ) -> Capabilities:
        """Return what is known of a model at a base URL, or ``start``.

        ``kind`` keeps apart what was asked for: a schema, or free JSON.
        """
        with self._lock:
            return self._capabilities.get((base_url, model, kind), start)

    def learn(self, base_url: str, model: str, kind: str, capabilities: Capabilities) -> None:
        """Remember what worked."""
        with self._lock:
            self._capabilities[base_url, model, kind] = capabilities

    def window(self, base_url: str, model: str) -> int | None:
        """Return the tokens of a model's context window, if an answer named them."""
        with self._lock:
            return self._windows.get((base_url, model))

    def learn_window(self, base_url: str, model: str, tokens: int) -> None:
        """Remember the tokens of a model's context window."""
        with self._lock:
            self._windows[base_url, model] = tokens

    def answered(self, endpoint: Endpoint, model: str) -> bool:
        """Whether this process had an answer from the same endpoint, key and model."""
        with self._lock:
            return self._identity(endpoint, model) in self._answered

    def note_answer(self, endpoint: Endpoint, model: str) -> None:
        """Remember that this endpoint answered with this key and model."""
        with self._lock:
            self._answered.add(self._identity(endpoint, model))

    @staticmethod
    def _identity(endpoint: Endpoint, model: str) -> tuple[str, str, str]:
        return endpoint.base_url, hashlib.sha256(endpoint.api_key.encode()).hexdigest(), model


ENDPOINTS = Endpoints()
"""The memory of this process."""
