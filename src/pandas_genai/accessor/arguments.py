"""What users write, checked where they write it: every message says what to write instead."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import pandas as pd

from pandas_genai.backends.resolve import Question
from pandas_genai.errors import StopRunError, UsageError
from pandas_genai.redaction import public_url
from pandas_genai.task.task import PARTS, Task

__all__ = ["checked_text", "named_arguments", "task_of", "with_advice"]

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
            is_series = isinstance(vars(args[0]).get("_data"), pd.Series)
            raise _too_many(free, args[len(free) :], takes_text="text" in known and not is_series)
        for name, value in kwargs.items():
            if name not in known:
                raise _unknown(name, value, known)
        if "prompt" in known and len(args) < 2 and "prompt" not in kwargs:
            raise UsageError("prompt= is missing: say first what to ask of each row.")
        return method(*args, **kwargs)

    return checked


def _too_many(free: list[str], extra: tuple[object, ...], *, takes_text: bool) -> UsageError:
    names = " and ".join(f"{name}=" for name in free[1:])
    hint = "write the others with their names"
    if takes_text and isinstance(extra[0], (str, list)):
        hint = f"write text={extra[0]!r}"
    return UsageError(f"Only {names} may stand without a name: {hint}.")


def _unknown(name: str, value: object, known: list[str]) -> UsageError:
    if "params" in known and name in _SENT:
        return UsageError(f"{name}= goes into params=: write params={{{name!r}: {value!r}}}.")
    near = get_close_matches(name, known[1:], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}=?" if near else f"it takes {', '.join(known[1:])}."
    if not near and "params" in known:
        hint += f" What goes to the model stands in params={{{name!r}: ...}}."
    return UsageError(f"There is no argument {name}=: {hint}")


def task_of(given: Mapping[str, Any]) -> Task:
    """Return the task that a verb was given, whole or in its parts.

    Raises
    ------
    UsageError
        If both were given, or a part is wrong.
    SchemaError
        If the schema cannot be read.
    """
    prompt = given["prompt"]
    if not isinstance(prompt, Task):
        return Task(**{name: given[name] for name in PARTS})
    beside = [name for name in PARTS if name != "prompt" and given[name] is not None]
    if beside:
        names = ", ".join(f"{name}=" for name in beside)
        changes = ", ".join(f"{name}=..." for name in beside)
        raise UsageError(
            f"The task has its own {names}: leave {names} out, or write task.with_({changes})."
        )
    return prompt


def checked_text(frame: pd.DataFrame, text: object) -> None:
    """Refuse a list of texts where names of columns are wanted.

    Raises
    ------
    UsageError
        If none of them is a column of the frame.
    """
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
            message, better = str(error).rstrip("."), f"{url.rstrip('/')}/v1"
            error.args = (f"{message}. base_url= has no path: servers often want {better!r}.",)
        raise
