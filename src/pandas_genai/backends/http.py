"""The one way to a provider: an SDK's client in, bounded and redacted answers out."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pandas_genai.backends.endpoints import NO_KEY, Endpoint
from pandas_genai.backends.exchange import Answer, Exchange, Halt, Template, carried
from pandas_genai.backends.log_filter import keep_out_of_logs
from pandas_genai.errors import CallError, RowError, SplitError, StopRunError, WaitError
from pandas_genai.redaction import Redactor, redactor, url_secrets
from pandas_genai.settings import Settings, load_settings

__all__ = ["Answer", "Bounds", "Client", "Transport", "secrets_of"]

_SECRET_HEADERS = ("authorization", "api-key", "apikey", "token", "secret", "cookie")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

_Kind: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""Path and headers: what requests have in common that differ in their bodies alone."""

_PROCESS = secrets.token_hex(16)
_NUMBERS = itertools.count()

_FAILURES: dict[str, tuple[type[CallError], str, str]] = {
    "timeout": (WaitError, "{where} did not answer in time ({text}).", "timeout"),
    "connection": (WaitError, "{where} could not be reached ({text}).", "connection"),
    "broken": (WaitError, "{where} broke off ({text}).", "connection"),
    "encoding": (WaitError, "{where} {text}.", "invalid reply"),
    "size": (SplitError, "{where} {text}.", "reply too large"),
    "redirect": (StopRunError, "{where} {text}.", "redirect"),
    "content": (RowError, "The request cannot be sent: {text}.", "bad request"),
}
_MAYBE_BILLED = frozenset({"timeout", "connection", "broken", "encoding", "size"})
"""What may go wrong after a provider has begun to answer, and to bill, a request."""

_NEVER_CONNECTED = ("ConnectError", "ConnectTimeout", "PoolTimeout")
_NOT_SENT = (StopRunError, "The request to {where} was not sent: {text}.", "client")


class Client(Protocol):
    """What a backend's client must offer: that of an SDK does.

    A path is relative to the client's address. ``options`` may hold ``headers``, ``params`` and
    ``idempotency_key``; what is sent is JSON (``body``), bytes (``content``) or a form with
    ``files``. Whatever status is answered, the response is returned, or an error that holds it is
    raised.
    """

    def post(self, path: str, **options: Any) -> Any:
        """Send a request."""

    def get(self, path: str, **options: Any) -> Any:
        """Read a resource."""

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class Bounds:
    """What one request may take.

    Parameters
    ----------
    seconds, file_seconds : float
        From connecting to the last byte; of a request that carries or fetches a batch's file.
    reply_bytes, file_bytes : int
        Of an answer, unpacked; of a batch's file, which is streamed to disk.
    """

    seconds: float
    file_seconds: float
    reply_bytes: int
    file_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """Return what the settings say."""
        return cls(
            settings.request_timeout,
            settings.file_timeout,
            settings.max_reply_bytes,
            settings.max_file_bytes,
        )


