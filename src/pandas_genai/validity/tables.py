"""Labels as files of other programs: what a program cannot hold is written so that it can."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.files import atomic_write, new_file
from pandas_genai.validity.codebook import viewable, written
from pandas_genai.validity.csv_sheet import escaped
from pandas_genai.validity.workbook import openpyxl_or_error, put

__all__ = ["write_csv_labels", "write_excel_labels", "write_stata_labels"]

_EXCEL_ROWS, _EXCEL_CELL = 1_048_576, 32_767
_STATA_NAME, _STATA_TEXT = 32, 2_045
_ORIGIN = "provenance"

Facts = Mapping[str, str]
"""Where labels come from, for a person: each statement by its name."""


def write_csv_labels(path: Path, labels: pd.DataFrame, facts: Facts) -> None:
    """Write labels, the index first, and beside them ``<name>.provenance.json``.

    Lists and nested answers are JSON; texts that a spreadsheet would take for a formula have an
    apostrophe before them.
    """
    flat = _flat(labels)
    for name in flat.columns:
        if flat[name].dtype == object or pd.api.types.is_string_dtype(flat[name].dtype):
            flat[name] = flat[name].map(escaped, na_action="ignore")
    atomic_write(path, flat.to_csv(index=False), mode=0o644)
    _write_facts(path, facts)


def write_excel_labels(path: Path, labels: pd.DataFrame, facts: Facts) -> None:
    """Write labels into a sheet, and where they come from into another.

    Raises
    ------
    UsageError
        If a sheet cannot hold them.
    """
    if len(labels) >= _EXCEL_ROWS:
        raise UsageError(
            f"A sheet holds {_EXCEL_ROWS - 1:,} rows and these are {len(labels):,}: write CSV with "
            "labels.genai.to_csv(), or labels.to_parquet()."
        )
    flat = _flat(labels)
    workbook = openpyxl_or_error().Workbook()
    page = workbook.active
    page.title = "labels"
    for column, name in enumerate(flat.columns, 1):
        put(page.cell(1, column), str(name))
        for row, value in enumerate(flat[name], 2):
            if isinstance(value, str):
                put(page.cell(row, column), viewable(value)[:_EXCEL_CELL])
            elif not pd.isna(value):
                page.cell(row, column).value = _cell(value)
    page.freeze_panes = "A2"
    origin = workbook.create_sheet(_ORIGIN)
    for row, (name, fact) in enumerate(facts.items(), 1):
        put(origin.cell(row, 1), name)
        put(origin.cell(row, 2), viewable(fact)[:_EXCEL_CELL])
    with new_file(path, mode=0o644) as file:
        workbook.save(file)


def _cell(value: Any) -> Any:
    """Return a value that a sheet holds: it knows no time zones."""
    if isinstance(value, pd.Timestamp):
        return value.tz_localize(None).to_pydatetime()
    return value.item() if hasattr(value, "item") else value


def write_stata_labels(path: Path, labels: pd.DataFrame, facts: Facts) -> None:
    """Write labels for Stata 14 and later, and beside them ``<name>.provenance.json``.

    Categories have value labels, truth values are 0 and 1, lists and nested answers are JSON. A
    name that Stata does not take is changed; the variable's label is then the name.
    """
    flat = _flat(labels)
    names = _stata_names(flat.columns)
    out = pd.DataFrame(index=flat.index)
    for name, column in flat.items():
        out[names[name]] = _for_stata(column)
    out.to_stata(
        path,
        write_index=False,
        version=118,
        variable_labels={new: str(name)[:80] for name, new in names.items()},
        convert_strl=[name for name in out.columns if _is_long(out[name])],
    )
    _write_facts(path, facts)


def _is_long(column: pd.Series[Any]) -> bool:
    """Whether a text is longer than Stata keeps in place."""
    if column.dtype != object:
        return False
    return max((len(text.encode()) for text in column), default=0) > _STATA_TEXT


def _for_stata(column: pd.Series[Any]) -> pd.Series[Any]:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        named: pd.Series[Any] = column.cat.rename_categories(list(map(written, dtype.categories)))
        return named
    if pd.api.types.is_datetime64_any_dtype(dtype):
        moments: pd.Series[Any] = column.dt.tz_localize(None)
        return moments
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        return column.astype("float64")
    texts = column.map(viewable, na_action="ignore").astype(object)
    return texts.where(column.notna(), "")


def _stata_names(names: pd.Index) -> dict[Hashable, str]:
    """Return a name that Stata takes for each column, no two of them the same."""
    found: dict[Hashable, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", str(name), flags=re.ASCII) or "_"
        plain = f"_{plain}"[:_STATA_NAME] if plain[0].isdigit() else plain[:_STATA_NAME]
        number, chosen = 2, plain
        while chosen in found.values():
            chosen = f"{plain[: _STATA_NAME - len(str(number)) - 1]}_{number}"
            number += 1
        found[name] = chosen
    return found


def _flat(labels: pd.DataFrame) -> pd.DataFrame:
    """Return labels with the index as columns, and JSON where there are lists or records."""
    levels = [
        f"level_{at}"
        if name is None and labels.index.nlevels > 1
        else "index"
        if name is None
        else name
        for at, name in enumerate(labels.index.names)
    ]
    taken = set(labels.columns)
    while taken & set(levels):
        levels = [f"{name}_" if name in taken else name for name in levels]
    flat = labels.reset_index(names=levels)
    for name in flat.columns:
        if flat[name].dtype == object:
            flat[name] = flat[name].map(_plain, na_action="ignore")
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else str(value)


def _write_facts(path: Path, facts: Facts) -> None:
    text = json.dumps(dict(facts), ensure_ascii=False, indent=1)
    atomic_write(path.with_name(f"{path.stem}.{_ORIGIN}.json"), text + "\n", mode=0o644)
