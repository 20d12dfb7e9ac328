"""The notebooks run from beginning to end, and are what their paired scripts say."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
SECONDS_PER_CELL = 300  # one cell trains


def test_every_notebook_has_its_script_and_every_script_its_notebook() -> None:
    assert PATHS
    assert {path.stem for path in PATHS} == {path.stem for path in NOTEBOOKS.glob("*.py")}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_and_script_say_the_same_and_no_output_is_kept(path: Path) -> None:
    notebook, script = nbformat.read(path, as_version=4), jupytext.read(path.with_suffix(".py"))
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in script.cells], "run: jupytext --sync notebooks/*.py"
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_leaves_nothing_beside_it(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", timeout=SECONDS_PER_CELL, resources=where).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    shown = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert [output for output in shown if output.output_type == "stream" and output.name == "stderr"] == []
    assert list(tmp_path.iterdir()) == []
