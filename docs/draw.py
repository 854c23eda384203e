"""Draws the architecture from the code: which package imports which, how a part of a job goes."""

import ast
import re
import tomllib
from collections import defaultdict
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pandas_genai"
OUT = Path(__file__).parent / "drawn"

CELL, ROW, LEFT, TOP = 26, 30, 420, 96
FONT = 'font-family="inherit" font-size="13" fill="currentColor"'


def packages():
    """The packages from the top down, as the contract in pyproject.toml orders them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    names = [name.strip() for layer in layers for name in layer.split("|")]
    return [*(name for name in names if not name.startswith("(")), "testing"]


def files_of(package):
    """The files of a package, or the module of that name."""
    module = PACKAGE / f"{package}.py"
    return [module] if module.exists() else sorted((PACKAGE / package).rglob("*.py"))


def imports_of(package):
    """The packages that a package imports."""
    found = set()
    for path in files_of(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in filter(None, modules):
                parts = module.split(".")
                if parts[0] == "pandas_genai" and len(parts) > 1:
                    found.add(parts[1])
                elif module == "pandas_genai" and isinstance(node, ast.ImportFrom):
                    found |= {alias.name for alias in node.names}
    return found - {package}


def purpose(package):
    """The first sentence of the package's docstring."""
    path = PACKAGE / f"{package}.py"
    tree = ast.parse(
        (path if path.exists() else PACKAGE / package / "__init__.py").read_text("utf-8")
    )
    line = (ast.get_docstring(tree) or "").splitlines()[0].replace("``", "")
    return line if len(line) < 52 else line[:50].rsplit(" ", 1)[0] + " …"


def svg(width, height, parts):
    """Wrap shapes; colours are those of the text around."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    return f'{head} style="max-width:100%;height:auto">{"".join(parts)}</svg>\n'


def draw_packages():
    """A row a package; a filled square where it imports the package of that column."""
    names = packages()
    parts = []
    for column, name in enumerate(names):
        x, y = LEFT + column * CELL + CELL / 2 + 4, TOP - 8
        parts.append(f'<text x="{x}" y="{y}" {FONT} transform="rotate(-60 {x} {y})">{name}</text>')
    for row, name in enumerate(names):
        y = TOP + row * ROW
        imported = imports_of(name)
        parts.append(
            f'<text x="0" y="{y + 19}" {FONT} font-weight="600">{name}</text>'
            f'<text x="92" y="{y + 19}" {FONT} font-size="11" opacity=".75">'
            f"{escape(purpose(name))}</text>"
        )
        for column, other in enumerate(names):
            fill = "0.85" if other in imported else "0.06"
            if other == name:
                fill = "0.25"
            parts.append(
                f'<rect x="{LEFT + column * CELL}" y="{y + 3}" width="{CELL - 4}" '
                f'height="{ROW - 8}" rx="3" fill="currentColor" fill-opacity="{fill}"/>'
            )
    return svg(LEFT + len(names) * CELL + 60, TOP + len(names) * ROW + 8, parts)


def setters():
    """For each stage of a part the functions that take it there."""
    found = defaultdict(set)
    for path in files_of("batch"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if not isinstance(node, ast.Assign):
                    continue
                targets = ast.unparse(node.targets[0])
                if re.search(r"part\.stage\b", targets):
                    stages = re.findall(r"'([a-z]+)'", ast.unparse(node.value))
                    for stage in stages:
                        found[stage].add(f"{path.stem}.{function.name}")
    return found


def stages():
    """The stages in the order of the literal in the journal."""
    tree = ast.parse((PACKAGE / "batch" / "journal.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "Stage":
            return [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
    raise LookupError("Stage")


def draw_stages():
    """A box a stage, and under it who takes a part there."""
    by = setters()
    parts = []
    for place, stage in enumerate(stages()):
        x, y = (place % 3) * 250, (place // 3) * 92
        who = sorted(by.get(stage, {"requests.write_requests"}))
        parts.append(
            f'<rect x="{x + 1}" y="{y + 1}" width="222" height="70" rx="5" fill="currentColor" '
            f'fill-opacity=".05" stroke="currentColor" stroke-opacity=".35"/>'
            f'<text x="{x + 12}" y="{y + 22}" {FONT} font-weight="600">{place + 1}. {stage}</text>'
        )
        parts += [
            f'<text x="{x + 12}" y="{y + 40 + 15 * n}" {FONT} font-size="11" opacity=".75">'
            f"{escape(name)}</text>"
            for n, name in enumerate(who[:2])
        ]
    rows = -(-len(stages()) // 3)
    return svg(740, rows * 92, parts)


def draw():
    """Write all pictures."""
    OUT.mkdir(exist_ok=True)
    (OUT / "packages.svg").write_text(draw_packages(), encoding="utf-8")
    (OUT / "stages.svg").write_text(draw_stages(), encoding="utf-8")


if __name__ == "__main__":
    draw()
