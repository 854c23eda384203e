"""Sheets for coders: what they write is read as they wrote it, on the rows that it is about."""

import importlib.util
import sys
import tempfile
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai.errors import UsageError
from pandas_genai.validity.design import coder_of, design_of, notes_of

_spec = importlib.util.spec_from_file_location("coders", Path(__file__).with_name("conftest.py"))
coders = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(coders)
make_sample, in_cell = coders.make_sample, coders.in_cell

CODES = {
    "tone": ["good", None, "mixed", "bad"],
    "year": [1999, None, 2001, -5],
    "score": [0.25, None, -3.0, 1e-7],
    "topics": [["pay"], None, [], ["food", "people"]],
    "ok": [True, None, False, True],
    "why": ["=because", None, "'tis", "+1\n-2; x"],
}
MARKS = [
    "=",
    "+",
    "-",
    "@",
    "'",
    "''=",
    "\t=",
    "\r+",
    "\n@",
    "\uff1d",
    "_x0041_",
    "\x00",
    "_x000D_",
]


def fill(sheet, codes, notes=()):
    for name, values in codes.items():
        for row, value in enumerate(values):
            if value is not None:
                sheet.write(row, name, in_cell(value))
    for row, note in enumerate(notes):
        sheet.write(row, "note", note)
    sheet.save()


def expected(sample, codes):
    records = [
        {name: values[row] for name, values in codes.items() if values[row] is not None}
        for row in range(len(sample))
    ]
    return sample.review.codebook.frame(sample.index, records)


def test_codes_are_read_as_they_were_written_typed_as_the_schema_says(kind, sample, tmp_path):
    sheet = kind(sample, tmp_path, coders="anna")
    assert sheet.header()[:8] == ["id", "text", *CODES]
    fill(sheet, CODES, ["", "@unsure", "", "-"])
    gold = pandas_genai.read_review(sheet.path)
    pd.testing.assert_frame_equal(gold, expected(sample, CODES))
    assert gold.index.equals(pd.Index(list("abcd")))
    assert gold["topics"].tolist() == CODES["topics"]
    assert gold["ok"].dtype == "boolean"
    assert coder_of(gold) == "anna"
    assert design_of(gold) == sample.design
    assert notes_of(gold).tolist() == ["", "@unsure", "", "-"]


signs = st.text(coders.SIGNS, max_size=12)
texts = signs | st.tuples(st.sampled_from(MARKS), signs).map("".join)
codes_of_text = st.none() | signs.map(str.strip).map(lambda text: text or None)
ids = st.lists(texts | st.integers() | st.sampled_from(["007", "7", "'007", "1-2", "1E5", "TRUE"]))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ids.map(lambda found: list(dict.fromkeys(found))).filter(bool), st.data())
def test_no_text_becomes_a_formula_and_every_code_finds_its_row(kind, labels, data):
    index = pd.Index(labels, dtype=object)
    size = {"min_size": len(index), "max_size": len(index)}
    shown = data.draw(st.lists(texts, **size))
    codes = {
        "tone": data.draw(st.lists(st.sampled_from(["good", "bad", None]), **size)),
        "why": data.draw(st.lists(codes_of_text, **size)),
    }
    sample = make_sample(shown, index)
    with tempfile.TemporaryDirectory() as folder:
        sheet = kind(sample, Path(folder))
        _no_formulas(sheet.path)
        fill(sheet, codes)
        gold = pandas_genai.read_review(sheet.path)
    pd.testing.assert_frame_equal(gold, expected(sample, codes))


def _no_formulas(path):
    if path.suffix == ".xlsx":
        for page in openpyxl.load_workbook(path):
            assert all(cell.data_type != "f" for row in page.iter_rows() for cell in row)
        with zipfile.ZipFile(path) as packed:
            assert not any(b"<f>" in packed.read(name) for name in packed.namelist())
    else:
        for row in pd.read_csv(path, dtype=str, keep_default_na=False).to_numpy():
            assert not any(cell[:1] in coders.FORMULA_SIGNS for cell in row if cell)


def test_what_a_coder_sees(sample, tmp_path):
    book = openpyxl.load_workbook(sample.to_excel(tmp_path / "a.xlsx"))
    codes = book["codes"]
    assert [row[1].value for row in codes.iter_rows(min_row=2)] == list(sample["text"])
    assert all(cell.value is None for row in codes.iter_rows(min_row=2, min_col=3) for cell in row)
    assert codes["B2"].alignment.wrap_text
    assert codes.column_dimensions["B"].width >= 60
    lists = {str(rule.sqref): rule.formula1 for rule in codes.data_validations.dataValidation}
    assert lists == {"C2:C5": '"good,bad,mixed"', "G2:G5": '"yes,no"'}
    assert book["pandas_genai"].sheet_state == "veryHidden"
    codebook = [row[:3] for row in book["codebook"].iter_rows(values_only=True)]
    assert ("tone", None, "good\nbad\nmixed") in codebook
    assert ("topics", None, "pay\nfood\npeople") in codebook
    assert ("question", "What does it say?", None) in codebook


