"""Names of jobs, and the ids made of them that vendors accept."""

from __future__ import annotations

import hashlib
import re
from datetime import date

from pandas_genai.errors import UsageError

__all__ = ["checked_name", "custom_prefix", "default_name", "file_name"]

_LONGEST_NAME = 100
_LONGEST_PREFIX = 36
_RESERVED = frozenset('/\\<>:"|?*')
_TAKEN = frozenset({"readme.md", "genai_batches.lock", "genai_cache.sqlite"})
"""What else lies in a folder of jobs, in small letters: some file systems know no others."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""

_IN_NAME = re.compile(r"\w+")
_NOT_IN_ID = re.compile(r"[^a-zA-Z0-9_-]+")
_WORDS = 5


def checked_name(name: object) -> str:
    """Return the name of a job if a directory may have it, under the jobs' folder and nowhere else.

    Raises
    ------
    UsageError
        If it is no text, is empty or too long, or could lead out of the folder.

    Examples
    --------
    >>> checked_name("complaints 2026")
    'complaints 2026'
    >>> checked_name("../x")
    Traceback (most recent call last):
    ...
    pandas_genai.errors.UsageError: The job's name '../x' cannot be that of a directory: use ...
    """
    good = (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "replace")) <= _LONGEST_NAME
        and name.isprintable()
        and not _RESERVED & set(name)
        and not name.startswith((".", " "))
        and not name.endswith((".", " "))
        and name.lower() not in _TAKEN
        and not _DEVICE.fullmatch(name)
    )
    if not good:
        raise UsageError(
            f"The job's name {name!r} cannot be that of a directory: use letters, digits, spaces, "
            f"'-' and '_', at most {_LONGEST_NAME} bytes, no dot at either end, and not the name "
            "of a file that lies there."
        )
    return str(name)


def default_name(prompt: str, today: date) -> str:
    """Return a name that a person recognises: the first words of the task, and the date.

    Examples
    --------
    >>> default_name("Classify the product that the complaint is about.", date(2026, 11, 23))
    'classify-the-product-that-the-2026-11-23'
    """
    words = _IN_NAME.findall(prompt.lower())[:_WORDS]
    short = "-".join(words)[:48].strip("-_") or "task"
    return f"{short}-{today.isoformat()}"


def custom_prefix(name: str) -> str:
    """Return the part of the custom ids that is made of the job's name.

    A name of letters, digits, ``-`` and ``_`` stays as it is; any other is spelt in them and
    marked with its hash, so that two names never share their ids.

    Examples
    --------
    >>> custom_prefix("complaints-2026")
    'complaints-2026'
    >>> custom_prefix("Beschwerden, März")
    'Beschwerden_M_rz_88460f'
    """
    spelt = _NOT_IN_ID.sub("_", name)
    if spelt == name and len(name) <= _LONGEST_PREFIX:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{spelt[: _LONGEST_PREFIX - 7].strip('_')}_{mark}"


def file_name(batch_id: str | None) -> str:
    """Return a provider's id as part of a file's name, wherever it would lead otherwise.

    Examples
    --------
    >>> file_name("batch_6724ab.1-x")
    'batch_6724ab.1-x'
    >>> file_name("../../etc/x")
    '.._.._etc_x_56da1a'
    """
    given = str(batch_id)
    spelt = re.sub(r"[^a-zA-Z0-9_.-]", "_", given)[:150]
    if spelt == given:
        return given
    mark = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{spelt}_{mark}"
