"""What ``text=`` said, so that a later kernel renders the same texts of the same columns."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.report.report import label_json
from pandas_genai.task.text import only_text_column, rows_text

__all__ = ["said_text", "texts_again"]


def said_text(frame: pd.DataFrame, text: Any) -> dict[str, Any]:
    """Write ``text=`` down as JSON; where it was left out, the column that was meant."""
    if text is None:
        text = only_text_column(frame)
    if isinstance(text, (list, pd.Index)):
        return {"columns": [json.loads(label_json(name)) for name in text]}
    if isinstance(text, str) and text not in frame.columns:
        return {"template": text}
    return {"column": json.loads(label_json(text))}


def texts_again(frame: pd.DataFrame, said: dict[str, Any]) -> list[str | None]:
    """Render the text of each row as it was rendered when the job was submitted.

    Raises
    ------
    UsageError
        If the frame has no such column.
    """
    if "template" in said:
        return rows_text(frame, said["template"])
    if "columns" in said:
        return rows_text(frame, [_found(frame, name) for name in said["columns"]])
    return rows_text(frame, _found(frame, said["column"]))


def _found(frame: pd.DataFrame, said: object) -> Any:
    """Return the column whose label was written down as this."""
    for name in frame.columns:
        if json.loads(label_json(name)) == said:
            return name
    raise UsageError(
        f"The job was submitted with the text of column {said!r}, which this frame does not have: "
        "collect with the frame that was submitted, or without one by open_job(name).collect()."
    )
