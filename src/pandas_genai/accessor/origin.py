"""Which run a frame's answers come from, and the frame that was asked, as this process knows."""

from __future__ import annotations

import json
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.batch.texts import TextForm
from pandas_genai.display.reading import Reading
from pandas_genai.display.where import default_cache_path
from pandas_genai.errors import CacheError, SchemaError, UsageError
from pandas_genai.runs import ATTR, Report
from pandas_genai.runs.report import find_report, remembered_place
from pandas_genai.store import is_there, url_of, using
from pandas_genai.task.inputs import Value
from pandas_genai.task.schema import Schema, compile_schema
from pandas_genai.task.text import is_blank, no_column, only_text_column, rows_text, series_text

__all__ = ["ANSWERS", "Asked", "Origin", "all_texts", "answer_columns", "cache_of", "origin_of"]
__all__ += ["question_of", "reading_of", "remember_origin", "report_of", "run_of"]

ANSWERS = "pandas_genai_answers"
"""The key of ``DataFrame.attrs`` of a joined frame: the names of the answers' columns by run."""

_MOST_REMEMBERED = 50
_SAMPLED = 64

_lock = threading.Lock()
_remembered: OrderedDict[str, Origin] = OrderedDict()


@dataclass(frozen=True)
class Asked:
    """What the model was asked.

    Parameters
    ----------
    prompt : str
        The instructions.
    schema : Schema
        What an answer looks like.
    prompt_hash : str
        The task.
    """

    prompt: str
    schema: Schema
    prompt_hash: str


@dataclass(frozen=True)
class Origin:
    """What this process remembers of a result; neither it nor the frame asked is kept alive.

    Parameters
    ----------
    run_id : str
        The run.
    columns : list
        The result's columns.
    length : int
        Its rows.
    sample : DataFrame
        A few of its rows, by which a frame that it was joined to is known.
    positions : ndarray of int
        Where they stood.
    result, asked : weak reference
        The result; the frame or series that was asked.
    render : callable
        Returns the texts of such rows as they were sent.
    cache : str, optional
        The URL of the run's cache; None where it was in memory.
    question : Asked, optional
        What was asked.
    form : dict, optional
        ``text=``, as jobs keep it.
    """

    run_id: str
    columns: list[Hashable]
    length: int
    sample: pd.DataFrame = field(repr=False)
    positions: Any = field(repr=False)
    result: weakref.ref[pd.DataFrame] = field(repr=False)
    asked: weakref.ref[Any] = field(repr=False)
    render: Callable[[Any], list[Value]] = field(repr=False)
    cache: str | None = None
    is_series: bool = False
    question: Asked | None = None
    form: TextForm | None = None


def remember_origin(
    result: pd.DataFrame,
    asked: pd.DataFrame | pd.Series[Any],
    render: Callable[[Any], list[Value]],
    cache: str | None,
    question: Asked,
    form: TextForm,
) -> None:
    """Remember a result of this process, and whom it was asked of."""
    run_id = result.attrs.get(ATTR)
    if run_id is None:
        return
    positions = _spread(len(result))
    origin = Origin(
        run_id,
        list(result.columns),
        len(result),
        result.iloc[positions].copy(),
        positions,
        weakref.ref(result),
        weakref.ref(asked),
        render,
        cache,
        isinstance(asked, pd.Series),
        question,
        form,
    )
    with _lock:
        _remembered[run_id] = origin
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.popitem(last=False)


def run_of(frame: pd.DataFrame) -> str | None:
    """Return the run that a frame's answers come from: by its attrs, or by its values."""
    run_id = frame.attrs.get(ATTR)
    if run_id is not None:
        return str(run_id)
    origin = origin_of(frame)
    return None if origin is None else origin.run_id


def origin_of(frame: pd.DataFrame) -> Origin | None:
    """Return what is remembered of the result that a frame is, or was joined to.

    ``join`` and ``merge`` of pandas drop the attrs. Such a frame is known by its values: it has
    all columns of a result, and the same values under the same labels.
    """
    run_id = frame.attrs.get(ATTR)
    with _lock:
        if run_id is not None:
            return _remembered.get(run_id)
        newest_first = list(reversed(_remembered.values()))
    return next((origin for origin in newest_first if _holds(frame, origin)), None)


