"""Notebook 01 as a person sees it: opened in JupyterLab, run from top to bottom."""

from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser


def outputs(cells, kind):
    return [
        (cell, output)
        for cell in cells
        for output in cell.get("outputs", ())
        if output["output_type"] == kind
    ]


@pytest.mark.usefixtures("weights")  # fetched before the clock runs
def test_first_extraction_runs_and_shows_its_tables(lab, notebook):
    notebook.open(lab, "01_first_extraction.ipynb")
    cells = notebook.run_all()
    notebook.screenshot("01_first_extraction")

    unexpected = [
        f"{output['ename']}: {output['evalue']}"
        for cell, output in outputs(cells, "error")
        if "raises-exception" not in cell["metadata"].get("tags", ())
    ]
    assert not unexpected
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"])]
    assert all(cell["execution_count"] for cell in code)

    assert len(set(notebook.bars)) > 1, "the bar did not move"
    assert notebook.bar() is None
    shown = "\n".join(notebook.page.locator(".jp-OutputArea-output").all_inner_texts())
    assert "16 rows done" in shown
    assert "16 answered (0 of them from the cache)" in shown
    tables = notebook.page.locator(".jp-OutputArea-output table:visible")
    assert tables.count() >= 1
    assert tables.first.locator("tbody tr").count() >= 2
    strangers = {
        host
        for host in (urlsplit(url).hostname for url in notebook.requests)
        if host not in {None, "127.0.0.1"}
    }
    assert not strangers
