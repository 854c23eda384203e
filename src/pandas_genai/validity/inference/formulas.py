"""From a formula and a frame to arrays: evaluated whole with labels, and whole with hand codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.problem import Array, Indices, Labelled, Layout, Piece

__all__ = ["Evaluated", "Formula"]

_STAGES = re.compile(r"\[(?P<endogenous>[^~\[\]]*)~(?P<instruments>[^~\[\]]*)\]")
_TRIED = 200
"""Rows coded by hand by which a formula is found out that looks at other rows."""


@dataclass(frozen=True)
class Formula:
    """A formula, cut into its sides.

    Parameters
    ----------
    outcome, exogenous : str
        What stands left and right of ``~``.
    endogenous, instruments : str
        Of ``[endogenous ~ instruments]``; empty without them.
    """

    outcome: str
    exogenous: str
    endogenous: str = ""
    instruments: str = ""

    @classmethod
    def read(cls, formula: str) -> Formula:
        """Cut a formula.

        Raises
        ------
        UsageError
            If it has not two sides.
        """
        if not isinstance(formula, str):
            raise UsageError(f"A formula is text such as 'y ~ x', not a {type(formula).__name__}.")
        stages = list(_STAGES.finditer(formula))
        rest = _STAGES.sub("", formula)
        if rest.count("~") != 1 or not rest.split("~")[0].strip():
            raise UsageError(
                f"{formula!r} is no formula with an outcome: write 'y ~ x + C(group)', for "
                "instruments 'y ~ x + [endogenous ~ instrument]'."
            )
        outcome, exogenous = (side.strip() for side in rest.split("~"))
        exogenous = exogenous.strip("+ ") or "1"
        if not stages:
            return cls(outcome, exogenous)
        endogenous, instruments = (part.strip() for part in stages[0].groups())
        if len(stages) > 1 or not (endogenous and instruments):
            raise UsageError(
                f"{formula!r} needs one pair of brackets with something on both sides: "
                "'y ~ x + [endogenous ~ instrument]', several as '[a + b ~ c + d]'."
            )
        return cls(outcome, exogenous, endogenous, instruments)

    @property
    def sides(self) -> list[str]:
        """Return the formulas to evaluate: outcome, then the right-hand sides."""
        right = [self.exogenous, self.endogenous, self.instruments]
        return [f"0 + {self.outcome}", *(side for side in right if side)]

    @cached_property
    def _factors(self) -> list[ast.Expression]:
        from patsy import ModelDesc, PatsyError

        try:
            terms = [
                one for side in self.sides for one in ModelDesc.from_formula(side).rhs_termlist
            ]
        except (PatsyError, SyntaxError) as error:
            raise UsageError(f"The formula cannot be read: {str(error).splitlines()[0]}") from error
        return [_parsed(factor.code) for term in terms for factor in term.factors]

    def names(self) -> set[str]:
        """Return the columns that it names, and what else it names but does not call.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        return {name for factor in self._factors for name in _named(factor)}

    def bare(self) -> set[str]:
        """Return the columns that are terms or parts of an interaction as they are."""
        bodies = [factor.body for factor in self._factors]
        return {body.id for body in bodies if isinstance(body, ast.Name)}

    def called(self) -> set[str]:
        """Return the functions that it calls by a name without a dot."""
        calls = [node for factor in self._factors for node in ast.walk(factor)]
        return {
            node.func.id
            for node in calls
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }

    def is_category(self, name: str) -> bool:
        """Whether the formula writes ``C(name)``."""
        quoted = re.escape(name)
        return any(
            re.search(rf"\bC\(\s*(Q\(\s*['\"]{quoted}['\"]\s*\)|{quoted})\s*[,)]", side)
            for side in self.sides
        )


