"""One tqdm bar in rows, drawn from the engine's events."""

from __future__ import annotations

import sys
from typing import Any

from pandas_genai.report.observer import Observer, Progress, Silent

__all__ = ["Bar", "observer_for"]


def observer_for(progress: object) -> Observer:
    """Return who watches a run.

    Parameters
    ----------
    progress : bool, Observer or None
        False: nobody. None or True: a bar. Anything else is an observer of the caller's.
    """
    if progress is False:
        return Silent()
    if progress is None or progress is True:
        return Bar()
    return progress  # type: ignore[return-value]  # a user's own observer, by its methods


class Bar:
    """Draws a run as one bar in rows; the local model's download as one in bytes."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._download: Any = None

    def started(self, progress: Progress) -> None:
        """Draw the bar with the rows that are settled already."""
        self._bar = _tqdm()(
            total=progress.total, initial=progress.done, unit="row", dynamic_ncols=True
        )
        self.moved(progress)

    def moved(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar.update(progress.done - self._bar.n)
        self._bar.set_postfix(_postfix(progress), refresh=False)
        self._bar.refresh()

    def ended(self, progress: Progress, outcome: str) -> None:  # noqa: ARG002 - Observer's shape
        """Draw the bar for the last time."""
        self.moved(progress)
        self._bar.close()

    def fetching(self, done: int, total: int, target: str) -> None:
        """Draw how much of the weights has arrived, and where they go."""
        if self._download is None:
            self.warn(f"Downloading the local model: {total / 1e6:,.0f} MB into {target}")
            self._download = _tqdm()(total=total, unit="B", unit_scale=True, desc="weights")
        self._download.update(done - self._download.n)
        if done >= total:
            self._download.close()

    def warn(self, message: str) -> None:
        """Write one line to the standard error."""
        sys.stderr.write(f"{message}\n")


def _tqdm() -> Any:
    """Import tqdm when a bar is drawn, and without its warning where ipywidgets is missing."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def _postfix(progress: Progress) -> dict[str, object]:
    shown: dict[str, object] = {}
    if progress.cached:
        shown["cached"] = progress.cached
    if progress.failed:
        shown["failed"] = progress.failed
    if progress.input_tokens or progress.output_tokens:
        shown["tokens"] = f"{progress.input_tokens + progress.output_tokens:,}"
        shown["cost"] = "?" if progress.cost is None else f"${progress.cost:.4f}"
    if progress.waiting_s > 1:
        shown["waiting"] = f"{progress.waiting_s:.0f} s: rate limit"
    return shown
