"""What may stand in ``params=``, whatever the endpoint."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from pandas_genai.errors import UsageError
from pandas_genai.task.rules import rules_of

__all__ = ["OUR_PARAMS", "TOOL_NAME", "check_structured", "checked_params"]

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


def checked_params(params: object) -> dict[str, Any]:
    """Return a copy of ``params=`` after every check that needs no endpoint.

    Raises
    ------
    UsageError
        If a parameter cannot be sent.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise UsageError(
            f"params= must be a mapping such as {{'temperature': 0}}, not {params!r:.60}."
        )
    checked = dict(params)
    extra = checked.get("extra_body", {})
    if not isinstance(extra, Mapping):
        raise UsageError(f"params={{'extra_body': ...}} must be a dict, not {extra!r}.")
    for name in [*checked, *extra]:
        if name in _OURS:
            raise UsageError(f"params={{{name!r}: ...}} cannot be set: {_OURS[name]}.")
    output = checked.get("output_config", extra.get("output_config"))
    if isinstance(output, Mapping) and "format" in output:
        raise UsageError("params={'output_config': {'format': ...}} cannot be set: use schema=.")
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
    return copy.deepcopy(checked)


def check_structured(params: Mapping[str, Any], backend: str) -> None:
    """Refuse a way of enforcing the schema that a wire format does not have.

    Raises
    ------
    UsageError
        With the ways that it has.
    """
    structured = params.get("structured")
    modes = rules_of(backend).output_modes
    if structured is not None and structured not in modes:
        raise UsageError(
            f"params={{'structured': {structured!r}}} is unknown for backend {backend!r}: use one "
            f"of {', '.join(map(repr, modes))}."
        )
