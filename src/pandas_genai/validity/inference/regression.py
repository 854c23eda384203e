"""A regression on labels, corrected by hand codes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.validity.arguments import generator_of
from pandas_genai.validity.inference.calibration import check_calibrator
from pandas_genai.validity.inference.checks import (
    check_columns,
    check_drawn,
    check_installed,
    covariates,
    row_values,
)
from pandas_genai.validity.inference.estimators import Corrections, naive
from pandas_genai.validity.inference.formulas import Evaluated, Formula
from pandas_genai.validity.inference.labels import labelled_variable
from pandas_genai.validity.inference.models import MODELS
from pandas_genai.validity.inference.problem import Indices, Problem
from pandas_genai.validity.inference.results import Fitted, Regression
from pandas_genai.validity.inference.sampled import Drawn, coded_rows, codes_of, sample_of

__all__ = ["dummies_of", "read_problem", "regress"]

_FAMILIES = {
    "linear": "linear",
    "ols": "linear",
    "gaussian": "linear",
    "2sls": "linear",
    "iv": "linear",
    "logit": "logit",
    "binomial": "logit",
    "poisson": "poisson",
    "multinomial": "multinomial",
    "mnlogit": "multinomial",
}
_FEW_CLUSTERS = 40
_FEW_CODES = 5


def regress(
    formula: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Any],
    probability: Any = None,
    *,
    family: str = "linear",
    cluster: Any = None,
    fixed_effects: str | Sequence[str] | None = None,
    rng: int | np.random.Generator = 0,
    power_tuning: bool = True,
    calibrator: Any = None,
    known: Mapping[str, Any] | None = None,
    drawn: Drawn | None = None,
    notes: Sequence[str] = (),
) -> Regression:
    """Estimate a regression whose variables were labelled by a model.

    ``pandas_genai.regress`` documents it.

    Parameters
    ----------
    formula, data, predicted, probability, family, cluster, fixed_effects, rng, power_tuning
        As there.
    calibrator
        As there.
    known : mapping, optional
        Names that the formula may use beside columns.
    drawn : Drawn, optional
        In place of ``probability``.
    notes : sequence of str
        What else a reader must know.
    """
    generator = generator_of(rng)
    check_calibrator(calibrator)
    problem, model, found = read_problem(
        formula,
        data,
        predicted,
        probability,
        family=family,
        cluster=cluster,
        fixed_effects=fixed_effects,
        known=known,
        drawn=drawn,
    )
    corrections = Corrections(problem, model, generator, calibrator)
    both, alone = corrections.estimate(power_tuning=power_tuning), corrections.gold_only
    taken = naive(problem, model)
    outcome = Formula.read(formula).outcome
    hidden = dummies_of(fixed_effects)
    return Regression.of_columns(
        Fitted.of(both, problem, model, outcome, hidden, "corrected"),
        Fitted.of(taken, problem, model, outcome, hidden, "labels as they are"),
        Fitted.of(alone, problem, model, outcome, hidden, "hand-coded rows only"),
        formula=formula,
        coded=len(problem.sample.coded),
        tuned=power_tuning,
        notes=[*notes, *found],
    )


def read_problem(
    formula: str,
    data: pd.DataFrame,
    predicted: Mapping[str, Any],
    probability: Any,
    *,
    family: str,
    cluster: Any,
    fixed_effects: str | Sequence[str] | None,
    known: Mapping[str, Any] | None,
    drawn: Drawn | None,
) -> tuple[Problem, str, list[str]]:
    """Check everything and return the arrays, the model and what a reader must know."""
    check_installed()
    model = _model(family)
    sides = Formula.read(formula)
    names = sides.names()
    known = _callable(known or {})
    check_columns(data, names, sides.called(), known)
    if data.empty:
        raise UsageError("data has no rows.")
    used = _labelled(predicted, names, formula)
    coded = coded_rows(data, list(used))
    check_drawn(len(coded), len(data))
    labelled = {
        name: labelled_variable(
            name,
            data[name].iloc[coded],
            row_values(data, given, f"predicted[{name!r}]"),
            category=sides.is_category(name) or (model == "multinomial" and name == sides.outcome),
        )
        for name, given in used.items()
    }
    others = [name for name in names if name in data and name not in used]
    frame = covariates(data, others, sides.bare())
    sample = sample_of(data, probability, coded, cluster, drawn)
    levels = _levels(fixed_effects)
    effects = [codes_of(row_values(data, name, "fixed_effects=")) for name in levels]
    if effects and sides.instruments:
        raise UsageError("Instruments and fixed effects do not go together: write C(...) instead.")
    if effects and model != "linear":
        for codes in effects:
            _check_codes_a_level(codes, coded)
        columns = zip(_columns_of(levels), levels, strict=True)
        frame = frame.assign(**{column: _ordered(data[name]) for column, name in columns})
        effects = []
        sides = replace(sides, exogenous=" + ".join([sides.exogenous, *dummies_of(levels)]))
    evaluated = Evaluated(
        sides,
        frame.reset_index(drop=True),
        coded,
        labelled,
        known,
        multinomial=model == "multinomial",
        effects=bool(effects),
    )
    problem = Problem(
        evaluated.layout,
        evaluated.predicted,
        evaluated.gold,
        sample,
        labelled,
        evaluated.pieces,
        effects,
    )
    _check(problem, model, sides)
    return problem, model, _notes(problem)


def _callable(known: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what hides a function of formulas but is none, such as a variable ``C``."""
    from patsy import builtins as of_formulas

    hidden = vars(of_formulas)
    return {name: one for name, one in known.items() if name not in hidden or callable(one)}