class Evaluated:
    """A formula, evaluated with labels, with hand codes and with any other values.

    Parameters
    ----------
    formula : Formula
        Its sides.
    data : DataFrame
        The columns that it names, all rows.
    coded : ndarray of int
        Positions of the rows coded by hand.
    labelled : dict
        The labelled variables.
    known : mapping
        Names that the formula may use beside columns.
    multinomial, effects : bool
        Whether the outcome is a block of classes; whether fixed effects take the constant's place.
    """

    def __init__(
        self,
        formula: Formula,
        data: pd.DataFrame,
        coded: Indices,
        labelled: dict[str, Labelled],
        known: Mapping[str, Any],
        *,
        multinomial: bool = False,
        effects: bool = False,
    ) -> None:
        self._formula, self._data, self._labelled, self._known = (
            formula,
            data,
            labelled,
            {"np": np, **known},
        )
        self._categories = {name for name in labelled if self._is_category(name)}
        self._multinomial = multinomial
        self._designs: list[Any] = []
        self._kept: list[Indices] = []
        first = {name: _filled(one) for name, one in labelled.items()}
        self.predicted = self._first(self._with(data, first), effects=effects)
        self.layout = self._layout()
        pieces = self._pieces()
        self.pieces = [self._piece(one) for one in pieces]
        self.gold = self._by_hand(pieces, coded)

    def _by_hand(self, pieces: Sequence[_Terms], coded: Indices) -> Array:
        """Return the rows coded by hand with their codes: only what depends on labels differs.

        Raises
        ------
        UsageError
            If the value of a row depends on what other rows hold.
        """
        codes = {name: one.gold for name, one in self._labelled.items()}
        frame = self._with(self._data.iloc[coded], codes)
        gold = self.predicted[coded]
        for terms in pieces:
            gold[:, terms.columns] = whole = terms.values(frame)
            part = slice(None, 2 * _TRIED, 2)
            tried = terms.values(frame.iloc[part])
            apart = ~np.isclose(tried, whole[part], rtol=1e-8, equal_nan=True).all(axis=0)
            if apart.any():
                name = self.layout.names[int(terms.columns[int(apart.argmax())])]
                raise UsageError(
                    f"{name!r} of a row depends on what other rows hold (a mean, a rank?): with "
                    "hand codes it would be another variable than with labels. Write it as a "
                    "function of the row alone."
                )
        return gold

    def _given(self, given: Mapping[str, Any]) -> pd.DataFrame:
        """Return all rows with given values of labelled variables."""
        rows = len(self._data)
        codes = {name: _filled(one) for name, one in self._labelled.items()}
        for name, value in given.items():
            classes = self._labelled[name].classes
            codes[name] = value if classes is None else np.full(rows, classes.index(value))
        return self._with(self._data, codes)

    def _is_category(self, name: str) -> bool:
        classes = self._labelled[name].classes
        text = classes is not None and isinstance(classes[0], str)
        outcome = self._formula.outcome == name
        return text or self._formula.is_category(name) or (outcome and len(classes or ()) > 2)

    def _with(self, data: pd.DataFrame, codes: Mapping[str, Any]) -> pd.DataFrame:
        columns = {}
        for name, values in codes.items():
            classes = self._labelled[name].classes
            if classes is None:
                columns[name] = values
            elif name in self._categories and (
                name != self._formula.outcome or self._multinomial or isinstance(classes[0], str)
            ):
                columns[name] = pd.Categorical.from_codes(values, categories=pd.Index(classes))
            else:
                columns[name] = np.asarray(classes)[values]
        return data.assign(**columns)

    def _first(self, frame: pd.DataFrame, *, effects: bool) -> Array:
        from patsy import EvalEnvironment, dmatrix

        blocks = []
        for at, side in enumerate(self._formula.sides):
            with _evaluating():
                matrix = dmatrix(side, frame, EvalEnvironment([self._known]), _nothing_missing())
            names = matrix.design_info.column_names
            kept = np.arange(len(names))
            if (effects and at == 1) or at > 1:
                kept = np.array([i for i in kept if names[i] != "Intercept"], dtype=np.intp)
            if at == 0:
                kept = self._outcome(names)
            self._designs.append(matrix.design_info)
            self._kept.append(kept)
            blocks.append(np.asarray(matrix, dtype=float)[:, kept])
        return np.column_stack(blocks)

    def _outcome(self, names: list[str]) -> Indices:
        if self._multinomial:
            if len(names) < 2:
                raise UsageError(
                    f"The outcome {self._formula.outcome!r} is a number: for family="
                    f"'multinomial' write C({self._formula.outcome})."
                )
            return np.arange(1, len(names))
        if len(names) > 2:
            raise UsageError(
                f"The outcome {self._formula.outcome!r} has {len(names)} categories: use family="
                "'multinomial', or a comparison such as I(tone == 'negative')."
            )
        return np.arange(len(names) - 1, len(names))

    def _layout(self) -> Layout:
        names = [
            str(spec.column_names[int(i)])
            for spec, kept in zip(self._designs, self._kept, strict=True)
            for i in kept
        ]
        ends = np.cumsum([len(kept) for kept in self._kept])
        outcome = np.arange(ends[0])
        exogenous = np.arange(ends[0], ends[1])
        if not self._formula.instruments:
            return Layout(names, outcome, exogenous, exogenous)
        endogenous, instruments = np.arange(ends[1], ends[2]), np.arange(ends[2], ends[3])
        if len(instruments) < len(endogenous):
            raise UsageError(
                f"{len(endogenous)} endogenous columns need as many instruments, not "
                f"{len(instruments)}."
            )
        return Layout(
            names,
            outcome,
            np.concatenate([exogenous, endogenous]),
            np.concatenate([exogenous, instruments]),
        )

    def _pieces(self) -> list[_Terms]:
        """Group the columns by the labelled variables in their terms."""
        groups: dict[tuple[str, ...], list[int]] = {}
        start = 0
        for design, kept in zip(self._designs, self._kept, strict=True):
            place = {int(column): start + at for at, column in enumerate(kept)}
            for term, columns in design.term_slices.items():
                used = _names(term)
                labels = tuple(name for name in self._labelled if name in used)
                inside = range(*columns.indices(len(design.column_names)))
                found = [place[column] for column in inside if column in place]
                if labels and found:
                    groups.setdefault(labels, []).extend(found)
            start += len(kept)
        return [self._subset(labels, np.array(columns)) for labels, columns in groups.items()]

    def _subset(self, labels: tuple[str, ...], columns: Indices) -> _Terms:
        """Return just the terms of some columns."""
        designs, picked, start = [], [], 0
        for design, kept in zip(self._designs, self._kept, strict=True):
            ours = [
                int(column) - start for column in columns if start <= column < start + len(kept)
            ]
            start += len(kept)
            if ours:
                wanted = kept[ours]
                terms = [
                    term
                    for term, inside in design.term_slices.items()
                    if set(range(*inside.indices(len(design.column_names)))) & set(wanted.tolist())
                ]
                part = design.subset(terms)
                names = [design.column_names[int(column)] for column in wanted]
                designs.append(part)
                picked.append([part.column_names.index(name) for name in names])
        return _Terms(labels, columns, designs, picked)

    def _piece(self, terms: _Terms) -> Piece:
        return Piece(terms.columns, terms.labels, lambda given: terms.values(self._given(given)))


