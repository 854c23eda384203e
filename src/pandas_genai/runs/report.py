"""The report of a run, now or in a later kernel."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError, counted, printable
from pandas_genai.store import AnswerStore, Cache, is_there, shown, using
from pandas_genai.store.readable import mapping_of, moment_of, texts_of

__all__ = ["Report", "find_report", "label_json", "label_text", "label_value", "remember"]
__all__ += ["remember_place", "remembered_place", "repeats_of", "runs"]

_COLUMNS = ["reason", "message", "attempts", "request_id"]
_FIRST = ["started", "model", "rows", "ok", "failed", "cached", "cost", "status", "kind"]
_MOST_REMEMBERED = 200
_READ = frozenset(
    {"answered_from", "answered_to", "errors", "message", "models", "params_dropped"}
    | {"duplicates", "ended", "params_sent", "seconds", "started"}
)
"""Attributes that are read out of a record, not taken as they stand there."""

_lock = threading.Lock()
_remembered: OrderedDict[str, Report] = OrderedDict()
_places: OrderedDict[str, Cache] = OrderedDict()


@dataclass(frozen=True, repr=False)
class Report:
    """What a run tells.

    Attributes
    ----------
    run_id : str
        Under which the run stands in the cache's tables ``runs`` and ``failures``.
    status : str
        ``completed``, ``stopped``, ``failed`` or ``running``.
    rows, ok, failed, cached, empty, duplicates : int
        Rows of the input; answered (cached ones included); given up; answered before the run;
        without text; equal to another row.
    calls, retries : int
        HTTP requests; those of them that repeated one.
    input_tokens, cached_tokens, output_tokens : int
        Tokens sent (cached ones included), read from the vendor's prompt cache, and answered.
    cost : float or None
        US dollars; None where the price of the model is unknown.
    models : list of str
        The models that answered, as the provider names them.
    prompt_hash : str
        The task.
    seconds : float or None
        From start to end.
    unknown_calls : int
        Calls of which the provider sent no usable counts, or whose answer was lost on its way:
        tokens and cost are lower bounds, and unknown where it counted none.
    params_sent : dict
        The parameters as they were sent, after what the endpoint does not take was left out;
        ``structured`` is how the schema was enforced, ``repeats`` how many answers each row was to
        have, where that is more than one. A list where calls differed.
    params_dropped : dict
        What was asked for, and not sent in all calls.
    answered_from, answered_to : datetime or None
        In UTC: when the first and the last answer came that the result is made of, where all of
        them were in the cache.
    message : str
        Why the run ended as it did, or where its answers are from.
    started, ended : datetime or None
        When, in UTC.
    version : str
        Of this package.
    errors : DataFrame
        A row for each row without an answer: reason, message, attempts, request id, under the
        index label of the input.
    """

    run_id: str
    status: str
    rows: int
    ok: int
    failed: int
    cached: int
    empty: int
    duplicates: int
    calls: int
    retries: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: float | None
    models: list[str]
    prompt_hash: str
    seconds: float | None
    errors: pd.DataFrame = field(repr=False, compare=False)
    unknown_calls: int = 0
    params_sent: dict[str, Any] = field(default_factory=dict)
    params_dropped: dict[str, Any] = field(default_factory=dict)
    answered_from: datetime | None = None
    answered_to: datetime | None = None
    message: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    version: str | None = None

    @classmethod
    def of(cls, run: Mapping[str, Any], errors: pd.DataFrame) -> Report:
        """Make a report of a record of the table ``runs``."""
        names = cls.__dataclass_fields__.keys() - _READ
        return cls(
            **{name: run[name] for name in names},
            duplicates=run["twins"],
            models=texts_of(run["models"]),
            seconds=_seconds(run["started"], run["ended"]),
            errors=errors,
            params_sent=mapping_of(run["params_sent"]),
            params_dropped=mapping_of(run["params_dropped"]),
            answered_from=moment_of(run["answered_from"]),
            answered_to=moment_of(run["answered_to"]),
            message=run["message"] or "",
            started=moment_of(run["started"]),
            ended=moment_of(run["ended"]),
        )

    @property
    def twins(self) -> int:
        """``duplicates``, as version 0.1 named them."""
        return self.duplicates

    @property
    def repeats(self) -> int:
        """How many answers each row was to have."""
        return _repeats(self.params_sent)

    @property
    def cost_text(self) -> str:
        """The cost for people: ``$0.0123``, ``at least $0.0123``, or ``unknown``."""
        if self.cost is None:
            return "unknown"
        return f"{'at least ' if self.unknown_calls else ''}${self.cost:,.4f}"

    @property
    def tokens_text(self) -> str:
        """The tokens for people."""
        if self.unknown_calls and not (self.input_tokens or self.output_tokens):
            return f"unknown ({counted(self.unknown_calls, 'call')} without a count)"
        sent = f"{self.input_tokens:,} in ({self.cached_tokens:,} of them cached)"
        text = f"{sent}, {self.output_tokens:,} out"
        if not self.unknown_calls:
            return text
        return f"at least {text} ({counted(self.unknown_calls, 'call')} without a count)"

    @property
    def models_text(self) -> str:
        """Who answered, for people, and when, if it was before the run."""
        names = ", ".join(self.models) or "none was asked"
        if self.answered_from is None or self.answered_to is None:
            return names
        days = dict.fromkeys(f"{when:%Y-%m-%d}" for when in (self.answered_from, self.answered_to))
        return f"{names}, answered {' to '.join(days)}"

    @property
    def params_text(self) -> str:
        """The parameters as they were sent, for people, and what was left out; or nothing."""
        text = _listed(self.params_sent)
        return f"{text}; left out: {_listed(self.params_dropped)}" if self.params_dropped else text

    @property
    def reasons(self) -> str:
        """Why rows have no answer, with their counts, the most frequent first; or nothing."""
        counts = self.errors["reason"].value_counts()
        return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())

    def __repr__(self) -> str:
        took = "" if self.seconds is None else f" in {self.seconds:,.1f} s"
        answered = (
            f"{self.ok:,} answered ({self.cached:,} from the cache), {self.failed:,} failed, "
            f"{self.empty:,} empty"
        )
        lines = [
            f"run {self.run_id} ({self.status}{took}): {counted(self.rows, 'row')}, {answered}",
            f"calls: {self.calls:,} ({self.retries:,} repeated)",
            f"tokens: {self.tokens_text}",
            f"cost: {self.cost_text}",
            f"model: {self.models_text}",
            f"task: {self.prompt_hash}",
        ]
        if self.params_text:
            lines.append(f"sent with: {self.params_text}")
        if self.message:
            lines.append(self.message)
        if len(self.errors):
            lines.append(f"without an answer: {self.reasons}")
        return printable("\n".join(lines))


def _listed(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in params.items())


def _seconds(started: object, ended: object) -> float | None:
    first, last = moment_of(started), moment_of(ended)
    return None if first is None or last is None else (last - first).total_seconds()


def errors_frame(index: pd.Index, rows: Sequence[Sequence[object]]) -> pd.DataFrame:
    """Build the frame of failures: reason, message, attempts, request id, by index label.

    A message may quote what a provider sent: it is made printable, because a frame is printed.
    """
    rows = [[printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    frame = pd.DataFrame(rows, columns=_COLUMNS, index=index)
    kinds = {"reason": "str", "message": "str", "attempts": "Int64", "request_id": "object"}
    return frame.astype(kinds)


def label_json(label: object) -> str:
    """Write an index label so that a later kernel can read it back."""
    return json.dumps(label_value(label), ensure_ascii=False)


def label_text(label: object) -> str:
    """Write an index label for a person: as ``str`` does, but for a tuple of NumPy's numbers."""
    return _sendable(tuple(map(_plain, label)) if isinstance(label, tuple) else label)


