"""Hand codes are read again, from whatever file they were written into."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.validity.arguments import path_of
from pandas_genai.validity.coding import codes_in
from pandas_genai.validity.csv_sheet import read_csv
from pandas_genai.validity.review import Code, Review
from pandas_genai.validity.workbook import read_workbook

__all__ = ["decided_at", "read_review"]

_ZIP, _OLE, _SQLITE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"SQLite format 3\x00"
_OPEN_DOCUMENT = b"mimetypeapplication/vnd.oasis"


def read_review(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what was coded by hand: the file that a coder has filled in.

    Parameters
    ----------
    path : str or path
        A workbook or CSV file that ``sample.to_excel`` or ``sample.to_csv`` wrote, or the file
        ``genai_reviews/<name>.sqlite`` of ``sample.code()``. Its rows may be sorted, its columns
        moved, and others stand beside them.

    Returns
    -------
    DataFrame
        A column for each field, typed as the labels are, under the index labels of the frame that
        was sampled: ``labels.loc[gold.index]`` are the model's labels of the same texts. Missing
        where nothing is coded. It carries the sampling design, the coder and the notes
        (``pandas_genai.validity.design``).

    Raises
    ------
    UsageError
        If an id was changed, a row or column is missing or there twice, a cell holds what its
        field does not allow, or the file is damaged; one sentence says where.

    Examples
    --------
    >>> import pandas as pd, pandas_genai
    >>> labels = pd.DataFrame({"tone": pd.Categorical(["good", "bad"])}, index=["a", "b"])
    >>> texts = pd.Series(["Great.", "Awful."], index=["a", "b"])
    >>> sample = labels.genai.review_sample(2, text=texts)
    >>> path = sample.to_csv("to_code.csv", coders="anna")
    >>> pandas_genai.read_review(path).sort_index()
      tone
    a  NaN
    b  NaN
    """
    review, decided = decided_at(path_of(path, "a file with codes"))
    return review.codes(decided)


def decided_at(path: Path) -> tuple[Review, dict[str, Code]]:
    """Return the review that a file is of, and what was decided in it.

    Raises
    ------
    UsageError
        As for ``read_review``.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "is not there"
        raise UsageError(f"{path} {what}: give the path of a file with codes.")
    with path.open("rb") as file:
        head = file.read(128)
    if not head.strip():
        raise UsageError(f"{path} is empty: ask the coder for another copy.")
    if head.startswith(_OLE):
        raise UsageError(
            f"{path} is protected by a password, or in the old format .xls: write it again as "
            ".xlsx without a password."
        )
    if head.startswith(_SQLITE):
        return codes_in(path)
    if head.startswith(_ZIP):
        if _OPEN_DOCUMENT in head:
            raise UsageError(f"{path} is an OpenDocument sheet: write it again as .xlsx or CSV.")
        return read_workbook(path)
    return read_csv(path)
