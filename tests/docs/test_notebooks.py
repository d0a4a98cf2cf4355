"""Every notebook of docs/notebooks runs from the top to the bottom, and its outputs are there to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from .pages import DOCS, ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("pandas")

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """refsim in a kernel is that of this checkout, wherever the kernel is started."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def execute(notebook: object, folder: Path) -> None:
    """Run all cells in a kernel of their own, with files in this folder; raises what the first wrong one raised."""
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    execute(nbformat.read(path, as_version=4), tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_valid_and_has_been_run_in_order(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


def test_a_cell_that_raises_is_found(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell("import refsim\nrefsim.scatter()")]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="no attribute 'scatter'"):
        execute(nbformat.v4.new_notebook(cells=cells), tmp_path)
