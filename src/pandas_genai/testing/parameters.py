"""Which parameters OpenAI's models take (November 2026)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pandas_genai.testing.asked import Problem

__all__ = ["check_parameters"]

_REASONING = re.compile(r"gpt-([5-9]|\d\d)|o\d")
_TAKES_EFFORT_NONE = re.compile(r"gpt-(5\.[1-9]|[6-9]|\d\d)")


def check_parameters(model: str, body: Mapping[str, Any]) -> None:
    """Apply OpenAI's own rules of what reasoning models and others take.

    Raises
    ------
    Problem
        A 400 that names the parameter.
    """
    effort = body.get("reasoning_effort")
    if not _REASONING.match(model):
        if effort is not None:
            raise _unsupported("reasoning_effort", "Unrecognized request argument supplied: ")
        return
    if "max_tokens" in body:
        raise Problem(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if effort == "none" and not _TAKES_EFFORT_NONE.match(model):
        raise _unsupported_value("reasoning_effort", effort)
    for name in ("temperature", "top_p"):
        if effort != "none" and body.get(name, 1) != 1:
            raise _unsupported_value(name, body[name])


def _unsupported(name: str, words: str) -> Problem:
    return Problem(400, f"{words}{name}", param=name, code="unsupported_parameter")


def _unsupported_value(name: str, value: object) -> Problem:
    return Problem(
        400,
        f"Unsupported value: '{name}' does not support {json.dumps(value)} with this model.",
        param=name,
        code="unsupported_value",
    )
