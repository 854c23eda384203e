"""Arguments that several functions take, read with one sentence where one is wrong."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from pandas_genai.errors import UsageError

__all__ = ["as_whole", "generator_of", "path_of", "whole_numbers"]


def generator_of(rng: Any) -> np.random.Generator:
    """Return the generator that ``rng=`` names.

    Raises
    ------
    UsageError
        If it is neither a whole number from 0 nor a generator.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"rng={rng!r} is neither a whole number from 0 nor a numpy.random.Generator."
        ) from error


def whole_numbers(name: str, values: Any, least: int, what: str) -> list[int]:
    """Return one or several whole numbers.

    Parameters
    ----------
    name : str
        The argument.
    values : number or sequence of numbers
        What was given.
    least : int
        The smallest that is allowed.
    what : str
        What they are numbers of.

    Raises
    ------
    UsageError
        If there is none, or one is no whole number of at least ``least``.
    """
    several = [values] if isinstance(values, str) or np.ndim(values) == 0 else values
    given = list(several) if not isinstance(values, set) else sorted(values)
    found = [as_whole(value) for value in given]
    if not found or any(value is None or value < least for value in found):
        raise UsageError(
            f"{name}= takes a whole number of {what}, at least {least}, not {values!r}."
        )
    return [value for value in found if value is not None]


def path_of(path: Any, what: str) -> Path:
    """Return a path that may be asked whether something is there.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        found = Path(os.fspath(path)).expanduser()
        found.exists()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"{str(path)[:60]!r} is no path of {what}.") from error
    if "\0" in str(found):
        raise UsageError(f"{str(path)[:60]!r} is no path of {what}.")
    return found


def as_whole(value: Any) -> int | None:
    """Return a whole number, of whatever type; None for anything else."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Integral):
        return int(value)
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return int(value) if whole else None
