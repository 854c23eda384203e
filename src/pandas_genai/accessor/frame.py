"""``df.genai``: the verbs, and what answers can be asked."""

from __future__ import annotations

import pandas as pd

from pandas_genai.accessor.archiving import Archiving
from pandas_genai.accessor.checking import Checking
from pandas_genai.accessor.estimating import Estimating
from pandas_genai.accessor.origin import run_of
from pandas_genai.accessor.results import Results
from pandas_genai.accessor.verbs import Verbs
from pandas_genai.errors import counted

__all__ = ["FrameAccessor"]


class FrameAccessor(Verbs, Results, Checking, Estimating, Archiving):
    """What ``df.genai`` offers.

    Parameters
    ----------
    data : DataFrame
        The rows.
    """

    def __init__(self, data: pd.DataFrame) -> None:
        self._data: pd.DataFrame = data

    def __repr__(self) -> str:
        rows = counted(len(self._data), "row")
        run_id = run_of(self._data)
        if run_id is not None:
            return f"{rows} of answers (run {run_id}): .report .errors .show() .plot() .join(df)"
        return (
            f"{rows} to ask: .preview(prompt, schema) .estimate(...) .extract(...), and at the "
            "batch API .batch_submit(...) .batch_collect()"
        )
