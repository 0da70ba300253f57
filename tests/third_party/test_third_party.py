"""A real package of somebody else's, in an environment of its own: installed, listed, checked, run, compared."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
from record_files import full_json

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent / "example"
# Its attacker trains nothing, so that a whole run is a matter of seconds.
SMALL = ("--dataset=example_stripes", "--attacker=example_pixels", "--size=32", "--set=bootstrap_runs=100", "--quiet")


@pytest.fixture(scope="module")
def reidbench_in(command, tmp_path_factory):
    """Runs the command line that is installed here, in a folder."""
    cache = tmp_path_factory.mktemp("cache")

    def call(folder: Path, *arguments: str, check: int = 0) -> str:
        return command(*arguments, cwd=folder, cache=cache, check=check).stdout

    return call


@pytest.fixture(scope="module")
def runs(reidbench_in, tmp_path_factory):
    """A folder with records of the defense, strong in one and weak in another."""
    folder = tmp_path_factory.mktemp("third_party")
    reidbench_in(folder, "run", "--defense=example_fade:all", *SMALL, "--out=both")
    for path in (folder / "both").glob("example_fade-*.json"):
        strength = json.loads(path.read_text())["defense"]["options"]["strength"]
        place = folder / ("strong" if strength > 0.5 else "weak")
        place.mkdir()
        for file in (path, path.with_suffix(".scores.npz")):
            file.rename(place / file.name)
    return folder


def test_both_packages_are_installed_as_users_have_them():
    for name, module in (("reidbench", "reidbench"), ("reidbench-example", "reidbench_example")):
        found = distribution(name)
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(sysconfig.get_path("purelib")), "a checkout is on the path"
        assert "editable" not in (found.read_text("direct_url.json") or "")


def test_what_it_brings_is_listed_with_its_package_and_version(reidbench_in, tmp_path):
    rows = json.loads(reidbench_in(tmp_path, "list", "--json"))["plugins"]
    found = {(row["kind"], row["name"], row["version"]) for row in rows if row["distribution"] == "reidbench-example"}
    assert found == {
        ("defense", "example_fade", "1.2.3"),
        ("dataset", "example_stripes", "1.2.3"),
        ("attacker", "example_pixels", "1.2.3"),
    }


def test_it_is_recorded_under_its_own_name_and_version(runs):
    (path,) = (runs / "strong").glob("example_fade-*.json")
    record = full_json(path)
    assert (record["defense"]["distribution"], record["defense"]["version"]) == ("reidbench-example", "1.2.3")
    assert record["dataset"]["name"] == "example_stripes"
    assert {attack["attacker"] for attack in record["attacks"]} == {"example_pixels", "reranking"}
    assert record["complete"]


def test_its_own_tests_pass_there_with_both_lines_of_the_kit(runs):
    arguments = ["-q", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}", str(EXAMPLE)]
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, cwd=runs)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_compare_catches_the_weaker_one_and_passes_the_same(reidbench_in, runs):
    assert "no regression" in reidbench_in(runs, "compare", "strong", "strong")
    assert "regression" in reidbench_in(runs, "compare", "strong", "weak", "--markdown", "pr.md", check=1)
    assert "**regression**" in (runs / "pr.md").read_text()