def test_long_lists_of_labels_stand_on_a_sheet_of_their_own(tmp_path):
    many = [f"a label, number {number}" for number in range(40)]
    other = ['with "quotes"', "without"]
    sample = make_sample(["x"], fields={"code": many, "other": other})
    path = sample.to_excel(tmp_path / "a.xlsx")
    book = openpyxl.load_workbook(path)
    rules = [rule.formula1 for rule in book["codes"].data_validations.dataValidation]
    assert rules == ["'labels'!$A$1:$A$40", "'labels'!$B$1:$B$2"]
    assert [row[0] for row in book["labels"].iter_rows(values_only=True)] == many
    assert [book["labels"].cell(row, 2).value for row in (1, 2)] == other
    book["codes"]["C2"] = many[17]
    book.save(path)
    assert pandas_genai.read_review(path)["code"].tolist() == [many[17]]


def test_a_text_that_no_cell_holds_is_cut_with_a_mark(kind, tmp_path):
    long = "🎻" * 40_000
    sheet = kind(make_sample([long, "x" * 32_767]), tmp_path)
    table = pd.read_csv(sheet.path) if sheet.path.suffix == ".csv" else pd.read_excel(sheet.path)
    shown = table["text"]
    assert len(shown[0].encode("utf-16-le")) // 2 <= 32_767
    assert shown[0].endswith("[… cut off here: the text has 40,000 characters]")
    assert shown[1] == "x" * 32_767
    fill(sheet, {"tone": ["good", "bad"]})
    assert pandas_genai.read_review(sheet.path)["tone"].tolist() == ["good", "bad"]


def test_each_coder_gets_a_file_of_their_own(kind, sample, tmp_path):
    write = sample.to_excel if kind(sample, tmp_path).path.suffix == ".xlsx" else sample.to_csv
    paths = write(tmp_path / "both", coders=["anna", "ben/d"])
    assert [path.name for path in paths] == ["both_anna", "both_ben_d"]
    assert [coder_of(pandas_genai.read_review(path)) for path in paths] == ["anna", "ben/d"]
    with pytest.raises(UsageError, match="each coder once"):
        write(tmp_path / "both", coders=["anna", "anna"])


def test_codes_stay_when_the_sheet_is_written_again_and_when_the_sample_grows(kind, tmp_path):
    texts, index = ["a", "b", "c"], pd.Index([10, 20, 30])
    small = make_sample(texts, index, rest=["c"])
    sheet = kind(small, tmp_path)
    fill(sheet, {"tone": ["good", "bad"]}, ["first"])
    before = sheet.path.read_bytes()
    assert kind(small, tmp_path).path.read_bytes() == before
    grown = kind(make_sample(texts, index), tmp_path)
    gold = pandas_genai.read_review(grown.path)
    assert gold["tone"].astype(object).where(gold["tone"].notna(), None).tolist() == [
        "good",
        "bad",
        None,
    ]
    assert notes_of(gold).tolist() == ["first", "", ""]
    assert design_of(gold).sample == 3
    other = make_sample(texts, pd.Index([1, 2, 3]))
    with pytest.raises(UsageError, match="of another draw"):
        kind(other, tmp_path)
    assert pandas_genai.read_review(grown.path).equals(gold)


def test_a_file_without_codes_is_written_anew_and_a_foreign_one_is_left_alone(kind, tmp_path):
    first, second = make_sample(["a"]), make_sample(["b"], pd.Index([7]))
    kind(first, tmp_path)
    sheet = kind(second, tmp_path)
    assert pandas_genai.read_review(sheet.path).index.tolist() == [7]
    sheet.path.write_bytes(b"id,text\n1,mine\n")
    with pytest.raises(UsageError, match="no column 'pandas_genai'"):
        kind(second, tmp_path)
    assert sheet.path.read_bytes() == b"id,text\n1,mine\n"


def test_line_ends_as_excel_writes_them(sample, tmp_path):
    path = sample.to_excel(tmp_path / "a.xlsx")
    book = openpyxl.load_workbook(path)
    book["codes"]["I2"] = "one_x000D_\ntwo"
    book["codes"]["I3"] = "_x005F_x0041_"
    book.save(path)
    assert notes_of(pandas_genai.read_review(path)).tolist()[:2] == ["one\ntwo", "_x0041_"]


