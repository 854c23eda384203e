"""How the provider is to behave: everything that a test may set, also while it runs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from pandas_genai.testing.answers import Rule
from pandas_genai.testing.faults import FaultPlan

__all__ = ["Latency", "Script"]

Latency = float | Callable[[int, random.Random], float]


@dataclass
class Script:
    """The options of the provider; see ``LoopbackProvider`` for the meaning of each."""

    rule: Rule | None
    plan: FaultPlan
    latency: Latency = 0.0
    seed: int = 0
    keys: Collection[str] | None = None
    models: Collection[str] | None = None
    answers_as: Mapping[str, str] = field(default_factory=dict)
    fenced: bool = False
    on_call: Callable[[int], object] | None = None
    hold_from: int | None = None
    """The first call that is held until the gate opens."""
    gate: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    failures: list[Exception] = field(default_factory=list)
    """What went wrong in the test's own rule or hook."""

    def pause(self, number: int) -> bool:
        """Take as long as call ``number`` takes; return whether that was any time."""
        seconds = self.latency
        if callable(seconds):
            seconds = seconds(number, random.Random(hash((self.seed, number, 1))))
        if seconds > 0:
            self.stopping.wait(seconds)
        return seconds > 0

    def hold(self, seconds: float | None = None) -> None:
        """Wait until the gate opens, as it does when the provider stops, or the time is over."""
        self.gate.wait(seconds)