def _labelled(predicted: Any, names: Collection[str], formula: str) -> dict[str, Any]:
    """Return the labels of those variables that a formula names."""
    if not isinstance(predicted, Mapping):
        raise UsageError("predicted= is a mapping: {'variable': 'column of its labels'}.")
    used = {name: given for name, given in predicted.items() if name in names}
    if not used:
        raise UsageError(
            f"The formula {formula!r} names no variable of predicted= ({list(predicted)}): there "
            "is nothing to correct."
        )
    return used


def _model(family: str) -> str:
    found = _FAMILIES.get(str(family).lower())
    if found is None:
        raise UsageError(f"family={family!r} is none of {', '.join(map(repr, _FAMILIES))}.")
    assert found in MODELS
    return found


def _levels(fixed_effects: Any) -> list[str]:
    if fixed_effects is None:
        return []
    if not isinstance(fixed_effects, str | list | tuple | np.ndarray):
        raise UsageError(
            "fixed_effects= takes the name of a column or a list of two, not a "
            f"{type(fixed_effects).__name__}."
        )
    names = [fixed_effects] if isinstance(fixed_effects, str) else list(fixed_effects)
    if len(names) > 2:
        raise UsageError(
            f"At most two fixed effects, not {len(names)}: write the others as C(...)."
        )
    for name in names:
        if not pd.api.types.is_hashable(name):
            raise UsageError(f"fixed_effects= takes names of columns, not a {type(name).__name__}.")
    if len(set(names)) < len(names):
        raise UsageError(f"fixed_effects= names {names[0]!r} twice.")
    return names


def _check(problem: Problem, model: str, sides: Formula) -> None:
    """Refuse columns from which nothing can be learned."""
    layout = problem.layout
    if not len(layout.regressors):
        raise UsageError("The formula has nothing on its right side that could be estimated.")
    touched = {int(column) for piece in problem.pieces for column in piece.columns}
    constant = "Intercept" in layout.names or bool(problem.effects)
    for column in {*map(int, layout.regressors), *map(int, layout.instruments)}:
        name, hand = layout.names[column], problem.gold[:, column]
        if name == "Intercept":
            continue
        if not np.isfinite(hand).all() or not np.isfinite(problem.predicted[:, column]).all():
            raise UsageError(f"{name!r} is not finite in some rows (a logarithm of 0?).")
        whole = problem.predicted[:, column]
        if column in touched and (hand == hand[0]).all() and constant:
            raise UsageError(
                f"{name!r} is the same in all {len(hand):,} rows coded by hand: a class that "
                "nobody coded by hand has no estimate. Draw more rows of it "
                "(review_sample(stratify=...)), or merge classes."
            )
        if column not in touched and (whole == whole[0]).all() and constant:
            raise UsageError(f"{name!r} is constant: leave it out of the formula.")
    _check_outcome(problem, model, sides.outcome)
    if not problem.only_outcome:
        for codes in problem.effects:
            _check_codes_a_level(codes, problem.sample.coded)


