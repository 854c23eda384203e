"""Everything that pandas_genai raises.

::

    GenaiError
    ├── UsageError (also ValueError)   an argument, a column or a setting is wrong; nothing was sent
    │   ├── SchemaError                a schema cannot be read, or a vendor cannot enforce it
    │   └── CredentialsError           no key, or a key that must not meet this endpoint
    ├── CacheError                     the cache file cannot be used; it was left as it is
    ├── JobError                       a batch job is not there, busy, or its files damaged
    ├── LocalModelError                the local model cannot be fetched or does not answer
    ├── CallError                      one HTTP request went wrong; what to do is its class
    │   ├── WaitError                  wait, then send the same request again
    │   ├── SplitError                 ask for the rows again, in smaller chunks
    │   ├── RowError                   find the row that cannot be answered and fail it
    │   └── StopRunError               no request can succeed: stop, keep what was answered
    │       └── BudgetError            the next call would pass max_cost; what was answered is kept
    └── RowsFailedError                ``on_error="raise"``: some rows failed; the rest is kept
    KeyboardInterrupt
    └── Stopped                        the user pressed Stop; what was answered is kept

``StopRunError``, ``BudgetError``, ``Stopped`` and ``CredentialsError`` have the frame so far as
``.result``.
"""

from __future__ import annotations

import inspect
import linecache
import re
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

__all__ = [
    "BudgetError",
    "CacheError",
    "CallError",
    "CredentialsError",
    "GenaiError",
    "JobError",
    "LocalModelError",
    "RowError",
    "RowsFailedError",
    "SchemaError",
    "SplitError",
    "StopRunError",
    "Stopped",
    "UsageError",
    "WaitError",
    "counted",
    "printable",
    "warn_user",
]

# Steers a terminal (C0 but for tab and line feed, DEL, C1), turns the direction of what follows
# (the bidirectional embeddings, overrides and isolates), or cannot be encoded (a lone surrogate).
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def counted(count: int, noun: str, many: str = "") -> str:
    """Return a number with its noun, as a message says it.

    Parameters
    ----------
    count : int
        How many.
    noun : str
        What, where it is one.
    many : str, optional
        What, where it is another number; left out: with an s.

    Examples
    --------
    >>> counted(1, "row"), counted(2_000, "row"), counted(0, "batch", "batches")
    ('1 row', '2,000 rows', '0 batches')
    """
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def printable(text: object, most: int | None = None) -> str:
    r"""Return a text that is safe to print: what steers a terminal is escaped.

    Every line that the package prints, logs, warns or raises may quote texts, column names and
    model names that others wrote. Tabs and line feeds stay; a lone surrogate is escaped too,
    because no stream can encode it.

    Parameters
    ----------
    text : object
        Anything; what is not a ``str`` is written as ``str`` writes it.
    most : int, optional
        Characters; what is longer ends in an ellipsis.

    Examples
    --------
    >>> print(printable("gpt\x1b[2J-6"))
    gpt\x1b[2J-6
    """
    shown = str(text)
    if most is not None and len(shown) > most:
        shown = f"{shown[: most - 1]}…"
    return _UNPRINTABLE.sub(_escaped, shown)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


_CELL = "this cell"
_PACKAGE = str(Path(__file__).parent)


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the user's line of code.

    A kernel runs each cell from a temporary file, whose path tells nobody anything: the warning
    then names the cell instead.

    Parameters
    ----------
    message : str
        One sentence.
    category : type
        The class of the warning.
    """
    message = printable(message)
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is None:
        warnings.warn(message, category, stacklevel=2)
        return
    path, names = Path(frame.f_code.co_filename), frame.f_globals
    warnings.warn_explicit(
        message,
        category,
        _CELL if path.parent.name.startswith("ipykernel_") else str(path),
        frame.f_lineno,
        module=names.get("__name__", "__main__"),
        registry=names.setdefault("__warningregistry__", {}),
    )


class GenaiError(Exception):
    """Root of every error that pandas_genai raises on purpose. Its message is printable.

    A notebook shows the message and the line that led to it, without the frames of this package;
    plain Python shows the whole traceback.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, _carried(self))

    def _render_traceback_(self) -> list[str]:
        return [*_own_line(self.__traceback__), f"{type(self).__name__}: {printable(self)}"]


def _again(kind: type[BaseException], args: tuple[object, ...], values: Any) -> BaseException:
    """Make an error again that another process has sent."""
    error = kind.__new__(kind, *args)
    vars(error).update(values)
    return error


def _carried(error: BaseException) -> dict[str, object]:
    """Return what goes with an error to another process: a frame that is not built stays here."""
    return {name: value for name, value in vars(error).items() if name != "_build"}