def test_without_openpyxl_a_sentence_says_what_to_install(sample, tmp_path, monkeypatch):
    path = sample.to_excel(tmp_path / "a.xlsx")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    needs = pytest.raises(UsageError, match=r"pip install 'pandas-genai\[validity\]'")
    with needs:
        sample.to_excel(tmp_path / "b.xlsx")
    with needs:
        pandas_genai.read_review(path)


def test_sorted_rows_moved_columns_and_columns_beside_them_do_not_matter(kind, sample, tmp_path):
    sheet = kind(sample, tmp_path)
    fill(sheet, CODES)
    gold = pandas_genai.read_review(sheet.path)
    if hasattr(sheet, "sheet"):
        rows = [[cell.value for cell in row] for row in sheet.sheet.iter_rows()]
    else:
        rows = sheet.rows
    order = [*reversed(range(len(rows[0])))]
    mixed = [[row[at] for at in order] + [place] for place, row in enumerate(rows)]
    mixed = [["", *mixed[0]], *[["  ", *row] for row in mixed[:0:-1]], [None] * (len(order) + 2)]
    if hasattr(sheet, "sheet"):
        sheet.sheet.delete_rows(1, 20)
        for at, row in enumerate(mixed, 1):
            for column, value in enumerate(row, 1):
                cell = sheet.sheet.cell(at, column, value)
                cell.data_type = "s" if isinstance(value, str) else cell.data_type
    else:
        sheet.rows = [["" if cell is None else cell for cell in row] for row in mixed]
    sheet.save()
    pd.testing.assert_frame_equal(pandas_genai.read_review(sheet.path), gold)


def test_numbers_as_text_trailing_blanks_and_other_spellings(kind, sample, tmp_path):
    sheet = kind(sample, tmp_path)
    for name, value in {"tone": "good  ", "year": " 1999", "score": "2", "ok": "TRUE"}.items():
        sheet.write(0, name, value)
    for name, value in {"year": 1999.0, "score": 3, "ok": False, "topics": "pay;people ; "}.items():
        sheet.write(1, name, value)
    sheet.write(2, "ok", "Wahr")
    sheet.write(2, "why", 2019)
    sheet.save()
    gold = pandas_genai.read_review(sheet.path)
    assert gold.loc["a", ["tone", "year", "score", "ok"]].tolist() == ["good", 1999, 2.0, True]
    assert gold.loc["b", ["year", "score", "ok"]].tolist() == [1999, 3.0, False]
    assert gold.loc["b", "topics"] == ["pay", "people"]
    assert gold.loc["c", ["ok", "why"]].tolist() == [True, "2019"]


BAD_CELLS = {
    "tone": ("Good", r"no label of the field 'tone' \(did you mean 'good'\?"),
    "year": ("about 1999", "no value of the field 'year'"),
    "score": (True, "no value of the field 'score'"),
    "topics": ("pay; rent", "no label of the field 'topics'"),
    "ok": ("maybe", "no label of the field 'ok'"),
}


@pytest.mark.parametrize("name", BAD_CELLS)
def test_what_a_field_does_not_allow_is_refused_by_its_cell(kind, sample, tmp_path, name):
    sheet = kind(sample, tmp_path)
    value, sentence = BAD_CELLS[name]
    sheet.write(1, name, value)
    sheet.write(2, name, value)
    sheet.save()
    cell = f"{'ABCDEFGH'[2 + list(BAD_CELLS).index(name)]}3"
    where = (
        f"sheet 'codes', cell {cell}" if sheet.path.suffix == ".xlsx" else f"row 3, column '{name}'"
    )
    with pytest.raises(UsageError, match=sentence) as raised:
        pandas_genai.read_review(sheet.path)
    assert where in str(raised.value)
    assert "1 more cell" in str(raised.value)


def changed_id(sheet):
    sheet.write(1, "id", "other")


def doubled_id(sheet):
    sheet.write(1, "id", "a")


def no_id(sheet):
    sheet.write(1, "id", None)


def deleted_row(sheet):
    sheet.sheet.delete_rows(4) if hasattr(sheet, "sheet") else sheet.rows.pop(3)


def renamed_column(sheet):
    sheet.write(-1, "tone", "Tone")


def doubled_column(sheet):
    sheet.write(-1, "note", "tone")


def no_header(sheet):
    sheet.write(-1, "id", "Number")