def _check_outcome(problem: Problem, model: str, name: str) -> None:
    hand = problem.gold[:, problem.layout.outcome]
    everything = np.vstack([hand, problem.predicted[:, problem.layout.outcome]])
    if not np.isfinite(everything).all():
        raise UsageError(f"The outcome {name!r} is not finite in some rows.")
    if model == "poisson" and (everything < 0).any():
        raise UsageError(f"The outcome {name!r} is negative in some rows: family='poisson' counts.")
    if model == "logit" and not np.isin(hand, (0, 1)).all():
        raise UsageError(f"The outcome {name!r} must be 0 or 1, true or false, or of two classes.")
    if model == "multinomial":
        for at, column in enumerate(problem.layout.outcome):
            if not hand[:, at].any():
                label = problem.layout.names[int(column)]
                raise UsageError(f"Nobody coded a row by hand as {label!r}: draw more of it.")
    if model != "multinomial" and (hand == hand[0]).all():
        raise UsageError(f"The outcome {name!r} is the same in all rows coded by hand.")


def _check_codes_a_level(codes: Indices, coded: Indices) -> None:
    """Refuse fixed effects that too few hand codes a level leave to chance."""
    counts = np.bincount(codes[coded], minlength=int(codes.max()) + 1)
    few = int((counts < _FEW_CODES).sum())
    if few:
        raise UsageError(
            f"{few:,} of the {len(counts):,} levels of a fixed effect have fewer than "
            f"{_FEW_CODES} rows coded by hand (the fewest: {counts.min()}): what the labelled "
            "variable is like within such a level is not known. Code more rows a level, use "
            "coarser levels, or leave the fixed effect out. (In a linear regression with the "
            "labelled variable on the left this does not matter.)"
        )


def dummies_of(fixed_effects: Any) -> tuple[str, ...]:
    """Return what the names of fixed effects' dummies begin with."""
    return tuple(f"C({name})" for name in _columns_of(_levels(fixed_effects)))


def _ordered(level: pd.Series[Any]) -> Indices:
    """Number the levels in their order; the first is the one that the constant stands for."""
    try:
        codes, _ = pd.factorize(level, sort=True)
    except TypeError:  # levels that have no order
        codes, _ = pd.factorize(level)
    return codes


def _columns_of(levels: list[str]) -> list[str]:
    """Return names of the fixed effects' columns: those of data may be anything."""
    return [f"_fixed_effect_{at}" for at, _ in enumerate(levels, 1)]


def _notes(problem: Problem) -> list[str]:
    """Say what a reader of the estimates must know."""
    notes, sample = [], problem.sample
    lost = int((~problem.labelled_rows).sum())
    if lost:
        notes.append(
            f"{counted(lost, 'row')} without a label stay in the corrected estimate (as a class "
            "of their own) and are left out of the labels as they are."
        )
    if sample.clusters is not None and sample.coded_groups < _FEW_CLUSTERS:
        notes.append(
            f"Only {sample.coded_groups} clusters have rows coded by hand: intervals tend to be "
            f"too narrow below about {_FEW_CLUSTERS}."
        )
    for column in problem.layout.regressors:
        hand = problem.gold[:, column]
        present = np.isin(hand, (0, 1)).all() and int(hand.sum())
        if 0 < present < len(hand) and min(present, len(hand) - present) < _FEW_CODES:
            notes.append(
                f"{problem.layout.names[int(column)]!r} rests on "
                f"{min(present, len(hand) - present)} rows coded by hand."
            )
    return notes
