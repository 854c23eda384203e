"""A review: rows that were drawn for coding by hand, what is coded of them, and the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError, printable
from pandas_genai.runs.report import label_text, label_value
from pandas_genai.validity.codebook import Codebook, viewable, written
from pandas_genai.validity.design import Design, carry, row_ids

__all__ = ["Code", "Review"]

_VERSION = 1


@dataclass(frozen=True)
class Code:
    """What a coder decided about one row.

    Parameters
    ----------
    answers : mapping
        The values of the fields that are coded.
    note : str
        A remark; empty for none.
    """

    answers: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Review:
    """What the file of a review carries beside the codes.

    Parameters
    ----------
    design : Design
        How the rows were drawn.
    codebook : Codebook
        What is coded.
    index : Index
        The labels of the rows drawn, in the order in which they are coded.
    coder : str
        Who codes; empty where that is not known.
    """

    design: Design
    codebook: Codebook
    index: pd.Index
    coder: str = ""

    @cached_property
    def rows(self) -> list[str]:
        """The id of each row."""
        return row_ids(self.index)

    @cached_property
    def shown_ids(self) -> list[str]:
        """What names each row in a sheet: its label, or JSON where two labels read alike."""
        shown = [viewable(written(label_text(label))) for label in self.index]
        return shown if len(set(shown)) == len(shown) and all(shown) else self.rows

    @property
    def _draw(self) -> list[Any]:
        """What a larger sample of the same draw has in common with this one."""
        design = self.design
        strata = [[stratum.name, stratum.population] for stratum in design.strata]
        return [design.population_id, design.seed, design.allocation, strata]

    @property
    def name(self) -> str:
        """What names a review of these rows by this coder: the same when more rows are drawn."""
        known = json.dumps([self._draw, self.codebook.schema.canonical, self.coder])
        digest = hashlib.blake2b(known.encode(), digest_size=4).hexdigest()
        words = "_".join([*self.codebook.names, *([self.coder] if self.coder else [])])
        plain = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in words)
        return f"{plain[:40].strip('_') or 'review'}-{digest}"

    def heading(self, name: str) -> str:
        """Return the name of a column that is no field, such as ``id``: no field has it too."""
        while name in self.codebook.names:
            name += "_"
        return name

    def continues(self, other: Review) -> bool:
        """Whether another review is of a sample of the same draw, by the same coder."""
        same = self._draw == other._draw and self.codebook == other.codebook
        return same and self.coder == other.coder

    def by(self, coder: str) -> Review:
        """Return the same review for another coder."""
        return replace(self, coder=coder)

    def codes(self, decided: Mapping[str, Code]) -> pd.DataFrame:
        """Return the frame of codes: a row for each row drawn, missing where nobody coded.

        Parameters
        ----------
        decided : mapping
            What was decided, by row id; of other rows nothing is.
        """
        nothing = Code({})
        found = [decided.get(row, nothing) for row in self.rows]
        frame = self.codebook.frame(self.index, [code.answers for code in found])
        notes = {row: code.note for row, code in zip(self.rows, found, strict=True) if code.note}
        return carry(frame, self.design, self.coder, notes)

    def to_json(self) -> str:
        """Return the review as text."""
        known = {
            "pandas_genai": _VERSION,
            "coder": self.coder,
            "codebook": self.codebook.to_dict(),
            "index": _index_json(self.index),
            "design": json.loads(self.design.to_json()),
        }
        return json.dumps(known, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Review:
        """Read a review that ``to_json`` wrote.

        Raises
        ------
        ValueError
            If the text is none.
        """
        try:
            known = json.loads(text)
            return cls(
                Design.from_json(json.dumps(known["design"])),
                Codebook.from_dict(known["codebook"]),
                _index_of(known["index"]),
                str(known["coder"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no review ({error})") from error

    def check_index(self) -> None:
        """Refuse an index that no file can carry.

        Raises
        ------
        UsageError
            Naming what it holds.
        """
        try:
            kept = _index_of(json.loads(json.dumps(_index_json(self.index))))
            whole = bool(kept.equals(self.index)) and row_ids(kept) == self.rows
        except (TypeError, ValueError):
            whole = False
        if not whole:
            raise UsageError(
                f"The index holds labels that no file can carry ({printable(self.index.dtype)}): "
                "write df = df.reset_index() and ask again (what is in the cache costs nothing)."
            )


def _index_json(index: pd.Index) -> dict[str, Any]:
    levels = [index.get_level_values(place) for place in range(index.nlevels)]
    parts = [
        {"dtype": str(level.dtype), "labels": [label_value(label) for label in level]}
        for level in levels
    ]
    return {"names": [label_value(name) for name in index.names], "levels": parts}


def _index_of(known: Mapping[str, Any]) -> pd.Index:
    levels = [_level(part["labels"], part["dtype"]) for part in known["levels"]]
    names = [tuple(name) if isinstance(name, list) else name for name in known["names"]]
    if len(levels) > 1:
        return pd.MultiIndex.from_arrays(levels, names=names)
    return levels[0].rename(names[0])


def _level(labels: list[Any], dtype: str) -> pd.Index:
    plain = [tuple(label) if isinstance(label, list) else label for label in labels]
    return pd.Index(plain, dtype=object, tupleize_cols=False).astype(dtype)
