"""What a test sets and asks while the provider runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pandas_genai.testing.answers import Rule
from pandas_genai.testing.batch import BatchFault, BatchRecord, BatchService, FileRecord
from pandas_genai.testing.faults import Fault, FaultPlan
from pandas_genai.testing.ledger import Ledger
from pandas_genai.testing.script import Latency, Script

__all__ = ["Controls"]


class Controls:
    """The part of ``LoopbackProvider`` that is used while it runs.

    Parameters
    ----------
    script : Script
        Its options.
    ledger : Ledger
        Its ledger.
    batches : BatchService
        Its batches and files.
    """

    def __init__(self, script: Script, ledger: Ledger, batches: BatchService) -> None:
        self._script = script
        self.ledger = ledger
        self._batches = batches

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

    @property
    def batch_faults(self) -> tuple[BatchFault, ...]:
        """What goes wrong with batches that are created from now on; as ``faults``."""
        return self._batches.faults

    @batch_faults.setter
    def batch_faults(self, faults: Sequence[BatchFault]) -> None:
        self._batches.faults = tuple(faults)

    @property
    def batches(self) -> list[BatchRecord]:
        """The batches as they are now, in order of creation, but for deleted ones."""
        return self._batches.batches

    @property
    def files(self) -> list[FileRecord]:
        """The files as they are now, in order of creation, but for deleted ones."""
        return self._batches.files

    def advance(self, seconds: float) -> None:
        """Move the batches' time forward."""
        self._batches.advance(seconds)

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
        ledger = self.ledger
        if not ledger.wait_until(enough, timeout):
            raise TimeoutError(
                f"After {timeout:g} s the provider has calls={ledger.calls}, rows={ledger.rows}, "
                f"in_flight={ledger.in_flight}; waited for {what}."
            )
