"""Where the notebook lives, in the order of what knows best."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pandas_genai import UsageError
from pandas_genai.display.where import default_cache_path, notebook_directory


def test_without_a_kernel_it_is_the_working_directory(tmp_path):
    assert notebook_directory() == (tmp_path, "the working directory")
    assert default_cache_path() == tmp_path / "genai_cache.sqlite"


def test_papermill(tmp_path, monkeypatch):
    notebook = tmp_path / "deep" / "n.ipynb"
    notebook.parent.mkdir()
    monkeypatch.setenv("PAPERMILL_INPUT_PATH", str(notebook))
    assert notebook_directory()[1] == "the working directory"
    notebook.touch()
    assert notebook_directory() == (notebook.parent, "papermill")


def test_the_variable_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PANDAS_GENAI_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="is no directory"):
        notebook_directory()
    (tmp_path / "nowhere").mkdir()
    assert notebook_directory()[0] == tmp_path / "nowhere"


IN_A_SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
from pandas_genai.display.where import notebook_directory
print(notebook_directory()[1])
shell.kernel, shell.starting_dir = object(), "."
print(notebook_directory()[1])
shell.user_ns["__vsc_ipynb_file__"] = "/some/place/n.ipynb"
print(*notebook_directory())
"""


def test_in_a_shell_and_a_kernel():
    printed = subprocess.run(
        [sys.executable, "-c", IN_A_SHELL],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "IPYTHONDIR": "ipython"},
    ).stdout.splitlines()
    assert printed == [
        "the working directory",
        "the kernel's starting directory",
        "/some/place VS Code",
    ]