@dataclass(frozen=True)
class _Terms:
    """Some terms of a formula, as patsy evaluates them.

    Parameters
    ----------
    labels : tuple of str
        The labelled variables in them.
    columns : ndarray of int
        Of the wide matrix.
    designs : list
        Of each side that has such terms.
    picked : list of list of int
        Which columns of these.
    """

    labels: tuple[str, ...]
    columns: Indices
    designs: list[Any]
    picked: list[list[int]]

    def values(self, frame: pd.DataFrame) -> Array:
        """Return the columns for the rows of a frame."""
        from patsy import build_design_matrices

        with _evaluating():
            found = build_design_matrices(self.designs, frame, _nothing_missing())
        blocks = [
            np.broadcast_to(matrix, (len(frame), matrix.shape[1]))[:, chosen]
            for matrix, chosen in zip(
                (np.asarray(one, dtype=float) for one in found), self.picked, strict=True
            )
        ]
        return np.column_stack(blocks)


@contextmanager
def _evaluating() -> Iterator[None]:
    """Say in one sentence why a formula cannot be evaluated."""
    from patsy import PatsyError

    try:
        with np.errstate(all="ignore"):  # what is not finite is named later
            yield
    except (PatsyError, TypeError, ValueError, NameError, SyntaxError, AttributeError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        if cause.startswith("mismatching levels"):
            cause = (
                "with hand codes it has other categories than with labels, as where they are cut "
                "by what other rows hold. Give the cuts as numbers"
            )
        raise UsageError(f"The formula cannot be evaluated: {cause}") from error


def _parsed(code: str) -> ast.Expression:
    """Return what a factor says."""
    try:
        return ast.parse(code, mode="eval")
    except SyntaxError as error:
        raise UsageError(
            f"The formula cannot be read at {code!r}: a column whose name is no plain name of "
            "Python is written Q('the name')."
        ) from error


def _names(term: Any) -> set[str]:
    """Return the columns that a term of patsy's names, and what else it does not call."""
    return {name for factor in term.factors for name in _named(_parsed(factor.code))}


def _named(factor: ast.Expression) -> Iterator[str]:
    calls = [node for node in ast.walk(factor) if isinstance(node, ast.Call)]
    called = {id(node.func) for node in calls}
    for node in ast.walk(factor):
        if isinstance(node, ast.Name) and id(node) not in called:
            yield node.id
    for call in calls:
        if ast.unparse(call.func) == "Q":
            yield _quoted(call)


def _quoted(call: ast.Call) -> str:
    """Return the column that ``Q('a column')`` names."""
    name = call.args[0] if call.args else None
    if not isinstance(name, ast.Constant):
        raise UsageError(f"Write the column's name into {ast.unparse(call)}: Q('a column').")
    return str(name.value)


def _nothing_missing() -> Any:
    """Return how patsy treats missing values: there are none, all columns are checked before."""
    from patsy import NAAction

    return NAAction(NA_types=[])


def _filled(labelled: Labelled) -> Any:
    """Return the labels with something in place of missing ones."""
    instead = labelled.gold.mean() if labelled.classes is None else 0
    return np.where(labelled.missing, instead, labelled.predicted)
