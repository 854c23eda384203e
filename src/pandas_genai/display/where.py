"""The directory of the notebook that runs this kernel."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pandas_genai.errors import UsageError

__all__ = ["CACHE_NAME", "JOBS_NAME", "default_cache_path", "jobs_place", "notebook_directory"]

CACHE_NAME = "genai_cache.sqlite"
JOBS_NAME = "genai_batches"
_VARIABLE = "PANDAS_GENAI_DIR"
_CACHE_VARIABLE = "PANDAS_GENAI_CACHE"


def notebook_directory() -> tuple[Path, str]:
    """Find the directory in which the notebook lies.

    Returns
    -------
    directory : Path
        Absolute.
    source : str
        What it is taken from: the variable ``PANDAS_GENAI_DIR``, VS Code, papermill, the kernel's
        starting directory (which survives ``os.chdir``), or the working directory.

    Raises
    ------
    UsageError
        If ``PANDAS_GENAI_DIR`` names no directory.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        if not Path(named).is_dir():
            raise UsageError(f"{_VARIABLE}={named!r} is no directory: create it or unset it.")
        return Path(named).resolve(), _VARIABLE
    shell = _shell()
    if shell is not None:
        vscode = shell.user_ns.get("__vsc_ipynb_file__")
        if vscode:
            return Path(vscode).resolve().parent, "VS Code"
    papermill = os.environ.get("PAPERMILL_INPUT_PATH")
    if papermill and Path(papermill).exists():
        return Path(papermill).resolve().parent, "papermill"
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return Path(shell.starting_dir).resolve(), "the kernel's starting directory"
    return Path.cwd(), "the working directory"


def _shell() -> Any:
    """The running IPython shell, without importing IPython where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def default_cache_path() -> Path | str:
    """Return where the cache lies by default: what ``PANDAS_GENAI_CACHE`` says, a path or a URL.

    That is read from the environment alone: a ``.env`` file that came with a project does not
    choose the server to which a password is sent.
    """
    return os.environ.get(_CACHE_VARIABLE) or notebook_directory()[0] / CACHE_NAME


def jobs_place(folder: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Return the folder of the batch jobs, and what it is taken from."""
    if folder is not None:
        return Path(folder).expanduser().absolute(), "folder="
    directory, source = notebook_directory()
    return directory / JOBS_NAME, source
