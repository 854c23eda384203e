"""One bar in rows, drawn from the engine's events; a saved notebook keeps its last line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from pandas_genai.display.html import NO_MATH, stand_in, text
from pandas_genai.errors import UsageError, counted, printable
from pandas_genai.runs.progress import Observer, Progress, Silent

__all__ = ["Bar", "display", "kernel_shell", "observer_for"]


_VIEW = "application/vnd.jupyter.widget-view+json"
_NOTHING = {"text/plain": ""}
_EVENTS = ("started", "moved", "ended", "fetching", "warn")
_LINE_S = 30.0
"""Seconds between two lines where there is no terminal."""
_REFRESH_S = 1.0
"""Seconds between two refreshes of the bar that needs no widget."""

Clock = Callable[[], float]


def observer_for(progress: object) -> Observer:
    """Return who watches a run.

    Parameters
    ----------
    progress : bool, Observer or None
        False: nobody. None or True: a bar. Anything else is an observer of the caller's.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if progress is False:
        return Silent()
    if progress is None or progress is True:
        return Bar()
    if isinstance(progress, type) or not all(
        callable(getattr(progress, name, None)) for name in _EVENTS
    ):
        raise UsageError(
            f"progress={progress!r} shows nothing: use True or False, or an observer, an object "
            f"with the methods {', '.join(_EVENTS)}."
        )
    return progress  # type: ignore[return-value]  # a user's own observer, by its methods


