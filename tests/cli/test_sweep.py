"""`reidbench sweep`: what is recorded is skipped, what fails is named at the end and stops nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Its attacker trains nothing, so that a run is a matter of seconds.
EXAMPLE = Path(__file__).parents[1] / "third_party" / "example" / "reidbench_example.py"
BROKEN = """
import time
from reidbench import Defense, hookimpl

class Raises(Defense):
    "Raises."
    name = "raises"
    def transform(self, images, *, rng):
        raise RuntimeError("out of order")

class Hangs(Defense):
    "Never ends."
    name = "hangs"
    def transform(self, images, *, rng):
        while True:
            time.sleep(0.1)

class Claims(Defense):
    "Cannot say what it guarantees."
    name = "claims"
    def transform(self, images, *, rng):
        return images
    def privacy(self, height, width):
        return 1 / 0

@hookimpl
def reidbench_defenses():
    return [Raises, Hangs, Claims]
"""


PLAN = """
defenses = ["raises", "unimportable", "hangs", "claims"]
dataset = "example_stripes"
attackers = ["example_pixels"]
size = 32
rungs = ["ignorant"]
set = { bootstrap_runs = 50 }

[[defense]]
name = "example_fade"
options = { strength = [0.3] }
"""


def test_a_sweep_skips_what_is_recorded_and_goes_on_after_a_failure(call, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    shutil.copy(EXAMPLE, plugins)
    (plugins / "broken.py").write_text(BROKEN)
    (plugins / "unimportable.py").write_text("1 / 0")
    (tmp_path / "plan.toml").write_text(PLAN)

    first = call("sweep", "plan.toml", "--plugins-dir=plugins", "--timeout=15", "--json", check=1)
    rows = {row["defense"]: row for row in json.loads(first.stdout)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "undefended": "recorded",
        "raises": "failed",
        "unimportable": "failed",
        "hangs": "failed",
        "claims": "failed",
        "example_fade strength=0.3": "recorded",
    }
    assert rows["raises"]["reason"] == "raises: transform() raised RuntimeError: out of order"
    assert "ZeroDivisionError" in rows["unimportable"]["reason"]
    assert rows["hangs"]["reason"].startswith("no end within 15 s; it was at broken.py line 1")
    failed = [line for line in first.stderr.splitlines() if line.startswith("failed: ")]
    assert rows["claims"]["reason"].startswith("claims: privacy() raised ZeroDivisionError")
    assert len(failed) == 4
    assert "failed: raises, preset quick, seed 0: raises: transform() raised RuntimeError: out of order" in failed
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(written) == 4  # Two records, each with its scores.

    # The same run in other words: known by its record's id, with nothing computed again.
    again = call(
        "sweep", "example_fade:strength=0.3", "--dataset=example_stripes", "--attacker=example_pixels", "--size=32",
        "--rung=ignorant", "--set=bootstrap_runs=50", "--plugins-dir=plugins", "--quiet",
    )  # fmt: skip
    assert again.stdout.splitlines()[-1] == "2 recorded before"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()} == written


def test_the_cells_of_a_sweep_are_run_one_by_one_as_the_whole_sweep_runs_them(call, refused, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    shutil.copy(EXAMPLE, plugins)
    plan = PLAN.replace('["raises", "unimportable", "hangs", "claims"]', "[]").replace("[0.3]", "[0.3, 0.6]")
    (tmp_path / "plan.toml").write_text(plan)
    words = ("sweep", "plan.toml", "--plugins-dir=plugins")

    listed = call(*words, "--list-cells")
    assert listed.stdout == (
        "   1  example_fade strength=0.3, preset quick, seed 0\n   2  example_fade strength=0.6, preset quick, seed 0\n"
    )
    assert not (tmp_path / "runs").exists()
    assert "--cell 3: the sweep has 2 cells, numbered from 1" in refused(*words, "--cell=3")

    second = json.loads(call(*words, "--cell=2", "--json").stdout)
    assert [(row["defense"], row["state"]) for row in second] == [
        ("undefended", "recorded"),
        ("example_fade strength=0.6", "recorded"),
    ]
    first = json.loads(call(*words, "--cell=1", "--json").stdout)
    assert [(row["defense"], row["state"]) for row in first] == [
        ("undefended", "known"),
        ("example_fade strength=0.3", "recorded"),
    ]
    for path in (tmp_path / "runs").glob("*.json"):
        assert "--cell" not in json.loads(path.read_text())["command"]
    whole = json.loads(call(*words, "--json").stdout)
    assert {row["state"] for row in whole} == {"known"}
    assert {row["record"] for row in whole} == {row["record"] for row in first + second}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--gpus-per-run=1",), "--gpus-per-run and --cpus-per-run need --executor ray"),
        (("--executor=slurm",), "--executor slurm: it is local, ray or ray://HOST:PORT"),
        (("--executor=ray", "--cell=1"), "--cell is for jobs of a job array; --executor ray runs all cells"),
        (("--executor=ray", "--plugins-dir=nowhere"), "nowhere"),
    ],
)
def test_what_no_executor_can_do_is_refused(refused, words, what):
    assert what in refused("sweep", "identity", *words)


@pytest.mark.parametrize("executor", ["ray", "ray://127.0.0.1:1"])
def test_an_address_without_a_cluster_is_one_line(refused, monkeypatch, executor):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'reidbench[ray]'")
    pytest.importorskip("grpc", reason="the Ray client is not installed: pip install 'reidbench[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert f"--executor {executor}: no cluster answers at 127.0.0.1:1: Connection refused" in refused(
        "sweep", "identity", f"--executor={executor}"
    )