class Transport:
    """Sends requests through an SDK's client, and lets nothing of the SDK's out.

    Every answer is returned, whatever its status. What is raised is ours, and no error of an
    SDK hangs on it: those hold the request, and with it the key. Redirects to another address
    are not followed.

    Parameters
    ----------
    client : Client
        Shared by all threads, its own retries off; opened by ``Resolved.open``.
    endpoint : Endpoint
        For messages, and for the secrets in its address.
    bounds : Bounds, optional
        By default what the settings say.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        client: Client,
        endpoint: Endpoint,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # httpx2 takes tenths of a second to import: with the first client, not with the package.
        import httpx2

        self._response_type = httpx2.Response
        self._built: dict[_Kind, Template] = {}
        self._templates: dict[_Kind, Template] = {}
        self._redirected: set[_Kind] = set()
        self._client = client
        self._shown = endpoint.shown
        self._bounds = bounds or Bounds.of(load_settings())
        self._clock = clock
        self.redactor: Redactor = redactor(secrets_of(client, endpoint))
        keep_out_of_logs(self.redactor)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Post JSON, or what ``content`` holds or yields; the latter may be a batch's file.

        Raises
        ------
        CallError
            If there was no answer. Of a ``WaitError`` it is unknown whether it took effect.
        """
        # The SDK would make a uuid for a header that it does not send: 6 % of a call.
        options: dict[str, Any] = {"idempotency_key": f"{_PROCESS}-{os.getpid()}-{next(_NUMBERS)}"}
        if headers:
            options["headers"] = dict(headers)
        if content is not None:
            exchange = self._exchange(self._bounds.file_seconds)
            return self._done(exchange, lambda: self._post(path, content=content, options=options))
        kind = path, tuple(headers.items()) if headers else ()
        exchange = self._exchange(self._bounds.seconds)
        return self._done(exchange, lambda: self._sent(kind, body, exchange, options=options))

    def _sent(self, kind: _Kind, body: Any, exchange: Exchange, **options: Any) -> Any:
        """Post as the SDK builds requests, or, once that is known, by their template."""
        template = self._templates.get(kind)
        raw = None if template is None else _as_json(body)
        if template is not None and raw is not None:
            if template.send(raw, exchange):
                return None
            self._redirected.add(kind)
            self._templates.pop(kind, None)
        exchange.built = lambda built: self._learn(kind, body, built)
        return self._post(kind[0], body=body, **options)

    def _learn(self, kind: _Kind, body: Any, built: Template) -> None:
        """Keep how requests are built, once two in a row differed in their bodies alone."""
        if kind in self._redirected or built.content != _as_json(body):
            return
        before = self._built.get(kind)
        self._built[kind] = built
        if before is not None and built.pattern == before.pattern:
            self._templates[kind] = built

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Answer:
        """Read a resource; parameters that are None are left out.

        Raises
        ------
        CallError
            If there was no answer.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        exchange = self._exchange(self._bounds.seconds)
        return self._done(exchange, lambda: self._get(path, options={"params": given}))

    def upload(self, path: str, file: Path, name: str, fields: Mapping[str, str]) -> Answer:
        """Send a file as part of a form.

        Raises
        ------
        CallError
            If there was no answer. Of a ``WaitError`` it is unknown whether it took effect.
        """
        exchange = self._exchange(self._bounds.file_seconds)
        options = {"headers": {"Content-Type": "multipart/form-data"}}
        with file.open("rb") as opened:
            files = [("file", (name, opened, "application/jsonl"))]
            return self._done(
                exchange,
                lambda: self._post(path, body=dict(fields), files=files, options=options),
            )

    def fetch(self, path: str, to: Path, accept: str) -> Answer:
        """Stream a body into a file that is there whole or not at all.

        An answer whose status is an error is returned with its body and leaves the file alone.

        Raises
        ------
        CallError
            If there was no answer.
        """
        exchange = self._exchange(self._bounds.file_seconds, self._bounds.file_bytes, to)
        options = {"headers": {"Accept": accept}}
        return self._done(exchange, lambda: self._get(path, options=options))

    def _exchange(
        self, seconds: float, most_bytes: int | None = None, sink: Path | None = None
    ) -> Exchange:
        most = most_bytes or self._bounds.reply_bytes
        return Exchange(self.redactor, seconds, most, sink, self._clock)

    def _post(self, path: str, **options: Any) -> Any:
        return self._client.post(path, cast_to=self._response_type, **options)

    def _get(self, path: str, **options: Any) -> Any:
        return self._client.get(path, cast_to=self._response_type, **options)

    def _done(self, exchange: Exchange, send: Callable[[], Any]) -> Answer:
        """Send, and return the answer, or raise an error of ours.

        It is raised outside the handler: as another error's context, the SDK's would hang on it.
        """
        with carried(exchange):
            try:
                response = send()
            except Exception as error:  # noqa: BLE001 - both SDKs' trees, and hooks of a user's client
                _note(exchange, error)
            else:
                if response is not None:
                    _take(exchange, response)
        if exchange.answer is not None:
            return exchange.answer
        assert exchange.failure is not None
        raise self._classed(exchange.failure, begun=exchange.begun)

    def _classed(self, failure: Halt, *, begun: bool) -> CallError:
        kind = "broken" if failure.kind == "connection" and begun else failure.kind
        error, sentence, reason = _FAILURES.get(kind, _NOT_SENT)
        classed = error(sentence.format(where=self._shown, text=failure.text), reason=reason)
        never_sent = failure.text.startswith(_NEVER_CONNECTED)
        classed.maybe_billed = kind in _MAYBE_BILLED and not never_sent
        return classed


def _as_json(body: Any) -> bytes | None:
    """Write a body as the SDKs do; None where that takes more than plain JSON."""
    try:
        return _encode(body).encode()
    except (TypeError, ValueError):
        return None


def _note(exchange: Exchange, error: Exception) -> None:
    """Note why an SDK raised, where the guarded client has not done so."""
    if exchange.answer is not None or exchange.failure is not None:
        return
    response, kind = getattr(error, "response", None), type(error).__name__
    if response is not None:  # from a client of the user that is no httpx2 client
        _take(exchange, response)
    elif kind == "APITimeoutError":
        exchange.fail("timeout", "the client's own limit")
    elif kind == "APIConnectionError":
        cause = error.__cause__ or error
        exchange.fail("connection", f"{type(cause).__name__}: {cause}")
    elif isinstance(error, TypeError | ValueError):
        exchange.fail("content", f"{kind}: {error}")
    else:
        exchange.fail("client", f"{kind}: {error}")


def _take(exchange: Exchange, response: Any) -> None:
    """Take the answer of a client that is not guarded."""
    if exchange.answer is not None:
        return
    try:
        exchange.receive(response.status_code, response.headers.raw, [response.content])
    except Halt as halt:
        exchange.fail(halt.kind, halt.text)
    except Exception as error:  # noqa: BLE001 - whatever the user's client raises while reading
        exchange.fail("connection", f"{type(error).__name__}: {error}")


def secrets_of(client: object, endpoint: Endpoint) -> frozenset[str]:
    """Return what goes to the provider and nobody else may see."""
    found = {endpoint.api_key, *url_secrets(endpoint.full_url)}
    for name in ("api_key", "auth_token", "admin_api_key"):
        value = getattr(client, name, None)
        found.add(value if isinstance(value, str) else "")
    headers: Mapping[str, object] = getattr(client, "default_headers", None) or {}
    for name, value in headers.items():
        if isinstance(value, str) and any(part in name.lower() for part in _SECRET_HEADERS):
            found.add(value.rpartition(" ")[2])
    return frozenset(found - {"", NO_KEY})
