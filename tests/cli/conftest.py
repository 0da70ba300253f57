"""The command line in this process, and what it must refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reidbench.cli import main


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Runs the command line's own main() in this process: the same code, without importing torch each time."""

    def run(*arguments: str, check: int = 0) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("REIDBENCH_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(sys, "argv", ["reidbench", *arguments])
        capfd.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capfd.readouterr()
        assert code == check, err[-3000:]
        return subprocess.CompletedProcess(list(arguments), check, out, err)

    return run


@pytest.fixture
def refused(call, tmp_path):
    """Runs what must be refused: exit 2, one line on standard error, no record."""

    def run(*arguments: str) -> str:
        done = call(*arguments, check=2)
        errors = [line for line in done.stderr.splitlines() if line.startswith("reidbench: error: ")]
        assert len(errors) == 1
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        assert not list(tmp_path.rglob("runs/*"))
        return errors[0]

    return run
