"""A real package of somebody else's, in an environment of its own: installed, listed, checked, run, compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent / "example"
# Its attacker trains nothing, so that a whole run is a matter of seconds.
SMALL = ("--dataset=example_stripes", "--attacker=example_pixels", "--size=32", "--set=bootstrap_runs=100", "--quiet")


@pytest.fixture(scope="module")
def installed(fresh):
    fresh.install(EXAMPLE)
    return fresh


@pytest.fixture(scope="module")
def runs(installed, tmp_path_factory):
    """A folder with records of the defense, strong in one and weak in another."""
    folder = tmp_path_factory.mktemp("third_party")
    installed.run("reidbench", "run", "--defense=example_fade:all", *SMALL, "--out=both", cwd=folder)
    for path in (folder / "both").glob("example_fade-*.json"):
        strength = json.loads(path.read_text())["defense"]["options"]["strength"]
        place = folder / ("strong" if strength > 0.5 else "weak")
        place.mkdir()
        for file in (path, path.with_suffix(".scores.npz")):
            file.rename(place / file.name)
    return folder


def test_what_it_brings_is_listed_with_its_package_and_version(installed, tmp_path):
    rows = json.loads(installed.run("reidbench", "list", "--json", cwd=tmp_path).stdout)["plugins"]
    found = {(row["kind"], row["name"], row["version"]) for row in rows if row["distribution"] == "reidbench-example"}
    assert found == {
        ("defense", "example_fade", "1.2.3"),
        ("dataset", "example_stripes", "1.2.3"),
        ("attacker", "example_pixels", "1.2.3"),
    }


def test_it_is_recorded_under_its_own_name_and_version(runs):
    (path,) = (runs / "strong").glob("example_fade-*.json")
    record = json.loads(path.read_text())
    assert (record["defense"]["distribution"], record["defense"]["version"]) == ("reidbench-example", "1.2.3")
    assert record["dataset"]["name"] == "example_stripes"
    assert {attack["attacker"] for attack in record["attacks"]} == {"example_pixels"}
    assert record["complete"]


def test_its_own_tests_pass_there_with_both_lines_of_the_kit(installed, runs):
    installed.run("pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}", str(EXAMPLE), cwd=runs)


def test_compare_catches_the_weaker_one_and_passes_the_same(installed, runs):
    same = installed.run("reidbench", "compare", "strong", "strong", cwd=runs)
    assert "no regression" in same.stdout
    weaker = installed.run("reidbench", "compare", "strong", "weak", "--markdown", "pr.md", cwd=runs, check=1)
    assert "regression" in weaker.stdout
    assert "**regression**" in (runs / "pr.md").read_text()
