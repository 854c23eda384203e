"""``draft_prompt``: a first prompt and schema for a goal in plain words, to be edited."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pandas as pd

from pandas_genai.backends.resolve import Question
from pandas_genai.errors import GenaiError, RowError, RowsFailedError, SchemaError, UsageError
from pandas_genai.extract.run import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.runs.recorder import ATTR
from pandas_genai.runs.report import find_report
from pandas_genai.task.annotations import Column, Template
from pandas_genai.task.inputs import as_input
from pandas_genai.task.schema import compile_schema
from pandas_genai.task.task import Task
from pandas_genai.task.text import rows_text, series_text

__all__ = ["DraftedPrompt", "draft_prompt"]

_MOST_ROWS = 5
_LONGEST_ROW = 2_000
_KINDS: dict[str, Any] = {
    "text": str,
    "whole number": int,
    "number": float,
    "yes or no": bool,
    "list of texts": [str],
}
_ONE, _ANY = "one of some labels", "any of some labels"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")

_INSTRUCTIONS = """\
You prepare the annotation of a data set: a language model will be given its texts one by one, with
the instructions that you write, and answer the same fields for each of them. The item's text names
the goal in plain words, and may show some of the texts.

Write the instructions in `prompt`, in the language of the goal: one sentence that says what the
model does with each text, then a numbered list with one entry for each field, which says what the
field means, when each label applies, and what to answer where the text does not say. Write no
example answers, and nothing about JSON or about identifiers.

List the fields in `fields`, as few as the goal needs. A `name` is a word in snake_case. A `kind` is
one of the given ones; `labels` lists the labels of a field that is one, or any, of some labels, and
is empty for every other."""

_DRAFT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"type": "string", "enum": [_ONE, _ANY, *_KINDS]},
                    "labels": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["name", "kind", "labels"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["prompt", "fields"],
    "additionalProperties": False,
}


class DraftedPrompt(str):  # noqa: SLOT000 - its schema is an attribute
    """A prompt that a model has drafted: a text like any other, with a schema that goes with it.

    Its ``repr`` is Python: pasted into a cell, it defines ``prompt`` and ``schema``.

    Attributes
    ----------
    schema : dict
        The fields and their types, as ``schema=`` takes them.
    """

    schema: dict[str, Any]

    def __new__(cls, prompt: str, schema: Mapping[str, Any]) -> Self:
        """Join a prompt and its schema."""
        draft = super().__new__(cls, prompt)
        draft.schema = dict(schema)
        return draft

    def __getnewargs__(self) -> tuple[str, dict[str, Any]]:  # type: ignore[override] # str has one
        """Let it be pickled and copied."""
        return str(self), self.schema

    def __str__(self) -> str:
        return "".join(self)

    def __repr__(self) -> str:
        if "\n" not in self:
            return f"prompt = {str(self)!r}\n{self._schema_text()}"
        plain = all(line.isprintable() for line in self.split("\n"))
        if plain and "\\" not in self and '"""' not in self and not self.endswith('"'):
            prompt = f'"""\\\n{self}"""'
        else:
            lines = "\n".join(f"    {line!r}" for line in self.splitlines(keepends=True))
            prompt = f"(\n{lines}\n)"
        return f"prompt = {prompt}\n{self._schema_text()}"

    def _schema_text(self) -> str:
        fields = "".join(f"    {name!r}: {_written(kind)},\n" for name, kind in self.schema.items())
        return f"schema = {{\n{fields}}}"