def label_value(label: object) -> object:
    """Return an index label as a JSON value; a tuple becomes a list."""
    if type(label) is int:
        return label
    return [_plain(part) for part in label] if isinstance(label, tuple) else _plain(label)


def _plain(part: Any) -> object:
    """A JSON value of one label: numbers and texts as they are, the rest as text."""
    if part is pd.NA or part is pd.NaT:
        return None
    part = part.item() if hasattr(part, "item") else part
    if part is None or isinstance(part, (int, float)):
        return part
    return _sendable(part)


def _sendable(label: object) -> str:
    """Write a label; lone surrogates, which neither JSON files nor SQLite can carry, spelt out.

    A label whose own ``str`` fails is named by its type: it costs no answer.
    """
    try:
        text = str(label)
    except Exception:  # noqa: BLE001 - whatever a user's own object raises
        text = f"<{type(label).__name__}>"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def remember(report: Report) -> None:
    """Keep a report within this process, so that a frame's small id finds it."""
    with _lock:
        _remembered[report.run_id] = report
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.popitem(last=False)


def remember_place(run_id: str, cache: Cache) -> None:
    """Keep where the record of a run is that others write, so that its report is found there."""
    with _lock:
        _places[run_id] = cache
        while len(_places) > _MOST_REMEMBERED:
            _places.popitem(last=False)


