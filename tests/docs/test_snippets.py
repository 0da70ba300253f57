"""What the documentation shows is what happens: its snippets are run in order, and their output is compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from reidbench.templates import new_defense

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "third_party" / "example"
# A small phantom and the example package's attacker, which trains nothing: every command is real, and takes seconds.
SMALL = {
    "run": (
        "--dataset=phantom:patients=120", "--attacker=example_pixels", "--set=bootstrap_runs=100",
        *(f"--set={n}.{o}" for n in ("classifier", "restorer") for o in ("epochs=1", "min_steps=4", "max_steps=4")),
        "--quiet",
    )
}  # fmt: skip
SMALL["sweep"] = SMALL["run"]


@dataclass(frozen=True)
class Snippet:
    language: str
    title: str | None
    text: str
    line: int


def snippets(page: Path) -> Iterator[Snippet]:
    text = page.read_text(encoding="utf-8")
    for fence in re.finditer(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        yield Snippet(fence[1], fence[2], fence[3], text.count("\n", 0, fence.start()) + 1)


@pytest.fixture(scope="module")
def shell(fresh):
    """Runs bash where ``reidbench``, ``pip``, ``pytest`` and ``python`` are those of a fresh environment."""
    fresh.install(EXAMPLE)
    bin_ = fresh.folder / "shims"
    bin_.mkdir(exist_ok=True)
    python = shlex.join(fresh.server.words)
    # Beside them, as a command that is installed: not with -m, which would find packages in the folder it is run in.
    (bin_ / "command.py").write_text("from reidbench.cli import main\n\nmain()\n")
    cases = "".join(f'  {name}) set -- "$@" {shlex.join(given)};;\n' for name, given in SMALL.items())
    scripts = {
        "reidbench": f'#!/bin/bash\ncase $1 in\n{cases}esac\nexec {python} {bin_}/command.py "$@"\n',
        # Flags that this line gives itself are taken from what is typed: uv allows none twice.
        "pip": (
            "#!/bin/bash\nfor typed; do shift; case $typed in --no-deps|--force-reinstall) ;; "
            '*) set -- "$@" "$typed";; esac; done\n'
            f'exec uv pip "$@" -q --no-deps --reinstall --python {fresh.python}\n'
        ),
        "python": f'#!/bin/bash\nexec {python} "$@"\n',
        "pytest": f'#!/bin/bash\nexec {python} -m pytest -p no:cacheprovider "$@"\n',
    }
    for name, script in scripts.items():
        (bin_ / name).write_text(script)
        (bin_ / name).chmod(0o755)

    def run(text: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{bin_}:{fresh.folder / 'bin'}:{os.environ['PATH']}"
        environment = {**fresh.environment(), "PATH": path, **variables}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=cwd, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return run


def play(page: Path, shell, folder: Path, language: str | None = None) -> int:
    """Writes a page's files, runs its commands in order and compares the output shown; the number of commands."""
    output, ran = "", 0
    for snippet in snippets(page):
        where = f"{page.name} line {snippet.line}"
        if snippet.title is not None:
            path = folder / snippet.title
            path.parent.mkdir(exist_ok=True)
            path.write_text(snippet.text)
        elif snippet.language == "text":
            for line in snippet.text.splitlines():
                assert line.removesuffix("…") in output, f"{where}: {line!r} is not in:\n{output}"
        elif snippet.language == "bash":
            done = shell(snippet.text, folder)
            output = done.stdout
            assert done.returncode == 0, f"{where}:\n{output}"
            ran += 1
        else:
            assert snippet.language == language, f"{where}: neither a file, nor bash, nor output"
    return ran


@pytest.mark.parametrize("name", ["writing-a-defense.md", "writing-an-attacker.md", "regression-in-ci.md"])
def test_every_snippet_of_the_page_runs_and_prints_what_is_shown(shell, tmp_path, name):
    assert play(ROOT / "docs" / name, shell, tmp_path) > 3


def test_the_audit_in_five_minutes_runs_as_shown(shell, tmp_path):
    # What is in `sh` trains attackers.
    assert play(ROOT / "docs" / "audit-in-five-minutes.md", shell, tmp_path, language="sh") == 3
    assert sorted(path.name for path in (tmp_path / "audit").iterdir()) == ["audit.json", "audit.md", "patients.csv"]


def test_the_readmes_plugin_keeps_the_contract_and_runs(shell, tmp_path):
    # Its other commands, in `sh`, set up, test or need a download.
    assert play(ROOT / "README.md", shell, tmp_path, language="sh") == 1
    assert sorted(path.name for path in (tmp_path / "runs").glob("fade-*.json"))
    (plugin,) = (snippet for snippet in snippets(ROOT / "README.md") if snippet.title)
    assert len([line for line in plugin.text.splitlines() if line.strip()]) <= 12


def test_the_workflow_fails_a_pull_request_that_makes_a_defense_weaker(shell, tmp_path):
    workflow = yaml.safe_load((ROOT / "docs" / "reidbench-workflow.yml").read_text())
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["regression"]["steps"] if "name" in step}
    for place, strength in (("base", "1.0"), ("new", "0.1")):
        new_defense("my_defense", tmp_path / place)
        module = tmp_path / place / "reidbench-my-defense" / "reidbench_my_defense.py"
        module.write_text(module.read_text().replace("Field(0.5,", f"Field({strength},"))
    repository = tmp_path / "new" / "reidbench-my-defense"
    (tmp_path / "base" / "reidbench-my-defense").rename(repository / "base")

    results = {
        name: shell(text, repository, DEFENSE=workflow["env"]["DEFENSE"], GITHUB_STEP_SUMMARY=str(tmp_path / "page"))
        for name, text in steps.items()
    }
    codes = {name: done.returncode for name, done in results.items()}
    assert codes == {"The target branch": 0, "The pull request": 0, "The gate": 1, "The summary": 0}, results
    assert (tmp_path / "page").read_text().startswith("## reidbench: regression: 1 of 1 defense compared")
