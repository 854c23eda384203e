"""What labels are used for: regressions, shares and what depends on the prompt."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from pandas_genai.accessor.inference import names_at
from pandas_genai.accessor.origin import answer_columns, origin_of
from pandas_genai.display.estimates import (
    ShownMultiverse,
    ShownPower,
    ShownRegression,
    ShownShares,
)
from pandas_genai.errors import UsageError
from pandas_genai.task.annotations import Column, Series
from pandas_genai.task.task import Task
from pandas_genai.validity.inference.calibration import Calibrator
from pandas_genai.validity.inference.checks import check_frame
from pandas_genai.validity.inference.formulas import Formula
from pandas_genai.validity.inference.gold import Coded, together
from pandas_genai.validity.inference.multiverse import multiverse
from pandas_genai.validity.inference.power import power
from pandas_genai.validity.inference.regression import regress
from pandas_genai.validity.inference.results import Regression
from pandas_genai.validity.inference.shares import shares

__all__ = ["Estimating"]


class Estimating:
    """The methods of ``labels.genai`` that estimate, corrected by rows coded by hand."""

    _data: pd.DataFrame

    def regress(
        self,
        formula: str,
        data: pd.DataFrame | None = None,
        *,
        gold: pd.DataFrame,
        probability: float | Column | Series | None = None,
        family: str = "linear",
        cluster: Column | Series | None = None,
        fixed_effects: str | Sequence[str] | None = None,
        rng: int | np.random.Generator = 0,
        power_tuning: bool = True,
        calibrator: Calibrator | None = None,
    ) -> ShownRegression:
        """Estimate a regression on these labels, corrected by the rows coded by hand.

        ``pandas_genai.regress`` documents the estimator, and takes any frame.

        Parameters
        ----------
        formula : str
            Names fields of these labels, on either side, and columns of ``data``.
        data : DataFrame, optional
            The other variables, with index labels of these labels. Left out: this frame, with the
            frame that was asked as long as it is in memory.
        gold : DataFrame
            The hand codes, as ``read_review`` and ``review_sample(...).codes()`` return them: they
            carry how their rows were drawn.
        probability : float, column of data or Series, optional
            With which each row was drawn; only for hand codes without a design.
        family, cluster, fixed_effects, rng, power_tuning, calibrator
            As in ``pandas_genai.regress``.

        Returns
        -------
        Regression
            As of ``pandas_genai.regress``.

        Raises
        ------
        UsageError
            If hand codes are of other rows or were not drawn, an assumption does not hold, or an
            input is wrong.

        Examples
        --------
        >>> import numpy as np, pandas as pd, pandas_genai
        >>> rng = np.random.default_rng(0)
        >>> truth = pd.Series(rng.integers(0, 2, 1000))
        >>> df = pd.DataFrame({"y": truth + rng.normal(size=1000), "text": "..."})
        >>> labels = pd.DataFrame({"wrong": truth.where(rng.random(1000) < 0.8, 1 - truth)})
        >>> sample = labels.genai.review_sample(200, text=df["text"])
        >>> gold = pd.DataFrame({"wrong": truth.loc[sample.index]})  # what coders would say
        >>> fit = labels.genai.regress("y ~ wrong", df, gold=gold, probability=0.2)
        >>> fit.coded
        200
        """
        coded = _together(self._data, formula, data, gold, probability)
        found = _regression(
            formula,
            coded,
            names_at(inspect.currentframe()),
            family=family,
            cluster=cluster,
            fixed_effects=fixed_effects,
            rng=rng,
            power_tuning=power_tuning,
            calibrator=calibrator,
        )
        return ShownRegression.showing(found)

    def shares(
        self,
        field: str,
        by: Column | Series | None = None,
        *,
        data: pd.DataFrame | None = None,
        gold: pd.DataFrame,
        probability: float | Column | Series | None = None,
        cluster: Column | Series | None = None,
        rng: int | np.random.Generator = 0,
        power_tuning: bool = True,
        calibrator: Calibrator | None = None,
    ) -> ShownShares:
        """Estimate shares of the labels of a field, or its mean, by group.

        Parameters
        ----------
        field : str
            A field of these labels.
        by : column or Series, optional
            What makes the groups: of ``data``.
        data, gold, probability
            As in ``regress``.
        cluster, rng, power_tuning, calibrator
            As in ``pandas_genai.shares``.

        Returns
        -------
        Shares
            As of ``pandas_genai.shares``.

        Raises
        ------
        UsageError
            As ``regress``.
        """
        coded = together(self._data, _rows(self._data, data), gold, [field], probability)
        found = shares(
            field,
            coded.data,
            coded.predicted,
            coded.probability,
            by=by,
            cluster=cluster,
            rng=rng,
            power_tuning=power_tuning,
            calibrator=calibrator,
            drawn=coded.drawn,
        )
        return ShownShares.showing(found)

    def power(
        self,
        formula: str,
        data: pd.DataFrame | None = None,
        *,
        gold: pd.DataFrame,
        n: Sequence[int] = (250, 500, 1000, 2000),
        probability: float | Column | Series | None = None,
        family: str = "linear",
        cluster: Column | Series | None = None,
        fixed_effects: str | Sequence[str] | None = None,
        rng: int | np.random.Generator = 0,
        calibrator: Calibrator | None = None,
    ) -> ShownPower:
        """Foresee standard errors with other numbers of rows coded by hand.

        Parameters
        ----------
        formula, data, gold, probability
            As in ``regress``.
        n : sequence of int
            Numbers of rows coded by hand.
        family, cluster, fixed_effects, rng, calibrator
            As in ``pandas_genai.power``.

        Returns
        -------
        Power
            As of ``pandas_genai.power``.

        Raises
        ------
        UsageError
            As ``regress``.
        """
        coded = _together(self._data, formula, data, gold, probability)
        found = power(
            formula,
            coded.data,
            coded.predicted,
            coded.probability,
            n=n,
            family=family,
            cluster=cluster,
            fixed_effects=fixed_effects,
            rng=rng,
            calibrator=calibrator,
            known=names_at(inspect.currentframe()),
            drawn=coded.drawn,
        )
        return ShownPower.showing(found)

    def multiverse(
        self,
        tasks: Mapping[str, Task] | Sequence[Task],
        formula: str,
        data: pd.DataFrame,
        *,
        gold: pd.DataFrame,
        options: Mapping[str, str | float | bool | Path | None] | None = None,
        **regression: str | float | bool | Column | Series,
    ) -> ShownMultiverse:
        """Run a regression under other prompts and models, with and without correction.

        Each task is asked of ``data`` as ``extract`` asks it; rows whose answers the store has are
        not asked again.

        Parameters
        ----------
        tasks : mapping of str to Task, or sequence of Task
            Paraphrases of the prompt and other models, with the same fields as these labels; a
            task says what its ``text=`` is where ``data`` has several text columns.
        formula, data, gold
            As in ``regress``.
        options : mapping, optional
            Other arguments of ``extract``, such as ``cache``.
        **regression
            Other arguments of ``regress``.

        Returns
        -------
        Multiverse
            A DataFrame, a row a run and coefficient, these labels first. ``.flips()`` tells the
            share of runs in which sign or significance differ from theirs, ``.plot()`` draws all.

        Raises
        ------
        UsageError
            As ``regress`` and ``extract``.
        """
        known = names_at(inspect.currentframe())
        arguments: Any = dict(regression)
        probability = arguments.pop("probability", None)

        def fitted(labels: pd.DataFrame) -> Regression:
            coded = _together(labels, formula, data, gold, probability)
            return _regression(formula, coded, known, **arguments)

        named = _named(tasks)
        fits = {_OWN: fitted(self._data)}  # what is wrong with it is said before anything is asked
        own = cast("Any", type(self))
        runs = {name: own(data).extract(task, **(options or {})) for name, task in named.items()}
        fits |= {name: fitted(labels) for name, labels in runs.items()}
        return ShownMultiverse.showing(multiverse(fits))


def _together(
    labels: pd.DataFrame,
    formula: str,
    data: pd.DataFrame | None,
    gold: Any,
    probability: float | Column | Series | None,
) -> Coded:
    """Put hand codes in the place of the fields that a formula names."""
    if not isinstance(gold, pd.DataFrame | pd.Series):
        raise UsageError(f"gold= is a DataFrame of hand codes, not a {type(gold).__name__}.")
    if data is not None:
        check_frame(data)
    columns = labels.columns
    coded = gold.columns if isinstance(gold, pd.DataFrame) else [gold.name]
    fields = answer_columns(labels)
    if fields is None:
        fields = list(columns if data is not None else columns[columns.isin(coded)])
    named = Formula.read(formula).names()
    names = [str(name) for name in fields if name in named]
    if not names:
        raise UsageError(
            f"The formula names no field of these labels ({fields}): there is nothing to correct."
        )
    return together(labels, _rows(labels, data), gold, names, probability)


def _regression(formula: str, coded: Coded, known: Mapping[str, Any], **options: Any) -> Regression:
    """Estimate a regression of rows with their hand codes."""
    return regress(
        formula,
        coded.data,
        coded.predicted,
        coded.probability,
        known=known,
        drawn=coded.drawn,
        notes=coded.notes,
        **options,
    )


def _rows(labels: pd.DataFrame, data: pd.DataFrame | None) -> pd.DataFrame:
    """Return the other variables: as given, or of the frame that was asked and these labels."""
    if data is not None:
        return data
    origin = origin_of(labels)
    asked = None if origin is None else origin.asked()
    if not isinstance(asked, pd.DataFrame) or not asked.index.equals(labels.index):
        return labels
    return asked.drop(columns=labels.columns, errors="ignore").join(labels)


_OWN = "these labels"


def _named(tasks: Any) -> dict[str, Task]:
    """Return tasks by their names, which are made where none are given."""
    several = isinstance(tasks, Sequence) and not isinstance(tasks, str)
    named = {f"task {at}": task for at, task in enumerate(tasks, start=1)} if several else tasks
    if not isinstance(named, Mapping) or not named:
        raise UsageError("multiverse takes tasks by their names: {'paraphrase': Task(...)}.")
    for name, task in named.items():
        if not isinstance(task, Task):
            raise UsageError(f"tasks[{name!r}] is a {type(task).__name__}, not a Task.")
    return dict(named)
