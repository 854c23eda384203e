"""The two notebooks of the overnight path, each started on its own."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def execute(name):
        notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
        place = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()

    return execute


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning"
)  # jupyter's own
def test_the_second_alone_says_what_is_missing(run, tmp_path):
    with pytest.raises(CellExecutionError) as caught:
        run("03_overnight_collect.ipynb")
    message = caught.value.evalue
    assert f"There is no job in {tmp_path}{os.sep}genai_batches" in message
    assert "run df.genai.batch_submit() first" in message
    assert not (tmp_path / "genai_batches").exists()
