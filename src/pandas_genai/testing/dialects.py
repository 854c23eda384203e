"""How servers that call themselves OpenAI-compatible differ."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIALECTS", "Dialect", "dialect_of"]

ALL_FORMATS = frozenset({"strict", "json_schema", "json_object"})

OPENAI_FIELDS = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
"""Fields of ``CreateChatCompletionRequest`` in OpenAI's published document."""

GEMINI_FIELDS = frozenset(
    [
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    ]
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes and how it answers.

    Parameters
    ----------
    formats : frozenset of str
        The kinds of ``response_format`` that it takes: ``strict``, ``json_schema``,
        ``json_object``.
    fields : frozenset of str, optional
        The only fields that it takes; None ignores what it does not know.
    limits : tuple of str
        The names under which it reads the token limit.
    vendor : bool
        Whether it is OpenAI itself: strict rules of schemas, rules of reasoning models.
    errors : str
        ``object``, ``list`` (Gemini) or ``in_200`` (OpenRouter, once a request was accepted).
    bare : bool
        Whether usage, details and request id are left out.
    """

    formats: frozenset[str] = ALL_FORMATS
    fields: frozenset[str] | None = None
    limits: tuple[str, ...] = ("max_completion_tokens", "max_tokens")
    vendor: bool = False
    errors: str = "object"
    bare: bool = False


DIALECTS = {
    "openai": Dialect(vendor=True, fields=OPENAI_FIELDS),
    "ollama": Dialect(limits=("max_tokens",)),
    "no_strict": Dialect(formats=frozenset({"json_schema", "json_object"})),
    "no_json_schema": Dialect(formats=frozenset({"json_object"})),
    "no_response_format": Dialect(formats=frozenset()),
    "gemini": Dialect(fields=GEMINI_FIELDS, errors="list"),
    "openrouter": Dialect(errors="in_200"),
    "bare": Dialect(bare=True),
}


def dialect_of(name: str) -> Dialect:
    """Return the dialect of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        raise ValueError(
            f"There is no dialect {name!r}: it is one of {', '.join(DIALECTS)}."
        ) from None