class Bar:
    """Draws a run as one bar in rows; the local model's download as one in bytes.

    In a notebook both are widgets, beside which an HTML bar stands for frontends without widgets;
    at the end of a run one line of text without times replaces them, which every viewer shows.
    In a terminal the bar is drawn on the standard error; where that is no terminal, a line is
    written every 30 seconds. The last line is written everywhere.

    Parameters
    ----------
    stream : text stream, optional
        Where the bar is drawn outside notebooks; left out: the standard error of the moment.
    clock : callable, optional
        Seconds that only grow.
    """

    def __init__(self, stream: TextIO | None = None, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._bar: _Screen | None = None
        self._download: _Screen | None = None
        self._began = 0.0

    def started(self, progress: Progress) -> None:
        """Draw the bar with the rows that are settled already."""
        self._began = self._clock()
        self._bar = self._screen(total=progress.total, initial=progress.done, unit="row")
        self.moved(progress)

    def moved(self, progress: Progress) -> None:
        """Move the bar."""
        assert self._bar is not None
        self._bar.move(progress.done, progress.total, _postfix(progress), _line(progress))

    def ended(self, progress: Progress, outcome: str) -> None:
        """Draw the bar for the last time, and leave a line in its place."""
        self.moved(progress)
        assert self._bar is not None
        self._bar.close(_last_line(progress, outcome), self._clock() - self._began)

    def fetching(self, done: int, total: int, target: str) -> None:
        """Draw how much of the weights has arrived, and where they go."""
        if self._download is None:
            self.warn(f"Downloading the local model: {total / 1e6:,.0f} MB into {target}")
            self._began = self._clock()
            self._download = self._screen(total=total, unit="B", unit_scale=True, desc="weights")
        arrived = f"weights: {done / 1e6:.0f}M/{total / 1e6:.0f}M"
        self._download.move(done, total, {}, arrived)
        if done >= total:
            self._download.close(arrived, self._clock() - self._began)

    def warn(self, message: str) -> None:
        """Write one line to the standard error."""
        _write(self._stream or sys.stderr, message)

    def _screen(self, **options: Any) -> _Screen:
        shell = kernel_shell()
        if self._stream is None and shell is not None:
            return _Cell(shell, options, self._clock)
        stream = self._stream or sys.stderr
        if stream is not None and stream.isatty():
            return _Terminal(stream, options)
        return _Log(stream, self._clock)


def _write(stream: TextIO | None, line: str) -> None:
    if stream is not None:  # a program without a console has none
        stream.write(f"{printable(line)}\n")
        stream.flush()


class _Screen(Protocol):
    """Where a bar is drawn."""

    def move(self, done: int, total: int, postfix: dict[str, object], line: str) -> None:
        """Show how far it is."""

    def close(self, line: str, seconds: float) -> None:
        """Take the bar away; what stays of it is this line."""


class _Terminal:
    """A bar on a terminal, and its last line."""

    def __init__(self, stream: TextIO, options: dict[str, Any]) -> None:
        from tqdm import tqdm

        self._stream = stream
        self._bar: Any = tqdm(dynamic_ncols=True, file=stream, leave=False, **options)

    def move(self, done: int, total: int, postfix: dict[str, object], line: str) -> None:  # noqa: ARG002 - a bar has no line
        """Draw the bar once."""
        self._bar.n, self._bar.total = done, total
        self._bar.set_postfix(postfix, refresh=False)
        self._bar.refresh()

    def close(self, line: str, seconds: float) -> None:
        """Replace the bar with its last line."""
        self._bar.close()
        _write(self._stream, f"{line} · {seconds:,.1f} s")


class _Log:
    """Lines in a file: one every 30 seconds, and the last one."""

    def __init__(self, stream: TextIO | None, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._written = clock()

    def move(self, done: int, total: int, postfix: dict[str, object], line: str) -> None:  # noqa: ARG002 - the line has it all
        """Write a line if the last one is long ago."""
        if self._clock() - self._written >= _LINE_S:
            self._written = self._clock()
            _write(self._stream, line)

    def close(self, line: str, seconds: float) -> None:
        """Write the last line."""
        _write(self._stream, f"{line} · {seconds:,.1f} s")


def kernel_shell() -> Any:
    """The shell of the notebook's kernel that runs this; None where there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if getattr(shell, "kernel", None) is None else shell


def _is_jupyter(shell: Any) -> bool:
    """Whether the outputs of a cell stand in one page: a style reaches from one to the next.

    They do in JupyterLab, Notebook 7 and what is built on them, not in VS Code and Colab, which
    show each output in a frame of its own.
    """
    vscode = "__vsc_ipynb_file__" in shell.user_ns or "VSCODE_PID" in os.environ
    return not vscode and "google.colab" not in sys.modules


class _Cell:
    """A bar in the cell that runs: as a widget, and before it as HTML that needs none.

    Where a widget lives it hides the HTML. A widget that is not there (no widget manager) or has
    died (the tab was closed or the kernel restarted before the run's end, so that no update
    reached the page) is hidden itself: it would be "model not found" for ever.

    Both are shown by their ids, at first with nothing, and updated with nothing at the end, because
    nbval compares what was shown first with what was saved.
    """

    def __init__(self, shell: Any, options: dict[str, Any], clock: Clock) -> None:
        self._clock = clock
        self._refreshed: float | None = None
        self._html: Any = None
        if _is_jupyter(shell):
            self._html = display(_NOTHING, raw=True, display_id=True)
        self._widget = _Widget(options) if _has_widgets() else None

    def move(self, done: int, total: int, postfix: dict[str, object], line: str) -> None:
        """Move the widget, and once a second its stand-in."""
        if self._widget is not None:
            self._widget.move(done, total, postfix)
        now = self._clock()
        late = self._refreshed is None or now - self._refreshed >= _REFRESH_S
        if self._html is not None and late:
            self._refreshed = now
            shown = {**_NOTHING, "text/html": _stand_in(done / max(1, total), line)}
            self._html.update(shown, raw=True)

    def close(self, line: str, seconds: float) -> None:  # noqa: ARG002 - a saved line has no times
        """Take both away, and leave the line."""
        if self._widget is not None:
            self._widget.close()
        if self._html is not None:
            self._html.update(_NOTHING, raw=True)
        html = f'<div class="{NO_MATH}">{text(line)}</div>'
        display({"text/plain": printable(line), "text/html": html}, raw=True)


def _has_widgets() -> bool:
    try:
        import ipywidgets  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


class _Widget:
    """The bar of tqdm.notebook, shown without its text, which nbval would compare."""

    def __init__(self, options: dict[str, Any]) -> None:
        from tqdm.notebook import tqdm

        self._bar: Any = tqdm(display=False, **options)
        container = self._bar.container
        left, bar, right = container.children
        # In a narrow cell the text goes below the bar, which would shrink to nothing beside it.
        container.layout.flex_flow, container.layout.width = "row wrap", "100%"
        bar.layout.flex, bar.layout.min_width, bar.layout.max_width = "1 1 8em", "8em", "20em"
        for side in (left, right):
            side.layout.max_width = "100%"
        view = {"version_major": 2, "version_minor": 0, "model_id": container.model_id}
        self._handle: Any = display({_VIEW: view, **_NOTHING}, raw=True, display_id=True)

    def move(self, done: int, total: int, postfix: dict[str, object]) -> None:
        """Draw the bar once; its text may break at spaces."""
        self._bar.n, self._bar.total = done, total
        self._bar.set_postfix(postfix, refresh=False)
        _, bar, right = self._bar.container.children
        bar.max = total
        with right.hold_sync():
            self._bar.refresh()
            right.value = right.value.replace("\u2007", " ")

    def close(self) -> None:
        """Take it away."""
        self._bar.disp = _nothing  # the tqdm of notebooks draws itself once more when it is closed
        self._bar.close()
        self._bar.container.close()
        self._handle.update(_NOTHING, raw=True)


def _stand_in(share: float, line: str) -> str:
    """Return a bar in HTML."""
    frame = "border:1px solid color-mix(in srgb, currentColor 40%, transparent);max-width:20em"
    filled = f"width:{min(1.0, max(0.0, share)):.1%};height:.7em;background:#4c8bd6"
    return stand_in(
        f'<div style="{frame}"><div style="{filled}"></div></div>'
        f'<div>{text(line)} <span style="opacity:.7">(under way)</span></div>'
    )


def display(*args: Any, **options: Any) -> Any:
    """Show something in the cell, as IPython does."""
    from IPython import display as screen

    return screen.display(*args, **options)  # type: ignore[no-untyped-call]  # IPython ships no type for it


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
        shown["waiting"] = f"{progress.waiting_s:.0f} s: {printable(progress.waiting_for)}"
    elif progress.elsewhere:
        shown["asked by another kernel"] = progress.elsewhere
    return shown


def _cost(progress: Progress) -> str:
    return "?" if progress.cost is None else f"${progress.cost:.4f}"


def _line(progress: Progress) -> str:
    """Say how far a run is."""
    parts = [f"{progress.done:,} of {counted(progress.total, 'row')}", *_counts(progress)]
    if progress.waiting_s > 1:
        parts.append(f"waiting {progress.waiting_s:.0f} s: {progress.waiting_for}")
    elif progress.elsewhere:
        parts.append(f"{progress.elsewhere:,} asked by another kernel")
    return " · ".join(parts)


def _last_line(progress: Progress, outcome: str) -> str:
    """Say how a run ended; without times, so that two runs say the same."""
    whole = progress.done == progress.total and outcome == "completed"
    total = counted(progress.total, "row")
    rows = total if whole else f"{progress.done:,} of {total}"
    rows = f"{rows} done" if outcome == "completed" else f"{rows} done, then {outcome}"
    return " · ".join([rows, *_counts(progress)])


def _counts(progress: Progress) -> list[str]:
    parts = []
    if progress.cached:
        parts.append(f"{progress.cached:,} from the cache")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    if progress.input_tokens or progress.output_tokens:
        parts.append(f"{progress.input_tokens + progress.output_tokens:,} tokens")
        parts.append(f"cost {_cost(progress)}")
    return parts
