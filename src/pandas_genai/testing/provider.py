"""The loopback provider itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pandas_genai.testing.answers import Rule
from pandas_genai.testing.batch import BatchFault, BatchOptions, RequestHook, batch_service
from pandas_genai.testing.batch.inputs import BatchLimits
from pandas_genai.testing.chat import ChatWire
from pandas_genai.testing.controls import Controls
from pandas_genai.testing.dialects import dialect_of
from pandas_genai.testing.faults import Fault, FaultPlan
from pandas_genai.testing.ledger import Ledger
from pandas_genai.testing.limits import LimitKind, Limits
from pandas_genai.testing.messages import MessagesWire
from pandas_genai.testing.model import Model
from pandas_genai.testing.process import LoopbackProcess
from pandas_genai.testing.script import Latency, Script
from pandas_genai.testing.server import HttpServer, Request, Response
from pandas_genai.testing.service import Service
from pandas_genai.testing.upstream import Upstream

__all__ = ["LoopbackProvider"]


class LoopbackProvider(Controls):
    """A provider on this machine's loopback that speaks OpenAI's and Anthropic's wire formats.

    A context manager. Answers come from a rule that knows nothing but a row's text, so that an
    answer on the wrong row shows.

    Parameters
    ----------
    rule : callable, optional
        Text in; out come the fields of the answer (a mapping), a list of records, or None to
        leave the row out of the reply. May raise ``Refuse``. Anything else that it raises is
        answered with a 500 and raised again when the provider is left.
    faults : sequence of Fault, default ()
        What goes wrong, and when; the first that fits a call strikes it.
    latency : float or callable, default 0.0
        Seconds that a call takes, or ``(call number, random) -> seconds``; with the latter,
        answers come back in another order.
    seed : int, default 0
        Of everything that is drawn. The same call number draws the same.
    keys : collection of str, optional
        The accepted API keys; None accepts any that is not empty.
    models : collection of str, optional
        The known models; None knows all.
    answers_as : mapping, optional
        From the model asked to the model that answers, such as a dated name.
    clock : callable
        Seconds, for the limits a minute.
    dialect : str, default "openai"
        Whose version of the wire: ``openai``, ``ollama``, ``no_strict``, ``no_json_schema``,
        ``no_response_format``, ``gemini``, ``openrouter``, ``bare``.
    fenced : bool, default False
        Whether replies that no schema forces are wrapped in prose and a code fence.
    requests_per_minute, tokens_per_minute : int, optional
        Limits; over them a call is answered with a 429 and a true ``retry-after``.
    limit_kind : {"bucket", "fixed", "sliding"}, default "bucket"
        How they are kept: a bucket that fills all the time, as both vendors describe theirs, a
        window that starts anew every minute, or the last minute.
    upstream : str, optional
        Base URL of an OpenAI-compatible server that answers in the place of a rule.
    upstream_key : str, default ""
        Its key.
    on_call : callable, optional
        Called with each call's number, in the call's own thread, before it is answered.
    keep_requests : int, default 10_000
        How many requests the ledger keeps whole.
    port : int, default 0
        0 takes a free one, or with a ``folder`` the one that its last provider had.
    batch_seconds : float, default 0.0
        How long a batch takes, the first tenth for validating, the last for finalizing; with 0
        it has ended at the first look. What takes more than a day expires after one.
    batch_faults : sequence of BatchFault, default ()
        What goes wrong with whole batches; ``faults`` strike their requests, too.
    batch_requests, batch_bytes : int, optional
        How large a batch may be; None: as large as at the vendor.
    enqueued_tokens : int, optional
        How many tokens may wait for one of OpenAI's models in all its batches; None: any.
    wall_clock : callable
        Seconds of the epoch, for batches; ``advance`` moves them forward.
    on_request : callable, optional
        Called with ``"arrived"`` and ``"handled"`` and with ``"POST /v1/batches"``, say, for each
        request to a batch endpoint, in its own thread, before its effects and after them.
    on_response : callable, optional
        Called with each ``Request`` and its ``Response``, of ``pandas_genai.testing.server``; what
        it returns is sent. For answers that no provider in its right mind gives.
    folder : str or Path, optional
        Where files and batches are kept for a later provider that is given the same one.

    Attributes
    ----------
    ledger : Ledger
        What was asked, answered and paid; readable after the provider was left, too.
    port : int
        Where it listens.

    Examples
    --------
    >>> import json, urllib.request
    >>> with LoopbackProvider(lambda text: {"length": len(text)}) as provider:
    ...     row = json.dumps([{"input_id": "a", "input_text": "four"}])
    ...     body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": row}]}
    ...     request = urllib.request.Request(
    ...         f"{provider.openai_url}/chat/completions", json.dumps(body).encode(),
    ...         {"authorization": "Bearer any"})
    ...     with urllib.request.urlopen(request) as response:
    ...         answer = json.load(response)
    >>> answer["choices"][0]["message"]["content"]
    '{"all_results": [{"input_id": "a", "length": 4}]}'
    >>> provider.ledger.answered
    Counter({'four': 1})
    """

    def __init__(
        self,
        rule: Rule | None = None,
        *,
        faults: Sequence[Fault] = (),
        latency: Latency = 0.0,
        seed: int = 0,
        keys: Collection[str] | None = None,
        models: Collection[str] | None = None,
        answers_as: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        dialect: str = "openai",
        fenced: bool = False,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        limit_kind: LimitKind = "bucket",
        upstream: str | None = None,
        upstream_key: str = "",
        on_call: Callable[[int], object] | None = None,
        keep_requests: int = 10_000,
        port: int = 0,
        batch_seconds: float = 0.0,
        batch_faults: Sequence[BatchFault] = (),
        batch_requests: int | None = None,
        batch_bytes: int | None = None,
        enqueued_tokens: int | None = None,
        wall_clock: Callable[[], float] = time.time,
        on_request: RequestHook | None = None,
        on_response: Callable[[Request, Response], Response] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        plan = FaultPlan(faults, seed)
        names = answers_as or {}
        script = Script(rule, plan, latency, seed, keys, models, names, fenced, on_call)
        ledger, spoken = Ledger(keep_requests), dialect_of(dialect)
        chat, messages = ChatWire(spoken), MessagesWire(spoken)
        model = Model(script, Upstream(upstream, upstream_key) if upstream else None)
        sizes = BatchLimits(batch_requests, batch_bytes, enqueued_tokens)
        place = None if folder is None else Path(folder)
        options = BatchOptions(batch_seconds, sizes, wall_clock, on_request, place, spoken.bare)
        batches = batch_service(script, ledger, model, chat, messages, options)
        super().__init__(script, ledger, batches)
        self.batch_faults = tuple(batch_faults)
        self.port = port or batches.port
        limits = Limits(requests_per_minute, tokens_per_minute, clock, limit_kind)
        self._service = Service(script, ledger, limits, chat, messages, model, batches)
        self._on_response = on_response
        self._server: HttpServer | None = None

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for the openai SDK."""
        return f"{self.anthropic_url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The ``base_url`` for the anthropic SDK."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Open the port and begin to answer; ``with`` does it."""
        try:
            server = HttpServer(self._answer, self.port)
        except OSError as error:
            raise OSError(
                f"Port {self.port} cannot be opened ({error}): end what listens there, such as "
                "another provider of the same folder, or give port= another one."
            ) from error
        self._server = server.start()
        self.port = self._batches.port = server.port
        return self

    def _answer(self, request: Request) -> Response:
        response = self._service(request)
        return self._on_response(request, response) if self._on_response else response

    def stop(self) -> None:
        """Close the port and all connections, held calls too; leaving ``with`` does it."""
        self._script.stopping.set()
        self._script.gate.set()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None and self._script.failures:
            raise self._script.failures[0]

    @staticmethod
    def in_process(rule: str, **options: Any) -> LoopbackProcess:
        """Return a provider that runs in a process of its own; see ``LoopbackProcess``."""
        return LoopbackProcess(rule, **options)
