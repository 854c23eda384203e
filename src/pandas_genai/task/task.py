"""The task: what is asked of every row, and the same at one endpoint. Immutable."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError, printable
from pandas_genai.task.annotations import Answer, Column, Json, Shorthand, Template
from pandas_genai.task.examples import Solved, solved_cases
from pandas_genai.task.fingerprint import canonical_json, hash_of
from pandas_genai.task.params import OUR_PARAMS, TOOL_NAME, check_structured, checked_params
from pandas_genai.task.reply import RowCheck
from pandas_genai.task.rules import rules_of
from pandas_genai.task.schema import Schema, compile_schema

__all__ = ["PARTS", "BoundTask", "Task", "note_endpoint"]

PARTS = ("prompt", "schema", "model", "backend", "params", "text", "examples", "evidence")
"""What a task is made of: the arguments that a verb does not take beside one."""

_SHOWN = 200


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    r"""What is asked of every row, typed once and passed to every verb in place of the prompt.

    Where it is asked (``base_url=``, ``api_key=``, ``client=``) and how (``chunk_size=``,
    ``cache=``, ...) are options of the verbs.

    Parameters
    ----------
    prompt : str
        The instructions.
    schema : optional
        What an answer looks like, in any form that ``df.genai.extract`` takes. Left out: the
        prompt says what to return.
    model, backend : str, optional
        As in ``df.genai.extract``.
    params : mapping, optional
        Sent beside the messages, such as ``{"temperature": 0}``.
    text : column, list of columns, or template, optional
        What is sent of each row of a DataFrame; a Series is the text itself. It is no part of the
        identity: equal texts have equal answers, whatever column they come from.
    examples : list of (text, answer), or DataFrame, optional
        Solved cases for the model: an answer is a dict of the fields, a label where there is one
        field, a list of them where the schema has several records a row. Each is checked as a
        reply is. A frame has the text and the fields as columns.
    evidence : bool or list of str, optional
        The fields for which the model quotes the words that they rest on; True for all. A solved
        case then has these words, too, as ``<field>_quote``.

    Attributes
    ----------
    prompt_hash : str or None
        Identity of the task, under which its answers are kept: it covers prompt, schema, model,
        parameters, examples, evidence and the endpoint, and so is known once a verb has taken
        the task.

    Raises
    ------
    UsageError, SchemaError
        Where it is made, with the part that is wrong.

    Examples
    --------
    >>> import pandas as pd, pandas_genai
    >>> task = Task("Tone of the review?", ["good", "bad"], params={"temperature": 0},
    ...             examples=[("The desk was closed.", "bad")])
    >>> task
    Task: Tone of the review?
      schema    label: good, bad
      params    {'temperature': 0}
      examples  1
      hash      not known before a verb has taken the task; .preview(task) sends nothing
    >>> df = pd.DataFrame({"review": ["Great people."]})
    >>> request, = df.genai.preview(task)
    >>> df.genai.estimate(task).texts
    1
    >>> task
    Task: Tone of the review?
      schema    label: good, bad
      params    {'temperature': 0}
      examples  1
      hash      ee06efef5d60280f397f346426c6251b (gpt-6-luna at api.openai.com)
    """

    prompt: str
    schema: Shorthand | type | Path | None = None
    _: KW_ONLY
    model: str | None = None
    backend: str | None = None
    params: Mapping[str, Json] | None = None
    text: Column | list[Column] | Template | None = None
    examples: Iterable[tuple[str, Answer]] | pd.DataFrame | None = None
    evidence: bool | Sequence[str] | None = None
    compiled: Schema = field(init=False)
    solved: Solved = field(init=False)
    _endpoint: tuple[str, str, str] | None = field(init=False)

    def __post_init__(self) -> None:
        _check_prompt(self.prompt, self.schema)
        _check_model(self.model)
        bare = compile_schema(self.schema)
        compiled = bare if self.evidence is None else bare.with_evidence(self.evidence)
        params = checked_params(self.params)
        if self.backend is not None:
            rules_of(self.backend)
            compiled.check(self.backend)
            check_structured(params, self.backend)
        text = _checked_text(self.text)
        solved = solved_cases(self.examples, compiled, text)
        self._set(
            schema=_kept(self.schema, bare),
            params=MappingProxyType(params),
            text=text,
            examples=tuple((case, json.loads(answer)) for case, answer in solved),
            evidence=tuple(self.evidence) if isinstance(self.evidence, list) else self.evidence,
            compiled=compiled,
            solved=solved,
            _endpoint=None,
        )

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def prompt_hash(self) -> str | None:
        """Identity of the task where a verb took it last; None before."""
        return None if self._endpoint is None else self._endpoint[0]

    def with_(self, **changes: Any) -> Task:
        """Return a variant: the same task with other parts.

        Parameters
        ----------
        **changes
            The parts that differ, named as where a task is made.

        Returns
        -------
        Task

        Raises
        ------
        UsageError, SchemaError
            If a part is wrong, or there is no such part.

        Examples
        --------
        >>> task = Task("Tone?", ["good", "bad"], model="gpt-6-luna")
        >>> task.with_(prompt="Tone of the review?").model
        'gpt-6-luna'
        >>> task.with_() == task
        True
        """
        for name in changes:
            if name not in PARTS:
                near = get_close_matches(name, PARTS, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]}=?" if near else f"its parts are {', '.join(PARTS)}."
                raise UsageError(f"A task has no part {name}=: {hint}")
        return type(self)(**{**self._parts(), **changes})

    def _parts(self) -> dict[str, Any]:
        """Return the arguments that make an equal task."""
        parts = {name: getattr(self, name) for name in PARTS}
        return parts | {"params": dict(self.params or {}), "examples": list(self.examples or ())}

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_of, (type(self), self._parts()), {"_endpoint": self._endpoint}

    def _identity(self) -> tuple[object, ...]:
        params = canonical_json(dict(self.params or {}))
        text = repr(self.text)
        return (self.prompt, self.compiled, self.model, self.backend, params, text, self.solved)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        lines = [f"Task: {_short(self.prompt)}", f"  schema    {_described(self.compiled)}"]
        if self.model or self.backend:
            who = [self.model, f"backend {self.backend}" if self.backend else None]
            lines.append(f"  model     {', '.join(filter(None, who))}")
        if self.params:
            lines.append(f"  params    {_short(repr(dict(self.params)))}")
        if self.text is not None:
            lines.append(f"  text      {_short(repr(self.text))}")
        if self.solved:
            lines.append(f"  examples  {len(self.solved)}")
        if self.compiled.evidence:
            lines.append(f"  evidence  {_short(', '.join(self.compiled.evidence))}")
        where = "not known before a verb has taken the task; .preview(task) sends nothing"
        if self._endpoint is not None:
            where = "{} ({} at {})".format(*self._endpoint)
        return "\n".join([*lines, f"  hash      {where}"])


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
    variant : str, default ""
        Tells answers apart that the same request gets under other conditions, such as other rows
        beside it. It is part of the hash where it is not empty, and is not sent.
    """

    prompt: str
    schema: Schema
    model: str
    backend: str
    host: str
    params: Mapping[str, Any] = field(default_factory=dict)
    examples: Solved = ()
    checks: tuple[RowCheck, ...] = ()
    variant: str = ""

    @classmethod
    def of(cls, task: Task, *, model: str, backend: str, host: str, variant: str = "") -> BoundTask:
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
        solved = task.solved
        return cls(
            task.prompt, task.compiled, model, backend, host, params, solved, variant=variant
        )

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
            variant=self.variant,
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


