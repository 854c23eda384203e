"""A run that workers ask, watched from the user's kernel: one bar, and Stop."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from dask.callbacks import Callback

from pandas_genai.dask.partitions import PREFIX
from pandas_genai.errors import CacheError, counted
from pandas_genai.runs.progress import Observer, Progress
from pandas_genai.store import AnswerStore, using
from pandas_genai.store.parts import STOP
from pandas_genai.store.records import now

__all__ = ["Watch", "watch"]

_LOOK_S = 0.3
_QUIET_S = 5.0
_PATIENCE_S = 1.0
_MOST = 200

_watches: OrderedDict[str, Watch] = OrderedDict()


class Watch:
    """Shows how far a run is, for as long as workers are at it.

    The record of the run in the store is looked at a few times a second, by a thread of its own.

    Parameters
    ----------
    run_id : str
        The run.
    cache : str
        The URL of its store.
    observer : Observer
        Who is shown it.
    partitions : int
        How many there are in all.
    """

    def __init__(self, run_id: str, cache: str, observer: Observer, partitions: int) -> None:
        self.run_id = run_id
        self._cache = cache
        self._observer = observer
        self._partitions = partitions
        self._news = threading.Condition()
        self._drawing = threading.RLock()
        self._heard = self._answered = 0
        self._over: threading.Event | None = None
        self._shown: Progress | None = None

    def begin(self) -> None:
        """Show the run from now on, unless it is being shown."""
        with self._news:
            if self._over is None:
                self._over, self._shown = threading.Event(), None
                threading.Thread(
                    target=self._follow, args=(self._over,), name="genai-watch", daemon=True
                ).start()

    def compute(self) -> None:
        """Show the run, which is computed now, whatever ended it before."""
        with using(self._cache) as store:
            if any(run["status"] != "running" for run in store.runs(self.run_id)):
                store.end_run(self.run_id, status="running", ended=None, message=None)
        self.begin()

    def part_ended(self) -> None:
        """Let the end be shown now, if this was the last part.

        Called by the thread that brings the result: what is shown is there before, unless the
        store takes long to answer.
        """
        with self._news:
            self._heard += 1
            mine = self._heard
            self._news.notify_all()
            self._news.wait_for(lambda: self._answered >= mine or self._over is None, _PATIENCE_S)

    def end(self, *, stop: bool) -> None:
        """Show the end; what is still under way in other threads and processes is stopped."""
        with using(self._cache) as store:
            if stop and any(run["status"] == "running" for run in store.runs(self.run_id)):
                store.end_run(self.run_id, status="stopped", ended=now(), message=STOP)
            with self._drawing:
                self._look(store)
                self._close(store)

    def _follow(self, over: threading.Event) -> None:
        quiet, ran = 0.0, False
        with using(self._cache) as store:
            while True:
                with self._news:
                    woken = self._news.wait_for(
                        lambda: self._heard > self._answered or over.is_set(), _LOOK_S
                    )
                    heard = self._heard
                with self._drawing:
                    if over.is_set():
                        return
                    with contextlib.suppress(CacheError):  # held by another program for the moment
                        self._look(store)
                        parts = store.parts(self.run_id)
                        ran = ran or "running" in parts
                        quiet = 0.0 if "running" in parts or not ran else quiet + _LOOK_S
                        whole = parts.get("completed") == self._partitions or "failed" in parts
                        if quiet >= _QUIET_S or (woken and whole):
                            self._close(store)
                with self._news:
                    self._answered = heard
                    self._news.notify_all()

    def _look(self, store: AnswerStore) -> None:
        """Show how far the run is, if it has begun."""
        if self._over is None:
            return
        for run in store.runs(self.run_id):
            progress = self._progress(run, sum(store.parts(self.run_id).values()))
            if self._shown is None:
                self._observer.started(progress)
            elif progress != self._shown:
                self._observer.moved(progress)
            self._shown = progress

    def _progress(self, run: Mapping[str, Any], begun: int) -> Progress:
        """Return how far a run is; partitions that have not begun count like the others."""
        waiting = max(0, self._partitions - begun)
        return Progress(
            total=run["rows"] + round(run["rows"] / max(1, begun) * waiting),
            done=run["ok"] + run["failed"] + run["empty"],
            cached=run["cached"],
            failed=run["failed"],
            input_tokens=run["input_tokens"],
            output_tokens=run["output_tokens"],
            cost=run["cost"],
        )

    def _close(self, store: AnswerStore) -> None:
        if self._over is None:
            return
        with self._news:
            self._over.set()
            self._over = None
            self._news.notify_all()
        progress = self._shown
        if progress is None:
            return
        for run in store.runs(self.run_id):
            status = run["status"]
            self._observer.ended(progress, "stopped" if status == "running" else status)
            if status == "completed" and progress.failed:
                have = "has" if progress.done == 1 else "have"
                self._observer.warn(
                    f"{progress.failed:,} of {counted(progress.done, 'row')} {have} no answer; "
                    "see .genai.errors of the result."
                )


class _LocalRuns(Callback):
    """Called by Dask's own schedulers, threads and processes, when they begin and end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Dask ships no type for it
        self._runs: dict[int, list[Watch]] = {}

    def _start(self, graph: Mapping[Any, Any]) -> None:
        names = set(_run_ids(graph))
        self._runs[id(graph)] = found = [one for name, one in _watches.items() if name in names]
        for one in found:
            one.compute()

    def _finish(self, graph: Mapping[Any, Any], state: Any, failed: bool) -> None:  # noqa: ARG002 - Dask's
        for one in self._runs.pop(id(graph), ()):
            one.end(stop=failed)


_LOCAL = _LocalRuns()


def watch(one: Watch, cluster: Any) -> None:
    """Let a run be shown whenever it is computed.

    Parameters
    ----------
    one : Watch
        The run.
    cluster : distributed.Client or None
        Of the cluster that would compute it.
    """
    _LOCAL.register()
    _watches[one.run_id] = one
    while len(_watches) > _MOST:
        _watches.popitem(last=False)
    if cluster is not None:

        def heard(event: tuple[float, Any]) -> None:
            if event[1] == "begins":
                one.begin()
            else:
                one.part_ended()

        cluster.subscribe_topic(f"{PREFIX}-{one.run_id}", heard)


def _run_ids(graph: Mapping[Any, Any]) -> Iterator[str]:
    """Find the runs that a graph's tasks are parts of, also where tasks were put together."""
    for key, task in graph.items():
        inner = next(iter(getattr(task, "args", ())), None)
        for name in (key, *(inner if isinstance(inner, dict) else ())):
            words = str(name[0] if isinstance(name, tuple) else name).split("-")
            if words[0] == PREFIX:
                yield words[1]
