"""The task at one endpoint: what is asked of every row there; its hash covers all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pandas_genai.task.examples import Solved
from pandas_genai.task.fingerprint import hash_of
from pandas_genai.task.params import OUR_PARAMS, TOOL_NAME, check_structured
from pandas_genai.task.reply import RowCheck
from pandas_genai.task.schema import Schema
from pandas_genai.task.task import Task

__all__ = ["BoundTask"]


@dataclass(frozen=True)
class BoundTask:
    """One task, asked the same way of every row at one endpoint.

    Parameters
    ----------
    prompt : str
        The instructions.
    schema : Schema
        What an answer looks like, compiled.
    model : str
        The model's name as the endpoint knows it.
    backend : str
        The wire format's name.
    host : str
        The endpoint's host, and its path where that tells deployments apart: loopback addresses
        count as one, ports never count.
    params : mapping
        What is sent beside the messages. ``structured`` and ``tool_name`` are ours: they choose
        how the schema is enforced and what the tool that does is called, and are not sent. What
        ``extra_body`` holds is sent, whether or not the package knows it.
    examples : tuple of (str, str)
        Solved cases: the text, and the answer as JSON text.
    checks : tuple of RowCheck
        What is held against each row's input besides the schema; not part of the hash.
    """

    prompt: str
    schema: Schema
    model: str
    backend: str
    host: str
    params: Mapping[str, Any] = field(default_factory=dict)
    examples: Solved = ()
    checks: tuple[RowCheck, ...] = ()

    @classmethod
    def of(cls, task: Task, *, model: str, backend: str, host: str) -> BoundTask:
        """Bind a task to an endpoint.

        Raises
        ------
        UsageError
            If a parameter is unknown to the wire format.
        SchemaError
            If the vendor cannot enforce the schema.
        """
        task.compiled.check(backend)
        params = dict(task.params or {})
        check_structured(params, backend)
        return cls(task.prompt, task.compiled, model, backend, host, params, task.solved)

    @cached_property
    def prompt_hash(self) -> str:
        """Identity of the task: 32 hex digits."""
        return hash_of(
            prompt=self.prompt,
            schema=self.schema,
            model=self.model,
            backend=self.backend,
            host=self.host,
            params=self.params,
            examples=self.examples,
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
