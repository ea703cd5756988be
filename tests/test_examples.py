"""The notebooks in `examples/` run from the first cell to the last, and end where they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector.config import ROOT

NOTEBOOK = ROOT / "examples" / "first_model.ipynb"
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_notebooks_are_kept_without_their_outputs() -> None:
    """What a run printed belongs to that run."""
    cells = json.loads(NOTEBOOK.read_bytes())["cells"]
    assert [cell["outputs"] for cell in cells if cell["cell_type"] == "code" and cell["outputs"]] == []
    assert [cell["execution_count"] for cell in cells if cell.get("execution_count")] == []


@pytest.mark.slow
def test_a_newcomer_comes_from_records_to_a_model_in_force(tmp_path: Path) -> None:
    """Every command exits as the text says; one candidate is refused, the other is promoted, and scores."""
    done, folder = tmp_path / "done.ipynb", tmp_path / "work"
    folder.mkdir()
    environment = os.environ | {"NOTEBOOK_FOLDER": str(folder), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOK), str(done)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    cells = [cell for cell in json.loads(done.read_bytes())["cells"] if cell["cell_type"] == "code"]
    said = ["".join("".join(out.get("text", "")) for out in cell["outputs"]) for cell in cells]
    assert all(said[1:])
    manifest = json.loads((folder / "in-force" / "manifest.json").read_bytes())
    assert any(text.startswith("$ detector promote") and "\nno: " in text and "\nyes: " in text for text in said)
    assert manifest["name"] == "week"
    assert any(f"\nin force: {manifest['version']}\n" in text for text in said)
    assert "margin" in said[-1]
    assert (folder / "judged-week" / "report.html").stat().st_size > 10_000
