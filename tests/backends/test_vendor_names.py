"""Outside the backends nothing asks for a vendor's name: what differs is a backend's method."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "pandas_genai"
ALLOWED = {"backends", "legacy", "testing", "settings.py"}
VENDORS = {"openai", "anthropic"}
MODELS = ("claude", "gpt-")
PREFIXES = {"startswith", "endswith", "removeprefix", "removesuffix"}


def is_name(node):
    return isinstance(node, ast.Constant) and str(node.value).lower() in VENDORS


def what_is_wrong(node):
    """Any name as a value is one too many: to compare with, as a key, in a set, in a match."""
    if is_name(node):
        return f"the name {node.value!r}"
    if isinstance(node, ast.ImportFrom) and node.module:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        texts = [one.value for one in node.args if isinstance(one, ast.Constant)]
        asks = node.func.attr in PREFIXES
        found = [text for text in texts if str(text).startswith((*MODELS, *VENDORS))]
        return f"a question about {found[0]!r}" if asks and found else None
    else:
        return None
    for name in names:
        if VENDORS & set(name.split(".")):
            return f"an import of {name}"
    return None


def found_in(package):
    found = []
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] in ALLOWED:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            what = what_is_wrong(node)
            if what:
                found.append(f"{inside}:{node.lineno}: {what}")
    return found


def test_nothing_outside_the_backends_asks_for_a_vendor():
    assert found_in(PACKAGE) == []


@pytest.mark.parametrize(
    "line",
    [
        'flag = lambda backend: backend == "openai"',
        'flag = lambda backend: "anthropic" != backend',
        'flag = lambda backend: backend in ("openai", "other")',
        'TABLE = {"openai": 1}',
        'NAMES = {"anthropic", "other"}',
        'KINDS = dict([("openai", 1)])',
        'first = lambda table: table["anthropic"]',
        'Name = Literal["openai", "anthropic"]',
        'def f(x):\n    match x:\n        case "openai":\n            return 1',
        'flag = lambda model: model.startswith("claude")',
        "from pandas_genai.backends.openai.batches import OpenAIBatches",
        "from pandas_genai.backends import anthropic",
        "import openai",
    ],
)
def test_damage_is_found(tmp_path, line):
    copy = tmp_path / "pandas_genai"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "testing"))
    path = copy / "batch" / "job.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    found = found_in(copy)
    assert found
    assert all(one.startswith("batch/job.py:") for one in map(Path.as_posix, map(Path, found)))


def test_no_sdk_is_imported_before_a_client_is_needed():
    code = (
        "import sys, pandas as pd, pandas_genai\n"
        "task = pandas_genai.Task('Tone?', ['good', 'bad'], backend='anthropic')\n"
        "pd.DataFrame({'text': ['fine']}).genai.preview(task)\n"
        "print(sorted({'openai', 'anthropic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_docstrings_may_name_vendors(tmp_path):
    (tmp_path / "page.py").write_text('"""``"openai"`` or ``"anthropic"``."""\n')
    assert found_in(tmp_path) == []
