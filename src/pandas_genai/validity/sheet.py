"""A sheet for coders, whatever the file: its columns, and how it is read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pandas_genai.errors import UsageError, counted, printable
from pandas_genai.validity.codebook import CodedField, viewable, written
from pandas_genai.validity.review import Code, Review

__all__ = ["CARRIER", "Cells", "Sheet", "Where", "decided_in"]

CARRIER = "pandas_genai"
"""The name of what carries codebook, design and coder: a hidden sheet, or a column."""

Cells: TypeAlias = Sequence[Sequence[Any]]
Where: TypeAlias = Callable[[int, int], str]
"""Names a cell, by its row and column from 0, for a person."""

_MOST = 32_767
"""What a cell of Excel holds, in units of UTF-16."""
_MARK = "\n[… cut off here: the text has {:,} characters]"
_HEADER_WITHIN = 20


@dataclass(frozen=True)
class Sheet:
    """What is written for a coder.

    Parameters
    ----------
    review : Review
        The rows, what is coded of them, and by whom.
    texts : sequence of str
        What is read, one a row.
    labels : sequence of mapping
        What the model says, one a row; each empty where coders are not to see it.
    decided : mapping
        What was decided before, by row id.
    """

    review: Review
    texts: Sequence[str]
    labels: Sequence[Mapping[str, str]]
    decided: Mapping[str, Code] = field(default_factory=dict)

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        heading = self.review.heading
        shown = list(self.labels[0]) if self.labels else []
        fields = self.review.codebook.names
        return [heading("id"), heading("text"), *shown, *fields, heading("note")]

    @property
    def first_field(self) -> int:
        """The place of the first field's column."""
        return len(self.header) - 1 - len(self.review.codebook.names)

    def rows(self) -> Iterator[list[str]]:
        """Return the cells of each row, as text."""
        for place, row in enumerate(self.review.rows):
            code = self.decided.get(row, Code({}))
            codes = [_coded(one, code) for one in self.review.codebook.fields]
            model = [viewable(value) for value in self.labels[place].values()]
            text = _cut(viewable(self.texts[place]))
            yield [self.review.shown_ids[place], text, *model, *codes, viewable(code.note)]


def _coded(coded: CodedField, code: Code) -> str:
    if code.answers.get(coded.name) is None:
        return ""
    return viewable(written(code.answers[coded.name]))


def _cut(text: str) -> str:
    """Cut a text that no cell holds; it says so at its end."""
    if len(text) <= _MOST // 2 or len(text.encode("utf-16-le")) // 2 <= _MOST:
        return text
    mark = _MARK.format(len(text))
    kept = text.encode("utf-16-le")[: 2 * (_MOST - len(mark))]
    return kept.decode("utf-16-le", "ignore") + mark


def decided_in(review: Review, cells: Cells, where: Where) -> dict[str, Code]:
    """Read what a coder wrote into a sheet.

    Columns may stand in another order, and others beside them; rows may be sorted.

    Parameters
    ----------
    review : Review
        What the sheet was written for.
    cells : sequence of sequence
        All cells, the header's too.
    where : callable
        Names a cell in messages.

    Returns
    -------
    dict
        By row id what is coded of each row in which something is.

    Raises
    ------
    UsageError
        If a row or a column is missing or there twice, an id was changed, or a cell holds what
        its field does not allow. The cell is named.
    """
    top, columns = _header(review, cells, where)
    place_of = {shown: place for place, shown in enumerate(review.shown_ids)}
    id_column, note_column = columns[review.heading("id")], columns.get(review.heading("note"))
    seen: dict[int, int] = {}
    decided: dict[str, Code] = {}
    problems: list[str] = []
    for at in range(top + 1, len(cells)):
        row = cells[at]
        if all(_is_empty(cell) for cell in row):
            continue
        place = _place(row[id_column], place_of, where(at, id_column))
        if place in seen:
            raise UsageError(
                f"{where(at, id_column)}: the id {_shown(row[id_column])} stands there twice, "
                f"first in {where(seen[place], id_column)}. Delete one of these rows."
            )
        seen[place] = at
        values = {}
        for coded in review.codebook.fields:
            cell = row[columns[coded.name]]
            if _is_empty(cell):
                continue
            try:
                values[coded.name] = coded.value(cell)
            except ValueError as error:
                problems.append(f"{where(at, columns[coded.name])}: {error}")
        note = "" if note_column is None or _is_empty(row[note_column]) else row[note_column]
        if values or note:
            decided[review.rows[place]] = Code(values, written(note))
    _check_complete(review, seen, where(top, id_column))
    if problems:
        more = f" ({counted(len(problems) - 1, 'more cell')} like it)" if problems[1:] else ""
        raise UsageError(f"{problems[0]}{more}. Correct it and read the file again.")
    return decided


def _header(review: Review, cells: Cells, where: Where) -> tuple[int, dict[str, int]]:
    """Return the row of the header, and the place of each column."""
    name = review.heading("id")
    top = next(
        (at for at in range(min(_HEADER_WITHIN, len(cells))) if name in map(_text, cells[at])), None
    )
    if top is None:
        raise UsageError(
            f"{where(0, 0)}: there is no column {name!r}, by which codes find their rows: put the "
            "header back as it was."
        )
    columns: dict[str, int] = {}
    needed = [name, *review.codebook.names]
    for at, cell in enumerate(map(_text, cells[top])):
        if cell in columns and cell in needed:
            raise UsageError(
                f"{where(top, at)}: the column {printable(cell)!r} stands there twice: delete or "
                "rename one of them."
            )
        columns.setdefault(cell, at)
    for one in needed:
        if one not in columns:
            there = ", ".join(repr(printable(cell, 40)) for cell in columns if cell)
            raise UsageError(
                f"{where(top, 0)}: the column {one!r} is missing from the header (there are "
                f"{there}): put it back, or give it its name again."
            )
    return top, columns


def _place(cell: object, place_of: Mapping[str, int], where: str) -> int:
    text = _text(cell)
    if not text:
        raise UsageError(
            f"{where}: the id of this row is missing: put it back, or delete the row's content."
        )
    if text not in place_of:
        raise UsageError(
            f"{where}: the id {_shown(cell)} is none of those that were drawn: ids must stay as "
            "they were written."
        )
    return place_of[text]


def _check_complete(review: Review, seen: Mapping[int, int], where: str) -> None:
    missing = [shown for place, shown in enumerate(review.shown_ids) if place not in seen]
    if missing:
        raise UsageError(
            f"{where}: {counted(len(missing), 'row')} of {len(review.shown_ids):,} below it "
            f"{'is' if len(missing) == 1 else 'are'} missing, the first with the id "
            f"{_shown(missing[0])}: put them back, with empty cells where nothing is coded."
        )


def _text(cell: object) -> str:
    return "" if cell is None else viewable(written(cell))


def _is_empty(cell: object) -> bool:
    return not _text(cell)


def _shown(cell: object) -> str:
    return repr(printable(_text(cell), 60))
