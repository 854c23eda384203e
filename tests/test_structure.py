"""What must hold of the repository as a whole."""

import ast
import itertools
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {"src", "notebooks", "tests", "docs", "pyproject.toml", "README.md", "LICENSE"}

# The brackets keep this file from finding itself.
PRIVATE = {
    "a private path": r"(?<![\w.])/(?:wor[k]|hom[e]/\w+|roo[t]|tm[p]/\w)/|[A-Z]:\\Users\\\w",
    "a key": r"\b(?:s[k]-(?:ant-|proj-)?[\w-]{40,}|gh[p]_\w{20,}|h[f]_\w{30,}|AKI[A]\w{16})",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----",
    "a registry's host": r"(?:pypi|pythonhosted)\.or[g]|npmjs\.(?:or[g]|co[m])|deb\.debian\.or[g]",
}

EXPORTED = {
    "AnthropicBatchExtractor",
    "BatchJob",
    "BudgetError",
    "CacheError",
    "CallError",
    "CredentialsError",
    "DataFrameIterator",
    "DuplicateIndexWarning",
    "GenaiError",
    "JobError",
    "JobState",
    "LocalModelError",
    "LongTextsWarning",
    "Observer",
    "OpenAIBatchExtractor",
    "ParameterLeftOutWarning",
    "Plan",
    "Preview",
    "Progress",
    "Replication",
    "Report",
    "RowError",
    "RowsFailedError",
    "RowsFailedWarning",
    "RowsUnderWayWarning",
    "SchemaError",
    "Settings",
    "SplitError",
    "SqliteCache",
    "StopRunError",
    "Stopped",
    "Task",
    "UsageError",
    "WaitError",
    "agreement",
    "compare",
    "packing_check",
    "compute_prompt_hash",
    "draft_prompt",
    "extract_df",
    "genai",
    "jobs",
    "open_job",
    "power",
    "regress",
    "read_review",
    "replicate",
    "retry_api_call",
    "runs",
    "shares",
}


def repository_files():
    """Every file that git has or would take; outside a clone, every file of the known folders."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        listed = subprocess.run(
            [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
        return [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    kept = [ROOT / name for name in TOP_LEVEL]
    inside = [path for top in kept if top.is_dir() for path in top.rglob("*") if path.is_file()]
    return [path for path in inside if "__pycache__" not in path.parts] + [
        path for path in kept if path.is_file()
    ]


def own_text(path):
    """The text of a file that we wrote; data of others may hold whatever they wrote."""
    if path.suffix in {".csv", ".png", ".gguf", ".sqlite"} or path.parent.name == "specs":
        return ""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return "\n".join(archive.read(name).decode() for name in archive.namelist())
    return path.read_text(encoding="utf-8")


def test_nothing_private_is_in_the_repository():
    patterns = dict(PRIVATE)
    host = socket.gethostname()
    if len(host) > 6 and host != "localhost":
        patterns["this machine's name"] = re.escape(host)
    found = [
        f"{path.relative_to(ROOT)}: {what}: {match.group()}"
        for path in repository_files()
        for what, pattern in patterns.items()
        for match in re.finditer(pattern, own_text(path))
    ]
    assert not found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("cd /wor" + "k/main", "a private path"),
        ("open('/roo" + "t/x')", "a private path"),
        ("s" + "k-proj-" + "a1B2" * 12, "a key"),
        ("s" + "k-ant-" + "a1B2" * 12, "a key"),
        ("https://pypi" + ".org/simple", "a registry's host"),
    ],
)
def test_what_is_private_would_be_found(text, what):
    assert re.search(PRIVATE[what], text)


def test_the_top_level_holds_what_the_design_names():
    tops = {path.relative_to(ROOT).parts[0] for path in repository_files()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


def test_every_ignore_in_the_configuration_has_a_reason():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if re.match(r'\s+"(?:[A-Z]+\d*|(?:ignore|default|once):.*)",', line)
        and "#" not in line
        and not before.lstrip().startswith("#")
    ]
    assert not bare
    filters = tomllib.loads("\n".join(lines))["tool"]["pytest"]["filterwarnings"]
    assert filters[0] == "error"


def test_every_ignore_in_the_code_has_a_reason():
    exempt = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no)")
    with_reason = re.compile(
        r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[\w,\s-]+\]"
        r"|pragma:\s*no (?:cover|branch))\W+\w+"
    )
    bare = []
    for path in (ROOT / "src").rglob("*.py"):
        lines = ["", *path.read_text(encoding="utf-8").splitlines()]
        bare += [
            f"{path.relative_to(ROOT)}: {line.strip()}"
            for before, line in itertools.pairwise(lines)
            if exempt.search(line)
            and not with_reason.search(line)
            and not before.lstrip().startswith("#")
        ]
    assert not bare


def test_the_readme_has_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    start = r"^python3 -m venv \.venv && \.venv/bin/pip install -e '\.\[local%s\]' && "
    demo = re.findall(start % "" + r"\.venv/bin/python -m pandas_genai demo$", text, re.MULTILINE)
    tests = re.findall(start % ",test" + r"\.venv/bin/python -m pytest$", text, re.MULTILINE)
    assert (len(demo), len(tests)) == (1, 1)


def test_links_between_the_pages_lead_somewhere():
    # Where somebody reads the files themselves: what a build of the docs leaves does not count.
    files = {path.resolve() for path in repository_files()}
    docs = ROOT / "docs"
    pages = [ROOT / "README.md", *docs.glob("*.md"), *docs.glob("howto/*.md")]
    pages += (ROOT / ".github").glob("*.md")
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)[)#]", page.read_text(encoding="utf-8"))
        if (page.parent / target).resolve() not in files
    ]
    assert not broken


def test_exported_names_are_these():
    import pandas_genai

    assert set(pandas_genai.__all__) == EXPORTED
    assert pandas_genai.__all__ == sorted(pandas_genai.__all__)
    assert all(hasattr(pandas_genai, name) for name in EXPORTED)


LOOK = """
import logging, os, sys, threading, warnings
import pandas
before = (dict(os.environ), list(warnings.filters), logging.root.level, list(logging.root.handlers),
          sys.excepthook, threading.active_count())
