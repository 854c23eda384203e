"""The sheet for coders as an Excel workbook."""

from __future__ import annotations

import io
import math
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pandas_genai.errors import UsageError, printable
from pandas_genai.files import new_file
from pandas_genai.validity.codebook import CodedField, written
from pandas_genai.validity.review import Code, Review
from pandas_genai.validity.sheet import CARRIER, Sheet, decided_in

__all__ = ["openpyxl_or_error", "put", "read_workbook", "write_workbook"]

_CODES, _CODEBOOK, _LISTS = "codes", "codebook", "labels"
_PIECE_SIZE = 30_000
_INLINE = 255
"""Characters of a list of labels that Excel takes within the rule itself."""
_WIDTHS = {"id": 14.0, "text": 90.0, "note": 30.0}
_FIELD_WIDTH = 20.0
_LINE, _TALLEST = 15.0, 409.0
_DIGITS = 15
"""Of a number that Excel keeps."""
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
"""What Excel reads as a sign by its number, such as _x000D_ for a line end."""


def openpyxl_or_error() -> Any:
    """Return the library that writes workbooks.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import openpyxl
    except ImportError:
        raise UsageError(
            "Workbooks need openpyxl: pip install 'pandas-genai[validity]', or write a CSV file."
        ) from None
    return openpyxl


def write_workbook(path: Path, sheet: Sheet) -> None:
    """Write a sheet, its codebook, and hidden what it carries."""
    workbook = openpyxl_or_error().Workbook()
    codes = workbook.active
    codes.title = _CODES
    _write_codes(codes, sheet)
    _write_codebook(workbook.create_sheet(_CODEBOOK), sheet.review)
    _add_choices(workbook, codes, sheet)
    carrier = workbook.create_sheet(CARRIER)
    carrier.sheet_state = "veryHidden"
    text = sheet.review.to_json()
    for at, start in enumerate(range(0, len(text), _PIECE_SIZE), 1):
        put(carrier.cell(at, 1), text[start : start + _PIECE_SIZE])
    with new_file(path, mode=0o644) as file:
        workbook.save(file)


def put(cell: Any, text: str) -> None:
    """Write a text that never becomes a formula, not even when somebody edits the cell."""
    cell.value = _ESCAPE.sub(r"_x005F_x\1_", text)
    cell.data_type = "s"
    cell.quotePrefix = text[:1] in "=+-@\t'"


def _write_codes(codes: Any, sheet: Sheet) -> None:
    from openpyxl.styles import Alignment, Font

    header = sheet.header
    for column, name in enumerate(header, 1):
        put(codes.cell(1, column), name)
        codes.cell(1, column).font = Font(bold=True)
        letter = codes.cell(1, column).column_letter
        codes.column_dimensions[letter].width = _width(name, sheet)
    wrapped = Alignment(vertical="top", wrap_text=True)
    for at, row in enumerate(sheet.rows(), 2):
        for column, text in enumerate(row, 1):
            cell = codes.cell(at, column)
            cell.alignment = wrapped
            if column == 1 and _is_number(sheet.review.index[at - 2], text):
                cell.value = int(text)
            elif text:
                put(cell, text)
        codes.row_dimensions[at].height = _height(row[1])
    codes.freeze_panes = "C2"


def _is_number(label: object, shown: str) -> bool:
    return (
        not isinstance(label, str)
        and shown.isascii()
        and shown.isdigit()
        and (len(shown) <= _DIGITS)
    )


def _width(name: str, sheet: Sheet) -> float:
    by_heading = {sheet.review.heading(known): width for known, width in _WIDTHS.items()}
    return by_heading.get(name, _FIELD_WIDTH)


def _height(text: str) -> float:
    """Return about how tall a wrapped text is; a wide sign is counted as two."""
    signs = [sum(2 if sign >= "\u1100" else 1 for sign in line) for line in text.split("\n")]
    lines = sum(max(1, math.ceil(count / _WIDTHS["text"])) for count in signs)
    return min(_TALLEST, _LINE * max(2, lines))


def _write_codebook(page: Any, review: Review) -> None:
    from openpyxl.styles import Alignment, Font

    rows = [["field", "meaning", "allowed labels", "what to write"]]
    rows += [
        [one.name, one.description, "\n".join(map(written, one.labels)), one.kind_text]
        for one in review.codebook.fields
    ]
    rows.append([review.heading("note"), "Anything worth remembering about the text.", "", "text"])
    if review.codebook.instructions:
        rows += [[], ["question", review.codebook.instructions]]
    if review.coder:
        rows += [[], ["coder", review.coder]]
    for at, row in enumerate(rows, 1):
        for column, text in enumerate(row, 1):
            put(page.cell(at, column), text)
            page.cell(at, column).alignment = Alignment(vertical="top", wrap_text=True)
            page.cell(at, column).font = Font(bold=at == 1)
    for letter, width in zip("ABCD", (20, 70, 30, 40), strict=True):
        page.column_dimensions[letter].width = width


def _add_choices(workbook: Any, codes: Any, sheet: Sheet) -> None:
    """Give the cells of each field with labels a list to choose from."""
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    last = len(sheet.review.rows) + 1
    for at, coded in enumerate(sheet.review.codebook.fields, sheet.first_field + 1):
        if coded.is_list or not coded.labels:
            continue
        rule = DataValidation(
            type="list",
            formula1=_choices(workbook, coded),
            allow_blank=True,
            showErrorMessage=True,
            errorTitle=coded.name[:30],
            error="Choose one of the allowed labels; the sheet 'codebook' lists them.",
        )
        letter = get_column_letter(at)
        rule.add(f"{letter}2:{letter}{last}")
        codes.add_data_validation(rule)


def _choices(workbook: Any, coded: CodedField) -> str:
    """Return the labels for a rule: within it where Excel takes that, else where they stand."""
    labels = [written(label) for label in coded.labels]
    inline = ",".join(labels)
    units = len(inline.encode("utf-16-le")) // 2
    if units <= _INLINE and not any(sign in label for label in labels for sign in ',"\n'):
        return f'"{inline}"'
    page = workbook[_LISTS] if _LISTS in workbook else workbook.create_sheet(_LISTS)
    page.sheet_state = "hidden"
    column = page.max_column + 1 if page.cell(1, 1).value is not None else 1
    for at, label in enumerate(labels, 1):
        put(page.cell(at, column), label)
    letter = page.cell(1, column).column_letter
    return f"'{_LISTS}'!${letter}$1:${letter}${len(labels)}"


def read_workbook(path: Path) -> tuple[Review, dict[str, Code]]:
    """Read a sheet, in whatever order its rows and columns stand now.

    Raises
    ------
    UsageError
        If it cannot be read; sheet and cell are named.
    """
    workbook = _opened(path)
    if CARRIER not in workbook.sheetnames:
        raise UsageError(
            f"{path} is no workbook of this package: it has no hidden sheet {CARRIER!r}, which "
            "carries codebook and design. Copy the codes into the workbook that was written."
        )
    if _CODES not in workbook.sheetnames:
        sheets = ", ".join(repr(printable(name, 40)) for name in workbook.sheetnames)
        raise UsageError(
            f"{path} has no sheet {_CODES!r} (it has {sheets}): give the sheet with the codes that "
            "name again."
        )
    pieces = [row[0] for row in workbook[CARRIER].iter_rows(max_col=1, values_only=True)]
    try:
        review = Review.from_json("".join(_plain(piece) for piece in pieces if piece is not None))
    except ValueError:
        raise UsageError(
            f"{path}, sheet {CARRIER!r}: codebook and design cannot be read any more. Copy the "
            "codes into the workbook as it was written."
        ) from None
    codes = workbook[_CODES]

    def where(row: int, column: int) -> str:
        return f"{path.name}, sheet {_CODES!r}, cell {codes.cell(row + 1, column + 1).coordinate}"

    merged = list(codes.merged_cells.ranges)
    if merged:
        raise UsageError(
            f"{path.name}, sheet {_CODES!r}, cells {merged[0].coord}: these cells are merged, so "
            "that nobody can tell whose code it is: unmerge them, and write it into each."
        )
    return review, decided_in(review, _cells(path, codes, where), where)


def _plain(value: Any) -> Any:
    """Return what a cell shows: signs that are written by their numbers are signs again."""
    if not isinstance(value, str):
        return value
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value).replace("\r\n", "\n")


def _opened(path: Path, *, values: bool = False) -> Any:
    openpyxl = openpyxl_or_error()
    content = io.BytesIO(path.read_bytes())  # of a path openpyxl takes some endings alone
    try:
        with warnings.catch_warnings():  # of what openpyxl would not write again
            warnings.simplefilter("ignore")
            return openpyxl.load_workbook(content, data_only=values)
    except (zipfile.BadZipFile, EOFError, zipfile.LargeZipFile):
        problem = "is damaged or was cut off"
    except (KeyError, ValueError, TypeError, SyntaxError, AttributeError, IndexError) as error:
        problem = f"is no Excel workbook ({printable(error, 80)})"
    raise UsageError(
        f"{path} {problem}: open it in a spreadsheet and write it again as .xlsx, or ask the coder "
        "for another copy."
    )


def _cells(path: Path, codes: Any, where: Any) -> Sequence[Sequence[Any]]:
    """Return the values of all cells; of a formula what it came to."""
    rows = list(codes.iter_rows())
    formulas = any(cell.data_type == "f" for row in rows for cell in row)
    known = _opened(path, values=True)[_CODES] if formulas else None
    values = []
    for row in rows:
        values.append([_plain(cell.value) for cell in row])
        for at, cell in enumerate(row):
            if cell.data_type == "e":
                raise UsageError(
                    f"{where(cell.row - 1, at)}: the error {cell.value} stands there instead of a "
                    "code: write the code itself."
                )
            if cell.data_type == "f" and known is not None:
                values[-1][at] = known.cell(cell.row, cell.column).value
                if values[-1][at] is None:
                    raise UsageError(
                        f"{where(cell.row - 1, at)}: a formula stands there whose value the file "
                        "does not hold: write the value itself."
                    )
    return values
