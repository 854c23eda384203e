"""The labels of a choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pandas_genai.errors import SchemaError
from pandas_genai.task.schema.nodes import cut

__all__ = ["checked_labels", "label_type"]


def label_type(label: object) -> str:
    """Return the JSON type of a label."""
    if isinstance(label, bool):
        return "boolean"
    if isinstance(label, int):
        return "integer"
    return "number" if isinstance(label, float) else "string"


def checked_labels(labels: Sequence[object], where: str) -> list[Any]:
    """Return the labels of a choice, null left out, if each can be told from the others.

    Raises
    ------
    SchemaError
        If there is none, or one is no plain value or there twice.
    """
    kept = [label for label in labels if label is not None]
    if not kept:
        raise SchemaError(f"{where} has an empty list of labels: give at least one label.")
    for label in kept:
        if not isinstance(label, str | int | float):
            raise SchemaError(
                f"{where} has the label {cut(label)}, a {type(label).__name__}: a label must be a "
                "text, a number or a truth value."
            )
        if isinstance(label, float) and not math.isfinite(label):
            raise SchemaError(f"{where} has the label {label}, which JSON cannot carry.")
    for place, label in enumerate(kept):
        if label in kept[:place]:
            raise SchemaError(
                f"{where} has the label {cut(label)} twice (1, 1.0 and true count as equal): "
                "remove one."
            )
    return kept
