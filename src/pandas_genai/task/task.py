"""The task: what is asked of every row. Immutable; its ``prompt_hash`` covers all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pandas_genai.errors import UsageError
from pandas_genai.task.fingerprint import compute_prompt_hash
from pandas_genai.task.schema import Schema, compile_schema

__all__ = ["OUR_PARAMS", "TOOL_NAME", "Backend", "Task"]

Backend = Literal["openai", "anthropic"]

TOOL_NAME = "extract_results"

OUR_PARAMS = frozenset({"extra_body", "structured", "tool_name"})
"""Parameters that are for the package and no part of a request."""

_OURS = {
    "messages": "the package writes the messages",
    "model": "use the argument model=",
    "n": "one answer a row is asked for",
    "response_format": "use the argument schema=",
    "stream": "replies are read whole",
    "system": "use the argument prompt=",
    "tools": "the package writes the tools",
    "tool_choice": "say params={'structured': 'tool'} for a forced tool",
}
_STRUCTURED = {
    "openai": ("strict", "json_schema", "json_object", "text"),
    "anthropic": ("native", "tool", "text"),
}


@dataclass(frozen=True)
class Task:
    """One question, asked the same way of every row.

    Parameters
    ----------
    prompt : str
        The instructions.
    schema : Schema
        What an answer looks like, compiled.
    model : str
        The model's name as the endpoint knows it.
    backend : {"openai", "anthropic"}
        The wire format.
    host : str
        The endpoint's host, and its path where that tells deployments apart: loopback addresses
        count as one, ports never count.
    params : mapping
        What is sent beside the messages. ``structured`` and ``tool_name`` are ours: they choose
        how the schema is enforced and what the tool that does is called, and are not sent. What
        ``extra_body`` holds is sent, whether or not the package knows it.
    """

    prompt: str
    schema: Schema
    model: str
    backend: Backend
    host: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        prompt: str,
        schema: object,
        *,
        model: str,
        backend: Backend,
        host: str,
        params: Mapping[str, Any] | None = None,
    ) -> Task:
        """Check the parts and make a task of them.

        Raises
        ------
        UsageError
            If the prompt is blank or a parameter cannot be sent.
        SchemaError
            If the schema cannot be read or the vendor cannot enforce it.
        """
        if not str(prompt or "").strip():
            raise UsageError("prompt= must be a text that says what to ask of each row.")
        compiled = compile_schema(schema)
        compiled.check(backend)
        return cls(prompt, compiled, model, backend, host, _checked_params(params, backend))

    @cached_property
    def prompt_hash(self) -> str:
        """Identity of the task: 32 hex digits."""
        return compute_prompt_hash(
            self.prompt,
            schema=self.schema,
            model=self.model,
            backend=self.backend,
            host=self.host,
            params=self.params,
        )

    @property
    def structured(self) -> str | None:
        """How the user wants the schema enforced; None leaves it to the package."""
        return self.params.get("structured")

    @property
    def sent_params(self) -> dict[str, Any]:
        """The parameters that go into the request."""
        named = {name: value for name, value in self.params.items() if name not in OUR_PARAMS}
        return named | dict(self.params.get("extra_body", {}))

    @property
    def tool_name(self) -> str:
        """What the tool is called, where a tool enforces the schema."""
        return str(self.params.get("tool_name", TOOL_NAME))


def _checked_params(params: Mapping[str, Any] | None, backend: Backend) -> dict[str, Any]:
    checked = dict(params or {})
    extra = checked.get("extra_body", {})
    if not isinstance(extra, Mapping):
        raise UsageError(f"params={{'extra_body': ...}} must be a dict, not {extra!r}.")
    for name in [*checked, *extra]:
        if name in _OURS:
            raise UsageError(f"params={{{name!r}: ...}} cannot be set: {_OURS[name]}.")
    output = checked.get("output_config", extra.get("output_config"))
    if isinstance(output, Mapping) and "format" in output:
        raise UsageError("params={'output_config': {'format': ...}} cannot be set: use schema=.")
    structured = checked.get("structured")
    if structured is not None and structured not in _STRUCTURED[backend]:
        raise UsageError(
            f"params={{'structured': {structured!r}}} is unknown for backend {backend!r}: use one "
            f"of {', '.join(map(repr, _STRUCTURED[backend]))}."
        )
    tool_name = checked.get("tool_name", TOOL_NAME)
    if not (isinstance(tool_name, str) and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool_name)):
        raise UsageError(
            f"params={{'tool_name': {tool_name!r}}} is no name of a tool: use letters, digits, '_' "
            "and '-', at most 64."
        )
    try:
        json.dumps(checked, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"params= must hold plain JSON values: {error}.") from error
    return checked