EDITS = {
    changed_id: (r"(cell A3|row 3, column 'id'): the id 'other' is none", "A3"),
    doubled_id: (r"(cell A3|row 3, column 'id'): the id 'a' stands there twice", "A2"),
    no_id: (r"(cell A3|row 3, column 'id'): the id of this row is missing", ""),
    deleted_row: (r"1 row of 4 below it is missing, the first with the id 'c'", ""),
    renamed_column: (r"the column 'tone' is missing from the header", "'Tone'"),
    doubled_column: (r"(cell I1|column 'tone'): the column 'tone' stands there twice", ""),
    no_header: (r"there is no column 'id'", ""),
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_each_strange_edit_gets_a_sentence(kind, sample, tmp_path, edit):
    sheet = kind(sample, tmp_path)
    fill(sheet, CODES)
    edit(sheet)
    sheet.save()
    with pytest.raises(UsageError, match=EDITS[edit][0]) as raised:
        pandas_genai.read_review(sheet.path)
    assert "\n" not in str(raised.value)


def test_strange_workbooks(sample, tmp_path):
    def opened(name):
        path = sample.to_excel(tmp_path / f"{name}.xlsx")
        return path, openpyxl.load_workbook(path)

    def refused(path, sentence):
        with pytest.raises(UsageError, match=sentence):
            pandas_genai.read_review(path)

    path, book = opened("merged")
    book["codes"].merge_cells("C2:C3")
    book.save(path)
    refused(path, "cells C2:C3: these cells are merged")
    path, book = opened("formula")
    book["codes"]["C3"] = "=C2"
    book.save(path)
    refused(path, "cell C3: a formula stands there whose value")
    path, book = opened("error")
    book["codes"]["H3"] = "#N/A"
    book.save(path)
    refused(path, "cell H3: the error #N/A")
    path, book = opened("renamed")
    book["codes"].title = "mine"
    book.save(path)
    refused(path, r"no sheet 'codes' \(it has 'mine'")
    path, book = opened("bare")
    del book["pandas_genai"]
    book.save(path)
    refused(path, "no hidden sheet 'pandas_genai'")
    path, book = opened("tampered")
    book["pandas_genai"]["A1"] = "{}"
    book.save(path)
    refused(path, "cannot be read any more")


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_damaged_files(sample, tmp_path, name):
    path = tmp_path / name
    (sample.to_excel if name.endswith("xlsx") else sample.to_csv)(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[: min(size, len(whole) - 5)])  # more than an empty cell at the end
        with pytest.raises(UsageError) as raised:
            pandas_genai.read_review(path)
        assert name in str(raised.value)
        assert str(raised.value).count("\n") == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xd0\xcf\x11\xe0" + b"x" * 600, "protected by a password"),
        (b"PK\x03\x04" + b"x" * 26 + b"mimetypeapplication/vnd.oasis.opendocument", "OpenDocument"),
        (b"PK\x03\x04 nonsense", "damaged or was cut off"),
        (b"  \n", "is empty"),
        (b"id,text\n1,caf\xe9\n", "no text in UTF-8"),
        (b"id,text\n1,x\n", "no column 'pandas_genai'"),
    ],
)
def test_foreign_files(tmp_path, content, sentence):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        pandas_genai.read_review(path)
    with pytest.raises(UsageError, match="is a folder"):
        pandas_genai.read_review(tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        pandas_genai.read_review(tmp_path / "nothing.xlsx")


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8"), ("\t", "utf-16")])
def test_csv_files_as_other_programs_write_them(sample, tmp_path, delimiter, encoding):
    sheet = coders.Csv(sample.to_csv(tmp_path / "a.csv"))
    fill(sheet, {"tone": ["good", "bad", "mixed", None]})
    pd.DataFrame(sheet.rows).to_csv(
        sheet.path, sep=delimiter, encoding=encoding, index=False, header=False
    )
    gold = pandas_genai.read_review(sheet.path)
    assert gold["tone"].tolist()[:3] == ["good", "bad", "mixed"]


def test_labels_that_are_no_texts(kind, tmp_path):
    fields = {"stars": [1, 2, 3], "sure": ["true", "false"], "scale": [0.5, 1.0]}
    sheet = kind(make_sample(["x", "y"], fields=fields), tmp_path)
    for name, value in {"stars": 2, "sure": True, "scale": 1}.items():
        sheet.write(0, name, value)
    for name, value in {"stars": "3", "sure": "false", "scale": "0.5"}.items():
        sheet.write(1, name, value)
    if sheet.path.suffix == ".csv":
        sheet.write(0, "sure", "TRUE")
    sheet.save()
    gold = pandas_genai.read_review(sheet.path)
    assert gold["stars"].tolist() == [2, 3]
    assert gold["sure"].tolist() == ["true", "false"]
    assert gold["scale"].tolist() == [1.0, 0.5]


def test_fields_may_be_called_as_the_columns_beside_them(kind, tmp_path):
    fields = {"id": str, "text": str, "note": ["a", "b"]}
    sheet = kind(make_sample(["x"], fields=fields), tmp_path)
    for name, value in {"id": "i", "text": "t", "note": "b", "note_": "hm"}.items():
        sheet.write(0, name, value)
    sheet.save()
    gold = pandas_genai.read_review(sheet.path)
    assert gold.iloc[0].tolist() == ["i", "t", "b"]
    assert notes_of(gold).tolist() == ["hm"]
