"""The provider's ledger: what was asked, answered and paid."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Ledger", "RecordedRequest"]

_SECRET = ("authorization", "x-api-key")


@dataclass(slots=True)
class RecordedRequest:
    """One request as it arrived, and what became of it.

    Parameters
    ----------
    number : int
        The call's number from 1; 0 for a request that is no call (the list of models).
    method, path : str
        As sent.
    headers : dict
        Names in small letters; keys are replaced by the first 8 hex digits of their SHA-256.
    body : dict or None
        The JSON body; None if there was none.
    status : int
        Of the answer; 0 while there is none, or when the connection was lost.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int = 0


@dataclass(slots=True)
class Entry:
    """A request that is being answered, and what its answer will count for."""

    record: RecordedRequest
    is_call: bool
    answered: Sequence[str] = ()
    tokens: tuple[int, int] = (0, 0)


@dataclass
class Ledger:
    """Counts everything, for tests that count money. Safe to read at any time.

    Parameters
    ----------
    keep_requests : int, default 10_000
        How many requests are kept; older ones are forgotten, their counts stay.

    Attributes
    ----------
    calls : int
        Requests for completions or messages, whatever became of them. Batched ones are none.
    rows : int
        Rows answered under their own ids in well-formed replies.
    in_flight, most_in_flight : int
        Calls that have no answer yet: now, and the most there ever were.
    tokens_in, tokens_out : int
        Of all replies, spoilt ones too: they are paid.
    """

    keep_requests: int = 10_000
    calls: int = 0
    rows: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    _answered: Counter[str] = field(default_factory=Counter)
    _sent: Counter[str] = field(default_factory=Counter)
    _statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._requests: deque[RecordedRequest] = deque(maxlen=self.keep_requests)
        self._hashes: dict[str, str] = {}

    @property
    def answered(self) -> Counter[str]:
        """How often each text was answered."""
        with self._changed:
            return self._answered.copy()

    @property
    def sent(self) -> Counter[str]:
        """How often each text was sent."""
        with self._changed:
            return self._sent.copy()

    @property
    def statuses(self) -> Counter[int]:
        """How many answers had each status; 0: the connection was lost."""
        with self._changed:
            return self._statuses.copy()

    @property
    def requests(self) -> list[RecordedRequest]:
        """The last requests, in the order in which they arrived."""
        with self._changed:
            return list(self._requests)

    def arrive(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: object,
        rows: Iterable[tuple[str, str]] | None = None,
    ) -> Entry:
        """Enter a request; ``rows`` other than None make it a call."""
        record = RecordedRequest(0, method, path, self._without_keys(headers), body)
        with self._changed:
            self._requests.append(record)
            if rows is None:
                return Entry(record, is_call=False)
            self.calls += 1
            record.number = self.calls
            self._sent.update([text for _, text in rows])
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._changed.notify_all()
        return Entry(record, is_call=True)

    def settle(self, entry: Entry, status: int) -> None:
        """Enter the answer, before it leaves: whoever has it may rely on it."""
        with self._changed:
            entry.record.status = status
            self._statuses[status] += 1
            self.tokens_in += entry.tokens[0]
            self.tokens_out += entry.tokens[1]
            self.rows += len(entry.answered)
            self._answered.update(entry.answered)
            self.in_flight -= entry.is_call
            self._changed.notify_all()

    def enter_batch(
        self, sent: Iterable[str], answered: Sequence[str], tokens: tuple[int, int]
    ) -> None:
        """Enter the rows and tokens of a batch that was worked off; it is no call."""
        with self._changed:
            self._sent.update(sent)
            self._answered.update(answered)
            self.rows += len(answered)
            self.tokens_in += tokens[0]
            self.tokens_out += tokens[1]
            self._changed.notify_all()

    def take_back(self, entry: Entry) -> None:
        """Undo the answer of a request whose sender was gone."""
        with self._changed:
            self._statuses[entry.record.status] -= 1
            self._statuses += Counter()
            self._statuses[0] += 1
            entry.record.status = 0
            self.rows -= len(entry.answered)
            self._answered.subtract(entry.answered)
            self._answered += Counter()
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[Ledger], bool], timeout: float) -> bool:
        """Wait until something holds of the ledger; False when it did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: holds(self), timeout)

    def _without_keys(self, headers: Mapping[str, str]) -> dict[str, str]:
        kept = dict(headers)
        for name in _SECRET:
            value = kept.get(name)
            if value is not None:
                hashed = self._hashes.get(value)
                if hashed is None:
                    hashed = hashlib.sha256(value.encode("latin-1")).hexdigest()[:8]
                    self._hashes[value] = hashed
                kept[name] = hashed
        return kept

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON, for ``GET /ledger``."""
        with self._changed:
            requests = [
                {name: getattr(record, name) for name in RecordedRequest.__slots__}
                for record in self._requests
            ]
            return {
                "calls": self.calls,
                "rows": self.rows,
                "in_flight": self.in_flight,
                "most_in_flight": self.most_in_flight,
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                "answered": dict(self._answered),
                "sent": dict(self._sent),
                "statuses": {str(status): count for status, count in self._statuses.items()},
                "requests": requests,
            }

    @classmethod
    def from_dict(cls, recorded: Mapping[str, Any]) -> Self:
        """Read what ``as_dict`` wrote, in another process."""
        counts = ("calls", "rows", "in_flight", "most_in_flight", "tokens_in", "tokens_out")
        ledger = cls(
            **{name: recorded[name] for name in counts},
            _answered=Counter(recorded["answered"]),
            _sent=Counter(recorded["sent"]),
            _statuses=Counter({int(key): count for key, count in recorded["statuses"].items()}),
        )
        ledger._requests.extend(RecordedRequest(**record) for record in recorded["requests"])
        return ledger
