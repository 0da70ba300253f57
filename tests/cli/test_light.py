"""Commands that train nothing start at once and stay small: none of them imports torch or what stands on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# The slow ones among the dependencies, and numpy and pandas, which the smallest commands do without too.
HEAVY = {"torch", "torchvision", "lightning", "pytorch_metric_learning", "kornia", "opacus", "captum"} | {
    "sklearn", "scipy", "matplotlib", "plotly", "joblib",
}  # fmt: skip
# Valid runs; those that a test makes in seconds never learn.
COMMITTED = Path(__file__).parents[2] / "leaderboards" / "records"
TABLES = {"numpy", "pandas", "PIL"}
CALL = """
import json, re, sys
from pathlib import Path
from reidbench.cli import main
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code
status = Path("/proc/self/status")
# Not ru_maxrss, which begins with the memory of the process that started this one.
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1]) / 1024 if status.exists() else None
told = {"code": code or 0, "modules": sorted({name.partition(".")[0] for name in sys.modules}), "mib": peak}
Path(sys.argv[0]).write_text(json.dumps(told))
"""


@pytest.fixture
def imported(tmp_path):
    """Runs a command in a process of its own; gives the packages that it imported, and its peak memory in MiB."""

    def run(*arguments: str, code: int = 0, cache: Path | None = None) -> tuple[set[str], float | None]:
        told = tmp_path / "told.json"
        start = f"import sys; sys.argv = [{str(told)!r}, *{list(arguments)!r}]\n" + CALL
        environment = {**os.environ, "REIDBENCH_CACHE": str(cache or tmp_path / "cache"), "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-c", start], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert told.exists(), done.stderr[-3000:]
        found = json.loads(told.read_text())
        assert found["code"] == code, done.stderr[-3000:]
        return set(found["modules"]), found["mib"]

    return run


@pytest.fixture(scope="module")
def twelve(tmp_path_factory) -> Path:
    """A folder of twelve X-ray-like files of six patients."""
    root = tmp_path_factory.mktemp("twelve")
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,split"]
    for number in range(12):
        soft = Image.fromarray(rng.integers(0, 240, (9, 9), dtype=np.uint8))
        soft.resize((256, 256), Image.Resampling.BICUBIC).save(root / f"{number}.png")
        lines.append(f"{number}.png,{number // 2},{'train' if number < 6 else 'test'}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--dataset=phantom:patients=60", "--attackers=phantom-2", "--set=bootstrap_runs=50", "--device=cpu"],
        ["check-defense", "pixelate"],
        ["sweep", "plan.toml", "--list-cells"],
    ],
    ids=lambda words: words[0],
)
def test_commands_that_train_no_network_do_not_wait_for_lightning(imported, tmp_path, arguments):
    (tmp_path / "plan.toml").write_text('defenses = ["pixelate:all", "cloak:strong"]')
    modules, _ = imported(*arguments)
    assert "torch" in modules
    assert not modules & {"lightning", "torchmetrics"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["list"], ["new-defense", "fog"], ["new-defense", "--help"]],
    ids=" ".join,
)
def test_the_smallest_commands_import_not_even_numpy(imported, arguments):
    modules, _ = imported(*arguments)
    assert not modules & (HEAVY | TABLES)


@pytest.mark.parametrize("name", ["phantom", "chestxray14", "chexpert", "covid19", "folder"])
def test_a_dataset_is_described_without_torch(imported, name):
    modules, _ = imported("describe", name)
    assert not modules & HEAVY


def test_a_dataset_of_files_is_checked_without_torch_and_in_little_memory(imported, twelve, tmp_path):
    modules, mib = imported("data", "check", "folder", f"--root={twelve}", f"--sheet={tmp_path / 'sheet.png'}")
    assert (tmp_path / "sheet.png").exists()
    assert "pandas" in modules
    assert not modules & HEAVY
    assert mib is None or mib < 300


@pytest.mark.parametrize("command", ["leaderboard", "submit check"])
def test_records_are_read_and_judged_without_torch(imported, tiny_run, tmp_path, command):
    weak, strong = (tiny_run["runs"] / f"{record.stem}.json" for record in tiny_run["records"][-2:])
    arguments = {
        "leaderboard": [str(tiny_run["runs"]), f"--out={tmp_path}"],
        "submit check": [str(weak), str(strong)],
    }[command]
    modules, mib = imported(*command.split(), *arguments)
    assert "numpy" in modules
    # Quantiles of Student's t come from scipy.special, which takes a seventh of a second.
    assert not modules & ((HEAVY | {"pandas"}) - {"scipy"})
    assert mib is None or mib < 200


def test_records_are_compared_without_torch(imported):
    record = str(min(COMMITTED.glob("gaussian_noise-*.json")))
    modules, mib = imported("compare", record, record)
    assert "numpy" in modules
    # Quantiles of Student's t come from scipy.special, which takes a seventh of a second.
    assert not modules & ((HEAVY | {"pandas"}) - {"scipy"})
    assert mib is None or mib < 200


@pytest.mark.parametrize("name", ["gaussian_noise", "kornia_augment", "dp_training", "undefended"])
def test_a_page_with_kept_images_or_none_imports_no_torch(imported, tmp_path, name):
    # Defenses with options too, whose title states those that differ from the defaults of their class.
    record = next(path for path in sorted(COMMITTED.glob(f"{name}-*.json")) if name == "dp_training" or _kept(path))
    modules, mib = imported("report", str(record), f"--out={tmp_path}")
    assert list(tmp_path.glob("*.html"))
    # Of plotly, the script for browsers is copied.
    assert not modules & (HEAVY - {"plotly", "scipy"})
    assert mib is None or mib < 250


def _kept(record: Path) -> bool:
    return record.with_suffix(".examples.webp").exists()