def remembered_place(run_id: str | None) -> Cache | None:
    """Return where a run that workers ask is kept; None where that is not known."""
    with _lock:
        return None if run_id is None else _places.get(run_id)


def find_report(run_id: str, cache: Cache) -> Report:
    """Find the report of a run: of this process, or in the cache of an earlier one.

    Raises
    ------
    UsageError
        If it is in neither.
    """
    with _lock:
        found = _remembered.get(run_id)
        cache = _places.get(run_id, cache)
    if found is not None:
        return found
    if is_there(cache):
        with using(cache) as store:
            for run in store.runs(run_id):
                return Report.of(run, _saved_errors(store, run_id))
    raise UsageError(
        f"The report of run {run_id} is not in {shown(cache)}: ask the cache that the run used, "
        "with pandas_genai.runs(path)."
    )


def _saved_errors(cache: AnswerStore, run_id: str) -> pd.DataFrame:
    failures = sorted(cache.failures(run_id), key=lambda failure: failure["position"])
    labels = [_label(failure["label"]) for failure in failures]
    labels = [tuple(label) if isinstance(label, list) else label for label in labels]
    rows = [[failure[name] for name in _COLUMNS] for failure in failures]
    return errors_frame(pd.Index(labels), rows)


def _label(text: str) -> Any:
    """Read a label; a damaged one as it stands there."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return str(text)


def runs(cache: Cache) -> pd.DataFrame:
    """List the runs that a cache remembers; ``pandas_genai.runs`` says how."""
    if not is_there(cache):
        raise UsageError(f"There is no cache file {shown(cache)!r}: nothing was run with it yet.")
    with using(cache) as store:
        return _runs_frame(store.runs(), store.tasks())


def _runs_frame(
    records: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Return the runs, first what a person looks for, the hash of the task last."""
    if not records:
        return pd.DataFrame({"run_id": []}).set_index("run_id")
    asked = {task["prompt_hash"]: task["model"] for task in tasks}
    frame = pd.DataFrame([dict(record) for record in records]).set_index("run_id")
    frame["model"] = [
        ", ".join(texts_of(record["models"])) or asked.get(record["prompt_hash"])
        for record in records
    ]
    others = [name for name in frame.columns if name not in {*_FIRST, "prompt_hash"}]
    frame = frame[[*_FIRST, *others, "prompt_hash"]]
    for name in ("started", "ended"):
        times = frame[name].where(frame[name].map(moment_of).notna(), None)
        frame[name] = pd.to_datetime(times, utc=True, format="ISO8601")
    return frame.astype({"cost": "Float64"})


def repeats_of(run: Mapping[str, Any]) -> int:
    """Return how many answers each row of a run was to have, from its record."""
    return _repeats(mapping_of(run["params_sent"]))


def _repeats(params_sent: Mapping[str, Any]) -> int:
    return int(params_sent.get("repeats", 1))
