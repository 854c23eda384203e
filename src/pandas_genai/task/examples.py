"""Solved cases: checked against the schema, and held as the model is shown them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import pandas as pd
from pydantic_core import PydanticSerializationError, to_jsonable_python

from pandas_genai.errors import UsageError, printable
from pandas_genai.task.evidence import solved_with_quotes
from pandas_genai.task.schema import Schema
from pandas_genai.task.schema.evidence import evidence_names
from pandas_genai.task.text import is_blank, only_text_column, rows_text

__all__ = ["Solved", "solved_cases"]

Solved: TypeAlias = tuple[tuple[str, str], ...]
"""Of each case the text as it is sent, and the answer as JSON text."""

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def solved_cases(examples: object, schema: Schema, text: object = None) -> Solved:
    """Check solved cases as replies are checked, and write them as the model is shown them.

    Parameters
    ----------
    examples : list of (text, answer), or DataFrame, optional
        Of a frame the text is rendered as ``text`` says, otherwise from its only text column beside
        the fields; other columns are not looked at. With a schema of several records a row, rows
        with the same text are the records of one case.
    schema : Schema
        What an answer looks like.
    text : column, list of columns, or template, optional
        What is sent of each row of a frame.

    Returns
    -------
    tuple of (str, str)

    Raises
    ------
    UsageError
        If an answer does not fit the schema; names the example and the field.

    Examples
    --------
    >>> from pandas_genai.task.schema import compile_schema
    >>> solved_cases([("Great people.", "good")], compile_schema(["good", "bad"]))
    (('Great people.', '{"label": "good"}'),)
    """
    if examples is None:
        return ()
    if isinstance(examples, pd.DataFrame):
        pairs = _from_frame(examples, schema, text)
    elif isinstance(examples, Iterable) and not isinstance(examples, (str, Mapping, pd.Series)):
        pairs = itertools.starmap(_pair, enumerate(examples))
    else:
        raise UsageError(
            "examples= must be a list of pairs (text, answer), or a DataFrame with the text and "
            f"the fields, not a {type(examples).__name__}."
        )
    checked = []
    for number, (case, answer) in enumerate(pairs):
        sent = _checked_text(number, case)
        checked.append((sent, _checked_answer(number, sent, answer, schema)))
    return tuple(checked)


def _pair(number: int, example: object) -> tuple[object, object]:
    if isinstance(example, (tuple, list)) and len(example) == 2:
        return example[0], example[1]
    shown = printable(repr(example), 60)
    raise UsageError(f"examples[{number}] must be a pair (text, answer), not {shown}.")


def _checked_text(number: int, text: object) -> str:
    if not isinstance(text, str) or is_blank(text):
        shown = printable(repr(text), 60)
        raise UsageError(f"examples[{number}]: the text must be a text as it is sent, not {shown}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"examples[{number}]: the text has half of a surrogate pair, which no request can "
            "carry."
        ) from None
    return text


def _checked_answer(number: int, case: str, answer: object, schema: Schema) -> str:
    try:
        known = _without_missing(answer)
        plain = to_jsonable_python(known, by_alias=True, fallback=_plain)
        entry = _entry(plain, schema)
        if schema.evidence:
            return _encode(solved_with_quotes(entry, case, schema))
        return _encode(schema.solved(entry))
    except (ValueError, TypeError, RecursionError, PydanticSerializationError) as error:
        raise UsageError(f"examples[{number}]: {error}") from None


def _without_missing(answer: Any) -> Any:
    """Return an answer in which pandas' missing values are None."""
    if isinstance(answer, Mapping):
        return {name: _without_missing(value) for name, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [_without_missing(value) for value in answer]
    return None if pd.api.types.is_scalar(answer) and pd.isna(answer) else answer


def _plain(value: Any) -> Any:
    """Write what numpy holds as Python does."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ValueError(f"the answer holds {value!r:.60}, which JSON cannot carry.")


def _entry(answer: object, schema: Schema) -> dict[str, Any]:
    """Return an answer as the entry of a reply: a label stands for the only field."""
    if not schema.many:
        return _record(answer, schema)
    if not isinstance(answer, list):
        message = f"the answer {answer!r:.60} must be a list: the schema has several records a row."
        raise ValueError(message)  # noqa: TRY004 - as every other fault of an example
    return {"records": [_record(record, schema) for record in answer]}


def _record(answer: object, schema: Schema) -> dict[str, Any]:
    names = [field.name for field in schema.fields]
    if not isinstance(answer, Mapping):
        if len(names) == 1:
            return {names[0]: answer}
        wanted = f"the fields {', '.join(map(repr, names))}" if names else "its fields"
        raise ValueError(f"the answer {answer!r:.60} must be a dict with {wanted}.")
    known = set(names) if schema.asked is None else {*names, *schema.asked["properties"]}
    unknown = [name for name in answer if name not in known]
    if unknown and known:
        raise ValueError(
            f"the schema has no field {unknown[0]!r}: it has {', '.join(map(repr, names))}."
        )
    return dict(answer)


def _from_frame(
    frame: pd.DataFrame, schema: Schema, text: object
) -> Iterator[tuple[object, object]]:
    names = [field.name for field in schema.fields] + [
        evidence_names(name)[0] for name in schema.evidence
    ]
    if not names:
        raise UsageError(
            "examples= as a frame needs a schema, whose fields are its columns: without one write "
            "examples=[(text, {...}), ...]."
        )
    present = [name for name in names if name in frame.columns]
    if not present:
        raise UsageError(
            f"examples= has no column {names[0]!r}: a frame of solved cases has the text and the "
            f"fields {', '.join(map(repr, names))}."
        )
    beside = frame.drop(columns=present)
    texts = rows_text(frame, only_text_column(beside) if text is None else text)
    rows = zip(*(frame[name].tolist() for name in present), strict=True)
    answers = [dict(zip(present, row, strict=True)) for row in rows]
    if not schema.many:
        return iter(zip(texts, answers, strict=True))
    cases: dict[object, list[Any]] = {}
    for case, record in zip(texts, answers, strict=True):
        records = cases.setdefault(case, [])
        if not all(_without_missing(value) is None for value in record.values()):
            records.append(record)
    return iter(cases.items())
