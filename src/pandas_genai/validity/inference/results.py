"""What a regression returns: three estimates side by side, each as statsmodels gives one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.validity.inference.estimators import Estimate
from pandas_genai.validity.inference.problem import Indices, Layout, Problem

__all__ = ["Fitted", "Regression", "flat", "named_coefficients"]


def named_coefficients(
    layout: Layout, model: str, hidden: tuple[str, ...] = ()
) -> tuple[pd.Index, Indices]:
    """Return the names of the coefficients, and which are shown.

    Parameters
    ----------
    layout : Layout
        Of the columns.
    model : str
        A multinomial one has coefficients for each class.
    hidden : tuple of str
        What names begin with that nobody reads: dummies of fixed effects.
    """
    every = [layout.names[int(column)] for column in layout.regressors]
    names = [name for name in every if not (hidden and name.startswith(hidden))]
    index: pd.Index = pd.Index(names)
    blocks = 1
    if model == "multinomial":
        classes = [_class_of(layout.names[int(column)]) for column in layout.outcome]
        index = pd.MultiIndex.from_product([classes, names], names=["class", "variable"])
        blocks = len(classes)
    return index, np.flatnonzero(np.tile([name in names for name in every], blocks))


@dataclass(frozen=True)
class ModelNames:
    """The names of a model's variables, where statsmodels' tables look for them."""

    endog_names: str
    exog_names: list[str]


@dataclass(frozen=True)
class Fitted:
    """One estimate: coefficients and their covariance, with statsmodels' names.

    Parameters
    ----------
    name : str
        Which of the three columns it is.
    params_flat : Series
        Coefficients; of a multinomial outcome by class and variable.
    covariance : DataFrame
        Their covariance.
    df_resid : float
        Degrees of freedom of the t distribution behind p-values and intervals.
    nobs : int
        Rows.
    cov_type : str
        ``HC1`` or ``cluster``.
    model : ModelNames
        Names of outcome and coefficients.
    reason : str
        Why there are no coefficients; empty where there are.
    weights_flat : Series
        Of the labels in each coefficient.
    """

    name: str
    params_flat: pd.Series[float] = field(repr=False)
    covariance: pd.DataFrame = field(repr=False)
    df_resid: float
    nobs: int
    cov_type: str
    model: ModelNames = field(repr=False)
    reason: str = ""
    weights_flat: pd.Series[float] | None = field(default=None, repr=False)

    use_t = True

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        problem: Problem,
        model: str,
        outcome: str,
        hidden: tuple[str, ...],
        name: str,
    ) -> Fitted:
        """Give an estimate the names of its columns, but for dummies that nobody reads."""
        index, kept = named_coefficients(problem.layout, model, hidden)
        weights = None
        if estimate.weights is not None:
            weights = pd.Series(estimate.weights[kept], index=index)
        return cls(
            name,
            pd.Series(estimate.params[kept], index=index),
            pd.DataFrame(estimate.cov[np.ix_(kept, kept)], index=index, columns=index),
            estimate.df,
            estimate.nobs,
            "HC1" if problem.sample.clusters is None else "cluster",
            ModelNames(outcome, list(index.unique(-1))),
            estimate.reason,
            weights,
        )

    @property
    def params(self) -> Any:
        """The coefficients; of a multinomial outcome a frame with a column a class."""
        return self._shaped(self.params_flat)

    @property
    def bse(self) -> Any:
        """The standard errors."""
        return self._shaped(self.errors_flat)

    @property
    def tvalues(self) -> Any:
        """Coefficients by standard errors."""
        return self._shaped(self.params_flat / self.errors_flat)

    @property
    def pvalues(self) -> Any:
        """Two-sided, of a t distribution with ``df_resid`` degrees of freedom."""
        from scipy import stats

        ratio = (self.params_flat / self.errors_flat).abs()
        return self._shaped(
            pd.Series(2 * stats.t.sf(ratio, self.df_resid), index=self.params_flat.index)
        )

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance of the coefficients."""
        return self.covariance

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals: columns 0 and 1, as statsmodels names them.

        Parameters
        ----------
        alpha : float, default 0.05
            One minus the confidence level.
        """
        from scipy import stats

        half = stats.t.ppf(1 - alpha / 2, self.df_resid) * self.errors_flat
        return pd.DataFrame({0: self.params_flat - half, 1: self.params_flat + half})

    @property
    def errors_flat(self) -> pd.Series[float]:
        """The standard errors as one Series, whatever the model."""
        values = np.sqrt(np.diag(self.covariance.to_numpy()))
        return pd.Series(values, index=self.params_flat.index)

    def _shaped(self, values: pd.Series[float]) -> Any:
        if not isinstance(values.index, pd.MultiIndex):
            return values
        classes = values.index.get_level_values(0).unique()
        return pd.DataFrame({one: values.loc[one] for one in classes}).loc[self.model.exog_names]


@dataclass(frozen=True, kw_only=True)
class Regression(Fitted):
    """A regression on labels: the corrected estimate, and beside it the two others.

    ``params``, ``bse``, ``tvalues``, ``pvalues``, ``cov_params()`` and ``conf_int()`` are those of
    the corrected estimate, named as in statsmodels.

    Parameters
    ----------
    naive : Fitted
        The labels as they are, taken for true.
    gold_only : Fitted
        The hand-coded rows alone.
    formula : str
        As it was given.
    coded : int
        Rows coded by hand.
    tuned : bool
        Whether labels are weighted by what they are worth.
    notes : list of str
        What a reader must know.
    """

    naive: Fitted
    gold_only: Fitted
    formula: str
    coded: int
    tuned: bool
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_columns(cls, both: Fitted, naive: Fitted, alone: Fitted, **facts: Any) -> Regression:
        """Put three estimates together."""
        kept = {name: getattr(both, name) for name in Fitted.__dataclass_fields__}
        return cls(**kept, naive=naive, gold_only=alone, **facts)

    @property
    def label_weight(self) -> Any:
        """The weight of the labels in each coefficient: 0 for hand codes alone, 1 for all."""
        assert self.weights_flat is not None
        return self._shaped(self.weights_flat)

    @property
    def effective_n(self) -> Any:
        """The hand codes that would give these standard errors without labels.

        Rows coded by hand times the ratio of the variances, a coefficient.
        """
        ratio = self.gold_only.errors_flat / self.errors_flat
        return self._shaped(self.coded * ratio**2)

    @property
    def bought(self) -> Any:
        """What each hand code counts for, thanks to the labels: effective by coded rows."""
        return self.effective_n / self.coded

    @property
    def table(self) -> pd.DataFrame:
        """The three columns: a row a coefficient, columns by estimate and statistic."""
        columns = {}
        for one in (self.naive, self.gold_only, self):
            interval = Fitted.conf_int(one)
            errors = one.errors_flat
            columns[one.name] = pd.DataFrame(
                {
                    "coef": one.params_flat,
                    "se": errors,
                    "p": flat(one.pvalues, one.params_flat),
                    "low": interval[0],
                    "high": interval[1],
                }
            )
        return pd.concat(columns, axis=1)

    def summary(self) -> Summary:
        """Return the three columns with their notes; prints as text."""
        return Summary(self)

    def to_latex(self) -> str:
        """Return the three columns as a LaTeX table (booktabs)."""
        return self.summary().as_latex()


class Summary:
    """A table of three estimates with notes below it.

    Parameters
    ----------
    fit : Regression
        What is shown.
    """

    def __init__(self, fit: Regression) -> None:
        self._fit = fit

    def __str__(self) -> str:
        return "\n".join([self._title(), "", self.cells().to_string(), "", *self.notes()])

    __repr__ = __str__

    def as_text(self) -> str:
        """Return the table as text."""
        return str(self)

    def as_latex(self) -> str:
        """Return the table as LaTeX."""
        cells = self.cells()
        rows = [f"{_escaped(name)} & {' & '.join(row)} \\\\" for name, *row in _rows(cells)]
        head = " & ".join(["", *map(_escaped, cells.columns)])
        notes = [f"% {note}" for note in self.notes()]
        columns = "l" + "c" * len(cells.columns)
        return "\n".join(
            [
                f"\\begin{{tabular}}{{{columns}}}",
                "\\toprule",
                f"{head} \\\\",
                "\\midrule",
                *rows,
                "\\bottomrule",
                "\\end{tabular}",
                *notes,
                "",
            ]
        )

    def cells(self) -> pd.DataFrame:
        """Return the texts of the table: estimates with stars, standard errors below."""
        fit = self._fit
        names = [_named(label) for label in fit.params_flat.index]
        columns: dict[str, list[str]] = {}
        for one in (fit.naive, fit.gold_only, fit):
            column = []
            numbers = zip(
                one.params_flat, one.errors_flat, flat(one.pvalues, one.params_flat), strict=True
            )  # the three of each coefficient
            for coef, error, p in numbers:
                column += [_number(coef) + _stars(p), f"({_number(error)})"]
            columns[one.name] = [*column, f"{one.nobs:,}"]
        index = [cell for name in names for cell in (name, "")]
        return pd.DataFrame(columns, index=[*index, "rows"])

    def notes(self) -> list[str]:
        """Return what stands below the table."""
        fit = self._fit
        effective = fit.coded * (fit.gold_only.errors_flat / fit.errors_flat) ** 2
        kind = "by cluster" if fit.cov_type == "cluster" else "robust (HC1)"
        stars = "two-sided p: * 0.05, ** 0.01, *** 0.001"
        notes = [f"{fit.coded:,} rows coded by hand. Standard errors {kind}; {stars}."]
        if effective.notna().any():
            low, high = effective.min(), effective.max()
            notes.append(
                f"With the labels the hand codes count as {low:,.0f} to {high:,.0f} rows, "
                f"{low / fit.coded:.2f} to {high / fit.coded:.2f} each."
            )
        wider = fit.errors_flat > 1.05 * fit.gold_only.errors_flat
        if wider.any():
            worst = ", ".join(_named(label) for label in wider.index[wider])
            notes.append(
                f"Wider than with the hand-coded rows alone: {worst}."
                + ("" if fit.tuned else " power_tuning=True avoids it.")
            )
        notes += [f"{one.name}: {one.reason}" for one in (fit.naive, fit.gold_only) if one.reason]
        return [*notes, *fit.notes]

    def _title(self) -> str:
        return f"{self._fit.formula}  ({self._fit.nobs:,} rows)"


def flat(values: Any, like: pd.Series[float]) -> pd.Series[float]:
    """Return a column a class as one Series, with the labels of another."""
    if isinstance(values, pd.DataFrame):
        return pd.Series(values.to_numpy().T.ravel(), index=like.index)
    return pd.Series(values)


def _class_of(column: str) -> str:
    """Return the class that a dummy's name names."""
    found = column.rsplit("[", 1)[-1].removesuffix("]")
    return found.removeprefix("T.")


def _named(label: Any) -> str:
    return ": ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _number(value: float) -> str:
    if np.isnan(value):
        return "."
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.3g}"


def _stars(p: float) -> str:
    return "*" * sum(p < level for level in (0.05, 0.01, 0.001))


def _rows(cells: pd.DataFrame) -> list[list[str]]:
    return [[str(name), *row] for name, row in zip(cells.index, cells.to_numpy(), strict=True)]


def _escaped(text: str) -> str:
    for sign in "&%$#_":
        text = text.replace(sign, f"\\{sign}")
    return text
