"""Hand codes with the design of their sample, brought together with labels and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.validity.design import Design, design_of
from pandas_genai.validity.inference.checks import check_frame
from pandas_genai.validity.inference.columns import row_name
from pandas_genai.validity.inference.problem import Indices
from pandas_genai.validity.inference.sampled import Drawn
from pandas_genai.validity.sampling import strata_of

__all__ = ["Coded", "together"]


@dataclass(frozen=True)
class Coded:
    """What the functions on plain frames take.

    Parameters
    ----------
    data : DataFrame
        The data; columns of labelled variables hold the hand codes.
    predicted : dict
        The labels by variable.
    probability : Series, optional
        With which each row was drawn, where there is no design.
    drawn : Drawn, optional
        How rows were drawn, where there is a design.
    notes : list of str
        What a reader must know.
    """

    data: pd.DataFrame
    predicted: dict[str, pd.Series[Any]]
    probability: Any
    drawn: Drawn | None
    notes: list[str]


def together(
    labels: pd.DataFrame,
    data: pd.DataFrame,
    gold: Any,
    names: Sequence[str],
    probability: Any = None,
) -> Coded:
    """Put hand codes in the place of labels.

    Parameters
    ----------
    labels : DataFrame
        The labels.
    data : DataFrame
        The other variables: rows of ``labels``, found by their index labels.
    gold : DataFrame
        The hand codes.
    names : sequence of str
        The labelled variables that are used.
    probability : number, column of data or Series, optional
        With which rows were drawn; only for hand codes without a design.

    Raises
    ------
    UsageError
        If hand codes are of other rows, were not drawn, or nobody knows how they were drawn.
    """
    gold = _frame_of(gold)
    for frame, what in ((labels, "The frame of labels"), (data, "data"), (gold, "gold")):
        check_frame(frame, what)
    _check_index(labels, data, gold)
    for name in names:
        if not pd.api.types.is_hashable(name) or name not in labels.columns:
            raise UsageError(f"{name!r} is no field of these labels: {list(labels.columns)}.")
        if name not in gold.columns:
            raise UsageError(
                f"Nobody coded {name!r} by hand: gold has {list(gold.columns)}. No estimate "
                "is valid without hand codes."
            )
    names = list(names)
    used = gold[names].dropna(how="all")
    design = design_of(gold)
    if design is not None and probability is not None:
        raise UsageError(
            "gold knows with which probabilities its rows were drawn: leave probability= out."
        )
    if design is None and probability is None:
        raise UsageError(
            "gold has no sampling design, so nobody knows how its rows were drawn. Draw rows with "
            "labels.genai.review_sample(...), which keeps it, or give probability=: with which "
            "probability each row was drawn."
        )
    notes: list[str] = []
    if design is not None:
        _check_drawn(used, design)
        data, left = _population(labels, data, design, names)
        if left:
            notes.append(
                f"Without {counted(left, 'row')} that have no text and could not be drawn: the "
                "estimate is about the others."
            )
        _check_coded(data, used, design)
    found = data.drop(columns=[name for name in names if name in data.columns])
    found = found.join(used.reindex(data.index))
    predicted = {name: labels[name].reindex(data.index) for name in names}
    drawn = None if design is None else _drawn(labels, data, design, notes)
    return Coded(found, predicted, probability if design is None else None, drawn, notes)


def _frame_of(gold: Any) -> Any:
    """Return the hand codes of one field as a frame that still knows how they were drawn."""
    if not isinstance(gold, pd.Series):
        return gold
    if gold.name is None:
        raise UsageError("gold is a Series without a name: name it after its field.")
    frame = gold.to_frame()
    frame.attrs = dict(gold.attrs)
    return frame


def _check_index(labels: pd.DataFrame, data: pd.DataFrame, gold: pd.DataFrame) -> None:
    for frame, what in ((labels, "the labels"), (data, "data"), (gold, "gold")):
        if not frame.index.is_unique:
            twice = row_name(frame.index[frame.index.duplicated()][0])
            raise UsageError(f"Index label {twice} stands twice in {what}: rows are found by it.")
        inside = frame.index.nlevels == labels.index.nlevels and frame.index.isin(labels.index)
        others = frame.index[~np.asarray(inside)] if np.ndim(inside) else frame.index
        if len(others):
            raise UsageError(
                f"{what} has {counted(len(others), 'row')} that the labels do not have (such as "
                f"{row_name(others[0])}): it is of another frame."
            )


def _check_drawn(used: pd.DataFrame, design: Design) -> None:
    """Refuse hand codes of rows that were never drawn."""
    never = used.index[design.probability(used.index).isna().to_numpy()]
    if len(never):
        raise UsageError(
            f"gold has {counted(len(never), 'row')} that nobody drew (such as "
            f"{row_name(never[0])}): rows that somebody picked are a convenience sample, which "
            "cannot be used. Leave them out: gold.loc[gold.index.isin(sample.index)]."
        )


def _check_coded(data: pd.DataFrame, used: pd.DataFrame, design: Design) -> None:
    """Refuse a sample of which some rows were left out."""
    drawn = data.index[design.probability(data.index).notna().to_numpy()]
    open_rows = drawn[~drawn.isin(used.index)]
    if len(open_rows):
        raise UsageError(
            f"{len(open_rows):,} of the {len(drawn):,} rows drawn have no hand code (such as "
            f"{row_name(open_rows[0])}): code them all, or draw fewer rows with a smaller n. The "
            "rows that coders leave out are not like the others."
        )


def _population(
    labels: pd.DataFrame, data: pd.DataFrame, design: Design, names: Sequence[str]
) -> tuple[pd.DataFrame, int]:
    """Leave out the rows that could not be drawn, because they have no text."""
    if not design.without_text or len(labels) != design.population + design.without_text:
        return data, 0
    lost = labels[list(names)].isna().all(axis=1) & design.probability(labels.index).isna()
    if int(lost.sum()) != design.without_text:
        raise UsageError(
            f"{counted(design.without_text, 'row')} of the labels had no text and could not be "
            f"drawn, but {int(lost.sum()):,} have no label: leave the rows without text out of "
            "data, so that failed rows can be told from them."
        )
    inside = ~lost.reindex(data.index)
    return data[inside], int((~inside).sum())


def _drawn(labels: pd.DataFrame, data: pd.DataFrame, design: Design, notes: list[str]) -> Drawn:
    probability = design.probability(data.index).to_numpy(dtype=float)
    strata: Indices = design.stratum(data.index).cat.codes.to_numpy().astype(np.intp)
    sizes = np.array([one.population for one in design.strata], dtype=np.intp)
    if len(data) != design.population:
        notes.append(
            f"data has {len(data):,} of the {design.population:,} rows that were sampled: the "
            "estimate is about these, as if rows had been drawn independently."
        )
        return Drawn(probability, np.full(len(data), -1, dtype=np.intp), None)
    if len(design.strata) == 1:
        return Drawn(probability, np.zeros(len(data), dtype=np.intp), sizes)
    known = _recovered(labels, data, design)
    return Drawn(probability, strata if known is None else known, sizes)


def _recovered(labels: pd.DataFrame, data: pd.DataFrame, design: Design) -> Indices | None:
    """Return the strata of rows that were not drawn, where their columns are still there."""
    if not set(design.stratified_by) <= set(labels.columns):
        return None
    columns = [labels[name].reindex(data.index) for name in design.stratified_by]
    named = pd.Index([one.name for one in design.strata], dtype=object)
    codes: Indices = named.get_indexer(pd.Index(strata_of(columns, len(data)), dtype=object))
    sizes = [one.population for one in design.strata]
    same = (codes >= 0).all() and np.bincount(codes, minlength=len(sizes)).tolist() == sizes
    return codes if same else None
