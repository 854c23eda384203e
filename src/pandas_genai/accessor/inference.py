"""The functions that estimate from labels: for any frame, whoever made its labels."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.display.estimates import ShownPower, ShownRegression, ShownShares
from pandas_genai.task.annotations import Column, Series
from pandas_genai.validity.inference.calibration import Calibrator
from pandas_genai.validity.inference.power import power as foreseen
from pandas_genai.validity.inference.regression import regress as estimated
from pandas_genai.validity.inference.shares import shares as counted

__all__ = ["names_at", "power", "regress", "shares"]


def regress(
    formula: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Column | Series],
    probability: float | Column | Series | None = None,
    *,
    family: str = "linear",
    cluster: Column | Series | None = None,
    fixed_effects: str | Sequence[str] | None = None,
    rng: int | np.random.Generator = 0,
    power_tuning: bool = True,
    calibrator: Calibrator | None = None,
) -> ShownRegression:
    """Estimate a regression on labels with errors, corrected by the rows coded by hand.

    The estimator is design-based supervised learning: predictions stand for all rows, and the
    rows coded by hand, whose probabilities to be drawn are known, take out what the predictions
    get wrong, whatever that is. Three estimates come back together: labels as they are, the
    hand-coded rows alone, and the corrected one.

    Parameters
    ----------
    formula : str
        As statsmodels reads it: ``"send ~ wrong * age + C(region)"``. It is evaluated twice whole,
        with hand codes and with labels, so that a labelled variable may stand on either side, as
        categories, in interactions and in transformations, and several may. Instruments:
        ``"y ~ x + [endogenous ~ instrument]"``.
    data : DataFrame
        All rows. The column of a labelled variable holds its hand codes, missing where nobody
        coded.
    predicted : mapping
        For each labelled variable the column of its labels, or a Series with the index of
        ``data``. Rows without a label stay in as a class of their own.
    probability : float, column or Series, optional
        With which each row was drawn for coding by hand, above 0. By default equal ones: coded
        rows by all rows.
    family : {"linear", "logit", "poisson", "multinomial", "2sls"}, default "linear"
        The model.
    cluster : column or Series, optional
        Groups within which errors hang together.
    fixed_effects : str or list of str, optional
        One or two columns whose levels are absorbed (in models that are not linear: dummies that
        are not shown).
    rng : int or Generator, default 0
        Draws the folds; the same gives the same estimates.
    power_tuning : bool, default True
        Weigh the labels in each coefficient by what they are worth, so that bad labels do not
        make intervals wider than those of the hand-coded rows alone. False: the labels count in
        full, as in Egami et al. (2023).
    calibrator : scikit-learn estimator, optional
        Learns the hand code from the label and the other columns. By default the mean hand code
        by label, for numbers a line.

    Returns
    -------
    Regression
        ``params``, ``bse``, ``tvalues``, ``pvalues``, ``cov_params()``, ``conf_int()``,
        ``summary()`` and ``to_latex()`` as in statsmodels; the other two estimates as ``.naive``
        and ``.gold_only``; ``.effective_n``, ``.bought``, ``.label_weight`` and ``.plot()``.

    Raises
    ------
    UsageError
        If an assumption does not hold or an input is wrong.

    References
    ----------
    Egami, Hinck, Stewart, Wei (2023), arXiv 2306.04746. Angelopoulos, Duchi, Zrnic (2023), arXiv
    2311.01453.

    Examples
    --------
    >>> import numpy as np, pandas as pd, pandas_genai
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 1000)
    >>> df = pd.DataFrame({"y": truth + rng.normal(size=1000)})
    >>> df["label"] = np.where(rng.random(1000) < 0.8, truth, 1 - truth)
    >>> df["wrong"] = pd.Series(truth).where(rng.random(1000) < 0.3)  # coded by hand
    >>> fit = pandas_genai.regress("y ~ wrong", df, {"wrong": "label"})
    >>> bool(abs(fit.params["wrong"] - 1) < 3 * fit.bse["wrong"])
    True
    >>> bool(abs(fit.naive.params["wrong"] - 1) < 3 * fit.naive.bse["wrong"])
    False
    """
    return ShownRegression.showing(
        estimated(
            formula,
            data,
            predicted,
            probability,
            family=family,
            cluster=cluster,
            fixed_effects=fixed_effects,
            rng=rng,
            power_tuning=power_tuning,
            calibrator=calibrator,
            known=names_at(inspect.currentframe()),
        )
    )


def shares(
    variable: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Column | Series],
    probability: float | Column | Series | None = None,
    *,
    by: Column | Series | None = None,
    cluster: Column | Series | None = None,
    rng: int | np.random.Generator = 0,
    power_tuning: bool = True,
    calibrator: Calibrator | None = None,
) -> ShownShares:
    """Estimate the shares of labels, or the mean of a number, by group, corrected by hand codes.

    Parameters
    ----------
    variable : str
        The labelled variable; its column holds the hand codes, missing where nobody coded.
    data, predicted, probability, cluster, rng, power_tuning, calibrator
        As in ``regress``.
    by : column or Series, optional
        What makes the groups, such as years.

    Returns
    -------
    Shares
        A DataFrame, a row a group and label: ``estimate``, ``se``, ``low``, ``high`` (corrected,
        95 %), ``naive`` and ``gold_only`` with their standard errors, ``n``, ``coded``. It has
        ``.differences()`` between groups, ``.trend()`` over groups that are numbers, and
        ``.plot()``. Groups with fewer than five rows coded by hand have no corrected estimate.

    Raises
    ------
    UsageError
        If an assumption does not hold or an input is wrong.

    Examples
    --------
    >>> import numpy as np, pandas as pd, pandas_genai
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.choice(["good", "bad"], 1000, p=[0.7, 0.3])
    >>> df = pd.DataFrame({"label": np.where(rng.random(1000) < 0.2, "good", truth)})
    >>> df["tone"] = pd.Series(truth).where(rng.random(1000) < 0.3)  # coded by hand
    >>> found = pandas_genai.shares("tone", df, {"tone": "label"}).loc[("all", "bad")]
    >>> bool(found.low < 0.3 < found.high), bool(found.naive < 0.27)
    (True, True)
    """
    found = counted(
        variable,
        data,
        predicted,
        probability,
        by=by,
        cluster=cluster,
        rng=rng,
        power_tuning=power_tuning,
        calibrator=calibrator,
    )
    return ShownShares.showing(found)


def power(
    formula: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Column | Series],
    probability: float | Column | Series | None = None,
    *,
    n: Sequence[int] = (250, 500, 1000, 2000),
    family: str = "linear",
    cluster: Column | Series | None = None,
    fixed_effects: str | Sequence[str] | None = None,
    rng: int | np.random.Generator = 0,
    calibrator: Calibrator | None = None,
) -> ShownPower:
    """Foresee the standard errors of a regression with other numbers of rows coded by hand.

    From the rows coded so far: the part of the variance that comes from the draw shrinks as more
    are drawn in the same way, the rest stays.

    Parameters
    ----------
    formula, data, predicted, probability, family, cluster, fixed_effects, rng, calibrator
        As in ``regress``.
    n : sequence of int
        Numbers of rows coded by hand; more than there are rows are all rows.

    Returns
    -------
    Power
        A DataFrame, a row a number and coefficient: standard errors of the hand-coded rows alone
        (``gold_only``) and ``corrected``, and ``effective_n``. ``.needed(se, term)`` says how many
        hand codes give a standard error; ``.plot()`` draws the curves.

    Raises
    ------
    UsageError
        If an assumption does not hold or an input is wrong.

    Examples
    --------
    >>> import numpy as np, pandas as pd, pandas_genai
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 1000)
    >>> df = pd.DataFrame({"y": truth + rng.normal(size=1000)})
    >>> df["label"] = np.where(rng.random(1000) < 0.9, truth, 1 - truth)
    >>> df["wrong"] = pd.Series(truth).where(rng.random(1000) < 0.2)  # coded by hand
    >>> curve = pandas_genai.power("y ~ wrong", df, {"wrong": "label"}, n=[100, 200, 400])
    >>> bool(curve.corrected[100, "wrong"] > curve.corrected[400, "wrong"])
    True
    """
    found = foreseen(
        formula,
        data,
        predicted,
        probability,
        n=n,
        family=family,
        cluster=cluster,
        fixed_effects=fixed_effects,
        rng=rng,
        calibrator=calibrator,
        known=names_at(inspect.currentframe()),
    )
    return ShownPower.showing(found)


def names_at(frame: FrameType | None) -> dict[str, Any]:
    """Return the names that are known where a function was called: a formula may use them."""
    caller = None if frame is None else frame.f_back
    return {} if caller is None else {**caller.f_globals, **caller.f_locals}
