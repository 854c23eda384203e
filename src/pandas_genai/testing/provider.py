"""The loopback provider itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from pandas_genai.testing.answers import Rule
from pandas_genai.testing.chat import ChatWire
from pandas_genai.testing.dialects import dialect_of
from pandas_genai.testing.faults import Fault, FaultPlan
from pandas_genai.testing.ledger import Ledger
from pandas_genai.testing.limits import Limits
from pandas_genai.testing.messages import MessagesWire
from pandas_genai.testing.model import Model
from pandas_genai.testing.process import LoopbackProcess
from pandas_genai.testing.script import Latency, Script
from pandas_genai.testing.server import HttpServer
from pandas_genai.testing.service import Service
from pandas_genai.testing.upstream import Upstream

__all__ = ["LoopbackProvider"]


class LoopbackProvider:
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
    upstream : str, optional
        Base URL of an OpenAI-compatible server that answers in the place of a rule.
    upstream_key : str, default ""
        Its key.
    on_call : callable, optional
        Called with each call's number, in the call's own thread, before it is answered.
    keep_requests : int, default 10_000
        How many requests the ledger keeps whole.
    port : int, default 0
        0 takes a free one.

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
        upstream: str | None = None,
        upstream_key: str = "",
        on_call: Callable[[int], object] | None = None,
        keep_requests: int = 10_000,
        port: int = 0,
    ) -> None:
        self._script = Script(
            rule,
            FaultPlan(faults, seed),
            latency=latency,
            seed=seed,
            keys=keys,
            models=models,
            answers_as=answers_as or {},
            fenced=fenced,
            on_call=on_call,
        )
        self.ledger = Ledger(keep_requests)
        self.port = port
        spoken = dialect_of(dialect)
        self._service = Service(
            self._script,
            self.ledger,
            Limits(requests_per_minute, tokens_per_minute, clock),
            ChatWire(spoken),
            MessagesWire(spoken),
            Model(self._script, Upstream(upstream, upstream_key) if upstream else None),
        )
        self._server: HttpServer | None = None

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for the openai SDK."""
        return f"{self.anthropic_url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The ``base_url`` for the anthropic SDK."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def rule(self) -> Rule | None:
        """The rule that answers; may be set while the provider runs."""
        return self._script.rule

    @rule.setter
    def rule(self, rule: Rule | None) -> None:
        self._script.rule = rule

    @property
    def latency(self) -> Latency:
        """How long calls take; may be set while the provider runs."""
        return self._script.latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self._script.latency = latency

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong; may be set while the provider runs, ``times`` then start anew."""
        return self._script.plan.faults

    @faults.setter
    def faults(self, faults: Sequence[Fault]) -> None:
        self._script.plan = FaultPlan(faults, self._script.seed)

    def start(self) -> Self:
        """Open the port and begin to answer; ``with`` does it."""
        self._server = HttpServer(self._service, self.port).start()
        self.port = self._server.port
        return self

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

    def hold_after(self, calls: int) -> None:
        """Hold every call after that many, until ``release()``."""
        self._script.gate.clear()
        self._script.hold_from = calls + 1

    def release(self) -> None:
        """Answer what is held; nothing is held from then on, until ``hold_after()``."""
        self._script.hold_from = None
        self._script.gate.set()

    def wait_for(
        self, *, calls: int | None = None, rows: int | None = None, timeout: float = 10.0
    ) -> None:
        """Wait until that many calls have arrived and that many rows are answered.

        Raises
        ------
        TimeoutError
            If they are not in time (seconds).
        """

        def enough(ledger: Ledger) -> bool:
            return ledger.calls >= (calls or 0) and ledger.rows >= (rows or 0)

        self._wait(enough, timeout, f"calls={calls}, rows={rows}")

    def wait_for_in_flight(self, calls: int, *, timeout: float = 10.0) -> None:
        """Wait until that many calls are being answered at once.

        Raises
        ------
        TimeoutError
            If they are not in time (seconds).
        """
        self._wait(lambda ledger: ledger.in_flight >= calls, timeout, f"in_flight={calls}")

    def _wait(self, enough: Callable[[Ledger], bool], timeout: float, what: str) -> None:
        books = self.ledger
        if not books.wait_until(enough, timeout):
            raise TimeoutError(
                f"After {timeout:g} s the provider has calls={books.calls}, rows={books.rows}, "
                f"in_flight={books.in_flight}; waited for {what}."
            )

    @staticmethod
    def in_process(rule: str, **options: Any) -> LoopbackProcess:
        """Return a provider that runs in a process of its own; see ``LoopbackProcess``."""
        return LoopbackProcess(rule, **options)