modules = set(sys.modules)
import pandas_genai
after = (dict(os.environ), list(warnings.filters), logging.root.level, list(logging.root.handlers),
         sys.excepthook, threading.active_count())
assert before == after, (before, after)
new = {name.partition(".")[0] for name in set(sys.modules) - modules}
assert new - set(sys.stdlib_module_names) <= {"pandas_genai", "lazy_loader"}, new
assert "pandas_genai.accessor" not in sys.modules
pandas.DataFrame({"x": ["a"]}).genai
heavy = {"openai", "anthropic", "httpx2", "tqdm", "ipywidgets", "IPython", "genai_prices",
         "xllamacpp", "huggingface_hub", "pandas_genai.testing"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert hasattr(pandas.DataFrame, "genai") and hasattr(pandas.Series, "genai")
"""


@pytest.mark.parametrize("extra", [{}, {"MAX_WORKERS": "many", "DEFAULT_BACKEND": "nobody"}])
def test_importing_changes_nothing(tmp_path, monkeypatch, extra):
    for name, value in extra.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOOK], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


NAMES = """
import pandas, pandas_genai
task = pandas_genai.Task("Tone?", ["good", "bad"], backend="openai")  # before all else
assert pandas_genai.errors.UsageError is pandas_genai.UsageError  # a package, without its import
pandas.DataFrame({"x": ["a"]}).genai
import pandas_genai.runs
from pandas_genai.runs import Report
assert callable(pandas_genai.runs) and pandas_genai.Report is Report
from pandas_genai import *
assert all(name in globals() for name in pandas_genai.__all__)
assert pandas.DataFrame.genai.extract.__doc__
try:
    pandas_genai.nothing
except AttributeError as error:
    assert "no attribute 'nothing'" in str(error)
else:
    raise AssertionError
"""


def test_public_names_are_there_although_they_are_imported_late():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NAMES], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "pandas_genai/py.typed" in names
    inside = [name for name in names if ".dist-info/" not in name]
    assert all(name.startswith("pandas_genai/") for name in inside)
    source = ROOT / "src" / "pandas_genai"
    kinds = {".csv", ".zip", ".md", ".json", ".js", ".css"}
    data = {path for path in source.rglob("*") if path.suffix in kinds}
    assert {str(path.relative_to(source.parent)) for path in data} <= set(inside)


# Tests of the repository as a whole: no module is what they test.
OF_ALL = {
    "docs",
    "doctests",
    "fault_table",
    "fault_table_store",
    "layers",
    "pages",
    "portable",
    "printable",
    "structure",
}


def test_tests_are_laid_out_like_what_they_test():
    package, tests = ROOT / "src" / "pandas_genai", ROOT / "tests"
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    tested = {path.relative_to(tests).parts[0] for path in tests.glob("*/**/test_*.py")}
    assert tested == packages | {"browser"}
    modules = {path.stem.strip("_") for path in package.glob("*.py")}
    alone = {path.stem.removeprefix("test_") for path in tests.glob("test_*.py")}
    assert alone <= modules | OF_ALL


def test_no_test_leaves_an_audit_hook_behind():
    """It stays until its process ends; beside one, CPython 3.11 loses threads that are traced."""
    for path in (ROOT / "tests").rglob("*.py"):
        calls = (
            node.func
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
        )
        names = {getattr(one, "attr", getattr(one, "id", None)) for one in calls}
        assert "addaudithook" not in names, path


def test_what_is_called_slow_is_there():
    listed = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    places = re.findall(r'^    "(tests/[\w/.:]+)",$', listed, re.MULTILINE)
    assert places
    for place in places:
        file, _, name = place.partition("::")
        assert (ROOT / file).exists(), place
        assert f"def {name}" in (ROOT / file).read_text("utf-8") if name else True, place


def test_no_library_module_prints():
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "src" / "pandas_genai").rglob("*.py")
        if path.name != "__main__.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert not printing
