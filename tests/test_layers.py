"""The contract on imports holds, and would not hold if somebody broke it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path):
    """A copy of the package and its contracts, to be damaged."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path / "src" / "pandas_genai"


def lint(package):
    command = (
        "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", command, "--config", "../pyproject.toml", "--no-cache"],
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_hold(package):
    done = lint(package)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("stray.py", "name = 'that no layer has'"),
        ("task/damage.py", "from pandas_genai import store"),
        ("workers/damage.py", "from pandas_genai.display import damage"),
        ("batch/damage.py", "from pandas_genai.workers import pool"),
        ("store/damage.py", "from pandas_genai import backends"),
        ("backends/damage.py", "from pandas_genai import store"),
        ("testing/damage.py", "from pandas_genai import errors"),
        ("runs/damage.py", "from pandas_genai import testing"),
        ("workers/damage.py", "import openai"),
        ("batch/damage.py", "import sqlite3"),
        ("store/damage.py", "def later():\n    from anthropic import Anthropic"),
        ("workers/damage.py", "from tqdm.auto import tqdm"),
        ("runs/damage.py", "import ipywidgets"),
        ("task/nesting.py", "from pandas_genai.task.reply import Reply"),
    ],
)
def test_damage_is_seen(package, where, line):
    (package / "display" / "damage.py").write_text("")
    (package / where).write_text(line + "\n")
    done = lint(package)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout or "not listed" in done.stdout
