"""What the two vendors' formats have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from pandas_genai.testing.asked import Asked, Problem, Usage, Written
from pandas_genai.testing.faults import Fault
from pandas_genai.testing.limits import Verdict

__all__ = ["Wire", "authorize"]


class Wire(Protocol):
    """A vendor's format: reads what was asked, shapes what is answered."""

    name: str
    default_models: tuple[str, ...]

    def key_of(self, headers: Mapping[str, str]) -> str:
        """Return the key of a request, or ""."""
        ...

    def wrong_key(self, key: str) -> Problem:
        """Say that a key is missing or wrong."""
        ...

    def unknown_model(self, model: str) -> Problem:
        """Say that there is no such model."""
        ...

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Raise a Problem about a header."""
        ...

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
        """Read a request but for its rows, or raise a Problem."""
        ...

    def answer(self, asked: Asked, written: Written, usage: Usage, number: int, model: str) -> Any:
        """Return the body of a 200."""
        ...

    def error(self, problem: Problem, number: int) -> tuple[int, Any]:
        """Return the status and body of an error."""
        ...

    def fault(self, fault: Fault) -> Problem:
        """Return the error of a scripted fault."""
        ...

    def over_limit(self, verdict: Verdict, retry_after: int) -> Problem:
        """Say that a limit was reached."""
        ...

    def headers(self, number: int, verdict: Verdict | None) -> dict[str, str]:
        """Return the headers of an answer."""
        ...

    def model(self, name: str) -> dict[str, Any]:
        """Return the description of one model."""
        ...

    def models(self, names: list[str]) -> dict[str, Any]:
        """Return the list of models."""
        ...


def authorize(wire: Wire, keys: Collection[str] | None, headers: Mapping[str, str]) -> None:
    """Let a request in: by one of the keys, or with None by any that is not empty.

    Raises
    ------
    Problem
        A 401, or a 400 about another header.
    """
    key = wire.key_of(headers)
    if not key or (keys is not None and key not in keys):
        raise wire.wrong_key(key)
    wire.check_headers(headers)
