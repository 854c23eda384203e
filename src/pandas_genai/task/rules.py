"""What a task must know of a backend to be checked when it is made.

This package knows no backend. Whoever defines one enters its rules here; ``backends.registry``
does so for those that come with the package, and is imported when the first is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal, Protocol, TypeAlias

from pandas_genai.errors import UsageError

__all__ = ["RULES", "Bounds", "TaskRules", "rules_of"]

Bounds: TypeAlias = Literal["dialect", "grammar", "described"]
"""Where bounds stand: as the vendor takes them; in the schema and in descriptions, for a server
that enforces them; in descriptions alone, for one that refuses them."""


class TaskRules(Protocol):
    """What a backend says of tasks; see ``backends.base.Backend`` for the whole of it."""

    @property
    def name(self) -> str:
        """What ``backend=`` is given."""

    @property
    def note(self) -> str:
        """What a message about unknown names says beside the name; may be empty."""

    @property
    def output_modes(self) -> tuple[str, ...]:
        """Ways of enforcing a schema, the strictest first."""

    def reply_schema(
        self, record: dict[str, Any], *, many: bool, strict: bool = True, bounds: Bounds = "dialect"
    ) -> dict[str, Any]:
        """Return the JSON schema of a whole reply in the vendor's dialect."""

    def check_schema(self, record: dict[str, Any], sent: dict[str, Any]) -> None:
        """Refuse what the vendor cannot enforce, with a ``SchemaError``."""


RULES: dict[str, TaskRules] = {}
"""By name; filled from outside."""


def rules_of(backend: Any) -> TaskRules:
    """Return the rules of a backend.

    Raises
    ------
    UsageError
        If there is no such one.
    """
    if not RULES:  # a task may be made, or unpickled, before anything else of the package is used
        importlib.import_module("pandas_genai.backends.registry")
    found = RULES.get(backend) if isinstance(backend, str) else None
    if found is None:
        names = [f"{name!r}{rules.note and f' ({rules.note})'}" for name, rules in RULES.items()]
        raise UsageError(f"backend={backend!r} is unknown: use {' or '.join(names)}.")
    return found