def _own_line(trace: TracebackType | None) -> list[str]:
    """Return the line of the user's code that called this package, as IPython marks it."""
    package, last = str(Path(__file__).parent), None
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(package):
        last, trace = trace, trace.tb_next
    if last is None:
        return []
    source = linecache.getline(last.tb_frame.f_code.co_filename, last.tb_lineno).strip()
    return [f"----> {last.tb_lineno} {printable(source, 200)}"] if source else []


class PartialResult:
    """What an error carries that ended a run after rows were answered or found in the cache."""

    _build: Callable[[], pd.DataFrame | None] | None = None
    _result: pd.DataFrame | None = None

    @property
    def result(self) -> pd.DataFrame | None:
        """The frame so far, aligned to the input as ever; None where nothing was answered.

        It is built when it is first asked for, so that the error itself comes at once. Its
        ``.genai.report`` tells of the run, its ``.genai.errors`` which rows are missing.
        """
        if self._build is not None:
            self._result = self._build()
            self._build = None
        return self._result

    def carry(self, build: Callable[[], pd.DataFrame | None]) -> None:
        """Note how the frame is built."""
        self._build = build

    def change(self, change: Callable[[pd.DataFrame], None]) -> None:
        """Note what is done with the frame once it is built."""
        build = self._build
        if build is None:
            return

        def changed() -> pd.DataFrame | None:
            result = build()
            if result is not None:
                change(result)
            return result

        self._build = changed


class UsageError(GenaiError, ValueError):
    """An argument, a column or a setting is wrong. Nothing was sent."""


class SchemaError(UsageError):
    """A schema cannot be read, or the chosen vendor cannot enforce it."""

    def __init__(self, message: str) -> None:
        # One line, also where a field's name that it quotes has a line break.
        super().__init__(" ".join(message.splitlines()))


class CredentialsError(PartialResult, UsageError):
    """No key was found, or the key must not be sent to this endpoint."""


class CacheError(GenaiError):
    """The cache file cannot be used. It was left as it is."""


class JobError(GenaiError):
    """A batch job is not there, another kernel is at work on it, or its files are damaged."""


class LocalModelError(GenaiError):
    """The local model cannot be fetched, started or reached."""


class CallError(GenaiError):
    """One request went wrong.

    Parameters
    ----------
    message : str
        One sentence for the person who reads the report.
    reason : str
        The failure's class as the report groups it, such as ``"rate limit"``.
    request_id : str, optional
        The vendor's id of the request, for a question to its support.

    Attributes
    ----------
    usage : optional
        Tokens that the call cost although its answer is of no use.
    model : str
        The model that answered, if one did.
    content : bytes or None
        The body of the reply, where it is kept.
    maybe_billed : bool
        Whether the call may have been billed although no usable answer came.
    """

    usage: object = None
    model: str = ""
    content: bytes | None = None
    maybe_billed: bool = False

    def __init__(self, message: str, *, reason: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.request_id = request_id


class WaitError(CallError):
    """The same request may succeed later.

    Parameters
    ----------
    retry_after : float, optional
        Seconds that the provider asked to wait; None where it named none.
    rate_limited : bool
        Whether every other worker has to wait too.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        request_id: str | None = None,
        retry_after: float | None = None,
        rate_limited: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, request_id=request_id)
        self.retry_after = retry_after
        self.rate_limited = rate_limited


class SplitError(CallError):
    """The reply is of no use; asking again, in smaller chunks, may help even a row alone."""


class RowError(CallError):
    """A row of this chunk cannot be answered; alone, asking it again would not help."""


class StopRunError(PartialResult, CallError):
    """No request of this run can succeed: bad key, unknown model, no money left."""


class BudgetError(StopRunError):
    """The next call would pass ``max_cost``. Every answered row is kept.

    Parameters
    ----------
    message : str
        What was spent, what is done, and how to go on.
    spent : float
        US dollars that this run has cost.
    """

    def __init__(self, message: str, *, spent: float) -> None:
        super().__init__(message, reason="max_cost")
        self.spent = spent


class RowsFailedError(GenaiError):
    """Some rows failed and ``on_error="raise"`` was asked for.

    Parameters
    ----------
    message : str
        How many rows failed, and why.
    result : DataFrame
        What ``on_error="keep"`` would have returned; everything answered is in the cache too.
    """

    def __init__(self, message: str, result: pd.DataFrame) -> None:
        super().__init__(message)
        self.result = result


class Stopped(PartialResult, KeyboardInterrupt):
    """The run was stopped by its user; every answered row is kept.

    It derives from KeyboardInterrupt so that "Run All" stops too, and renders as one line in
    a notebook instead of a traceback.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, _carried(self))

    def _render_traceback_(self) -> list[str]:
        return [printable(self)]