def note_endpoint(task: Task, bound: BoundTask) -> None:
    """Let a task know under which hash it is asked."""
    object.__setattr__(task, "_endpoint", (bound.prompt_hash, bound.model, bound.host))


def _made_of(kind: type[Task], parts: Mapping[str, Any]) -> Task:
    return kind(**parts)


def _check_prompt(prompt: object, schema: object) -> None:
    if not isinstance(prompt, str):
        if isinstance(schema, str) and not os.path.exists(schema):  # noqa: PTH110 - any text may come
            raise UsageError("prompt= and schema= are swapped: the prompt comes first.")
        kind = "None" if prompt is None else f"a {type(prompt).__name__}"
        raise UsageError(f"prompt= must be a text that says what to ask of each row, not {kind}.")
    if not prompt.strip():
        raise UsageError("prompt= must be a text that says what to ask of each row.")


def _check_model(model: object) -> None:
    if model is not None and not (isinstance(model, str) and model.strip()):
        raise UsageError(f"model= must be the name of a model, not {model!r:.60}.")


def _checked_text(text: object) -> Any:
    """Refuse texts where the name of a column is wanted; copy a list of names."""
    if isinstance(text, pd.Series):
        write = f"text={text.name!r}" if text.name is not None else "the name of a column"
        raise UsageError(
            f"text= takes the name of a column, not the Series itself: write {write}, or ask the "
            "Series: series.genai.extract(...)."
        )
    if isinstance(text, pd.DataFrame):
        raise UsageError(f"text= takes names of columns: write text={list(text.columns)!r:.200}.")
    return list(text) if isinstance(text, (list, pd.Index)) else text


def _kept(schema: object, compiled: Schema) -> object:
    """Return a schema as it was given, of a file what it says: neither may change afterwards."""
    if isinstance(schema, (str, os.PathLike)):
        return json.loads(compiled.canonical)
    return copy.deepcopy(schema) if isinstance(schema, (dict, list)) else schema


def _described(schema: Schema) -> str:
    if schema.free:
        return "as the prompt says"
    fields = []
    for column in schema.fields:
        kind = ", ".join(map(str, column.labels)) if column.labels else column.kind
        fields.append(f"{column.name}: {kind}{', or nothing' if column.nullable else ''}")
    return _short("; ".join(fields)) + (" (several records a row)" if schema.many else "")


def _short(text: str) -> str:
    return printable(" ".join(text.split()), _SHOWN)
