"""JupyterLab, driven through headless Chromium as a person would drive it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
    "notebook-extension/tracker": {
        "autoStartDefaultKernel": True,
        "windowingMode": "none",  # every cell is in the page, not only the visible ones
    },
}
# Read now: the fixtures that clean the environment run later.
REQUIRED = os.environ.get("BROWSER_TESTS") == "required"
ARTIFACTS = Path(os.environ.get("CI_ARTIFACTS") or ROOT / "tests" / "browser" / "output")


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all tests; skips, or fails in CI, where there is none."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        reason = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def lab(tmp_path):
    """The URL of a JupyterLab of its own, over a copy of the notebooks."""
    folder = tmp_path / "notebooks"
    ignored = shutil.ignore_patterns("*.sqlite*", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "notebooks", folder, ignore=ignored)
    for name, values in SETTINGS.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=", "--ServerApp.allow_remote_access=False"),
        *(f"--ServerApp.root_dir={folder}", f"--LabApp.user_settings_dir={tmp_path / 'settings'}"),
        *(f"--LabApp.workspaces_dir={tmp_path / 'spaces'}", "--LabApp.expose_app_in_browser=True"),
        *("--LabApp.news_url=", "--LabApp.extension_manager=readonly"),
    ]
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **{name: str(tmp_path / name) for name in places}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(url + "/api/status", server, tmp_path / "lab.log")
        yield url
    finally:
        end(server)


def wait_for(url, server, log, seconds=60):
    """Return once the server answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer:\n{log.read_text()[-3000:]}")


def end(server):
    """End the server, and with it its kernels."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=20)


READY = """() => {
    const panel = window.jupyterapp?.shell?.currentWidget;
    const session = panel?.sessionContext;
    return Boolean(session?.isReady && session.session?.kernel?.status === 'idle');
}"""
RUN_ALL = """() => {
    window.finished = null;
    window.jupyterapp.commands.execute('notebook:run-all-cells').then(
        () => { window.finished = 'ok'; }, (error) => { window.finished = String(error); });
}"""
CELLS = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON().cells"
BAR = """() => {
    const parts = ['.widget-hprogress', '.progress'].map((one) => `.jp-OutputArea ${one}`);
    const texts = document.querySelectorAll('.jp-OutputArea .widget-html');
    const bar = document.querySelector(parts.join());
    return bar ? [...texts].map((one) => one.textContent).join(' ') : null;
}"""
INSERT = """async (source) => {
    const panel = window.jupyterapp.shell.currentWidget;
    panel.content.activeCellIndex = panel.content.widgets.length - 1;
    await window.jupyterapp.commands.execute('notebook:insert-cell-below');
    panel.content.activeCell.model.sharedModel.setSource(source);
    await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
TO_THE_TOP = """() => {
    document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollTop = 0;
}"""
CELLS_BOX = """() => {
    const box = document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer')
        .getBoundingClientRect();
    const cells = [...document.querySelectorAll('.jp-NotebookPanel .jp-Cell')];
    const bottom = Math.max(...cells.map((one) => one.getBoundingClientRect().bottom));
    const height = Math.min(bottom + 12, box.bottom) - box.y;
    return {x: box.x, y: box.y, width: box.width, height};
}"""
HEIGHT = "() => document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollHeight"


class Notebook:
    """A notebook that is open in the browser."""

    def __init__(self, page):
        self.page = page
        self.requests = []
        self.bars = []
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url, name):
        """Open a notebook and wait for its kernel."""
        self.page.goto(f"{url}/lab/tree/{name}")
        self.page.wait_for_function(READY, timeout=90_000)

    def start(self):
        """Run every cell, without waiting; ``window.finished`` is null until the last has run."""
        self.page.evaluate(RUN_ALL)

    def bar(self):
        """What the progress bar says; None where there is none."""
        return self.page.evaluate(BAR)

    def cells(self):
        """The cells as they are now."""
        return self.page.evaluate(CELLS)

    def insert_and_run(self, source, seconds=30):
        """Run a new cell at the end, and wait until it has."""
        self.page.evaluate(INSERT, source)
        self.page.wait_for_function(READY, timeout=seconds * 1000)

    def run_all(self, seconds=200):
        """Run every cell; return the cells as they are then."""
        self.start()
        deadline = time.monotonic() + seconds
        while self.page.evaluate("() => window.finished === null"):
            assert time.monotonic() < deadline, "the cells have not ended"
            bar = self.bar()
            if bar is not None:
                self.bars.append(bar)
            self.page.wait_for_timeout(100)
        self.page.wait_for_function(READY, timeout=30_000)
        return self.cells()

    def artifact(self, name):
        """Where a picture is kept."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        return ARTIFACTS / f"{name}.png"

    def screenshot(self, name, width=1280):
        """Save a picture of the whole notebook, for a person to look at."""
        self.page.set_viewport_size({"width": width, "height": 900})
        height = min(self.page.evaluate(HEIGHT) + 120, 12_000)
        self.page.set_viewport_size({"width": width, "height": max(height, 900)})
        self.page.evaluate(TO_THE_TOP)
        self.page.wait_for_timeout(500)  # the layout follows the new size
        self.page.screenshot(path=self.artifact(name), clip=self.page.evaluate(CELLS_BOX))


@pytest.fixture
def saved(tmp_path, lab):
    """Put a notebook of these cells where JupyterLab finds it; return the folder."""

    def write(name, *sources):
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        }
        nbformat.write(notebook, tmp_path / "notebooks" / name)
        return tmp_path / "notebooks"

    return write


@pytest.fixture
def artifacts():
    """Where pictures and figures are kept for a person to look at."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS


@pytest.fixture
def notebook(browser):
    """A fresh tab, as :class:`Notebook`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Notebook(context.new_page())
    context.close()
