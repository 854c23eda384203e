"""``pandas_genai.compare``: results of other prompts and other models side by side."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from pandas_genai.accessor.origin import all_texts, answer_columns, report_of
from pandas_genai.display.comparison import ComparisonCard
from pandas_genai.errors import UsageError
from pandas_genai.runs import Report
from pandas_genai.task.annotations import Column, Series, Template
from pandas_genai.task.repeats import share_name
from pandas_genai.task.schema.evidence import evidence_names
from pandas_genai.validity.compare import Comparison
from pandas_genai.validity.compare import compare as compared

__all__ = ["compare"]


def compare(
    results: Mapping[str, pd.DataFrame],
    *,
    text: Column | list[Column] | Template | Series | None = None,
    gold: pd.DataFrame | Series | None = None,
) -> Comparison:
    """Compare results for the same rows: other prompts, other models, another run.

    Parameters
    ----------
    results : mapping of str to DataFrame
        What ``extract`` or ``batch_collect`` returned, or a frame that it was joined to, each under
        a name. All have the same index labels, in any order.
    text : column, list of columns, template or Series, optional
        The texts, for ``.changed``; left out: what the model read, as long as it is in memory.
    gold : DataFrame or Series, optional
        Hand codes, against which each result is evaluated.

    Returns
    -------
    Comparison
        ``.agreement`` of each pair and field with intervals, ``.runs`` (cost, time, failures),
        ``.gold``, ``.changed(first, second)`` and ``.confusion(first, second)``; a card in a
        notebook.

    Raises
    ------
    UsageError
        If there are fewer than two results, they are not about the same rows, or have no column
        in common.

    Examples
    --------
    >>> import pandas as pd, pandas_genai
    >>> tones = pd.CategoricalDtype(["good", "bad"])
    >>> short = pd.DataFrame({"tone": ["good", "good", "bad", "bad"]}, dtype=tones)
    >>> long = pd.DataFrame({"tone": ["good", "bad", "bad", "bad"]}, dtype=tones)
    >>> texts = pd.Series(["Great.", "Well.", "Awful.", "Never again."])
    >>> found = pandas_genai.compare({"short": short, "long": long}, text=texts)
    >>> found.changed("short", "long")
        text tone (short) tone (long)
    1  Well.         good         bad
    >>> values = found.agreement.set_index("coefficient")["value"]
    >>> values[["alpha", "percent"]].round(2).to_dict()
    {'alpha': 0.53, 'percent': 0.75}
    """
    if not isinstance(results, Mapping):
        raise UsageError(
            "compare takes results under their names: compare({'prompt A': a, 'prompt B': b})."
        )
    for name, frame in results.items():
        if not isinstance(frame, pd.DataFrame):
            raise UsageError(f"{name!r} is a {type(frame).__name__}, not a DataFrame of labels.")
    frames = {str(name): frame[_fields(frame)] for name, frame in results.items()}
    reports = {str(name): _report(frame) for name, frame in results.items()}
    texts = _texts(next(iter(results.values()), pd.DataFrame()), text)
    return ComparisonCard.showing(compared(frames, reports, texts, gold))


def _fields(frame: pd.DataFrame) -> list[Hashable]:
    """Return the columns that are answers, without what stands beside them."""
    answers = answer_columns(frame) or list(frame.columns)
    beside = {name for field in answers for name in evidence_names(str(field))}
    beside |= {share_name(str(field)) for field in answers}
    return [name for name in answers if name not in beside]


def _report(frame: pd.DataFrame) -> Report | None:
    try:
        return report_of(frame)
    except UsageError:
        return None


def _texts(frame: pd.DataFrame, source: Any) -> pd.Series[Any] | None:
    """Return the texts; None where they are not given and not known."""
    try:
        return pd.Series(all_texts(frame, source), index=frame.index, dtype=object)
    except UsageError:
        if source is not None:
            raise
        return None
