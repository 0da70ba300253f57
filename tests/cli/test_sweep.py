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
