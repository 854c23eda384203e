"""Answers put back beside their rows: no row is multiplied, none gets another row's answer."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.accessor.origin import ANSWERS, Origin, cache_of, origin_of
from pandas_genai.errors import CacheError, UsageError, counted, printable, warn_user
from pandas_genai.runs import ATTR
from pandas_genai.runs.failures import DuplicateIndexWarning
from pandas_genai.store import is_there, using
from pandas_genai.task.inputs import Value
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.text import rows_text, series_text

__all__ = ["DuplicateIndexWarning", "join", "mark_order", "warn_of_duplicates"]

ORDER = "pandas_genai_order"
"""The key of ``DataFrame.attrs`` that tells whether a result still has its rows in their order."""

Positions: TypeAlias = npt.NDArray[np.int64]
RowKeys: TypeAlias = list[str | None]

_MOST_COLUMNS = 20
_RECORDS = "records"
_SAMPLED = 1_000


def warn_of_duplicates(index: pd.Index) -> None:
    """Warn before an input is asked whose answers ``df.join`` would put beside wrong rows."""
    if not index.is_unique:
        again = int(index.duplicated().sum())
        warn_user(
            f"{counted(again, 'label')} of the index stand there more than once: df.join(labels) "
            "would multiply rows. Write labels.genai.join(df), or reset the index before.",
            DuplicateIndexWarning,
        )


def mark_order(result: pd.DataFrame, *, many: bool) -> None:
    """Note in the attrs of a result in which order its rows stand, or that they are records."""
    result.attrs[ORDER] = _RECORDS if many else _order(result)


def _order(frame: pd.DataFrame) -> str:
    """Return a hash of the rows' order.

    Where labels are unique, answers are found by them, and a thousand labels tell whether the rows
    still stand as they did. Where they are not, every label and value counts.
    """
    digest = hashlib.blake2b(str(len(frame)).encode(), digest_size=8)
    if frame.index.is_unique:
        some = np.unique(np.linspace(0, max(0, len(frame) - 1), _SAMPLED).astype(np.int64))
        digest.update(repr(frame.index[some[: len(frame)]].tolist()).encode("utf-8", "replace"))
        return digest.hexdigest()
    for column in [frame.index.to_series(), *(frame.iloc[:, at] for at in range(frame.shape[1]))]:
        plain = column.map(repr) if column.dtype == object else column
        digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Run:
    """What is known of the run behind some answers.

    Parameters
    ----------
    keys : list, optional
        The key of each row that was asked, in the input's order; None where nothing has kept them.
    untouched : bool
        Whether the answers still stand in that order, one a row.
    many : bool
        Whether a row may have several.
    """

    keys: RowKeys | None
    untouched: bool
    many: bool


def join(
    labels: pd.DataFrame,
    data: pd.DataFrame | pd.Series[Any],
    suffix: str | None,
    text: object,
) -> pd.DataFrame:
    """Put answers beside the rows that were asked; ``labels.genai.join`` says how."""
    run_id = labels.attrs.get(ATTR)
    if run_id is None or ANSWERS in labels.attrs:
        raise UsageError(
            "join() is for the answers as they came from a run: write labels.genai.join(df)."
        )
    if isinstance(data, pd.Series):
        frame = data.to_frame("text" if data.name is None else data.name)
    else:
        frame = data
    known: dict[str, list[Hashable]] = dict(frame.attrs.get(ANSWERS, {}))
    order = labels.attrs.get(ORDER)
    run = _Run(_row_keys(str(run_id), labels), order == _order(labels), order == _RECORDS)
    if run_id in known and run.many:
        return frame.copy()  # records of several a row stand beside their rows already
    base, names = _named(frame, labels, known, suffix)
    places = _Places(labels, base, run, str(run_id), text)
    rows, positions = places.found()
    joined = base if rows is None else base.iloc[rows]
    result = joined.copy()
    taken = labels.reset_index(drop=True)
    taken = taken.iloc[positions] if (positions >= 0).all() else taken.reindex(positions)
    for at, name in enumerate(names):
        result[name] = taken.iloc[:, at].array
    result.attrs = {**frame.attrs, ATTR: run_id, ANSWERS: {**known, run_id: list(names)}}
    return result


def _named(
    frame: pd.DataFrame,
    labels: pd.DataFrame,
    known: dict[str, list[Hashable]],
    suffix: str | None,
) -> tuple[pd.DataFrame, list[Hashable]]:
    """Return the frame without the answers that are replaced, and the new columns' names.

    Answers that were joined before give way; a column of the user's own does not.
    """
    earlier = {name for names in known.values() for name in names}
    own = [name for name in frame.columns if name not in earlier]
    names: list[Hashable] = [
        f"{name}{suffix}" if suffix and name in own else name for name in labels.columns
    ]
    clashing = [name for name in names if name in own]
    if clashing:
        shown = ", ".join(map(repr, clashing))
        raise UsageError(
            f"The frame has a column {shown} of its own: write join(df, suffix='_genai') to keep "
            "both, or drop or rename one."
        )
    replaced = [name for name in names if name in frame.columns]
    for run_id in list(known):
        known[run_id] = [name for name in known[run_id] if name not in replaced]
        if not known[run_id]:
            del known[run_id]
    return frame.drop(columns=replaced), names


def _row_keys(run_id: str, labels: pd.DataFrame) -> RowKeys | None:
    """Return the row keys that the run's cache file kept."""
    url = cache_of(labels)
    if url is None or not is_there(url):
        return None
    try:
        with using(url) as cache:
            return cache.run_rows(run_id) or None
    except CacheError:
        return None


