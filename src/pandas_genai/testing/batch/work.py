"""Working a batch off: each of its requests is answered as a live one would be."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pandas_genai.testing.asked import Asked, Problem, Usage
from pandas_genai.testing.batch.faults import Line, fault_of, spoil_lines
from pandas_genai.testing.batch.inputs import Item
from pandas_genai.testing.batch.records import Batch
from pandas_genai.testing.faults import ERROR_KINDS, Fault, Struck
from pandas_genai.testing.ledger import Ledger
from pandas_genai.testing.model import Model
from pandas_genai.testing.script import Script
from pandas_genai.testing.wire import Wire

__all__ = ["Work", "Worker"]

_NUMBERS = 10**12
"""Batched requests have ids far from those of live calls."""
_LEFT = {
    "expired": ("batch_expired", "This request could not be executed before the batch expired."),
    "cancelled": ("batch_cancelled", "This request was not executed: the batch was cancelled."),
}


@dataclass(slots=True)
class Work:
    """What working a batch off came to."""

    lines: list[Line] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Counter[str] = field(default_factory=Counter)
    sent: list[str] = field(default_factory=list)

    def add_usage(self, usage: Usage) -> None:
        """Count the tokens of an answer."""
        self.usage["input"] += usage.prompt
        self.usage["output"] += usage.completion
        self.usage["cached"] += usage.cached


class Worker:
    """Answers the requests of batches and enters them in the ledger.

    Parameters
    ----------
    script : Script
        How to behave.
    model : Model
        Who answers.
    ledger : Ledger
        Where rows and tokens are entered.
    wires : mapping
        From the vendor to its format.
    """

    def __init__(
        self, script: Script, model: Model, ledger: Ledger, wires: Mapping[str, Wire]
    ) -> None:
        self._script = script
        self._model = model
        self._ledger = ledger
        self._wires = wires

    def work(self, batch: Batch, items: Sequence[Item], share: float) -> Work:
        """Answer a share of a batch's requests; the rest is cut short as its outcome says.

        The lines come back shuffled and spoilt, the same for the same seed.
        """
        drawn = random.Random(hash((self._script.seed, batch.number, 2)))
        chosen, work = set(range(len(items))), Work()
        if share < 1:
            chosen = set(drawn.sample(range(len(items)), round(share * len(items))))
        for place, item in enumerate(items):
            if place in chosen:
                line = self._answered(batch, item, batch.first + place, work)
            else:
                line = self._left(batch, item, batch.first + place, work)
            work.lines.append(line)
        drawn.shuffle(work.lines)
        work.lines = spoil_lines(batch, work.lines, drawn)
        return work

    def enter(self, work: Work) -> None:
        """Enter in the ledger what was answered, but for lines that were lost."""
        answered = [text for line in work.lines for text in line.answered]
        tokens = work.usage["input"], work.usage["output"]
        self._ledger.enter_batch(work.sent, answered, tokens)

    def _answered(self, batch: Batch, item: Item, number: int, work: Work) -> Line:
        custom_id, body = item
        wire, asked = self._wires[batch.vendor], None
        answered: Sequence[str] = ()
        struck: Struck | None = None
        try:
            asked = self._model.read(wire, body, batch.headers)
            work.sent += [text for _, text in asked.rows]
            struck = self._struck(batch, wire, asked, number)
            reply = self._model.reply(wire, asked, struck, _NUMBERS + number)
            work.add_usage(reply.usage)
            status, content, answered = 200, reply.body, reply.answered
        except Problem as problem:
            status, content = wire.error(problem, _NUMBERS + number)
        except Exception as error:  # noqa: BLE001 - whatever the test's own rule raises
            self._script.failures.append(error)
            status, content = wire.error(Problem(500, str(error), "api_error"), _NUMBERS + number)
        good = status == 200
        work.counts["succeeded" if good else "errored"] += 1
        shape = _openai_line if batch.vendor == "openai" else _anthropic_line
        data = _dumped(shape(custom_id, number, status, content))
        if struck:
            data = struck.fault.rewritten(data)
        return Line(custom_id, data, good, asked.rows if asked else (), answered)

    def _struck(self, batch: Batch, wire: Wire, asked: Asked, number: int) -> Struck | None:
        """Return the fault of a request; raise it, if it is an error."""
        failed = fault_of(batch, "all_failed") if batch.faults else None
        if failed:
            raise wire.fault(Fault("server_error", message=failed.message))
        struck = self._script.plan.choose(number, asked.rows, batched=True)
        if struck and struck.fault.kind in ERROR_KINDS:
            raise wire.fault(struck.fault)
        return struck

    def _left(self, batch: Batch, item: Item, number: int, work: Work) -> Line:
        custom_id, _ = item
        work.counts[batch.outcome] += 1
        if batch.vendor == "anthropic":
            kind = "canceled" if batch.outcome == "cancelled" else "expired"
            return Line(
                custom_id, _dumped({"custom_id": custom_id, "result": {"type": kind}}), True
            )
        code, message = _LEFT[batch.outcome]
        data = {
            "id": _request_id(number),
            "custom_id": custom_id,
            "response": None,
            "error": {"code": code, "message": message},
        }
        return Line(custom_id, _dumped(data), good=False)


def _dumped(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def _request_id(number: int) -> str:
    return f"batch_req_{number:032x}"


def _openai_line(custom_id: str, number: int, status: int, body: Any) -> dict[str, Any]:
    response = {
        "status_code": status,
        "request_id": f"{_NUMBERS + number:032x}",
        "body": body,
    }
    return {
        "id": _request_id(number),
        "custom_id": custom_id,
        "response": response,
        "error": None,
    }


def _anthropic_line(custom_id: str, number: int, status: int, body: Any) -> dict[str, Any]:  # noqa: ARG001 - the other vendor numbers its lines
    if status == 200:
        return {"custom_id": custom_id, "result": {"type": "succeeded", "message": body}}
    return {"custom_id": custom_id, "result": {"type": "errored", "error": body}}
