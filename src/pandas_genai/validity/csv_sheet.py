"""The sheet for coders as a CSV file.

A spreadsheet takes a cell that begins with one of a few signs for a formula. Such a text gets an
apostrophe before it, and so does one that has apostrophes and then such a sign; reading takes one
away again. What the file carries beside the codes stands in its last column, in pieces.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import csv
import io
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from pandas_genai.errors import UsageError
from pandas_genai.files import atomic_write
from pandas_genai.validity.review import Code, Review
from pandas_genai.validity.sheet import CARRIER, Sheet, decided_in

__all__ = ["escaped", "read_csv", "write_csv"]

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_LOOKS_ELSE = re.compile(r"'*(0\d+|[\d.,:/ -]*\d[\d.,:/ %eE+-]*|true|false)", re.IGNORECASE)
"""Ids that a spreadsheet would write otherwise: 007 as 7, 1-2 as a date, 1E5 as 100000."""
_PIECE = re.compile(r"part (\d+) of (\d+): (\S*)")
_PIECE_SIZE = 20_000
_DIGITS = 15
"""Of a number that a spreadsheet keeps."""
_DELIMITERS = (",", ";", "\t")
_HINT = "write it as 'CSV UTF-8', or as an Excel workbook"


def escaped(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _escaped_id(shown: str) -> str:
    """Return an id that a spreadsheet leaves as it is."""
    is_plain = shown.isdecimal() and not shown.startswith("0") and len(shown) <= _DIGITS
    return f"'{shown}" if _LOOKS_ELSE.fullmatch(shown) and not is_plain else escaped(shown)


def _unescaped_id(cell: str) -> str:
    looks_else = cell.startswith("'") and _LOOKS_ELSE.fullmatch(cell)
    return cell[1:] if looks_else else _unescaped(cell)


def write_csv(path: Path, sheet: Sheet) -> None:
    """Write a sheet."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow([*map(escaped, sheet.header), CARRIER])
    pieces = _pieces(sheet.review)
    for place, row in enumerate(sheet.rows()):
        piece = pieces[place] if place < len(pieces) else ""
        writer.writerow([_escaped_id(row[0]), *map(escaped, row[1:]), piece])
    atomic_write(path, file.getvalue().encode("utf-8-sig"), mode=0o644)


def _pieces(review: Review) -> list[str]:
    packed = base64.b64encode(zlib.compress(review.to_json().encode(), 9)).decode()
    size = max(_PIECE_SIZE, -(-len(packed) // len(review.rows)))
    parts = [packed[start : start + size] for start in range(0, len(packed), size)]
    return [f"part {at} of {len(parts)}: {part}" for at, part in enumerate(parts, 1)]


def read_csv(path: Path) -> tuple[Review, dict[str, Code]]:
    """Read a sheet, in whatever order its rows and columns stand now.

    Raises
    ------
    UsageError
        If it cannot be read; the row and column are named.
    """
    cells = _cells(path)
    header = cells[0]
    carrier = header.index(CARRIER)
    review = _review(path, [row[carrier] for row in cells[1:]])

    def where(row: int, column: int) -> str:
        name = header[column] if column < len(header) else str(column + 1)
        return f"{path.name}, row {row + 1}, column {name!r}"

    ids = [name == review.heading("id") for name in header]
    rows = [
        [
            "" if at == carrier else (_unescaped_id if ids[at] else _unescaped)(cell)
            for at, cell in enumerate(row)
        ]
        for row in cells
    ]
    return review, decided_in(review, rows, where)


def _cells(path: Path) -> list[list[str]]:
    """Return all cells as text, each row as long as the longest."""
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8: {_HINT}.") from None
    for delimiter in _DELIMITERS:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        if CARRIER in header:
            return _whole_rows(
                path, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            )
    raise UsageError(
        f"{path} is no sheet of this package: its header has no column {CARRIER!r}, which carries "
        "codebook and design. Put that column back, or read the codes with pandas.read_csv."
    )


def _whole_rows(path: Path, reader: Iterable[list[str]]) -> list[list[str]]:
    """Return all rows, each as long as the longest; refuse a file that ends within one."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a quote that is not closed, or stands within a cell
        rows.extend(reader)
        if len(rows[-1]) >= len(rows[0]):
            width = max(map(len, rows))
            return [row + [""] * (width - len(row)) for row in rows]
    raise UsageError(
        f"{path.name}, row {len(rows)}: the file is damaged or was cut off there: ask the coder "
        "for another copy."
    )


def _review(path: Path, column: list[str]) -> Review:
    """Put the pieces together, in whatever order they stand."""
    found = {}
    total = 0
    for cell in column:
        piece = _PIECE.fullmatch(cell.strip())
        if piece:
            found[int(piece[1])], total = piece[3], int(piece[2])
    try:
        packed = "".join(found[at] for at in range(1, total + 1))
        return Review.from_json(zlib.decompress(base64.b64decode(packed, validate=True)).decode())
    except (KeyError, ValueError, zlib.error, binascii.Error):
        raise UsageError(
            f"{path}, column {CARRIER!r}: codebook and design cannot be read any more: a row that "
            "holds a part of them was deleted or changed. Put it back as it was written."
        ) from None
