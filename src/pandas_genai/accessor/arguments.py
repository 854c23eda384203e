"""What users write, checked where they write it: every message says what to write instead."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

import pandas as pd

from pandas_genai.backends.resolve import Question
from pandas_genai.errors import StopRunError, UsageError
from pandas_genai.redaction import public_url

__all__ = ["checked_text", "named_arguments", "question_of", "with_advice"]

P = ParamSpec("P")
R = TypeVar("R")

_SENT = frozenset(
    {"temperature", "max_tokens", "top_p", "top_k", "seed", "reasoning_effort", "stop", "thinking"}
    | {"max_completion_tokens", "frequency_penalty", "presence_penalty", "service_tier", "logprobs"}
)
"""What belongs into ``params=``."""


def named_arguments(method: Callable[P, R]) -> Callable[P, R]:
    """Say what is wrong with an argument that Python would only call unexpected."""
    signature = inspect.signature(method)
    known = list(signature.parameters)
    free = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]

    @functools.wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > len(free):
            raise _too_many(known, free, args[len(free) :])
        for name, value in kwargs.items():
            if name not in known:
                raise _unknown(name, value, known)
        if "prompt" in known and len(args) < 2 and "prompt" not in kwargs:
            raise UsageError("prompt= is missing: say first what to ask of each row.")
        return method(*args, **kwargs)

    return checked


def _too_many(known: list[str], free: list[str], extra: tuple[object, ...]) -> UsageError:
    names = " and ".join(f"{name}=" for name in free[1:])
    hint = "write the others with their names"
    if "text" in known and isinstance(extra[0], (str, list)):
        hint = f"write text={extra[0]!r}"
    return UsageError(f"Only {names} may stand without a name: {hint}.")


def _unknown(name: str, value: object, known: list[str]) -> UsageError:
    if name == "text":
        return UsageError("The Series is the text itself: leave text= out.")
    if "params" in known and name in _SENT:
        return UsageError(f"{name}= goes into params=: write params={{{name!r}: {value!r}}}.")
    near = get_close_matches(name, known[1:], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}=?" if near else f"it takes {', '.join(known[1:])}."
    if not near and "params" in known:
        hint += f" What goes to the model stands in params={{{name!r}: ...}}."
    return UsageError(f"There is no argument {name}=: {hint}")


def question_of(
    prompt: object,
    schema: object,
    model: str | None,
    backend: str | None,
    base_url: str | None,
    api_key: str | None,
    client: object,
    params: object,
) -> Question:
    """Make a question of what a user wrote.

    Parameters
    ----------
    prompt, schema, model, backend, base_url, api_key, client, params
        The arguments of ``df.genai.extract``.

    Raises
    ------
    UsageError
        If prompt and schema are swapped, or the parameters are no mapping.
    """
    if not isinstance(prompt, str):
        if isinstance(schema, str) and not os.path.exists(schema):  # noqa: PTH110 - any text may come
            raise UsageError("prompt= and schema= are swapped: the prompt comes first.")
        raise UsageError(
            f"prompt= must be a text that says what to ask of each row, not {_kind(prompt)}."
        )
    if params is not None and not isinstance(params, Mapping):
        raise UsageError(
            f"params= must be a mapping such as {{'temperature': 0}}, not {params!r:.60}."
        )
    sent = cast("Mapping[str, Any] | None", params)
    return Question(prompt, schema, model, backend, base_url, api_key, client, sent)


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def checked_text(frame: pd.DataFrame, text: object) -> None:
    """Refuse texts where the name of a column is wanted.

    Raises
    ------
    UsageError
        If ``text=`` is a Series, or a list of texts.
    """
    if isinstance(text, pd.Series):
        known = text.name in frame.columns if text.name is not None else False
        write = f"text={text.name!r}" if known else "the name of a column of the frame"
        raise UsageError(
            f"text= takes the name of a column, not the Series itself: write {write}, or ask the "
            "Series: series.genai.extract(...)."
        )
    if isinstance(text, pd.DataFrame):
        raise UsageError(f"text= takes names of columns: write text={list(text.columns)!r:.200}.")
    names = text if isinstance(text, (list, tuple)) else []
    texts = [name for name in names if isinstance(name, str) and name not in frame.columns]
    if texts and len(texts) == len(names):
        raise UsageError(
            "text= takes names of columns, and none of these is one (the frame has "
            f"{', '.join(map(repr, frame.columns[:20]))}): put texts into a column, or ask "
            "pd.Series(texts).genai.extract(...)."
        )


@contextmanager
def with_advice(question: Question) -> Iterator[None]:
    """Say what may be behind a server's "not found", where the address looks incomplete."""
    try:
        yield
    except StopRunError as error:
        url = public_url(question.base_url or "")
        if url and error.reason == "not found" and urlsplit(url).path in {"", "/"}:
            said, better = str(error).rstrip("."), f"{url.rstrip('/')}/v1"
            error.args = (f"{said}. base_url= has no path: servers often want {better!r}.",)
        raise
