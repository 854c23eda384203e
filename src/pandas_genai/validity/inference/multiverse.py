"""One regression under several prompts and models: what depends on the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from pandas_genai.validity.inference.results import Fitted, Regression, flat

__all__ = ["Multiverse", "multiverse"]

_LEVEL = 0.05


class Multiverse(pd.DataFrame):
    """The coefficients of every run: a row a run and coefficient.

    Columns: ``coef``, ``se``, ``p``, ``low``, ``high`` of the corrected estimate, and the same with
    ``naive_`` before it of the labels as they are. The first run is what others are held against.
    """

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def flips(self) -> pd.DataFrame:
        """Return how often the choice of prompt or model changes the finding.

        Returns
        -------
        DataFrame
            A row a coefficient: the share of the other runs in which its ``sign`` differs from the
            first run's, and in which it is significant at 5 % in one and not in the other
            (``significance``), corrected and ``naive_``; ``runs`` counts the others.
        """
        runs = self.index.unique(0)
        first = self.xs(runs[0], level=0)
        rows = {}
        for term in first.index:
            others = self.xs(term, level=1).drop(runs[0])
            row: dict[str, float] = {}
            for prefix in ("", "naive_"):
                known = others[others[f"{prefix}coef"].notna()]
                sign = np.sign(known[f"{prefix}coef"]) != np.sign(first.loc[term, f"{prefix}coef"])
                found = known[f"{prefix}p"] < _LEVEL
                flipped = found != (first.loc[term, f"{prefix}p"] < _LEVEL)
                row[f"{prefix}sign"] = float(sign.mean())
                row[f"{prefix}significance"] = float(flipped.mean())
            rows[term] = {**row, "runs": len(others)}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("term")


def multiverse(fits: Mapping[str, Regression]) -> Multiverse:
    """Put the fits of several runs into one frame.

    Parameters
    ----------
    fits : mapping
        By the names of the runs; the first is what the others are held against.
    """
    return Multiverse(pd.concat({name: _row(fit) for name, fit in fits.items()}, names=["run"]))


def _row(fit: Regression) -> pd.DataFrame:
    frames = []
    for prefix, one in (("", fit), ("naive_", fit.naive)):
        interval = Fitted.conf_int(one)
        columns = {
            "coef": one.params_flat,
            "se": one.errors_flat,
            "p": flat(one.pvalues, one.params_flat),
            "low": interval[0],
            "high": interval[1],
        }
        frames.append(pd.DataFrame(columns).add_prefix(prefix))
    found = pd.concat(frames, axis=1)
    if isinstance(found.index, pd.MultiIndex):
        found.index = pd.Index([": ".join(map(str, label)) for label in found.index])
    return found.rename_axis("term")
