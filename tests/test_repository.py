"""The files that a repository is expected to have: they parse, and agree with the project's metadata."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def read_yaml(path: str):
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


WORKFLOWS = [".github/workflows/ci.yml", "docs/reidbench-workflow.yml"]


@pytest.mark.parametrize("path", WORKFLOWS)
def test_workflows_have_least_permissions_and_pinned_actions(path):
    workflow = read_yaml(path)
    # YAML 1.1 reads the key `on` as true.
    assert workflow[True]
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] < 360
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_the_workflow_calls_ci_run_with_the_oldest_python():
    workflow = read_yaml(".github/workflows/ci.yml")
    assert workflow["concurrency"]["group"]
    assert set(workflow[True]) == {"push", "pull_request"}
    steps = workflow["jobs"]["test"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    (python,) = (step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", ""))
    assert PROJECT["requires-python"] == f">={python}"


def test_the_pre_commit_hooks_are_what_tox_checks():
    repositories = read_yaml(".pre-commit-config.yaml")["repos"]
    assert all(repository["repo"] == "local" or repository["rev"] for repository in repositories)
    hooks = {hook["id"]: hook for repository in repositories for hook in repository["hooks"]}
    assert {"end-of-file-fixer", "check-added-large-files", "ruff-check", "ruff-format", "lint-imports"} <= set(hooks)
    # Every command of `tox -e lint`, in the same form or one that also repairs.
    lint = (ROOT / "tox.ini").read_text("utf-8").split("[testenv:lint]")[1].split("commands =\n")[1].split("\n\n")[0]
    entries = {hook["entry"].removesuffix(" --fix") for hook in hooks.values() if "entry" in hook}
    assert {line.strip().removesuffix(" .").removesuffix(" --check") for line in lint.splitlines()} == entries


def test_the_citation_has_what_cff_requires_and_names_the_2022_paper():
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"].startswith("reidbench")
    assert citation["authors"] == PROJECT["authors"]
    assert (str(citation["version"]), citation["license"]) == (PROJECT["version"], PROJECT["license"])
    (paper,) = citation["references"]
    assert paper["type"] == "article"
    assert (paper["authors"][0]["family-names"], paper["year"]) == ("Packhäuser", 2022)
    assert (paper["journal"], paper["volume"]) == ("Scientific Reports", 12)
    assert re.fullmatch(r"10\.\d{4}/[\w.-]+", paper["doi"])


def test_the_classifiers_name_the_pythons_of_tox():
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    tox = (ROOT / "tox.ini").read_text("utf-8")
    envs = re.findall(r"py3(\d+)", re.findall(r"^env_list = (.*)$", tox, flags=re.MULTILINE)[0])
    assert named == [f"3.{minor}" for minor in envs]
    assert {"3.11", "3.12", "3.13"} <= set(named)


def test_the_security_policy_names_the_dangers():
    policy = (ROOT / "SECURITY.md").read_text("utf-8")
    for subject in ("Report a vulnerability", "Plugins are code", "untrusted", "cache folder", "patients.csv"):
        assert subject in policy


def test_the_map_of_the_code_names_every_package_and_no_other():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = page.split("## Map of the code")[1].split("\n\n**The path of data**")[0]
    named = set(re.findall(r"^\| `(reidbench/\w+)/` \|", table, flags=re.MULTILINE))
    assert named == {f"reidbench/{path.parent.name}" for path in (ROOT / "reidbench").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "reidbench").glob("[a-z]*.py")}
    assert modules <= set(re.findall(r"[a-z_]+\.py", table)), "a module of the top level is missing"
    for path in re.findall(r"`((?:steps|records|cohorts|metrics|report|reidbench)/[\w/]+(?:\.py)?/?)`", page):
        assert (ROOT / path).exists() or (ROOT / "reidbench" / path).exists(), path


def test_no_package_has_more_modules_side_by_side_than_a_reader_can_survey():
    modules = Counter(path.parent for path in (ROOT / "reidbench").rglob("*.py") if path.name != "__init__.py")
    # About fifteen. One file per command there: a command is found by its name, and files grow with the commands.
    del modules[ROOT / "reidbench" / "cli"]
    assert len(modules) > 30
    assert not {str(path.relative_to(ROOT)): number for path, number in modules.items() if number > 17}


def test_the_map_has_the_order_of_the_layers():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    found = re.findall(r"^\| `reidbench/(\w+)", page.split("## Map of the code")[1], flags=re.MULTILINE)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [part.strip().removeprefix("reidbench.") for row in contracts[0]["layers"] for part in row.split("|")]
    assert found == [layer for layer in layers if layer in found]


def test_tests_that_share_a_fixture_go_to_one_worker(tmp_path):
    # Otherwise each worker makes what is dear again, and the suite takes half as long again: nothing else would tell.
    (tmp_path / "test_shared.py").write_text(
        "import pytest\n\n"
        "@pytest.fixture(scope='module')\ndef dear():\n    return 1\n\n"
        "@pytest.mark.parametrize('number', range(4))\ndef test_it(dear, number):\n    pass\n"
    )
    arguments = ["-n", "2", "--dist", "loadgroup", "-v", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    arguments += ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    assert len(passed) == 4, done.stdout[-2000:]
    assert all(line.rstrip().endswith("@test_shared.py") for line in passed)
    assert len({line.split()[0] for line in passed}) == 1
