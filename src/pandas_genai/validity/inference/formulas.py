"""From a formula and a frame to arrays: evaluated whole with labels, and whole with hand codes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.inference.checks import plain
from pandas_genai.validity.inference.problem import Array, Indices, Labelled, Layout, Piece

__all__ = ["Evaluated", "Formula", "labelled_variable"]

_MOST_CLASSES = 10
"""Numbers with more different values are calibrated by a line."""

_STAGES = re.compile(r"\[(?P<endogenous>[^~\[\]]+)~(?P<instruments>[^~\[\]]+)\]")


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
        stages = _STAGES.search(formula)
        rest = _STAGES.sub("", formula)
        if rest.count("~") != 1 or not rest.split("~")[0].strip():
            raise UsageError(
                f"{formula!r} is no formula with an outcome: write 'y ~ x + C(group)', for "
                "instruments 'y ~ x + [endogenous ~ instrument]'."
            )
        outcome, exogenous = (side.strip() for side in rest.split("~"))
        exogenous = exogenous.strip("+ ") or "1"
        if stages is None:
            return cls(outcome, exogenous)
        return cls(outcome, exogenous, stages["endogenous"].strip(), stages["instruments"].strip())

    @property
    def sides(self) -> list[str]:
        """Return the formulas to evaluate: outcome, then the right-hand sides."""
        right = [self.exogenous, self.endogenous, self.instruments]
        return [f"0 + {self.outcome}", *(side for side in right if side)]

    def names(self) -> set[str]:
        """Return the columns and functions that it names.

        Raises
        ------
        UsageError
            If it cannot be read.
        """
        from patsy import ModelDesc, PatsyError

        found: set[str] = set()
        try:
            for side in self.sides:
                for term in ModelDesc.from_formula(side).rhs_termlist:
                    found.update(_names(term))
        except (PatsyError, SyntaxError) as error:
            raise UsageError(f"The formula cannot be read: {str(error).splitlines()[0]}") from error
        return found

    def is_category(self, name: str) -> bool:
        """Whether the formula writes ``C(name)``."""
        quoted = re.escape(name)
        return any(
            re.search(rf"\bC\(\s*(Q\(['\"]{quoted}['\"]\)|{quoted}\b)", side) for side in self.sides
        )


def labelled_variable(
    name: str, gold: pd.Series[Any], predicted: pd.Series[Any], *, category: bool
) -> Labelled:
    """Read one labelled variable.

    Parameters
    ----------
    name : str
        Its name.
    gold : Series
        Hand codes of the coded rows.
    predicted : Series
        Labels of all rows.
    category : bool
        Whether it stands for categories although it may be numbers.
    """
    gold, predicted = plain(gold), plain(predicted)
    numbers = [pd.api.types.is_numeric_dtype(values.dtype) for values in (gold, predicted)]
    if predicted.isna().all():
        raise UsageError(f"No row has a label for {name!r}.")
    if numbers[0] != numbers[1]:
        text, other = ("labels", "hand codes") if numbers[0] else ("hand codes", "labels")
        raise UsageError(f"{name!r}: the {text} are text, but the {other} are numbers.")
    if all(numbers):
        ours, theirs = (
            values.to_numpy(dtype=float, na_value=np.nan) for values in (gold, predicted)
        )
        if np.isinf(ours).any() or np.isinf(theirs).any():
            raise UsageError(f"{name!r} has infinite values.")
        classes: list[Any] = sorted({*np.unique(ours), *np.unique(theirs[~np.isnan(theirs)])})
        if len(classes) > _MOST_CLASSES and not category:
            return Labelled(name, None, theirs, ours)
        if all(pd.api.types.is_bool_dtype(values.dtype) for values in (gold, predicted)):
            codes = [pd.Categorical(values, categories=classes).codes for values in (theirs, ours)]
            return Labelled(name, [bool(one) for one in classes], *_positions(codes))
        if all(one == int(one) for one in classes):
            classes = [int(one) for one in classes]
    else:
        classes = _texts(gold, predicted)
    codes = [pd.Categorical(values, categories=classes).codes for values in (predicted, gold)]
    return Labelled(name, classes, *_positions(codes))


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
        gold = {name: one.gold for name, one in labelled.items()}
        self.gold = self._wide(self._with(data.iloc[coded], gold))
        self.layout = self._layout()
        self.pieces = self._pieces()

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
        from patsy import EvalEnvironment, PatsyError, dmatrix

        blocks = []
        for at, side in enumerate(self._formula.sides):
            try:
                with np.errstate(all="ignore"):  # what is not finite is named later
                    matrix = dmatrix(
                        side, frame, EvalEnvironment([self._known]), _nothing_missing()
                    )
            except (PatsyError, TypeError, ValueError, NameError) as error:
                cause = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UsageError(f"The formula cannot be evaluated: {cause}") from error
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

    def _wide(self, frame: pd.DataFrame) -> Array:
        from patsy import build_design_matrices

        blocks = []
        for design, kept in zip(self._designs, self._kept, strict=True):
            with np.errstate(all="ignore"):
                (matrix,) = build_design_matrices([design], frame, _nothing_missing())
            values = np.asarray(matrix, dtype=float)
            blocks.append(np.broadcast_to(values, (len(frame), values.shape[1]))[:, kept])
        return np.column_stack(blocks)

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

    def _pieces(self) -> list[Piece]:
        """Group the columns by the labelled variables in their terms."""
        groups: dict[tuple[str, ...], list[int]] = {}
        start = 0
        for design, kept in zip(self._designs, self._kept, strict=True):
            place = {int(column): start + at for at, column in enumerate(kept)}
            for term, columns in design.term_slices.items():
                used = set(_names(term))
                labels = tuple(name for name in self._labelled if name in used)
                inside = range(*columns.indices(len(design.column_names)))
                found = [place[column] for column in inside if column in place]
                if labels and found:
                    groups.setdefault(labels, []).extend(found)
            start += len(kept)
        return [self._piece(labels, np.array(columns)) for labels, columns in groups.items()]

    def _piece(self, labels: tuple[str, ...], columns: Indices) -> Piece:
        """Return what evaluates just the terms of some columns."""
        from patsy import build_design_matrices

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

        def values(given: Mapping[str, Any]) -> Array:
            frame = self._given(given)
            found = build_design_matrices(designs, frame, _nothing_missing())
            blocks = [
                np.asarray(matrix, dtype=float)[:, chosen]
                for matrix, chosen in zip(found, picked, strict=True)
            ]
            return np.column_stack(blocks)

        return Piece(columns, labels, values)


def _names(term: Any) -> Iterator[str]:
    """Return the columns and functions that a term of patsy's names."""
    for factor in term.factors:
        for node in ast.walk(ast.parse(factor.code)):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Q":
                yield str(ast.literal_eval(node.args[0]))


def _nothing_missing() -> Any:
    """Return how patsy treats missing values: there are none, all columns are checked before."""
    from patsy import NAAction

    return NAAction(NA_types=[])


def _filled(labelled: Labelled) -> Any:
    """Return the labels with something in place of missing ones."""
    instead = labelled.gold.mean() if labelled.classes is None else 0
    return np.where(labelled.missing, instead, labelled.predicted)


def _positions(codes: list[Any]) -> list[Indices]:
    return [np.asarray(one, dtype=np.intp) for one in codes]


def _texts(gold: pd.Series[Any], predicted: pd.Series[Any]) -> list[Any]:
    """Return the labels that occur, in the order of the schema where a column has one."""
    seen = {*gold.dropna().unique(), *predicted.dropna().unique()}
    for values in (predicted, gold):
        if isinstance(values.dtype, pd.CategoricalDtype):
            named = list(values.cat.categories)
            if seen <= set(named):
                return [label for label in named if label in seen]
    return sorted(seen, key=str)
