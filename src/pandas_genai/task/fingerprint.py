"""Identity: the hash of a task and the hash of a row's text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from pandas_genai.task.examples import Solved, solved_cases
from pandas_genai.task.inputs import digest_of
from pandas_genai.task.schema import Schema, compile_schema

__all__ = ["canonical_json", "compute_prompt_hash", "hash_of", "text_hash"]

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
    return digest_of(text.encode()).hex()


def compute_prompt_hash(
    prompt: str,
    *,
    schema: object = None,
    model: str | None = None,
    backend: str | None = None,
    host: str | None = None,
    params: Mapping[str, object] | None = None,
    examples: object = None,
    evidence: bool | Sequence[str] | None = None,
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
    examples : list of (text, answer), or DataFrame, optional
        Solved cases, as ``df.genai.extract`` takes them.
    evidence : bool or list of str, optional
        The fields whose words are asked for, as ``df.genai.extract`` takes them.

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
    alone = model is None and backend is None and host is None
    if alone and schema is None and not params and examples is None and not evidence:
        return hashlib.sha256(prompt.encode()).hexdigest()[:16]
    compiled = compile_schema(schema)
    if evidence is not None:
        compiled = compiled.with_evidence(evidence)
    return hash_of(
        prompt=prompt,
        schema=compiled,
        model=model,
        backend=backend,
        host=host,
        params=params or {},
        examples=solved_cases(examples, compiled),
    )


def hash_of(
    *,
    prompt: str,
    schema: Schema,
    model: str | None,
    backend: str | None,
    host: str | None,
    params: Mapping[str, object],
    examples: Solved,
    variant: str = "",
) -> str:
    """Hash every part of a task.

    Without examples and variant the hash is what it was before there were any.
    """
    parts: dict[str, object] = {
        "backend": backend,
        "host": host,
        "model": model,
        "params": dict(params),
        "prompt": prompt,
        "schema": schema.canonical,
        "wire": _WIRE_VERSION,
    }
    if examples:
        parts["examples"] = examples
    if variant:
        parts["variant"] = variant
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:32]