def cache_of(frame: pd.DataFrame) -> str | Path | None:
    """Return where a frame's answers are kept; None where they were kept in memory alone."""
    origin = origin_of(frame)
    if origin is not None:
        return origin.cache
    place = remembered_place(run_of(frame))
    return default_cache_path() if place is None else url_of(place)


def report_of(frame: pd.DataFrame) -> Report:
    """Return the report of the run that a frame's answers come from.

    Raises
    ------
    UsageError
        If no run made it, or its report is in a cache elsewhere.
    """
    run_id = run_of(frame)
    if run_id is None:
        raise UsageError(
            "This frame is not the result of a run that is known here: ask .genai of the "
            "result, or put the result beside your frame with labels.genai.join(df)."
        )
    return find_report(run_id, cache_of(frame) or default_cache_path())


def answer_columns(frame: pd.DataFrame) -> list[Hashable] | None:
    """Return which columns of a frame are answers; None where nobody knows."""
    joined = frame.attrs.get(ANSWERS)
    named: Sequence[Hashable] | None = None
    if joined is not None:
        named = [name for names in joined.values() for name in names]
    else:
        origin = origin_of(frame)
        named = None if origin is None else origin.columns
    if named is None:
        return None
    present: list[Hashable] = [name for name in frame.columns if name in named]
    return present or None


def reading_of(frame: pd.DataFrame, source: Any) -> Reading:
    """Find what is read of a frame: its texts, and the columns that are answers.

    Parameters
    ----------
    frame : DataFrame
        A result, or a frame that it was joined to.
    source : column or Series, optional
        The texts, as ``show`` takes them.

    Raises
    ------
    UsageError
        If there is no such column, or the Series has another index.
    """
    answers = answer_columns(frame)
    if isinstance(source, pd.Series):
        if len(source) != len(frame) or not source.index.equals(frame.index):
            raise UsageError("text= must be a Series with the index of this frame.")
        return Reading(frame, _rows_of(source), answers or list(frame.columns))
    if source is not None:
        if source not in frame.columns:
            raise no_column(frame, source)
        others = [name for name in frame.columns if name != source]
        return Reading(frame, _rows_of(frame[source]), answers or others)
    beside = frame if answers is None else frame.drop(columns=answers)
    if answers is None and ATTR in frame.attrs:  # a result of another kernel: all of it is answers
        return Reading(frame, None, list(frame.columns))
    try:
        named = only_text_column(beside)
    except UsageError:
        return Reading(frame, _asked_texts(frame), answers or list(frame.columns))
    others = [name for name in frame.columns if name != named]
    return Reading(frame, _rows_of(frame[named]), answers or others)


def question_of(frame: pd.DataFrame) -> Asked | None:
    """Return what answers were asked: as this process knows, or the cache of an earlier one."""
    origin = origin_of(frame)
    if origin is not None:
        return origin.question
    run_id = frame.attrs.get(ATTR)
    url = default_cache_path()
    if run_id is None or not is_there(url):
        return None
    try:
        with using(url) as store:
            hashes = {run["prompt_hash"] for run in store.runs(str(run_id))}
            tasks = [task for task in store.tasks() if task["prompt_hash"] in hashes]
        if not tasks:
            return None
        task = tasks[0]
        schema = compile_schema(json.loads(task["schema"]))
    except (CacheError, SchemaError, ValueError):
        return None
    return Asked(task["prompt"], schema, task["prompt_hash"])


