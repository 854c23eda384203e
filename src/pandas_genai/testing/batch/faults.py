"""Faults of whole batches and of the lines that they end in."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pandas_genai.testing.batch.records import Batch

__all__ = [
    "KINDS",
    "BatchFault",
    "BatchFaultPlan",
    "Line",
    "cut_last",
    "error_of",
    "fault_of",
    "spoil_lines",
]

_OPENAI_KINDS = frozenset({"validation", "token_limit"})
_LINE_KINDS = frozenset(
    {"line_garbage", "line_missing", "line_doubled", "line_unknown", "line_truncated"}
)
_ANTHROPIC_KINDS = frozenset({"no_counts"})
KINDS = _OPENAI_KINDS | _ANTHROPIC_KINDS | _LINE_KINDS
KINDS |= {"expire", "never_ends", "all_failed", "slow"}
_OTHERS_KINDS = {"openai": _ANTHROPIC_KINDS, "anthropic": _OPENAI_KINDS}
_SLOW = 10.0


@dataclass(frozen=True)
class BatchFault:
    """One way in which a batch goes wrong. Of several, all that fit a batch strike it.

    Parameters
    ----------
    kind : str
        Batches: ``validation`` and ``token_limit`` (OpenAI only: it fails once it is validated),
        ``expire`` (its time is over before its requests are), ``never_ends``, ``all_failed``
        (each request with a 500), ``slow`` (takes ten times as long), ``no_counts`` (Anthropic
        only: all its counts are 0 until it has ended).
        Lines of results: ``line_garbage`` (no JSON), ``line_missing``, ``line_doubled``,
        ``line_unknown`` (one more, with a custom_id that nobody sent), ``line_truncated`` (the
        last one is cut off).
    batches : collection of int, optional
        Numbers of the batches, from 1 in order of creation.
    times : int, optional
        The most batches that it strikes.
    finished : float, default 0.5
        The share of the requests that are answered before a batch expires or hangs.
    lines : float, optional
        The share of the lines that are struck, drawn with the provider's seed. With neither
        this nor ``text``, it is one line.
    text : str, optional
        Lines whose request holds this in one of its rows.
    message : str, optional
        In place of the error's own.

    Examples
    --------
    >>> BatchFault("expire", finished=0.25).finished
    0.25
    >>> BatchFault("typo")
    Traceback (most recent call last):
    ...
    ValueError: There is no batch fault 'typo': it is one of all_failed, expire, ...
    """

    kind: str
    batches: Collection[int] | None = None
    times: int | None = None
    finished: float = 0.5
    lines: float | None = None
    text: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"There is no batch fault {self.kind!r}: it is one of {', '.join(sorted(KINDS))}."
            )
        for name in ("finished", "lines"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name}={share!r} is no share: it lies between 0 and 1.")


class BatchFaultPlan:
    """Chooses the faults of a batch when it is created."""

    def __init__(self, faults: Sequence[BatchFault]) -> None:
        self.faults = tuple(faults)
        self._left = [fault.times for fault in self.faults]

    def strike(self, batch: Batch) -> None:
        """Enter in a batch what will go wrong with it."""
        for position, fault in enumerate(self.faults):
            if fault.kind in _OTHERS_KINDS[batch.vendor]:
                continue
            if fault.batches is not None and batch.number not in fault.batches:
                continue
            if self._take(position):
                _enter(batch, fault)

    def _take(self, position: int) -> bool:
        left = self._left[position]
        if left is not None:
            self._left[position] = left - 1
        return left is None or left > 0


def _enter(batch: Batch, fault: BatchFault) -> None:
    batch.faults.append(asdict(fault) | {"batches": None})
    if fault.kind == "slow":
        batch.seconds *= _SLOW
    elif fault.kind in ("expire", "never_ends"):
        batch.share = fault.finished
        batch.expires = batch.expires or fault.kind == "expire"
        batch.never_ends = batch.never_ends or fault.kind == "never_ends"


def fault_of(batch: Batch, kind: str) -> BatchFault | None:
    """Return the fault of that kind that strikes a batch, if one does."""
    return next((fault for fault in _faults(batch) if fault.kind == kind), None)


def _faults(batch: Batch) -> list[BatchFault]:
    return [BatchFault(**fault) for fault in batch.faults]


@dataclass(slots=True)
class Line:
    """The result of one request."""

    custom_id: str
    data: bytes
    good: bool
    """Whether it belongs into the output file rather than the error file."""
    rows: Sequence[tuple[str, str]] = ()
    answered: Sequence[str] = ()
    whole: bool = True
    """Whether it is still JSON."""


def spoil_lines(batch: Batch, lines: list[Line], drawn: random.Random) -> list[Line]:
    """Return the lines as the batch's faults leave them."""
    for fault in _faults(batch):
        if fault.kind in _LINE_KINDS and fault.kind != "line_truncated":
            struck = set(_choose(fault, lines, drawn))
            lines = [
                left
                for place, line in enumerate(lines)
                for left in (_spoilt(fault.kind, line, drawn) if place in struck else [line])
            ]
    return lines


def _choose(fault: BatchFault, lines: Sequence[Line], drawn: random.Random) -> list[int]:
    places = [
        place
        for place, line in enumerate(lines)
        if line.whole and (fault.text is None or any(fault.text in text for _, text in line.rows))
    ]
    if fault.lines is None:
        return places if fault.text is not None else drawn.sample(places, min(1, len(places)))
    return drawn.sample(places, round(fault.lines * len(places)))


def _spoilt(kind: str, line: Line, drawn: random.Random) -> list[Line]:
    if kind == "line_missing":
        return []
    if kind == "line_doubled":
        return [line, Line(line.custom_id, line.data, line.good)]
    if kind == "line_garbage":
        return [_cut(line)]
    stranger = f"stranger-{drawn.getrandbits(40):010x}"
    data = json.dumps({**json.loads(line.data), "custom_id": stranger}, ensure_ascii=False)
    return [line, Line(stranger, data.encode(), line.good)]


def _cut(line: Line) -> Line:
    """Cut a line off, which leaves an object open: no JSON, and nothing is answered by it."""
    line.data, line.answered, line.whole = line.data[: len(line.data) // 2], (), False
    return line


def cut_last(batch: Batch, lines: Sequence[Line]) -> bool:
    """Cut the last of a file's lines off, if that is what goes wrong; return whether it was."""
    cut = bool(lines) and fault_of(batch, "line_truncated") is not None
    if cut:
        _cut(lines[-1])
    return cut


def error_of(fault: BatchFault, code: str, message: str) -> dict[str, Any]:
    """Return a scripted fault as one of a failed batch's errors."""
    return {"code": code, "line": None, "message": fault.message or message, "param": None}
