"""A request to a batch endpoint, and the pages of its lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl

from pandas_genai.testing.asked import Problem
from pandas_genai.testing.server import Request

__all__ = ["Received", "page"]


class _Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Named)


@dataclass
class Received:
    """A request whose sender was let in."""

    request: Request
    json: Any
    """The JSON body; None if it has none."""

    @property
    def body(self) -> dict[str, Any]:
        """The body, which must be an object.

        Raises
        ------
        Problem
            A 400.
        """
        if not isinstance(self.json, dict):
            raise Problem(400, "We could not parse the JSON body of your request.")
        return self.json

    @cached_property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return dict(parse_qsl(self.request.path.partition("?")[2]))

    def limit(self, default: int, most: int) -> int:
        """Return how many entries a page may have.

        Raises
        ------
        Problem
            A 400.
        """
        limit = self.query.get("limit", str(default))
        if not limit.isdecimal() or not 1 <= int(limit) <= most:
            message = f"limit: '{limit}' is not allowed: it lies between 1 and {most}."
            raise Problem(400, message, param="limit")
        return int(limit)


def page(
    entries: Sequence[T], limit: int, *, after: str = "", before: str = ""
) -> tuple[list[T], bool]:
    """Return the entries after or before one of them, and whether there are more that way.

    Raises
    ------
    Problem
        A 400, if the cursor is none of them.
    """
    cursor = after or before
    if not cursor:
        return list(entries[:limit]), len(entries) > limit
    place = next((place for place, entry in enumerate(entries) if entry.id == cursor), None)
    if place is None:
        raise Problem(400, f"There is nothing with the id '{cursor}' to go on from.", param="after")
    if before:
        found = entries[:place]
        return list(found[-limit:]), len(found) > limit
    found = entries[place + 1 :]
    return list(found[:limit]), len(found) > limit
