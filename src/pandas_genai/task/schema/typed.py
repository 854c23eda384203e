"""How one record is validated, and written back as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import SchemaSerializer

from pandas_genai.task.schema.guard import Check

__all__ = ["Typing"]


class _Validator(Protocol):
    @property
    def validate_python(self) -> Callable[..., Any]: ...

    @property
    def validate_json(self) -> Callable[..., Any]: ...


@dataclass(frozen=True, slots=True)
class Typing:
    """How one record is validated: prepared by ours, typed by pydantic, written back as JSON."""

    guard: Check
    typed: Callable[[Any], Any]
    typed_json: Callable[[str], Any]
    plain: Callable[[Any], Any]

    @classmethod
    def of(
        cls,
        guard: Check,
        validator: _Validator,
        serializer: SchemaSerializer,
        core: Mapping[str, Any],
    ) -> Typing:
        """Take what is needed of pydantic's validator and serializer of a core schema."""

        def written(valid: Any) -> Any:
            return serializer.to_python(valid, mode="json", by_alias=True, warnings="none")

        def plain(valid: Any) -> Any:  # what is JSON already is not written once more
            return valid if _is_flat_json(valid) else written(valid)

        chosen = written if _names_in(core) & _WRITTEN_OTHERWISE else plain
        return cls(guard, validator.validate_python, validator.validate_json, chosen)

    def validated(self, ready: Any) -> Any:
        """Return a prepared entry as pydantic types it."""
        try:
            return self.typed(ready)
        except ValidationError:
            # A strict model takes a date's text, an enum's value or a list as a set only from JSON.
            return self.typed_json(json.dumps(ready))


_WRITTEN_OTHERWISE = frozenset({"serialization", "serialization_alias", "computed_fields"})
"""Names in a core schema that say that something is written in another form than it is held."""


def _names_in(core: object) -> set[str]:
    if isinstance(core, Mapping):
        said = {name for name, value in core.items() if value}
        return said.union(*map(_names_in, core.values()))
    return set().union(*map(_names_in, core)) if isinstance(core, list) else set()


def _is_flat_json(valid: Any) -> bool:
    return type(valid) is dict and all(
        value is None
        or type(value) in (str, int, bool)
        or (type(value) is float and math.isfinite(value))
        for value in valid.values()
    )
