"""Labels against hand codes, field by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from pandas_genai.errors import UsageError, counted, printable, warn_user
from pandas_genai.runs.report import label_text
from pandas_genai.validity.design import Design, design_of
from pandas_genai.validity.metrics import (
    Figure,
    label_figures,
    list_figures,
    number_figures,
    text_figures,
)
from pandas_genai.validity.sampled import Mask, Sample

__all__ = ["Evaluation", "evaluate", "latex_table", "latex_text"]

_FEW = 20
_LARGEST = 1e100
"""A number whose square, and the sum of many such, is a number too."""
_COUNTS = ("n", "unanswered")
_LATEX = {sign: rf"\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_COLUMNS = ["field", "metric", "class", "value", "low", "high", "n"]


class Evaluation(pd.DataFrame):
    """How labels compare with hand codes, one figure a row.

    Attributes
    ----------
    confusion : dict of DataFrame
        For each field with labels how many rows have each label by hand (rows) and by the model
        (columns); with a sampling design, how many rows of the population are estimated to have.
    weighted : bool
        Whether figures are weighted by a sampling design.
    """

    _metadata: ClassVar[list[str]] = ["confusion", "weighted"]

    def __init__(
        self,
        *args: Any,
        confusion: Mapping[Hashable, pd.DataFrame] | None = None,
        weighted: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.confusion = dict(confusion or {})
        self.weighted = weighted

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame  # a part of it is a plain frame

    def to_latex(self, *args: Any, **kwargs: Any) -> Any:
        """Return a LaTeX table (booktabs): a row for each figure, the interval beside it.

        Parameters
        ----------
        *args, **kwargs
            With any, what ``DataFrame.to_latex`` makes of the frame as it is.
        """
        if args or kwargs:
            return super().to_latex(*args, **kwargs)
        rows = list(self.rows_for_print())
        return latex_table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])

    def rows_for_print(self) -> Iterator[dict[str, str]]:
        """Return each figure as texts: three digits, and the interval in brackets."""
        for row in self.to_dict("records"):
            counts = row["metric"] in _COUNTS
            shown = {str(name): _plain(row[name]) for name in self.columns[: -len(_COLUMNS[3:])]}
            shown["estimate"] = f"{row['value']:,.0f}" if counts else _digits(row["value"])
            shown["95 % interval"] = (
                "" if pd.isna(row["low"]) else f"[{_digits(row['low'])}, {_digits(row['high'])}]"
            )
            yield shown | {"n": f"{row['n']:,}"}


def _plain(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value)


def _digits(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def evaluate(
    labels: pd.DataFrame,
    fields: Sequence[Hashable],
    gold: pd.DataFrame | pd.Series[Any],
    by: Hashable | pd.Series[Any] | None = None,
) -> Evaluation:
    """Compare labels with hand codes; ``labels.genai.evaluate`` says how.

    Parameters
    ----------
    labels : DataFrame
        The labels, or a frame that they were joined to.
    fields : sequence of columns
        Which columns are labels.
    gold : DataFrame or Series
        The hand codes.
    by : column or Series, optional
        What makes groups.
    """
    codes = _aligned(labels, fields, gold)
    design = design_of(codes)
    if design is not None:
        _check_drawn(codes, design)
    groups = None if by is None else _groups(labels, codes, by)
    rows: list[dict[Hashable, Any]] = []
    confusion: dict[Hashable, pd.DataFrame] = {}
    for name in codes.columns:
        pair = _Pair.of(name, codes[name], labels[name], design)
        if groups is None:
            pair.check_classes()
            rows += _rows(pair, pair.answered)
            confusion |= pair.confusion(name, pair.answered)
            continue
        of_row = groups.reindex(pair.gold.index)
        for group in pd.unique(groups.dropna()):
            inside = (of_row == group).to_numpy(dtype=bool, na_value=False)
            rows += [row | {groups.name: group} for row in _rows(pair, pair.answered, inside)]
            confusion |= pair.confusion((name, group), pair.answered & inside)
    columns = [*([] if groups is None else [groups.name]), *_COLUMNS]
    found = pd.DataFrame(rows, columns=columns)
    found["class"] = pd.Series([row["class"] for row in rows], dtype=object)
    return Evaluation(found, confusion=confusion, weighted=design is not None)


def _rows(pair: _Pair, answered: Mask, inside: Mask | None = None) -> Iterator[dict[Hashable, Any]]:
    """Return the figures of a field, of one group or of all rows."""
    inside = np.ones(len(answered), dtype=bool) if inside is None else inside
    kept, coded = answered & inside, int(inside.sum())
    nothing = (np.nan, np.nan)
    figures = [
        Figure("n", int(kept.sum()), nothing, coded),
        Figure("unanswered", coded - int(kept.sum()), nothing, coded),
    ]
    if kept.any():
        figures += pair.figures(kept)
    for figure in figures:
        low, high = figure.interval
        values = [pair.name, figure.metric, figure.label, figure.value, low, high, figure.n]
        yield dict(zip(_COLUMNS, values, strict=True))


@dataclass(frozen=True)
class _Pair:
    """The coded rows of one field: what a person and what the model gave."""

    name: Hashable
    gold: pd.Series[Any]
    given: pd.Series[Any]
    kind: str
    classes: tuple[Any, ...]
    sample: Sample

    @classmethod
    def of(
        cls, name: Hashable, gold: pd.Series[Any], labels: pd.Series[Any], design: Design | None
    ) -> _Pair:
        gold = gold[gold.notna()]
        if not len(gold):
            raise UsageError(
                f"gold[{name!r}] is missing in all rows: nothing was coded that could be compared."
            )
        given = labels.loc[gold.index]
        kind, classes = _kind(name, labels, gold)
        return cls(name, gold, given, kind, classes, Sample.of(gold.index, design))

    @property
    def answered(self) -> Mask:
        """The rows that the model answered."""
        return self.given.notna().to_numpy()

    def figures(self, kept: Mask) -> Iterator[Figure]:
        """Return all figures of the rows that are compared."""
        if self.kind == "number":
            gold = _numbers(self.name, self.gold)
            given = self.given.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
            _check_numbers("labels", self.name, self.given[kept], given[kept])
            yield from number_figures(self.sample, kept, gold, np.asarray(given, np.float64))
        elif self.kind == "list":
            _check_lists(self.name, self.gold)
            yield from list_figures(self.sample, kept, self.gold.tolist(), self.given.tolist())
        if self.classes:
            yield from label_figures(self.sample, kept, *self.places(), self.classes)
        if self.kind == "text":
            yield from text_figures(self.sample, kept, self.gold.tolist(), self.given.tolist())

    def places(self) -> tuple[Any, Any]:
        """Return the class of each row by its place, by hand and by the model."""
        index = pd.Index(list(self.classes), dtype=object)
        values = [self.gold.astype(object), self.given.astype(object)]
        if self.kind == "text":
            values = [each.map(str) for each in values]
        gold, given = (index.get_indexer(pd.Index(each)) for each in values)
        if (gold < 0).any():
            at = int(np.argmax(gold < 0))
            raise UsageError(
                f"gold[{self.name!r}] has {_shown(self.gold.iloc[at])} at "
                f"{label_text(self.gold.index[at])!r}, which is no label of this field: "
                f"{', '.join(map(repr, self.classes[:_FEW]))}."
            )
        return gold, given

    def check_classes(self) -> None:
        """Refuse hand codes of one class, which say nothing about the others."""
        if not self.classes or self.kind == "text":
            return
        self.places()
        if len(set(self.gold)) == 1 and len(self.classes) > 1:
            raise UsageError(
                f"gold[{self.name!r}] has one class only, {_shown(self.gold.iloc[0])}, in all "
                f"{counted(len(self.gold), 'row')}: nothing can be said about other classes. Code "
                f"rows of those too, with review_sample(..., stratify={self.name!r})."
            )

    def confusion(self, key: Hashable, kept: Mask) -> dict[Hashable, pd.DataFrame]:
        """Return how often each class met each, under a key, if there are classes."""
        if not self.classes:
            return {}
        gold, given = (place[kept] for place in self.places())
        size = len(self.classes)
        counts = np.bincount(gold * size + given, self.sample.weights[kept], minlength=size**2)
        whole = bool((self.sample.weights == 1).all())
        table = pd.DataFrame(
            counts.reshape(size, size).astype(np.int64 if whole else np.float64),
            index=pd.Index(self.classes, name="gold"),
            columns=pd.Index(self.classes, name="label"),
        )
        return {key: table}


def _kind(
    name: Hashable, labels: pd.Series[Any], gold: pd.Series[Any]
) -> tuple[str, tuple[Any, ...]]:
    """Return what a field holds, and its classes, if it has any."""
    if isinstance(labels.dtype, pd.CategoricalDtype):
        return "label", tuple(labels.dtype.categories.tolist())
    if pd.api.types.is_bool_dtype(labels.dtype):
        return "boolean", (False, True)
    if pd.api.types.is_numeric_dtype(labels.dtype):
        if pd.api.types.is_complex_dtype(labels.dtype):
            raise UsageError(f"The labels of {name!r} are complex numbers, which have no order.")
        return "number", ()
    values = labels.dropna()
    if len(values) and all(isinstance(value, (list, tuple, set)) for value in values):
        return "list", ()
    if len(values) and all(isinstance(value, (bool, np.bool_)) for value in values):
        return "boolean", (False, True)
    return "text", _texts(name, labels.loc[gold.index].dropna(), gold)


def _texts(name: Hashable, given: pd.Series[Any], gold: pd.Series[Any]) -> tuple[str, ...]:
    """Return the texts that are classes, if each stands often; what is no text is refused."""
    if not len(given):
        return ()
    for what, values in (("labels", given), ("gold", gold)):
        for label, value in values.items():
            if isinstance(value, (bool, np.bool_, list, tuple, set, frozenset, dict)):
                raise UsageError(
                    f"{what}[{name!r}] has {_shown(value)} at {label_text(label)!r}, where text is "
                    "compared with text: write both alike, or compare another column."
                )
    found = {str(value) for value in (*gold, *given)}
    few = len(found) <= _FEW and 2 * len(found) <= len(gold)
    return tuple(sorted(found)) if few else ()


def _shown(value: Any) -> str:
    """Write a value for a message: NumPy's scalars as Python's."""
    return printable(repr(value.item() if isinstance(value, np.generic) else value), 60)


def _numbers(name: Hashable, gold: pd.Series[Any]) -> Any:
    numbers = pd.to_numeric(gold.astype(object), errors="coerce").to_numpy(dtype=np.float64)
    _check_numbers("gold", name, gold, numbers)
    return numbers


def _check_numbers(what: str, name: Hashable, values: pd.Series[Any], numbers: Any) -> None:
    """Refuse what is no number, or has no square."""
    wrong = ~(np.abs(numbers) < _LARGEST)
    if wrong.any():
        at = int(np.argmax(wrong))
        where = (
            f"{what}[{name!r}] has {_shown(values.iloc[at])} at {label_text(values.index[at])!r}"
        )
        if np.isfinite(numbers[at]):
            raise UsageError(f"{where}, too large to compute with: use another unit.")
        raise UsageError(f"{where}, where the labels are numbers.")


def _check_lists(name: Hashable, gold: pd.Series[Any]) -> None:
    for label, value in gold.items():
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise UsageError(
                f"gold[{name!r}] has {_shown(value)} at {label_text(label)!r}, where the labels "
                "are lists."
            )


def _aligned(labels: pd.DataFrame, fields: Sequence[Hashable], gold: Any) -> pd.DataFrame:
    """Return the hand codes of the fields, checked against the index of the labels."""
    if isinstance(gold, pd.Series):
        name = gold.name if gold.name in fields or len(fields) > 1 else fields[0]
        codes = gold.to_frame(name)
        codes.attrs = dict(gold.attrs)
    elif isinstance(gold, pd.DataFrame):
        codes = gold
    else:
        raise UsageError(
            f"gold= is a DataFrame of hand codes, or a Series of one field, not a "
            f"{type(gold).__name__}."
        )
    for what, frame in (("gold", codes), ("the labels", labels)):
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()][0]
            raise UsageError(f"{what[0].upper()}{what[1:]} has two columns {twice!r}: rename one.")
    names = [name for name in codes.columns if name in fields]
    if not names:
        raise UsageError(
            f"gold has no column of these labels: it has {_listed(codes.columns)}, the labels have "
            f"{_listed(fields)}."
        )
    for what, index in (("gold", codes.index), ("the labels", labels.index)):
        if not index.is_unique:
            twice = label_text(index[index.duplicated()][0])
            raise UsageError(
                f"The index of {what} has {twice!r} more than once, so that nobody can tell which "
                "hand code is of which row."
            )
    foreign = codes.index.difference(labels.index, sort=False)
    if len(foreign):
        raise UsageError(
            f"{len(foreign):,} of {counted(len(codes), 'row')} of gold are not among the labels, "
            f"such as {label_text(foreign[0])!r}: gold needs the index of the labels."
        )
    found = codes[names]
    found.attrs = dict(codes.attrs)
    return found


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _check_drawn(codes: pd.DataFrame, design: Design) -> None:
    coded = codes.notna().any(axis=1)
    drawn = design.probability(codes.index).notna() | ~coded
    if not drawn.all():
        raise UsageError(
            f"{counted(int((~drawn).sum()), 'row')} of gold were not drawn by its sampling design, "
            f"such as {label_text(codes.index[~drawn][0])!r}: nobody knows what they stand for."
        )
    strata = set(design.stratum(codes.index)[coded].dropna())
    without = [stratum.name for stratum in design.strata if stratum.name not in strata]
    if without:
        warn_user(
            f"No row of {_listed(without)} was coded: the figures are about the other rows.",
            UserWarning,
        )


def _groups(labels: pd.DataFrame, codes: pd.DataFrame, by: Any) -> pd.Series[Any]:
    """Return the group of each coded row."""
    of_row = _by(labels, codes, by)
    if of_row.name in _COLUMNS:
        raise UsageError(
            f"by= is called {of_row.name!r}, as a column of the result is: give it another name, "
            f"such as by.rename('{of_row.name}_group')."
        )
    if not of_row.map(pd.api.types.is_hashable).all():
        raise UsageError(f"by= has values that make no groups, such as {_shown(of_row.iloc[0])}.")
    lost = int((of_row.isna() & codes.notna().any(axis=1)).sum())
    if lost:
        warn_user(
            f"{counted(lost, 'coded row')} {'has' if lost == 1 else 'have'} no {of_row.name!r} and "
            "count in no group.",
            UserWarning,
        )
    return of_row


def _by(labels: pd.DataFrame, codes: pd.DataFrame, by: Any) -> pd.Series[Any]:
    if isinstance(by, pd.Series):
        if not (by.index.is_unique and codes.index.isin(by.index).all()):
            raise UsageError("by= must be a Series with the index of the labels.")
        of_row: pd.Series[Any] = by.reindex(codes.index)
        of_row.name = "group" if by.name is None else by.name
        return of_row
    if pd.api.types.is_hashable(by) and by in labels.columns:
        column: pd.Series[Any] = labels[by].loc[codes.index]
        return column
    shown = _shown(by) if pd.api.types.is_scalar(by) else f"a {type(by).__name__}"
    raise UsageError(
        f"by={shown} is no column of the labels: they have {_listed(labels.columns)}. Any Series "
        "with their index will do, such as by=df['year']."
    )


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for LaTeX with the package booktabs.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells.
    """
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in (header, *rows)]
    columns = "l" * len(header)
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"


def latex_text(text: str) -> str:
    """Return a text as LaTeX shows it, signs that have a meaning there escaped."""
    return "".join(_LATEX.get(sign, sign) for sign in text)
