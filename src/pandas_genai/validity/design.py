"""How rows were drawn for coding by hand, and how a frame of hand codes carries that.

Hand codes ("gold") are a plain DataFrame: one column a field, under the index labels of the frame
of labels that was sampled; missing where nobody has coded. What is known about them beside their
values lies in ``gold.attrs["pandas_genai"]`` as plain JSON values, so that slices, copies and
Parquet files keep it::

    {"coder": "anna", "design": "<Design.to_json()>", "notes": "<JSON: note by row id>"}

Three questions are answered by it, whatever became of the frame in between:

- ``design_of(gold)``: the design, or None for hand codes from elsewhere.
- ``probability_of(gold)``: for each row of ``gold`` the probability with which it was drawn. A row
  that was never drawn has NaN; one that was drawn and not coded has its probability, and a missing
  value in ``gold``.
- ``design.probability(index)`` and ``design.stratum(index)``: the same for any index, such as that
  of all labels: NaN and missing where a row was not drawn.

A sample is simple (one stratum) or stratified, without replacement, with fixed sizes: every row
of a stratum has the probability ``sample / population``, and each stratum has at least one row
drawn, so that no probability is 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.runs.report import label_json

__all__ = ["Design", "Stratum", "carry", "coder_of", "design_of", "notes_of", "population_id"]
__all__ += ["probability_of", "row_hashes", "row_ids"]

_ATTR = "pandas_genai"


@dataclass(frozen=True)
class Stratum:
    """Rows that were drawn with one probability.

    Parameters
    ----------
    name : str
        What its rows have in common; ``all`` where there is one.
    population, sample : int
        Rows that could be drawn, and rows that were.
    """

    name: str
    population: int
    sample: int

    @property
    def probability(self) -> float:
        """With which each of its rows was drawn."""
        return self.sample / self.population


@dataclass(frozen=True)
class Design:
    """How rows were drawn.

    Parameters
    ----------
    strata : tuple of Stratum
        All strata of the population.
    rows : mapping
        For each row drawn, by its id (see ``row_ids``), the place of its stratum in ``strata``.
    seed : int
        ``rng=`` of the draw.
    population_id : str
        What was sampled: the ``population_id`` of the index of the frame of labels.
    stratified_by : tuple of str
        What makes the strata; empty for a simple sample.
    allocation : {"equal", "proportional"}
        How rows were allotted to strata.
    without_text : int
        Rows of that frame that could not be drawn, because there is no text to read. They are
        in no stratum.
    run_id, prompt_hash : str
        The run and the task of the labels that were sampled; empty where they are not known.
    """

    strata: tuple[Stratum, ...]
    rows: Mapping[str, int] = field(repr=False)
    seed: int
    population_id: str
    stratified_by: tuple[str, ...] = ()
    allocation: str = "equal"
    without_text: int = 0
    run_id: str = ""
    prompt_hash: str = ""

    @property
    def population(self) -> int:
        """Rows that could be drawn."""
        return sum(stratum.population for stratum in self.strata)

    @property
    def sample(self) -> int:
        """Rows that were drawn."""
        return sum(stratum.sample for stratum in self.strata)

    @property
    def table(self) -> pd.DataFrame:
        """The strata: population, sample and probability, by name."""
        rows = [(one.population, one.sample, one.probability) for one in self.strata]
        names = pd.Index([one.name for one in self.strata], name="stratum")
        return pd.DataFrame(rows, columns=["population", "sample", "probability"], index=names)

    def probability(self, index: pd.Index) -> pd.Series[float]:
        """Return with which probability each row of an index was drawn; NaN where it was not."""
        by_place = np.array([*(one.probability for one in self.strata), np.nan])
        return pd.Series(by_place[self._places(index)], index=index, name="probability")

    def stratum(self, index: pd.Index) -> pd.Series[Any]:
        """Return the stratum of each row of an index that was drawn; missing where it was not."""
        names = pd.CategoricalDtype([one.name for one in self.strata])
        values = pd.Categorical.from_codes(self._places(index), dtype=names)
        return pd.Series(values, index=index, name="stratum")

    def _places(self, index: pd.Index) -> list[int]:
        return [self.rows.get(row, -1) for row in row_ids(index)]

    def to_json(self) -> str:
        """Return the design as text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Design:
        """Read a design that ``to_json`` wrote.

        Raises
        ------
        ValueError
            If the text is none.
        """
        try:
            known = json.loads(text)
            strata = tuple(Stratum(**stratum) for stratum in known.pop("strata"))
            return cls(strata, stratified_by=tuple(known.pop("stratified_by")), **known)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no sampling design ({error})") from error


def row_ids(index: pd.Index) -> list[str]:
    """Return the id of each row: its index label as JSON, which files can carry.

    Parameters
    ----------
    index : Index
        Of the frame of labels, or a part of it in any order.
    """
    if pd.api.types.is_integer_dtype(index.dtype) and not index.hasnans:
        return [str(label) for label in index.tolist()]
    return [label_json(label) for label in index]


def row_hashes(index: pd.Index) -> npt.NDArray[np.uint64]:
    """Return a hash of each row's id: the same in every process and version."""
    digests = (hashlib.blake2b(row.encode(), digest_size=8).digest() for row in row_ids(index))
    return np.frombuffer(b"".join(digests), dtype="<u8")


def population_id(index: pd.Index) -> str:
    """Return what names a frame by its index, in whatever order its rows stand."""
    return hashlib.blake2b(np.sort(row_hashes(index)).tobytes(), digest_size=8).hexdigest()


def carry(
    codes: pd.DataFrame,
    design: Design | None,
    coder: str = "",
    notes: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Let a frame of hand codes carry what is known about them; return the frame.

    Parameters
    ----------
    codes : DataFrame
        The hand codes; changed in its ``attrs``.
    design : Design, optional
        How its rows were drawn.
    coder : str
        Who coded.
    notes : mapping, optional
        The coder's notes by row id.
    """
    known = {"coder": coder, "notes": json.dumps(dict(notes or {}), ensure_ascii=False)}
    if design is not None:
        known["design"] = design.to_json()
    codes.attrs[_ATTR] = known
    return codes


def _known(codes: pd.DataFrame) -> Mapping[str, str]:
    known = codes.attrs.get(_ATTR)
    return known if isinstance(known, dict) else {}


def design_of(codes: pd.DataFrame) -> Design | None:
    """Return how the rows of a frame of hand codes were drawn; None where nobody knows."""
    text = _known(codes).get("design")
    try:
        return None if text is None else Design.from_json(text)
    except ValueError as error:
        raise UsageError(
            "The sampling design that these hand codes carry is damaged: read them again with "
            "read_review()."
        ) from error


def coder_of(codes: pd.DataFrame) -> str:
    """Return who coded; empty where that is not known."""
    return _known(codes).get("coder", "")


def notes_of(codes: pd.DataFrame) -> pd.Series[str]:
    """Return the coder's notes on the rows of a frame of hand codes; empty where there is none."""
    notes = json.loads(_known(codes).get("notes", "{}"))
    return pd.Series([notes.get(row, "") for row in row_ids(codes.index)], codes.index, name="note")


def probability_of(codes: pd.DataFrame) -> pd.Series[float] | None:
    """Return with which probability each row was drawn, NaN for a row that never was.

    None where the frame has no design.
    """
    design = design_of(codes)
    return None if design is None else design.probability(codes.index)
