"""What several rooms' tests share: a small run of the real thing, made once a session."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Little training: enough that every step is real, not that the attackers are good.
SMALL = (
    "--dataset=phantom:patients=90",
    # Where equal trainings end with equal weights, to the bit.
    "--device=cpu",
    "--set=bootstrap_runs=200",
    # Sixteen test patients: no finding has ten of them.
    "--set=finding_patients=3",
    *(f"--set={a}.{o}" for a in ("verification", "retrieval") for o in (
        "batch_size=32", "epochs=1", "min_steps=30", "warm_epochs=1", "warm_min_steps=6",
    )),
    *(f"--set=classifier.{o}" for o in ("batch_size=16", "epochs=1", "min_steps=15")),
    *(f"--set=restorer.{o}" for o in ("width=8", "epochs=1", "min_steps=20")),
)  # fmt: skip


#: Runs that many tests read.
SHARED = ("small_run", "tiny_run")


# First: xdist writes the groups into the names of tests in this hook too, and would see none.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that none is left at the end alone; what shares something dear goes to one worker."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if (group := _group(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item) -> str | None:
    for name in SHARED:
        if name in getattr(item, "fixturenames", ()):
            return name
    fixtures = getattr(item, "_fixtureinfo", None)
    scopes = {found[-1].scope for found in fixtures.name2fixturedefs.values()} if fixtures else set()
    return item.nodeid.partition("::")[0] if "module" in scopes else None


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same draws in every test, whatever ran before it: a failure can be had again by running that test alone."""
    random.seed(0)
    # Most tests need neither; importing them for the seed would cost more than those tests.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def command():
    """Runs the command line as a person would: in a process of its own."""

    def call(*arguments: str, cwd: Path, cache: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "REIDBENCH_CACHE": str(cache), "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "reidbench", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
        )
        if check is not None:
            assert done.returncode == check, done.stderr[-3000:]
        return done

    return call


@pytest.fixture(scope="session")
def small_run(command, tmp_path_factory):
    """Records of identity, blackout and two noises on a small phantom; with the folder and the cache they lie in."""
    folder = tmp_path_factory.mktemp("small_run")
    defenses = ("identity", "blackout", "gaussian_noise:sigma=0.1", "gaussian_noise:sigma=1")
    done = command("run", *(f"--defense={d}" for d in defenses), *SMALL, "--json", cwd=folder, cache=folder / "cache")
    return {"folder": folder, "records": json.loads(done.stdout), "stderr": done.stderr, "arguments": SMALL}


EXAMPLE = Path(__file__).parent / "third_party" / "example"
# An attacker with a probability that trains for two steps, and one that only compares pixels.
LITTLE = {
    "bootstrap_runs": "40",
    "finding_patients": "2",
    **{f"verification.{name}": "2" for name in ("min_steps", "max_steps", "warm_min_steps", "warm_max_steps")},
    **{f"{owner}.{name}": "4" for owner in ("classifier", "restorer") for name in ("min_steps", "max_steps")},
    "restorer.width": "8",
    "verification.batch_size": "16",
}


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Real records with their scores in seconds: a noise at two strengths, on a phantom of 60 patients; in process."""
    import torch

    from reidbench.choosing import choose_dataset, choose_defenses
    from reidbench.harness.run import run
    from reidbench.plugins import Registry
    from reidbench.progress import Silent
    from reidbench.settings import make_settings

    folder = tmp_path_factory.mktemp("tiny_run")
    registry = Registry([EXAMPLE])
    settings = make_settings(
        registry,
        preset="quick",
        device=torch.device("cpu"),
        cache=folder / "cache",
        attackers=("verification", "example_pixels"),
        overrides=LITTLE,
        size=32,
        command="reidbench run --defense gaussian_noise:all",
    )
    records = run(
        choose_dataset(registry, "phantom:patients=60", None),
        choose_defenses(registry, ["gaussian_noise:sigma=0.1", "gaussian_noise:sigma=0.5"]),
        settings,
        seeds=[0],
        out=folder / "runs",
        strict=False,
        progress=Silent(),
        done=lambda record, path: None,
    )
    return {"runs": folder / "runs", "cache": folder / "cache", "records": records, "plugins": EXAMPLE}


class Fresh:
    """A virtual environment that sees this one's packages and has what is installed into it besides.

    Nothing heavy is downloaded for it: only its own packages are its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        (site,) = (folder / "lib").glob("python*/site-packages")
        here = [path for path in sys.path if path.endswith("site-packages")]
        # addsitedir, not the bare path: this environment's own .pth files (an editable reidbench) count too.
        (site / "outer.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))

    def install(self, package: Path) -> None:
        done = subprocess.run(
            ["uv", "pip", "install", "-q", "--no-deps", "--python", str(self.python), "-e", str(package)],
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr

    def run(self, *arguments: str, cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "REIDBENCH_CACHE": str(self.folder / "cache"), "NO_COLOR": "1"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [str(self.python), "-m", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
        )
        if check is not None:
            assert done.returncode == check, (done.stdout + done.stderr)[-3000:]
        return done


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """A fresh environment to install third parties' packages into."""
    return Fresh(tmp_path_factory.mktemp("fresh") / "venv")
