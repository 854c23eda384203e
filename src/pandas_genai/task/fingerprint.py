"""Identity: the hash of a task and the hash of a row's text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pandas_genai.task.schema import compile_schema

__all__ = ["canonical_json", "compute_prompt_hash", "text_digest", "text_hash"]

_WIRE_VERSION = 1
"""Raised when the instructions that surround the user's prompt change their meaning."""


def canonical_json(value: object) -> str:
    """Render a value as JSON that does not depend on the order of its keys."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def text_hash(text: str) -> str:
    """Hash a row's text as it is sent: the first 32 hex digits of its SHA-256.

    Raises
    ------
    UnicodeEncodeError
        If the text holds a lone surrogate, which no request can carry.
    """
    return text_digest(text).hex()


def text_digest(text: str) -> bytes:
    """Return the 16 bytes that ``text_hash`` writes as hex digits."""
    return hashlib.sha256(text.encode()).digest()[:16]


def compute_prompt_hash(
    prompt: str,
    *,
    schema: object = None,
    model: str | None = None,
    backend: str | None = None,
    host: str | None = None,
    params: Mapping[str, object] | None = None,
) -> str:
    """Hash a prompt, or a whole task.

    Parameters
    ----------
    prompt : str
        The instructions.
    schema : optional
        Any form that ``df.genai.extract`` takes.
    model, backend, host : str, optional
        The model's name, ``"openai"`` or ``"anthropic"``, and the endpoint's host (``"loopback"``
        for every address of this machine), with its path where that tells deployments apart.
    params : mapping, optional
        The parameters sent along.

    Returns
    -------
    str
        With a prompt alone: the first 16 hex digits of its SHA-256, as the original toolkit
        wrote them. With a model: 32 hex digits over every part, as in the cache's column
        ``prompt_hash``.

    Examples
    --------
    >>> compute_prompt_hash("Classify the tone.")
    '2bc72b28c542b352'
    """
    if model is None and backend is None and host is None and schema is None and not params:
        return hashlib.sha256(prompt.encode()).hexdigest()[:16]
    parts = {
        "backend": backend,
        "host": host,
        "model": model,
        "params": dict(params or {}),
        "prompt": prompt,
        "schema": compile_schema(schema).canonical,
        "wire": _WIRE_VERSION,
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32]
