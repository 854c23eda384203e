"""One bar in rows, drawn from the engine's events; a saved notebook keeps its last line."""

from __future__ import annotations

import sys
from typing import Any

from pandas_genai.display.html import text
from pandas_genai.errors import printable
from pandas_genai.report.observer import Observer, Progress, Silent

__all__ = ["Bar", "observer_for"]


_VIEW = "application/vnd.jupyter.widget-view+json"
_NOTHING = {"text/plain": ""}


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
    """Draws a run as one bar in rows; the local model's download as one in bytes.

    In a notebook both are widgets, which would be dead in the saved file: at the end of a run they
    are replaced by one line of text without times, which every viewer shows.
    """

    def __init__(self) -> None:
        self._bar: _Line | None = None
        self._download: _Line | None = None

    def started(self, progress: Progress) -> None:
        """Draw the bar with the rows that are settled already."""
        self._bar = _drawn(total=progress.total, initial=progress.done, unit="row")
        self.moved(progress)

    def moved(self, progress: Progress) -> None:
        """Move the bar."""
        assert self._bar is not None
        self._bar.move(progress.done, _postfix(progress))

    def ended(self, progress: Progress, outcome: str) -> None:
        """Draw the bar for the last time, and leave a line in its place."""
        self.moved(progress)
        assert self._bar is not None
        self._bar.close(_last_line(progress, outcome))

    def fetching(self, done: int, total: int, target: str) -> None:
        """Draw how much of the weights has arrived, and where they go."""
        if self._download is None:
            self.warn(f"Downloading the local model: {total / 1e6:,.0f} MB into {target}")
            self._download = _drawn(total=total, unit="B", unit_scale=True, desc="weights")
        self._download.move(done, {})
        if done >= total:
            self._download.close("")

    def warn(self, message: str) -> None:
        """Write one line to the standard error."""
        sys.stderr.write(f"{printable(message)}\n")


def _drawn(**options: Any) -> _Line:
    return _Widget(options) if _has_widgets() else _Line(options)


def _has_widgets() -> bool:
    """Whether this is the kernel of a notebook that can show widgets."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return False
    try:
        import ipywidgets  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


class _Line:
    """A bar on the standard error of a terminal, which keeps its last state by itself."""

    def __init__(self, options: dict[str, Any]) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(dynamic_ncols=True, **options)

    def move(self, done: int, postfix: dict[str, object]) -> None:
        """Show how far it is."""
        self._bar.update(done - self._bar.n)
        self._bar.set_postfix(postfix, refresh=False)
        self._bar.refresh()

    def close(self, line: str) -> None:  # noqa: ARG002 - the bar itself stays
        """Take the bar away; what stays of it is this line."""
        self._bar.close()


class _Widget(_Line):
    """A bar in the cell that runs.

    Its output is updated with nothing at the end: a saved widget would be "model not found" when
    the notebook is opened without its kernel. It is shown by its id, without the text of the bar,
    which nbval would compare.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        from tqdm.notebook import tqdm

        self._bar: Any = tqdm(display=False, **options)
        view = {"version_major": 2, "version_minor": 0, "model_id": self._bar.container.model_id}
        data = {_VIEW: view, **_NOTHING}
        self._handle: Any = _display(data, raw=True, display_id=True)

    def close(self, line: str) -> None:
        self._bar.disp = _nothing  # the tqdm of notebooks draws itself once more when it is closed
        self._bar.close()
        self._bar.container.close()
        self._handle.update(_NOTHING, raw=True)
        if line:
            line = printable(line)
            _display({"text/plain": line, "text/html": f"<div>{text(line)}</div>"}, raw=True)


def _display(*args: Any, **options: Any) -> Any:
    from IPython import display

    return display.display(*args, **options)  # type: ignore[no-untyped-call]  # IPython ships no type for it


def _nothing(*_: object, **__: object) -> None:
    """Draw nothing."""


def _postfix(progress: Progress) -> dict[str, object]:
    shown: dict[str, object] = {}
    if progress.cached:
        shown["cached"] = progress.cached
    if progress.failed:
        shown["failed"] = progress.failed
    if progress.input_tokens or progress.output_tokens:
        shown["tokens"] = f"{progress.input_tokens + progress.output_tokens:,}"
        shown["cost"] = _cost(progress)
    if progress.waiting_s > 1:
        shown["waiting"] = f"{progress.waiting_s:.0f} s: {progress.waiting_for}"
    elif progress.elsewhere:
        shown["asked by another kernel"] = progress.elsewhere
    return shown


def _cost(progress: Progress) -> str:
    return "?" if progress.cost is None else f"${progress.cost:.4f}"


def _last_line(progress: Progress, outcome: str) -> str:
    """Say how a run ended; without times, so that two runs say the same."""
    whole = progress.done == progress.total and outcome == "completed"
    rows = f"{progress.total:,} rows" if whole else f"{progress.done:,} of {progress.total:,} rows"
    said = [f"{rows} done" if outcome == "completed" else f"{rows} done, then {outcome}"]
    if progress.cached:
        said.append(f"{progress.cached:,} from the cache")
    if progress.failed:
        said.append(f"{progress.failed:,} failed")
    if progress.input_tokens or progress.output_tokens:
        said.append(f"{progress.input_tokens + progress.output_tokens:,} tokens")
        said.append(f"cost {_cost(progress)}")
    return " · ".join(said)
