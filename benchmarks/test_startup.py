"""What commands cost that train nothing, beside ``import pandas``: CPU seconds of the whole process.

Run with ``pytest benchmarks --benchmark-enable``; the ratios stand in the report's extra information.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROUNDS = 5


def cpu_seconds(arguments: list[str], cache: Path) -> float:
    """User and system time of a Python process with these arguments, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "REIDBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve files of 1024×1024 pixels, as X-rays are published, of six patients."""
    root = tmp_path_factory.mktemp("twelve")
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,split"]
    for number in range(12):
        soft = Image.fromarray(rng.integers(0, 240, (9, 9), dtype=np.uint8))
        soft.resize((1024, 1024), Image.Resampling.BICUBIC).save(root / f"{number}.png")
        lines.append(f"{number}.png,{number // 2},{'train' if number < 6 else 'test'}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "--help": lambda root: ["--help"],
    "list": lambda root: ["list"],
    "describe folder": lambda root: ["describe", "folder"],
    "data check": lambda root: ["data", "check", "folder", f"--root={root}", "--quiet"],
}


@pytest.mark.parametrize("command", list(COMMANDS))
def test_start(benchmark, twelve: Path, tmp_path: Path, command: str) -> None:
    """Commands against ``import pandas``, in turn, so that both have the same share of a busy machine."""
    ratios, seconds = [], []

    def once() -> None:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        pandas = cpu_seconds(["-c", "import pandas"], tmp_path)
        seconds.append(cpu_seconds(["-m", "reidbench", *COMMANDS[command](twelve)], tmp_path / "cache"))
        ratios.append(seconds[-1] / pandas)

    benchmark.pedantic(once, rounds=ROUNDS, warmup_rounds=1)
    ratio = float(np.median(ratios))
    benchmark.extra_info |= {"times_import_pandas": ratio, "cpu_seconds": float(np.median(seconds))}
    # torch and Lightning are ten times pandas.
    assert ratio < 4
