"""What tests of reviews share: a sample, and a coder who fills a sheet in."""

import csv
import io
import json

import openpyxl
import pandas as pd
import pytest

from pandas_genai.task.schema import compile_schema
from pandas_genai.validity.codebook import Codebook, codebook_of
from pandas_genai.validity.design import Design, Stratum, population_id, row_ids
from pandas_genai.validity.review import Review
from pandas_genai.validity.sample import ReviewSample

FORMULA_SIGNS = set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
SIGNS = "abz09 ,;:/\"'\n\t=+-@\u00e9\u65e5\u0627\u05d0\U0001f3bb\u202e"
"""Of drawn texts: few, because a table of all of Unicode takes Hypothesis longer than the tests."""

FIELDS = {
    "tone": ["good", "bad", "mixed"],
    "year": int | None,
    "score": float,
    "topics": [["pay", "food", "people"]],
    "ok": bool,
    "why": str,
}


def make_sample(texts, index=None, fields=None, rest=()):
    """A sample of all rows but the last ones, whose texts are given."""
    index = pd.RangeIndex(len(texts)) if index is None else index
    schema = compile_schema(FIELDS if fields is None else fields)
    empty = pd.DataFrame({field.name: [None] * len(index) for field in schema.fields}, index=index)
    codebook = codebook_of(empty, list(empty.columns), schema, None, "What does it say?")
    drawn = index[: len(index) - len(rest)]
    rows = dict.fromkeys(row_ids(drawn), 0)
    strata = (Stratum("all", len(index), len(drawn)),)
    review = Review(Design(strata, rows, 0, population_id(index)), codebook, drawn)
    review.check_index()
    return ReviewSample(review, list(texts[: len(drawn)]))


@pytest.fixture
def sample():
    return make_sample(["Great.", "=1+1", "Awful\nfood.", "So so."], pd.Index(list("abcd")))


class Workbook:
    """A workbook in the hands of a coder."""

    def __init__(self, path):
        self.path = path
        self.book = openpyxl.load_workbook(path)
        self.sheet = self.book["codes"]

    def header(self):
        return [cell.value for cell in self.sheet[1]]

    def write(self, row, name, value, literal=True):
        cell = self.sheet.cell(row + 2, self.header().index(name) + 1)
        cell.value = value
        if literal and isinstance(value, str):
            cell.data_type = "s"

    def save(self):
        self.book.save(self.path)


class Csv:
    """A CSV file in the hands of a coder; a field of text is written as the file escapes it."""

    def __init__(self, path):
        self.path = path
        self.rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))

    def header(self):
        return self.rows[0]

    def write(self, row, name, value, literal=True):
        text = "" if value is None else str(value)
        if isinstance(value, bool):
            text = "yes" if value else "no"
        if literal and text.lstrip("'")[:1] in FORMULA_SIGNS and isinstance(value, str):
            text = f"'{text}"
        self.rows[row + 1][self.header().index(name)] = text

    def save(self):
        file = io.StringIO()
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(self.rows)
        self.path.write_bytes(file.getvalue().encode("utf-8-sig"))


FILES = {"xlsx": ("to_excel", Workbook), "csv": ("to_csv", Csv)}


@pytest.fixture(params=FILES)
def kind(request):
    """Writes a sample as one kind of file and opens it as its coder does."""
    write, opened = FILES[request.param]

    def opened_sheet(sample, folder, name="sheet", **options):
        path = getattr(sample, write)(folder / f"{name}.{request.param}", **options)
        return opened(path)

    return opened_sheet


def in_cell(value):
    """A value as a coder writes it into a cell."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return value


__all__ = ["Codebook", "in_cell", "make_sample"]
