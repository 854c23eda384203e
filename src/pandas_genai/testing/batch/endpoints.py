"""The course of a request to a batch endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pandas_genai.testing.asked import Problem, json_of
from pandas_genai.testing.batch.engine import BatchEngine
from pandas_genai.testing.batch.faults import BatchFault, BatchFaultPlan
from pandas_genai.testing.batch.ledger import BatchLedger
from pandas_genai.testing.batch.message_batches import MessageBatches
from pandas_genai.testing.batch.openai_batches import OpenAIBatches
from pandas_genai.testing.batch.openai_files import OpenAIFiles
from pandas_genai.testing.batch.received import Received
from pandas_genai.testing.batch.records import BatchRecord, FileRecord
from pandas_genai.testing.faults import ERROR_KINDS, Fault
from pandas_genai.testing.ledger import Entry, Ledger
from pandas_genai.testing.script import Script
from pandas_genai.testing.server import HTML, Request, Response
from pandas_genai.testing.wire import Wire, authorize

__all__ = ["BatchService", "RequestHook"]

RequestHook = Callable[[str, str], object]
_JSON, _LINES, _BYTES = "application/json", "application/x-jsonl", "application/octet-stream"
_PLACES = re.compile(r"/v1/(files|batches|messages/batches)(?:/([^/]+))?(?:/([^/]+))?")


class BatchService:
    """Answers requests to the batch endpoints of both vendors.

    Parameters
    ----------
    script : Script
        How to behave.
    ledger : Ledger
        Where every request is entered.
    engine : BatchEngine
        Keeps files and batches.
    chat, messages : Wire
        OpenAI's and Anthropic's format.
    bare : bool
        Whether OpenAI's server leaves out what it may.
    on_request : callable, optional
        Called with ``arrived`` or ``handled``, and with the request's method and path.
    """

    def __init__(
        self,
        script: Script,
        ledger: Ledger,
        engine: BatchEngine,
        chat: Wire,
        messages: Wire,
        *,
        bare: bool,
        on_request: RequestHook | None,
    ) -> None:
        self._script = script
        self._ledger = ledger
        self.engine = engine
        self._chat = chat
        self._messages = messages
        self._on_request = on_request
        self._batch_ledger = BatchLedger(engine)
        files, ours = OpenAIFiles(engine), OpenAIBatches(engine, bare=bare)
        theirs = MessageBatches(engine)
        self._routes: dict[str, tuple[Callable[..., Any], str]] = {
            "POST files": (files.create, _JSON),
            "GET files": (files.list, _JSON),
            "GET files id": (files.retrieve, _JSON),
            "DELETE files id": (files.delete, _JSON),
            "GET files id content": (files.content, _BYTES),
            "POST batches": (ours.create, _JSON),
            "GET batches": (ours.list, _JSON),
            "GET batches id": (ours.retrieve, _JSON),
            "POST batches id cancel": (ours.cancel, _JSON),
            "POST messages/batches": (theirs.create, _JSON),
            "GET messages/batches": (theirs.list, _JSON),
            "GET messages/batches id": (theirs.retrieve, _JSON),
            "DELETE messages/batches id": (theirs.delete, _JSON),
            "POST messages/batches id cancel": (theirs.cancel, _JSON),
            "GET messages/batches id results": (theirs.results, _LINES),
        }

    @property
    def port(self) -> int:
        """Where the last provider of the same folder listened, 0 if there was none."""
        return self.engine.storage.state.port

    @port.setter
    def port(self, port: int) -> None:
        with self.engine.lock:
            self.engine.storage.state.port = port
            self.engine.storage.save_state()

    @property
    def faults(self) -> tuple[BatchFault, ...]:
        """What goes wrong with batches that are created from now on."""
        return self.engine.plan.faults

    @faults.setter
    def faults(self, faults: tuple[BatchFault, ...]) -> None:
        self.engine.plan = BatchFaultPlan(faults)

    @staticmethod
    def answers(path: str) -> bool:
        """Whether a path is one of the batch endpoints'."""
        return _PLACES.fullmatch(path.partition("?")[0]) is not None

    @property
    def batches(self) -> list[BatchRecord]:
        """All batches as they are now, in order of creation."""
        with self.engine.lock:
            self.engine.settle()
            return self._batch_ledger.batches()

    @property
    def files(self) -> list[FileRecord]:
        """All files as they are now, in order of creation."""
        with self.engine.lock:
            self.engine.settle()
            return list(self.engine.storage.files.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the ledger as plain JSON, for ``GET /ledger``."""
        return {
            "batches": [asdict(batch) for batch in self.batches],
            "files": [asdict(file) for file in self.files],
        }

    def advance(self, seconds: float) -> None:
        """Move the batches' time forward."""
        with self.engine.lock:
            self.engine.advance(seconds)

    def __call__(self, request: Request) -> Response:
        """Answer one request, and whatever goes wrong with it."""
        path = request.path.partition("?")[0]
        wire = self._messages if path.startswith("/v1/messages/") else self._chat
        received = Received(request, _json_of(request))
        entry = self._ledger.arrive(request.method, request.path, request.headers, received.json)
        try:
            return self._course(wire, received, entry, f"{request.method} {path}")
        except Problem as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - whatever the test's own hook raises
            self._script.failures.append(error)
            problem = Problem(500, str(error), "api_error")
        status, body = wire.error(problem, 0)
        self._ledger.settle(entry, status)
        headers = wire.headers(0, None) | problem.headers
        return Response(status, json.dumps(body).encode(), headers)

    def _course(self, wire: Wire, received: Received, entry: Entry, line: str) -> Response:
        self._tell("arrived", line)
        authorize(wire, self._script.keys, received.request.headers)
        fault = self._script.plan.choose_path(line)
        kind = fault.kind if fault else ""
        if fault and kind == "hang":
            self._script.hold(fault.seconds)
        if self._script.stopping.is_set() or kind == "reset":
            self._ledger.settle(entry, 0)
            return Response(0, cut="before")
        if fault and kind in ERROR_KINDS:
            raise wire.fault(fault)
        if kind == "html":
            return self._send(wire, entry, HTML, content_type="text/html")
        if kind == "error_200":
            _, body = wire.error(wire.fault(Fault("server_error")), 0)
            return self._send(wire, entry, json.dumps(body).encode())
        try:
            data, content_type = self._handled(wire, received, line)
        finally:
            self._tell("handled", line)
        data = fault.rewritten(data) if fault else data
        cut = "half" if kind == "reset_after" else ""
        held = kind == "hang"
        return self._send(wire, entry, data, content_type=content_type, cut=cut, held=held)

    def _tell(self, moment: str, line: str) -> None:
        if self._on_request is not None:
            self._on_request(moment, line)

    def _handled(self, wire: Wire, received: Received, line: str) -> tuple[bytes, str]:
        """Let the request take its effects; return what is answered."""
        method, _, path = line.partition(" ")
        place = _PLACES.fullmatch(path)
        assert place is not None
        collection, name, action = place.groups()
        words = [method, collection, *(["id"] if name else []), *([action] if action else [])]
        route = self._routes.get(" ".join(words))
        if route is None:
            kind = "not_found_error" if wire is self._messages else "invalid_request_error"
            raise Problem(404, f"Invalid URL ({method} {path})", kind)
        handler, content_type = route
        with self.engine.lock:
            self.engine.settle()
            data = handler(received, name) if name else handler(received)
        return data if isinstance(data, bytes) else json.dumps(data).encode(), content_type

    def _send(self, wire: Wire, entry: Entry, data: bytes, **options: Any) -> Response:
        self._ledger.settle(entry, 0 if options.get("cut") else 200)
        return Response(
            200,
            data,
            wire.headers(0, None),
            on_lost=lambda: self._ledger.take_back(entry),
            **options,
        )


def _json_of(request: Request) -> Any:
    """Read the body, if it says that it is JSON."""
    if "json" not in request.headers.get("content-type", ""):
        return None
    return json_of(request.raw)
