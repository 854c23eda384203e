"""How Sphinx builds these pages: offline, every warning an error."""

import re
import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.errors import ExtensionError

import pandas_genai  # noqa: F401 - registers the accessors that autodoc looks for on pandas

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "pandas-genai"
author = "pandas-genai contributors"
project_copyright = f"2026, {author}"
release = version = version_of("pandas-genai")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_templates", "**/.ipynb_checkpoints"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
myst_substitutions = {"version": version}

# The notebooks are shown as they were saved; nbval runs them.
nb_execution_mode = "off"
nb_ipywidgets_js = {}

autodoc_typehints = "none"  # the docstrings have the types
autodoc_member_order = "bysource"
autosummary_generate = True  # a page for each name that api.md lists
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"pandas-genai {version}"
html_show_sourcelink = False
html_sidebars = {"index": [], "search": [], "genindex": []}
html_theme_options = {
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "logo": {"text": f"pandas-genai <small>{version}</small>"},
    "navbar_end": ["theme-switcher"],
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}

_LOADS = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//[^\"]*\""
    r"|<link\b(?![^>]*rel=\"(?:canonical|author|license)\")[^>]*\bhref=\"(?:https?:)?//[^\"]*\""
    r"|@import\s+url\([\"']?(?:https?:)?//|\burl\([\"']?(?:https?:)?//"
)


def copy_notebooks(_app, _config):
    """Bring the notebooks to where Sphinx looks for pages."""
    target = HERE / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(path, target)


def link_copied_notebooks(_app, _docname, source):
    """Lead the pages' links to the copies; as written, they work where the files lie."""
    source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def draw_pictures(_app, _config):
    """Draw the architecture from the code as it is now."""
    import draw

    draw.draw()


def check_offline(app, exception):
    """A page that loads something from another host fails the build."""
    if exception is not None or app.builder.format != "html":
        return
    pages = [*Path(app.outdir).rglob("*.html"), *Path(app.outdir).rglob("*.css")]
    found = [
        f"{path.relative_to(app.outdir)}: {match.group()[:120]}"
        for path in pages
        for match in _LOADS.finditer(path.read_text(encoding="utf-8"))
    ]
    if found:
        raise ExtensionError("Pages that load from another host:\n" + "\n".join(found))


def hide_signature(_app, _what, name, *_):
    """Nobody makes a job by hand: what its class takes is no part of its page."""
    return ("", None) if name == "pandas_genai.BatchJob" else None


def setup(app):
    """Connect them all."""
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("config-inited", copy_notebooks)
    app.connect("source-read", link_copied_notebooks)
    app.connect("config-inited", draw_pictures)
    app.connect("build-finished", check_offline)
