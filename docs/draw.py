"""Draws the architecture from the code: which package imports which, how a part of a job goes."""

import ast
import tomllib
from html import escape
from pathlib import Path

from pandas_genai.batch.stages import STAGES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pandas_genai"
OUT = Path(__file__).parent / "drawn"

CELL, ROW, LEFT, TOP = 26, 30, 420, 96
MIDDLE, WIDE, BOX, STEP = 370, 260, 44, 66
FONT = 'font-family="inherit" font-size="13" fill="currentColor"'
SMALL = FONT.replace('"13"', '"11"')


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
            f'<text x="92" y="{y + 19}" {SMALL} opacity=".75">'
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


def arrow(start, end):
    """A line from one stage's box to another's: down to the next, in an arc past the others."""
    head = 'marker-end="url(#head)"'
    look = f'fill="none" stroke="currentColor" stroke-opacity=".6" {head}'
    if end == start + 1:
        y = start * STEP + BOX
        return f'<path d="M{MIDDLE} {y} V{y + STEP - BOX - 3}" {look}/>'
    down = end > start
    x, away = (MIDDLE + WIDE / 2, 1) if down else (MIDDLE - WIDE / 2, -1)
    y1 = start * STEP + BOX / 2 + (6 if down else -6)
    y2 = end * STEP + BOX / 2 + (-6 if down else 6)
    bend = x + away * (24 + 22 * abs(end - start))
    return f'<path d="M{x} {y1} C{bend} {y1} {bend} {y2} {x + 3 * away} {y2}" {look}/>'


def draw_stages():
    """A box a stage with what is true and what is done next, and an arrow to each next stage."""
    places = {stage: place for place, stage in enumerate(STAGES)}
    parts = [
        (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 Z" fill="currentColor"/>'
            "</marker></defs>"
        )
    ]
    for stage, row in STAGES.items():
        x, y = MIDDLE - WIDE / 2, places[stage] * STEP
        action = "" if row.action == "none" else row.action
        parts.append(
            f'<rect x="{x}" y="{y + 1}" width="{WIDE}" height="{BOX - 2}" rx="5" '
            'fill="currentColor" fill-opacity=".05" stroke="currentColor" stroke-opacity=".35"/>'
            f'<text x="{x + 12}" y="{y + 18}" {FONT} font-weight="600">{stage}</text>'
            f'<text x="{x + 12}" y="{y + 35}" {SMALL} opacity=".75">'
            f"{escape(row.description)}</text>"
            f'<text x="{x + WIDE - 12}" y="{y + 18}" {SMALL} text-anchor="end">'
            f"{escape(action)}</text>"
        )
        parts += [arrow(places[stage], places[after]) for after in row.leads_to]
    return svg(2 * MIDDLE, len(STAGES) * STEP, parts)


def draw():
    """Write all pictures."""
    OUT.mkdir(exist_ok=True)
    (OUT / "packages.svg").write_text(draw_packages(), encoding="utf-8")
    (OUT / "stages.svg").write_text(draw_stages(), encoding="utf-8")


if __name__ == "__main__":
    draw()
