"""The lines of a batch's results, each matched with the request that it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pandas_genai.backends.batches import Outcome
from pandas_genai.backends.json_text import read_object
from pandas_genai.backends.registry import backend_named

__all__ = ["Matched", "ResultLines"]


@dataclass
class Matched:
    """What the results hold of one request.

    Parameters
    ----------
    custom_id : str
        The request.
    outcomes : list of Outcome
        One for each of its lines that could be read; none where a line was there but not readable.
    line : bytes
        The first of these lines, as it came.
    """

    custom_id: str
    outcomes: list[Outcome]
    line: bytes = b""


@dataclass
class ResultLines:
    """Reads the files of one batch.

    Parameters
    ----------
    backend : str
        Whose format they are in.
    paths : sequence of Path
        Those that exist are read.
    known : collection of str
        The custom ids that were sent.

    Attributes
    ----------
    odd : dict
        Once all is read: how many lines had an unknown id (``unknown``), were one more for the
        same id (``doubled``), could not be read (``unreadable``), and how many ids had no line
        (``missing``).
    """

    backend: str
    paths: Sequence[Path]
    known: Collection[str]
    odd: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._batches = backend_named(self.backend).batches

    def __iter__(self) -> Iterator[Matched]:
        """Read line by line; requests with several lines come last, those without any never."""
        counts = Counter(self._id_of(line) for line in self._lines())
        several: dict[str, Matched] = {}
        alone: set[str] = set()
        odd: Counter[str] = Counter()
        for line in self._lines():
            outcome = self._outcome(line)
            # What a search finds first in a line may stand in a part of it that is the model's.
            custom_id = self._id_of(line) if outcome is None else outcome.custom_id
            odd["unreadable"] += outcome is None
            if custom_id not in self.known:
                odd["unknown"] += outcome is not None or bool(custom_id)
                continue
            outcomes = [] if outcome is None else [outcome]
            if custom_id in alone:
                odd["doubled"] += 1
            elif counts[custom_id] == 1:
                alone.add(custom_id)
                yield Matched(custom_id, outcomes, line)
            else:
                odd["doubled"] += custom_id in several
                several.setdefault(custom_id, Matched(custom_id, [], line)).outcomes += outcomes
        yield from several.values()
        found = alone | several.keys()
        odd["missing"] = sum(custom_id not in found for custom_id in self.known)
        self.odd = {kind: count for kind, count in odd.items() if count}

    def _lines(self) -> Iterator[bytes]:
        for path in self.paths:
            if path.exists():
                with path.open("rb") as file:
                    yield from (line for line in file if not line.isspace())

    def _outcome(self, line: bytes) -> Outcome | None:
        try:
            parsed = read_object(line)
        except ValueError:
            return None
        return self._batches.outcome_of(parsed)

    def first_id(self) -> str:
        """Return the custom id of the first line that has one."""
        return next(filter(None, map(self._id_of, self._lines())), "")

    def _id_of(self, line: bytes) -> str:
        """Find a line's custom id even where the rest of it is damaged."""
        found = self._batches.id_pattern.search(line)
        return found.group(1).decode("utf-8", "replace") if found else ""
