"""The part of a run that one of several workers asks, such as a partition on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pandas_genai.errors import StopRunError

__all__ = ["Part", "PartEndedError"]


@dataclass(frozen=True)
class Part:
    """Which part of which run an extraction is.

    Parameters
    ----------
    run_id : str
        The run that all parts are counted into.
    number : int
        In the order of the input.
    attempt : str
        Identity of this attempt at it.
    is_wanted : callable
        Whether anybody still waits for it; asked once a second, in the thread that runs it.
    """

    run_id: str
    number: int
    attempt: str
    is_wanted: Callable[[], bool]


class PartEndedError(StopRunError):
    """The whole run was ended or stopped elsewhere, or another attempt at this part began."""
