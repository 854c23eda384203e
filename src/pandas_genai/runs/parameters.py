"""The parameters of a run as they were sent, beside those that were asked for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pandas_genai.backends.registry import backend_named
from pandas_genai.errors import printable, warn_user
from pandas_genai.task.fingerprint import canonical_json
from pandas_genai.task.task import BoundTask

__all__ = ["ParameterLeftOutWarning", "left_out", "params_columns", "together", "warn_left_out"]


class ParameterLeftOutWarning(UserWarning):
    """A parameter that was asked for is not taken by the endpoint, and was not sent."""


def together(kinds: Iterable[str]) -> dict[str, Any]:
    """Return the parameters of several calls, each a JSON object as text.

    A parameter that was not the same in all of them has the list of its values, with None for calls
    without it.

    Examples
    --------
    >>> together(['{"structured":"strict","temperature":0}', '{"structured":"strict"}'])
    {'structured': 'strict', 'temperature': [0, None]}
    """
    parsed: list[dict[str, Any]] = [json.loads(kind) for kind in kinds if kind]
    found: dict[str, Any] = {}
    for name in sorted({name for params in parsed for name in params}):
        values: list[Any] = []
        for params in parsed:
            value = params.get(name)
            if value not in values:
                values.append(value)
        found[name] = values[0] if len(values) == 1 else values
    return found


def left_out(
    asked: Mapping[str, Any], kinds: Iterable[str], limit_names: Collection[str]
) -> dict[str, Any]:
    """Return what was asked for and missing in some of the calls that were answered.

    ``limit_names`` are names of one parameter: which of them is sent depends on the endpoint.
    """
    sent: list[dict[str, Any]] = [json.loads(kind) for kind in kinds if kind]
    found = {}
    for name, value in asked.items():
        names = set(limit_names) if name in limit_names else {name}
        unsent = any(not names & params.keys() for params in sent)
        # The way in which a schema is enforced is always sent, but maybe another.
        changed = name == "structured" and any(params.get(name) != value for params in sent)
        if unsent or changed:
            found[name] = value
    return found


def params_columns(task: BoundTask, kinds: Iterable[str]) -> dict[str, str | None]:
    """Return what was sent and left out under the names of a run's columns."""
    kinds = [kind for kind in kinds if kind]
    if not kinds:
        return {"params_sent": None, "params_dropped": None}
    asked, limit_names = task.sent_params, backend_named(task.backend).limit_names
    if task.structured is not None:
        asked = asked | {"structured": task.structured}
    return {
        "params_sent": canonical_json(together(kinds)),
        "params_dropped": canonical_json(left_out(asked, kinds, limit_names)),
    }


def warn_left_out(params: Mapping[str, Any], where: str) -> None:
    """Say in one line what was not sent, at the user's line of code.

    How a schema is enforced is a matter of the record alone: answers are held against it anyway.
    """
    named = {name: value for name, value in params.items() if name != "structured"}
    if named:
        shown = ", ".join(f"{name}={value!r}" for name, value in named.items())
        warn_user(
            printable(
                f"{where} does not take {shown}: left out, so these answers were made without it."
            ),
            ParameterLeftOutWarning,
        )
