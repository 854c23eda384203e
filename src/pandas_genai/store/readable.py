"""Values of a store that may be damaged: what cannot be read counts as not there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic_core import from_json

__all__ = ["mapping_of", "moment_of", "texts_of"]


def moment_of(text: object) -> datetime | None:
    """Return a time that was kept as ISO 8601 text with its zone; None where there is none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def mapping_of(text: object) -> dict[str, Any]:
    """Return a mapping that was kept as JSON text; an empty one where there is none."""
    found = _json(text)
    return found if isinstance(found, dict) else {}


def texts_of(text: object) -> list[str]:
    """Return texts that were kept as a JSON list; none where there are none."""
    found = _json(text)
    return [str(one) for one in found] if isinstance(found, list) else []


def _json(text: object) -> object:
    try:
        return from_json(text) if isinstance(text, str) else None
    except ValueError:
        return None