def all_texts(frame: pd.DataFrame, source: Any = None) -> list[str | None]:
    """Return the text of each row of a frame of answers; None where there is none.

    Parameters
    ----------
    frame : DataFrame
        A result, or a frame that it was joined to; its index has each label once.
    source : column, list of columns, template or Series, optional
        The texts: columns of this frame or of the one that was asked, or a Series that has the
        labels of this frame's index. Left out: as ``reading_of`` finds them.

    Raises
    ------
    UsageError
        If they cannot be found.
    """
    if isinstance(source, pd.Series):
        if not source.index.is_unique or not frame.index.isin(source.index).all():
            raise UsageError("text= must be a Series with the index labels of this frame.")
        return _plain_texts(series_text(source.reindex(frame.index)))
    if source is not None:
        origin = origin_of(frame)
        asked = None if origin is None else origin.asked()
        try:
            return _plain_texts(rows_text(frame, source))
        except UsageError:
            if not isinstance(asked, pd.DataFrame) or not _has_rows(asked, frame):
                raise
        return _plain_texts(rows_text(asked.loc[frame.index], source))
    texts = reading_of(frame, None).texts
    if texts is None:
        raise UsageError(
            "text= is needed: the frame that was asked is not known here any more. Give the texts "
            "as a Series, such as text=df['review'], or write labels.genai.join(df) first."
        )
    return _plain_texts(texts(0, len(frame)))


def _plain_texts(values: Sequence[Any]) -> list[str | None]:
    return [None if is_blank(value) else str(value) for value in values]


def _has_rows(asked: pd.DataFrame | pd.Series[Any], frame: pd.DataFrame) -> bool:
    return asked.index.is_unique and bool(frame.index.isin(asked.index).all())


def _rows_of(texts: pd.Series[Any]) -> Callable[[int, int], list[Any]]:
    return lambda start, stop: texts.iloc[start:stop].tolist()


def _asked_texts(frame: pd.DataFrame) -> Callable[[int, int], list[Value]] | None:
    """Return the texts of the frame that was asked, if it is still there and has these rows."""
    origin = origin_of(frame)
    asked = None if origin is None else origin.asked()
    if origin is None or asked is None:
        return None
    if asked.index.equals(frame.index):
        return lambda start, stop: origin.render(asked.iloc[start:stop])
    if not _has_rows(asked, frame):
        return None
    return lambda start, stop: origin.render(asked.loc[frame.index[start:stop]])


def _holds(frame: pd.DataFrame, origin: Origin) -> bool:
    if not origin.columns or not frame.columns.is_unique:
        return False
    if not all(name in frame.columns for name in origin.columns):
        return False
    if len(frame) == origin.length:
        theirs = frame[origin.columns].iloc[origin.positions]
        if theirs.index.equals(origin.sample.index):
            return _same(theirs, origin.sample)
    if not (frame.index.is_unique and origin.sample.index.is_unique):
        return False
    if len(frame) > origin.length:  # an outer join: other rows have no answers
        answered = frame[origin.columns].notna().any(axis=1)
        if answered.sum() > origin.length:
            return False
    known = origin.result()
    ours = origin.sample if known is None or not known.index.is_unique else known
    labels = frame.index[_spread(len(frame))]
    common = labels.intersection(ours.index)
    if not len(common):
        common = origin.sample.index.intersection(frame.index)
    return bool(len(common)) and _same(
        frame.loc[common, origin.columns], ours.loc[common, origin.columns]
    )


def _spread(length: int) -> npt.NDArray[np.int64]:
    """Return a few positions from the first to the last."""
    return np.unique(np.linspace(0, max(0, length - 1), _SAMPLED).astype(np.int64))[:length]


def _same(theirs: pd.DataFrame, ours: pd.DataFrame) -> bool:
    """Whether all values are equal, and not all of them missing."""
    if not ours.notna().to_numpy().any():
        return False
    return all(
        _same_labels(theirs[name], ours[name])
        and _plain(theirs[name].tolist()) == _plain(ours[name].tolist())
        for name in ours.columns
    )


def _same_labels(theirs: pd.Series[Any], ours: pd.Series[Any]) -> bool:
    """Whether a column can have the labels of another: all of them or fewer, in the same order."""
    if not all(isinstance(one.dtype, pd.CategoricalDtype) for one in (theirs, ours)):
        return True
    labels = theirs.cat.categories
    return labels.equals(ours.cat.categories[ours.cat.categories.isin(labels)])


def _plain(values: list[Any]) -> list[Any]:
    return [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in values]