def draft_prompt(
    goal: str,
    *,
    rows: pd.DataFrame | pd.Series[Any] | Iterable[str] | None = None,
    text: Column | list[Column] | Template | None = None,
    backend: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    client: Any = None,
    print_prompt: bool = True,
) -> DraftedPrompt:
    r"""Let a model draft a prompt and a schema for a goal in plain words. One call is made.

    It is a starting point: read it, edit it, then ask ``extract_df`` or ``df.genai.extract`` with
    it. Nothing is asked of your rows.

    Parameters
    ----------
    goal : str
        What is to be found out from each text.
    rows : DataFrame, Series or iterable of str, optional
        Some of the texts, which are sent along: the first five, each up to 2,000 characters.
    text : column, list of columns, or template, optional
        What is sent of each row of a frame, as in ``df.genai.extract``.
    backend, model, api_key, base_url, client : optional
        As in ``df.genai.extract``.
    print_prompt : bool, default True
        Whether to print the draft.

    Returns
    -------
    DraftedPrompt
        The prompt, a ``str``, with its ``schema``. Its ``repr`` can be pasted into a cell.

    Raises
    ------
    UsageError
        If there is no goal; nothing was sent.
    RowError
        If the model's draft cannot be used.

    Examples
    --------
    >>> from pandas_genai.testing import LoopbackProvider
    >>> fields = [{"name": "tone", "kind": "one of some labels", "labels": ["good", "bad"]}]
    >>> with LoopbackProvider(lambda text: {"prompt": "Tone?", "fields": fields}) as provider:
    ...     draft = draft_prompt("the tone of a review", base_url=provider.openai_url,
    ...                          api_key="k", print_prompt=False)
    >>> draft
    prompt = 'Tone?'
    schema = {
        'tone': ['good', 'bad'],
    }
    """
    if not str(goal or "").strip():
        raise UsageError("goal= must say in plain words what is to be found out from each text.")
    task = Task(_INSTRUCTIONS, _DRAFT, model=model, backend=backend)
    question = Question(task, base_url, api_key, client)
    asked = [_asked(str(goal).strip(), _shown(rows, text))]
    options = RunOptions(False, 1, 1, on_error="raise")
    extraction = Extraction(question, asked, pd.Index([0]), options)
    try:
        reply = extraction.run()
    except RowsFailedError as error:
        (why,) = find_report(error.result.attrs[ATTR], False).errors["message"]
        raise _unusable(why) from error
    draft = _drafted(reply["prompt"].iloc[0], reply["fields"].iloc[0])
    if print_prompt:
        sys.stdout.write(f"{draft!r}\n")
    return draft


def _shown(rows: Any, text: Any) -> list[str]:
    """Return the texts that are sent along."""
    if rows is None:
        return []
    if isinstance(rows, pd.DataFrame):
        texts = rows_text(rows.head(_MOST_ROWS), text)
    else:
        series = rows if isinstance(rows, pd.Series) else pd.Series(list(rows), dtype=object)
        texts = series_text(series.head(_MOST_ROWS))
    return [as_input(one).text[:_LONGEST_ROW] for one in texts if one]


def _asked(goal: str, texts: Iterable[str]) -> str:
    shown = "".join(f"\n\nText {number}:\n{one}" for number, one in enumerate(texts, 1))
    return f"Goal: {goal}{shown}"


def _drafted(prompt: str, fields: Iterable[Mapping[str, Any]]) -> DraftedPrompt:
    """Make a draft of a model's reply.

    Raises
    ------
    RowError
        If it is of no use.
    """
    schema: dict[str, Any] = {}
    for field in fields:
        name, kind = str(field["name"]), str(field["kind"])
        if not _NAME.fullmatch(name) or name in schema or name == "input_id":
            raise _unusable(f"{name!r} cannot be the name of a field, or is there twice")
        labels = list(field["labels"])
        schema[name] = {_ONE: labels, _ANY: [labels]}.get(kind) or _KINDS.get(kind, labels)
    if not prompt.strip():
        raise _unusable("its prompt is empty")
    if not schema:
        raise _unusable("it names no field")
    try:
        compile_schema(schema)
    except SchemaError as error:
        raise _unusable(str(error)) from error
    return DraftedPrompt(prompt.strip(), schema)


def _unusable(why: str) -> GenaiError:
    return RowError(
        f"The model's draft cannot be used ({why}): ask once more or another model=, or write the "
        "prompt yourself.",
        reason="invalid answer",
    )


def _written(kind: object) -> str:
    """Write a type of a schema as Python."""
    if isinstance(kind, type):
        return kind.__name__
    if isinstance(kind, list):
        return f"[{', '.join(map(_written, kind))}]"
    return repr(kind)
