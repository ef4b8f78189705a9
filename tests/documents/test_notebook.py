"""docs/search_your_own_crops.ipynb: a notebook of ten cells that runs from the folder docs of a clone."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "search_your_own_crops.ipynb").read_text(encoding="utf-8"))


def code_cells() -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_of_ten_cells_without_outputs():
    assert NOTEBOOK["nbformat"] == 4
    assert len(code_cells()) == 10
    identifiers = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(identifiers)) == len(identifiers)
    for cell in NOTEBOOK["cells"]:
        assert cell["cell_type"] in ("code", "markdown")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.slow
def test_the_cells_run_in_order(tmp_path):
    """In one process, from a folder docs whose parent holds what a clone holds. A sheet shows nothing here."""
    for name in ("unipt", "luperson-t"):
        (tmp_path / name).symlink_to(ROOT / name)
    docs = tmp_path / "docs"
    docs.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", "\n\n".join(code_cells())],
        cwd=docs, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    told = finished.stdout.splitlines()
    assert told[0].startswith("200 images") and told[1] == "200 images in the gallery; left out: []"
    assert [line.split()[0] for line in told[2:7]] == ["1", "2", "3", "4", "5"]
    assert "images now: 200" in finished.stdout and "200 images, cameras [1, 2, 3, 4]" in finished.stdout
    assert (docs / "my-gallery" / "gallery.json").exists() and len(list((docs / "my-crops").iterdir())) == 200
