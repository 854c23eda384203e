"""The course of one request: from its route to its answer, entered in the ledger on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pandas_genai.testing.asked import Asked, Problem, json_of, reading
from pandas_genai.testing.batch.endpoints import BatchService
from pandas_genai.testing.faults import ERROR_KINDS, Fault
from pandas_genai.testing.ledger import Entry, Ledger
from pandas_genai.testing.limits import Limits, Verdict
from pandas_genai.testing.model import Model
from pandas_genai.testing.script import Script
from pandas_genai.testing.server import HTML, Request, Response
from pandas_genai.testing.wire import Wire, authorize

__all__ = ["Service"]


@dataclass(slots=True)
class _Course:
    """One call on its way."""

    wire: Wire
    entry: Entry
    verdict: Verdict | None = None
    held: bool = False

    @property
    def number(self) -> int:
        return self.entry.record.number


class Service:
    """Answers requests as the script says.

    Parameters
    ----------
    script : Script
        How to behave.
    ledger : Ledger
        Where everything is entered.
    limits : Limits
        Of requests and tokens a minute.
    chat, messages : Wire
        OpenAI's and Anthropic's format.
    model : Model
        Who answers.
    batches : BatchService
        Answers at the batch endpoints.
    """

    def __init__(
        self,
        script: Script,
        ledger: Ledger,
        limits: Limits,
        chat: Wire,
        messages: Wire,
        model: Model,
        batches: BatchService,
    ) -> None:
        self._script = script
        self._ledger = ledger
        self._limits = limits
        self._chat = chat
        self._messages = messages
        self._model = model
        self._batches = batches
        self._routes: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("POST", "/v1/chat/completions"): lambda request: self._call(self._chat, request),
            ("POST", "/v1/messages"): lambda request: self._call(self._messages, request),
            ("GET", "/v1/models"): self._models,
            ("GET", "/ledger"): self._recorded,
            ("POST", "/advance"): self._advance,
        }

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path.partition("?")[0]
        handler = self._routes.get((request.method, path))
        if handler is None and request.method == "GET" and path.startswith("/v1/models/"):
            handler = self._models
        if handler is None and self._batches.answers(path):
            handler = self._batches
        return (handler or self._nowhere)(request)

    def _recorded(self, request: Request) -> Response:  # noqa: ARG002 - a route takes a request
        recorded = self._ledger.as_dict() | self._batches.as_dict()
        return Response(200, json.dumps(recorded).encode())

    def _advance(self, request: Request) -> Response:
        try:
            with reading("seconds"):
                self._batches.advance(float(json.loads(request.raw)["seconds"]))
        except Problem as problem:
            return Response(problem.status, json.dumps({"error": problem.message}).encode())
        return Response(200, b"{}")

    def _wire_of(self, request: Request) -> Wire:
        return self._messages if "anthropic-version" in request.headers else self._chat

    def _nowhere(self, request: Request) -> Response:
        wire = self._wire_of(request)
        entry = self._ledger.arrive(request.method, request.path, request.headers, None)
        kind = "not_found_error" if wire is self._messages else "invalid_request_error"
        message = f"Invalid URL ({request.method} {request.path})"
        return self._error(wire, entry, Problem(404, message, kind))

    def _models(self, request: Request) -> Response:
        wire, known = self._wire_of(request), self._script.models
        entry = self._ledger.arrive(request.method, request.path, request.headers, None)
        name = request.path.partition("?")[0].removeprefix("/v1/models").strip("/")
        try:
            authorize(wire, self._script.keys, request.headers)
            if name and known is not None and name not in known:
                raise wire.unknown_model(name)
        except Problem as problem:
            return self._error(wire, entry, problem)
        names = sorted(known) if known is not None else list(wire.default_models)
        body = wire.model(name) if name else wire.models(names)
        self._ledger.settle(entry, 200)
        return Response(200, json.dumps(body).encode(), wire.headers(0, None))

    def _call(self, wire: Wire, request: Request) -> Response:
        """Answer a call, and whatever goes wrong with it."""
        asked, problem = self._read(wire, request)
        entry = self._ledger.arrive(
            request.method, request.path, request.headers, asked.body, asked.rows
        )
        course = _Course(wire, entry)
        try:
            if self._script.on_call is not None:
                self._script.on_call(course.number)
            if problem is None:
                return self._answered(course, asked)
        except Problem as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - whatever the test's own rule or hook raises
            self._script.failures.append(error)
            problem = Problem(500, str(error), "api_error")
        return self._error(wire, entry, problem, course.verdict)

    def _read(self, wire: Wire, request: Request) -> tuple[Asked, Problem | None]:
        """Read as much as can be read; what is refused was a call all the same."""
        asked = Asked(model="", system="", user="", rows=[])
        try:
            asked.body = _json_object(request.raw)
            authorize(wire, self._script.keys, request.headers)
            asked = self._model.read(wire, asked.body, request.headers)
        except Problem as problem:
            return asked, problem
        return asked, None

    def _answered(self, course: _Course, asked: Asked) -> Response:
        script, wire = self._script, course.wire
        course.verdict = verdict = self._limits.take(asked.prompt_tokens)
        if verdict.over:
            raise wire.over_limit(verdict, math.ceil(verdict.wait))
        struck = script.plan.choose(course.number, asked.rows)
        kind = struck.fault.kind if struck else ""
        course.held = script.pause(course.number)
        if struck and kind == "hang":
            script.hold(struck.fault.seconds)
            course.held = True
        if script.hold_from is not None and course.number >= script.hold_from:
            script.hold()
            course.held = True
        if script.stopping.is_set() or kind == "reset":
            self._ledger.settle(course.entry, 0)
            return Response(0, cut="before")
        if struck and kind in ERROR_KINDS:
            raise wire.fault(struck.fault)
        if struck and kind == "error_200":
            _, body = wire.error(wire.fault(Fault("server_error")), course.number)
            return self._send(course, 200, json.dumps(body).encode())
        if kind == "html":
            return self._send(course, 200, HTML, content_type="text/html")
        reply = self._model.reply(wire, asked, struck, course.number)
        course.entry.tokens = (reply.usage.prompt, reply.usage.completion)
        course.entry.answered = reply.answered
        cut = "half" if kind == "reset_after" else ""
        body = json.dumps(reply.body).encode()
        return self._send(course, 200, struck.fault.rewritten(body) if struck else body, cut=cut)

    def _send(self, course: _Course, status: int, body: bytes, **options: Any) -> Response:
        """Enter the answer and make it; the ledger is right before it can be read."""
        self._ledger.settle(course.entry, 0 if options.get("cut") else status)
        return Response(
            status,
            body,
            course.wire.headers(course.number, course.verdict),
            held=course.held,
            on_lost=lambda: self._ledger.take_back(course.entry),
            **options,
        )

    def _error(
        self, wire: Wire, entry: Entry, problem: Problem, verdict: Verdict | None = None
    ) -> Response:
        status, body = wire.error(problem, entry.record.number)
        self._ledger.settle(entry, status)
        headers = wire.headers(entry.record.number, verdict) | problem.headers
        data = body if isinstance(body, str) else json.dumps(body)
        return Response(status, data.encode(), headers)


def _json_object(raw: bytes) -> dict[str, Any]:
    body = json_of(raw)
    if not isinstance(body, dict):
        raise Problem(400, "We could not parse the JSON body of your request.")
    return body
