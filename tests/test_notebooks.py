"""The notebooks: committed without outputs, and run from the first cell to the last."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_committed_without_outputs(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.soak
def test_the_first_steps_train_score_and_restore(tmp_path, monkeypatch):
    if not (REPOSITORY / "models/pretrained/laptop.onnx").is_file():
        pytest.skip("models/pretrained/laptop.onnx is not there: dvc pull models/pretrained.dvc")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook = nbformat.read(REPOSITORY / "notebooks/first_steps.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(REPOSITORY / "notebooks")}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "66,38,64,64 in blocks of 8" in said
    rmse = {name.strip(): float(value) for name, value in re.findall(r"(?m)^(.+?) RMSE +([\d.]+)$", said)}
    assert rmse["laptop"] < rmse["this network"] < rmse["pixelated"] and rmse["truth"] == 0
