"""Faults that a test scripts, and which of them strikes which call."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

__all__ = ["KINDS", "Fault", "FaultPlan", "Struck"]

ERROR_KINDS = frozenset(
    {
        "rate_limit",
        "insufficient_quota",
        "server_error",
        "overloaded",
        "timeout_408",
        "conflict",
        "payment_required",
        "forbidden",
        "bad_request",
        "context_length",
        "too_large",
        "moderation",
        "error",
    }
)
"""Answered with an HTTP error."""

KINDS = ERROR_KINDS | {
    "reset",
    "reset_after",
    "garbage",
    "html",
    "error_200",
    "missing",
    "doubled",
    "invented",
    "truncated",
    "refusal",
    "content_filter",
    "hang",
    "wrong_type",
    "rewrite",
}
_LIVE_KINDS = frozenset({"reset", "reset_after", "html", "error_200", "hang"})
"""What happens to a connection or a whole answer: a request in a batch has neither."""
_HTTP_KINDS = ERROR_KINDS | _LIVE_KINDS | {"rewrite"}
_BATCH_PATHS = ("/v1/files", "/v1/batches", "/v1/messages/batches")


@dataclass(frozen=True)
class Fault:
    """One way in which the provider misbehaves, and when.

    All conditions that are given must hold; without any, every call is struck. Of several faults
    that would strike the same call, the first of the list does.

    Parameters
    ----------
    kind : str
        Errors: ``rate_limit`` (429), ``insufficient_quota`` (429 about money), ``server_error``
        (500), ``overloaded`` (503, Anthropic 529), ``timeout_408``, ``conflict`` (409),
        ``payment_required`` (402), ``forbidden`` (403), ``bad_request`` (400),
        ``context_length`` (400), ``too_large`` (429 about one request's tokens), ``moderation``
        (403 about one text), ``error`` (``status`` and ``body`` as given, also of a 200),
        ``error_200`` (an error's body in a 200).
        Connections: ``reset`` (lost before the answer), ``reset_after`` (the answer is computed,
        counted and paid, then the connection is lost), ``hang`` (held until ``release()``).
        Replies: ``garbage`` (content that is not JSON: ``message``, where given), ``html`` (a
        page), ``missing``, ``doubled`` and ``invented`` ids, ``wrong_type`` (an object where a
        value belongs), ``truncated``, ``refusal``, ``content_filter``, ``rewrite`` (whatever
        ``rewrite`` makes of the body, or of the line in a batch's results).
        Each request in a batch is struck like a call, but not by those of connections, ``html``
        and ``error_200``; it has a number of its own, from 1 over all batches.
    rate : float, optional
        Share of the calls, drawn with the provider's seed from the call's number.
    calls : collection of int, optional
        Numbers of the calls, from 1.
    text : str or callable, optional
        Calls which hold such a row: a substring, or a predicate of the text. Of a reply, that
        row is spoilt.
    times : int, optional
        The most often that it strikes.
    retry_after : float or str, optional
        The header of an error, in seconds or as an HTTP date. A ``rate_limit`` says 1 by
        default; "" leaves it out.
    retry_after_ms : float, optional
        OpenAI's finer header.
    seconds : float, optional
        How long a ``hang`` holds, whoever releases it.
    message, code, param : str, optional
        In place of the error's own.
    status : int, default 500
        Of an ``error``.
    body : object, optional
        Of an ``error``: any JSON, or text that is none.
    rewrite : callable, optional
        Of a ``rewrite``: the right body in bytes, to the bytes that are sent instead.
    path : str, optional
        Strikes requests to the batch endpoints whose "METHOD /path", or "/path", begins like
        this, and no calls: ``"POST /v1/batches"``, ``"/v1/files"``. ``calls`` then counts those.

    Examples
    --------
    >>> Fault("rate_limit", rate=0.05, retry_after=2).kind
    'rate_limit'
    >>> Fault("typo")
    Traceback (most recent call last):
    ...
    ValueError: There is no fault 'typo': it is one of bad_request, conflict, ...
    """

    kind: str
    rate: float | None = None
    calls: Collection[int] | None = None
    text: str | Callable[[str], bool] | None = None
    times: int | None = None
    retry_after: float | str | None = None
    retry_after_ms: float | None = None
    seconds: float | None = None
    message: str | None = None
    code: str | None = None
    param: str | None = None
    status: int = 500
    body: object = None
    rewrite: Callable[[bytes], bytes] | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"There is no fault {self.kind!r}: it is one of {', '.join(sorted(KINDS))}."
            )
        if (self.rewrite is None) is (self.kind == "rewrite"):
            raise ValueError('Fault("rewrite") needs rewrite=, and no other kind takes it.')
        if self.path is not None:
            self._check_path(self.path)

    def rewritten(self, data: bytes) -> bytes:
        """Return a body as this fault leaves it."""
        return data if self.rewrite is None else self.rewrite(data)

    def _check_path(self, path: str) -> None:
        asked = path[path.find("/") :]
        if not any(known.startswith(asked) or asked.startswith(known) for known in _BATCH_PATHS):
            raise ValueError(
                f"path={path!r} is no batch endpoint: it begins like 'POST /v1/batches', "
                "'/v1/files' or 'GET /v1/messages/batches'."
            )
        if self.kind not in _HTTP_KINDS or self.text is not None:
            raise ValueError(
                f"Fault({self.kind!r}, path={path!r}): a fault of an endpoint has no text=, and "
                f"is one of {', '.join(sorted(_HTTP_KINDS))}."
            )

    def is_about(self, line: str) -> bool:
        """Whether the fault is about a request such as ``POST /v1/batches``."""
        if self.path is None:
            return False
        return line.startswith(self.path) or line.partition(" ")[2].startswith(self.path)

    def matches(self, text: str) -> bool:
        """Whether the fault is about a row with this text."""
        if isinstance(self.text, str):
            return self.text in text
        return self.text is not None and bool(self.text(text))

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an error of this fault has besides the usual ones."""
        found = {}
        after = self.retry_after
        if after is None and self.kind == "rate_limit":
            after = 1
        if after not in (None, ""):
            found["retry-after"] = f"{after:g}" if isinstance(after, (int, float)) else str(after)
        if self.retry_after_ms is not None:
            found["retry-after-ms"] = f"{self.retry_after_ms:g}"
        return found


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that strikes a call."""

    fault: Fault
    ids: list[str]
    """The ids of the rows that it is about; empty: any row."""
    random: random.Random


class FaultPlan:
    """Chooses the fault of a call: the same for the same seed, number and rows."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self.faults = tuple(faults)
        self._seed = seed
        self._left = [fault.times for fault in self.faults]
        self._seen = [0] * len(self.faults)
        self._lock = threading.Lock()

    def choose(
        self, number: int, rows: Sequence[tuple[str, str]], *, batched: bool = False
    ) -> Struck | None:
        """Return the fault that strikes call ``number`` over these rows, if any does.

        A request in a batch is drawn for by itself, whatever call has the same number.
        """
        if not self.faults:
            return None
        drawn = random.Random(
            hash((self._seed, number, batched) if batched else (self._seed, number))
        )
        for position, fault in enumerate(self.faults):
            if fault.path is not None or (batched and fault.kind in _LIVE_KINDS):
                continue
            # Drawn before any other condition, so that one fault does not move the others' luck.
            lucky = fault.rate is not None and drawn.random() >= fault.rate
            if lucky or (fault.calls is not None and number not in fault.calls):
                continue
            ids = [name for name, text in rows if fault.matches(text)]
            if fault.text is not None and not ids:
                continue
            if self._take(position):
                return Struck(fault, ids, drawn)
        return None

    def choose_path(self, line: str) -> Fault | None:
        """Return the fault that strikes a request to a batch endpoint, if any does."""
        found = None
        for position, fault in enumerate(self.faults):
            if not fault.is_about(line):
                continue
            number = self._count(position)
            drawn = random.Random(hash((self._seed, position, number)))
            lucky = fault.rate is not None and drawn.random() >= fault.rate
            if found or lucky or (fault.calls is not None and number not in fault.calls):
                continue
            if self._take(position):
                found = fault
        return found

    def _count(self, position: int) -> int:
        """Count a request that a fault of an endpoint is about, whether or not it strikes."""
        with self._lock:
            self._seen[position] += 1
            return self._seen[position]

    def _take(self, position: int) -> bool:
        with self._lock:
            left = self._left[position]
            if left is None:
                return True
            self._left[position] = left - 1
            return left > 0
