"""Which batch API belongs to a backend, and how a line of its results is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pandas_genai.backends import anthropic_batches, openai_batches
from pandas_genai.backends.anthropic_batches import AnthropicBatches
from pandas_genai.backends.batches import Outcome
from pandas_genai.backends.openai_batches import OpenAIBatches
from pandas_genai.task.annotations import Backend

__all__ = ["api_of", "outcome_of"]

_APIS: dict[Backend, type[OpenAIBatches | AnthropicBatches]] = {
    "openai": OpenAIBatches,
    "anthropic": AnthropicBatches,
}
_OUTCOMES: dict[Backend, Callable[[Mapping[str, Any]], Outcome]] = {
    "openai": openai_batches.outcome_of,
    "anthropic": anthropic_batches.outcome_of,
}


def api_of(backend: Backend) -> type[OpenAIBatches | AnthropicBatches]:
    """Return the class of a backend's batch API."""
    return _APIS[backend]


def outcome_of(backend: Backend, line: Mapping[str, Any]) -> Outcome:
    """Read one line of a backend's results; nothing in it raises."""
    return _OUTCOMES[backend](line)