class _Places:
    """Finds for each row of a frame where its answers stand.

    Parameters
    ----------
    labels, base : DataFrame
        The answers, and the rows.
    run : _Run
        What is known of the run.
    run_id : str
        Which one.
    text : optional
        What was sent, as ``extract`` took it.
    """

    def __init__(
        self, labels: pd.DataFrame, base: pd.DataFrame, run: _Run, run_id: str, text: object
    ) -> None:
        self._labels, self._base, self._run, self._text = labels, base, run, text
        self._run_id = run_id

    def found(self) -> tuple[Positions | None, Positions]:
        """Return which rows of the frame, None for each once, and whose answers stand beside them.

        Raises
        ------
        UsageError
            If nobody can tell; one sentence says why.
        """
        ours, theirs = self._labels.index, self._base.index
        aligned = self._aligned()
        if aligned is not None and (found := self._theirs(aligned)) is not None:
            return None, self._by_keys(aligned, found)
        if ours.is_unique and not self._run.many:
            return None, self._by_label()
        if not theirs.is_unique:
            raise UsageError(f"Nobody can tell which answer is whose: {self._why()}.")
        if not self._run.many:
            raise UsageError(
                "Nobody can tell which answer is whose: the answers were sorted or changed, and "
                "their index has labels more than once."
            )
        return self._records()

    def _aligned(self) -> RowKeys | None:
        """Return the key of each answer; None where nobody knows."""
        keys = self._run.keys
        usable = self._run.untouched and keys is not None and len(keys) == len(self._labels)
        return keys if usable else None

    def _theirs(self, keys: RowKeys) -> RowKeys | None:
        """Return the row keys of the frame, as its texts would be sent now; None if unknown."""
        asked = {None, *keys}
        for texts in self._renderings():
            found = _keys_of(texts)
            if asked.issuperset(found) and any(found):
                return found
        return None

    def _renderings(self) -> Iterator[Sequence[Value]]:
        """Render the texts as they may have been sent: by ``text=``, as here before, by column."""
        asked = self._asked_texts()
        if asked is not None:
            yield asked
        if self._text is not None:
            return
        for at in range(min(_MOST_COLUMNS, self._base.shape[1])):
            column = self._base.iloc[:, at]
            if pd.api.types.is_string_dtype(column.dtype):
                yield series_text(column)

    def _asked_texts(self) -> Sequence[Value] | None:
        """Render the texts as they were asked; None where this frame does not have them."""
        if self._text is not None:
            return rows_text(self._base, self._text)
        origin = origin_of(self._labels)
        if origin is not None and not origin.is_series:
            with contextlib.suppress(UsageError):  # it has no such column
                return origin.render(self._base)
        return None

    def _by_keys(self, keys: RowKeys, theirs: RowKeys) -> Positions:
        """Return the places by text, where the index does not tell them."""
        ours = self._labels.index
        if keys == theirs and ours.equals(self._base.index):
            return np.arange(len(keys), dtype=np.int64)
        if ours.is_unique:
            positions = np.asarray(ours.get_indexer(self._base.index))
            if all(
                place >= 0 and keys[place] == key
                for place, key in zip(positions.tolist(), theirs, strict=True)
            ):
                return positions.astype(np.int64)
        first: dict[str | None, int] = {}
        for place, key in enumerate(keys):
            if key is not None:
                first.setdefault(key, place)
        return np.fromiter((first.get(key, -1) for key in theirs), np.int64, len(theirs))

    def _by_label(self) -> Positions:
        ours, theirs = self._labels.index, self._base.index
        positions = np.asarray(ours.get_indexer(theirs), dtype=np.int64)
        if len(positions) and (positions < 0).all():
            raise UsageError(
                "No row of this frame has a label of the answers' index: it is not the frame that "
                "was asked, or its index was reset."
            )
        self._check_texts(positions)
        return positions

    def _check_texts(self, positions: Positions) -> None:
        """Refuse a frame whose rows have other texts than those that were asked."""
        origin = origin_of(self._labels)
        texts = self._asked_texts()
        keys = self._aligned() or self._asked_keys(origin)
        if keys is None or texts is None:
            return
        other = [
            at
            for at, (place, key) in enumerate(zip(positions.tolist(), _keys_of(texts), strict=True))
            if place >= 0 and key != keys[place]
        ]
        if other:
            label = printable(repr(self._base.index[other[0]]), 60)
            raise UsageError(
                f"This is not the frame that was asked: {counted(len(other), 'row')} of it, the "
                f"first at {label}, have other texts than the rows with the same label had."
            )

    def _asked_keys(self, origin: Origin | None) -> RowKeys | None:
        """Return the keys of the answers by the frame that was asked, as long as it is there."""
        asked = None if origin is None else origin.asked()
        if origin is None or asked is None or not asked.index.is_unique:
            return None
        places = asked.index.get_indexer(self._labels.index)
        if (places < 0).any():
            return None
        keys = _keys_of(origin.render(asked))
        return [keys[place] for place in places.tolist()]

    def _records(self) -> tuple[Positions, Positions]:
        """Repeat each row for its records; a row without any stands there once."""
        ours, theirs = self._labels.index, self._base.index
        codes = np.asarray(theirs.get_indexer(ours), dtype=np.int64)
        order = np.argsort(codes, kind="stable")
        order = order[codes[order] >= 0]
        counts = np.bincount(codes[order], minlength=len(theirs))
        sizes = np.maximum(counts, 1)
        rows = np.repeat(np.arange(len(theirs)), sizes)
        positions = np.full(len(rows), -1, dtype=np.int64)
        positions[np.repeat(counts > 0, sizes)] = order
        return rows, positions

    def _why(self) -> str:
        index = "the index has labels more than once"
        if self._run.keys is None:
            return f"{index}, and no cache file kept the order of the rows (cache=False keeps none)"
        if self._run.many:
            return f"{index}, and there are several records a row"
        if not self._run.untouched:
            return f"{index}, and the answers were sorted, filtered or changed since"
        return f"{index}, and the texts of this frame are not those that were asked"


def _keys_of(texts: Sequence[Value]) -> RowKeys:
    rows = distinct_rows(texts)
    return [None if code < 0 else rows.keys[code] for code in rows.codes.tolist()]
