"""One HTTP request for one chunk, adapted to what the endpoint takes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pandas_genai.backends.base import Backend
from pandas_genai.backends.classify import (
    Problem,
    classify,
    window_in,
)
from pandas_genai.backends.completion import Completion, invalid, no_api
from pandas_genai.backends.endpoints import Capabilities, Endpoint, Endpoints
from pandas_genai.backends.http import Answer, Client, Transport
from pandas_genai.backends.json_text import read_object
from pandas_genai.backends.rate_headers import SeenLimit
from pandas_genai.backends.registry import backend_named
from pandas_genai.errors import CallError, SplitError, StopRunError, printable
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.fingerprint import canonical_json
from pandas_genai.task.inputs import NO_INPUT
from pandas_genai.task.reply import Reply, check_reply
from pandas_genai.task.task import BoundTask

__all__ = [
    "Caller",
    "TokenLimits",
    "capabilities_kind",
    "capabilities_of",
    "params_sent",
    "request_body",
    "system_sent",
]

_log = logging.getLogger("pandas_genai")

_MOST_ADAPTATIONS = 10
_ADAPTABLE = frozenset({400, 422})
_GAVE_UP = frozenset({502, 504})
"""Statuses of a gateway behind which the call may have been answered, and billed."""

_ABOUT_LIMIT = re.compile(
    r"max_tokens|max_completion_tokens|maximum context|context length|completion tokens",
    re.IGNORECASE,
)
_TOO_HIGH = re.compile(
    r"too (large|high|many)|at most|less than|maximum|exceed|reduce", re.IGNORECASE
)
_LOWEST_LIMIT = 256
"""A lower token limit than this is never the reason of a refusal."""


class TokenLimits(Protocol):
    """How long the answers of a run may be, so that it stays in its budget."""

    def limit(self, chunk: Chunk, body: Mapping[str, Any]) -> int | None:
        """Return the token limit to send with a request, 0 if it may not be sent, None for none."""

    def too_high(self, chunk: Chunk) -> None:
        """Note that the endpoint refused a limit: the next one for the chunk is lower."""


def request_body(task: BoundTask, chunk: Chunk, endpoint: Endpoint, endpoints: Endpoints) -> Any:
    """Build the body that a call for this chunk would send now."""
    capabilities = capabilities_of(task, endpoint, endpoints)
    return backend_named(task.backend).build(task, chunk, capabilities, vendor=endpoint.is_vendor)


def capabilities_of(task: BoundTask, endpoint: Endpoint, endpoints: Endpoints) -> Capabilities:
    """Return what the endpoint is known, or at first believed, to take."""
    start = backend_named(task.backend).first_capabilities(task)
    return endpoints.capabilities(endpoint.base_url, task.model, capabilities_kind(task), start)


def system_sent(task: BoundTask, capabilities: Capabilities, *, vendor: bool) -> str:
    """Return the instructions as an endpoint that takes so much is sent them."""
    blank = Chunk((Row("", "", NO_INPUT, 0),))
    backend = backend_named(task.backend)
    return backend.prompt_of(backend.build(task, blank, capabilities, vendor=vendor)).system


def params_sent(backend: Backend, body: Mapping[str, Any], capabilities: Capabilities) -> str:
    """Return a request without its texts and its schema, as canonical JSON.

    ``structured`` says how the schema was enforced.
    """
    return canonical_json(backend.params_of(body) | {"structured": capabilities.output_mode})


def capabilities_kind(task: BoundTask) -> str:
    """Return under which name what an endpoint takes is remembered."""
    return task.structured or ("free" if task.schema.free else "schema")


class Caller:
    """Asks an endpoint for the answers of one chunk: one request, without waiting.

    Parameters
    ----------
    client : Client
        As the backend opens it; shared by all threads, its own retries off.
    task : BoundTask
        What is asked.
    endpoint : Endpoint
        Where.
    endpoints : Endpoints
        What is known of endpoints; what this call learns goes there.
    limits : TokenLimits, optional
        How long answers may be, where the task leaves that open.
    keep_replies : bool, default False
        Whether the body of each reply goes along, secrets taken out.
    on_limits : callable, optional
        Called with the chunk and the rate limits that the headers of its answer state.

    Notes
    -----
    The request goes through the client's ``post`` with a plain dict: the SDK's ``create``
    spends more time on transforming the request than on sending it.
    """

    def __init__(
        self,
        client: Client,
        task: BoundTask,
        endpoint: Endpoint,
        endpoints: Endpoints,
        limits: TokenLimits | None = None,
        *,
        keep_replies: bool = False,
        on_limits: Callable[[Chunk, Sequence[SeenLimit]], object] | None = None,
    ) -> None:
        self._keep_replies = keep_replies
        self._on_limits = on_limits
        self._transport = Transport(client, endpoint)
        self._task = task
        self._endpoint = endpoint
        self._endpoints = endpoints
        self._limits = limits
        self._params: dict[tuple[Capabilities, tuple[object, ...]], str] = {}
        self._backend = backend_named(task.backend)
        self._where = printable(f"{endpoint.host} ({task.model})")

    def __call__(self, chunk: Chunk) -> Reply:
        """Send the chunk and check what comes back.

        Raises
        ------
        CallError
            Classed: wait, split, fail the row, or stop the run.
        """
        body, capabilities, response = self._send(chunk)
        answer = self._answer(response)
        usage, model = answer.usage, answer.model or str(body["model"])
        request_id = self._backend.request_id(response.headers) or answer.id
        content = response.content if self._keep_replies else None
        if answer.fault is not None:
            answer.fault.content = content
            answer.fault.request_id = request_id
            answer.fault.usage, answer.fault.model = usage, model
            raise answer.fault
        accepted, refused = check_reply(answer.payload, chunk, self._task.schema, self._task.checks)
        if accepted:
            self._endpoints.note_answer(self._endpoint, self._task.model)
        sent = self._params_sent(body, capabilities)
        return Reply(accepted, refused, usage, model, request_id, sent, content)

    def _send(self, chunk: Chunk) -> tuple[dict[str, Any], Capabilities, Answer]:
        """Post the chunk, stepping down wherever the endpoint refuses how it was asked."""
        known = capabilities = capabilities_of(self._task, self._endpoint, self._endpoints)
        for _ in range(_MOST_ADAPTATIONS):
            body, limit = self._bounded(chunk, capabilities)
            if limit == 0:
                self._learn(capabilities, known)
                raise SplitError(
                    "The endpoint needs another form of the request, for which max_cost= has no "
                    "money left.",
                    reason="max_cost",
                )
            try:
                response = self._post(chunk, body)
            except _RefusedError as refused:
                if limit and self._about_limit(refused.problem, limit):
                    self._too_high(chunk, limit)
                    continue
                lower = self._adapted(capabilities, body, refused.problem)
                if lower is None:
                    raise self._classed(refused.problem) from None
                capabilities = lower
                continue
            self._learn(capabilities, known)
            return body, capabilities, response
        raise StopRunError(
            f"{self._where} refuses every form of the request.", reason="bad request"
        )

    def _params_sent(self, body: Mapping[str, Any], capabilities: Capabilities) -> str:
        limits = tuple(body.get(name) for name in self._backend.limit_names)
        key = (capabilities, limits)
        if key not in self._params:  # the same for nearly all calls of a run
            self._params[key] = params_sent(self._backend, body, capabilities)
        return self._params[key]

    def _bounded(
        self, chunk: Chunk, capabilities: Capabilities
    ) -> tuple[dict[str, Any], int | None]:
        """Build a request, with the token limit that the run's budget wants, if it does."""
        vendor = self._endpoint.is_vendor
        body = self._backend.build(self._task, chunk, capabilities, vendor=vendor)
        limit = None if self._limits is None else self._limits.limit(chunk, body)
        if limit:
            body = self._backend.bounded(body, limit, capabilities, vendor=vendor)
        return body, limit

    def _about_limit(self, problem: Problem, limit: int) -> bool:
        """Whether a request was refused because its token limit is too high for the model."""
        if problem.status not in _ADAPTABLE or limit <= _LOWEST_LIMIT:
            return False
        if problem.code == "unsupported_parameter":
            return False
        named = (problem.param or "") in self._backend.limit_names
        about = named or _ABOUT_LIMIT.search(problem.message)
        return bool(about) and _TOO_HIGH.search(problem.message) is not None

    def _too_high(self, chunk: Chunk, limit: int) -> None:
        _log.info(
            "%s does not take a limit of %d tokens: a lower one is tried.", self._where, limit
        )
        if self._limits is not None:
            self._limits.too_high(chunk)

    def _learn(self, capabilities: Capabilities, known: Capabilities) -> None:
        if capabilities != known:
            self._endpoints.learn(
                self._endpoint.base_url,
                self._task.model,
                capabilities_kind(self._task),
                capabilities,
            )

    def _classed(self, problem: Problem) -> CallError:
        window = window_in(problem)
        if window is not None:
            self._endpoints.learn_window(self._endpoint.base_url, self._task.model, window)
        error = classify(problem, where=self._where)
        error.maybe_billed = problem.status in _GAVE_UP
        return error

    def _adapted(
        self, capabilities: Capabilities, body: Mapping[str, Any], problem: Problem
    ) -> Capabilities | None:
        if problem.status not in _ADAPTABLE:
            return None
        lower = self._backend.next_capabilities(capabilities, body, problem.message, problem.param)
        if lower is None or lower == capabilities:
            return None
        dropped = lower.dropped - capabilities.dropped
        chosen = dropped & self._task.sent_params.keys()
        if chosen:  # the run's end warns of it, in the cell that asked
            _log.info("%s does not take %s: left out.", self._where, ", ".join(sorted(chosen)))
        else:
            _log.info("%s: %s, so %s is tried.", self._where, printable(problem.message), lower)
        return lower

    def _post(self, chunk: Chunk, body: dict[str, Any]) -> Answer:
        headers = self._backend.headers_for(body)
        answer = self._transport.post(self._backend.path, body, headers=headers)
        if not answer.ok:
            raise _RefusedError(
                self._backend.problem_of(answer.status, answer.parsed, answer.headers)
            )
        if self._on_limits is not None:
            limits = self._backend.rate_limits(answer.headers)
            if limits:
                self._on_limits(chunk, limits)
        return answer

    def _answer(self, response: Answer) -> Completion:
        """Read the body of a 200; some servers put errors and pages there."""
        try:
            body = read_object(response.content)
        except ValueError as error:
            unread = self._unreadable(response.content, error)
            unread.maybe_billed = True
            raise unread from None
        answer = self._backend.read_completion(body)
        problem = self._backend.problem_in_answer(body, response.headers)
        if problem is not None:
            fault = classify(problem, where=self._where)
            if answer.usage.known:
                fault.usage, fault.model = answer.usage, self._task.model
            raise fault
        return answer

    def _unreadable(self, content: bytes, error: ValueError) -> CallError:
        """Say what to do about a body that cannot be read: a page, or an answer that is broken.

        A page comes from a wrong address or a proxy, whatever is asked; anything else may be
        about this chunk alone.
        """
        if content.lstrip().startswith(b"<"):
            return no_api(self._endpoint.shown, ": is base_url right?")
        return invalid(f"{self._where} sent an answer that cannot be read: {error}")


class _RefusedError(Exception):
    """An answer with a status of 400 or more."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem
