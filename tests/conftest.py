"""What several rooms' tests share: a small run of the real thing, made once a session."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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


#: What is dear or read by many tests: a Ray cluster, a bundle, servers (that of this environment makes small_run too).
SHARED = ("machine", "bundle_folder", "fork_server", "fresh", "tiny_run")


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


class ForkServer:
    """Starts Python in processes of their own that need not import torch and Lightning again: see ``forking.py``.

    Attributes:
        words: take the place of ``python`` in a command line.
    """

    SCRIPT = Path(__file__).parent / "forking.py"

    def __init__(self, python: str, environment: dict[str, str]) -> None:
        # Not below pytest's own folder, whose path may be longer than the name of a socket can be.
        self._folder = Path(tempfile.mkdtemp(prefix="reidbench-"))
        socket = str(self._folder / "socket")
        self._process = subprocess.Popen(
            [python, str(self.SCRIPT), "serve", socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        # As little of Python as there is: this process waits for another, and imports nothing.
        self.words = (python, "-S", "-E", str(self.SCRIPT), "call", socket)

    def end(self) -> None:
        self._process.communicate()
        shutil.rmtree(self._folder)


def _command(python: Sequence[str]):
    def call(*arguments: str, cwd: Path, cache: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "REIDBENCH_CACHE": str(cache), "NO_COLOR": "1"}
        done = subprocess.run(
            [*python, "-m", "reidbench", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
        )
        if check is not None:
            assert done.returncode == check, done.stderr[-3000:]
        return done

    return call


@pytest.fixture(scope="session")
def command():
    """Runs the command line as a person would: in a process of its own."""
    return _command([sys.executable])


@pytest.fixture(scope="session")
def fork_server():
    """Of this environment."""
    server = ForkServer(sys.executable, dict(os.environ))
    yield server
    server.end()


@pytest.fixture(scope="session")
def forked_command(fork_server):
    """Runs the command line in a process of its own that has torch imported already: for what trains."""
    return _command(fork_server.words)


@pytest.fixture(scope="session")
def small_run(forked_command, tmp_path_factory):
    """Records of identity, blackout and two noises on a small phantom; with the folder and the cache they lie in."""
    folder = tmp_path_factory.mktemp("small_run")
    defenses = ("identity", "blackout", "gaussian_noise:sigma=0.1", "gaussian_noise:sigma=1")
    cache = folder / "cache"
    done = forked_command("run", *(f"--defense={d}" for d in defenses), *SMALL, "--json", cwd=folder, cache=cache)
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
        self.server = ForkServer(str(self.python), self.environment())

    def install(self, package: Path) -> None:
        done = subprocess.run(
            ["uv", "pip", "install", "-q", "--no-deps", "--python", str(self.python), "-e", str(package)],
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr

    def environment(self) -> dict[str, str]:
        """The variables of a process here."""
        environment = {**os.environ, "REIDBENCH_CACHE": str(self.folder / "cache"), "NO_COLOR": "1"}
        environment.pop("PYTHONPATH", None)
        return environment

    def run(self, *arguments: str, cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.server.words, "-m", *arguments], capture_output=True, text=True, cwd=cwd, env=self.environment()
        )
        if check is not None:
            assert done.returncode == check, (done.stdout + done.stderr)[-3000:]
        return done


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """A fresh environment to install third parties' packages into."""
    made = Fresh(tmp_path_factory.mktemp("fresh") / "venv")
    yield made
    made.server.end()
