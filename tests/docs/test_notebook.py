"""The quickstart notebook runs from top to bottom, and shows what it says."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"
# The same run with little training: what the tests' own small run takes.
LITTLE = (
    "--attacker=retrieval --set=bootstrap_runs=50 --set=retrieval.warm_min_steps=10 --set=retrieval.warm_epochs=1 "
    "--set=classifier.min_steps=5 --set=classifier.epochs=1 --set=restorer.min_steps=5 --set=restorer.epochs=1"
)


def test_no_output_is_committed():
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
def test_it_runs(fork_server, tmp_path, monkeypatch):
    reidbench = tmp_path / "bin" / "reidbench"
    reidbench.parent.mkdir()
    installed = Path(sys.executable).with_name("reidbench")
    reidbench.write_text(f'#!/bin/bash\nexec {shlex.join(fork_server.words)} {installed} "$@"\n')
    reidbench.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(reidbench.parent), os.environ["PATH"]]))
    monkeypatch.setenv("REIDBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "plugins").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("--out runs --quiet", f"--out runs --quiet {LITTLE}")
        cell.source = cell.source.replace("phantom:patients=150", "phantom:patients=60")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "site" / "index.html").is_file()
    printed = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    assert "reidbench: error" not in printed
    assert any("image/png" in o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", ()))
    tables = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) == 2
    assert all(name in table for table in tables for name in ("fade", "gaussian_noise", "undefended"))
