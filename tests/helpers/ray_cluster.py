"""A real Ray cluster of three nodes on this machine, with a core each, and what is typed on a machine beside it.

Nodes are separate raylets with workers, stores and ports of their own, on the loopback address.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[1] / "third_party" / "example" / "reidbench_example.py"
# Its training and its defense note who they are, and wait as long as a file says so; nothing else is slow here.
PLUGINS = """
import fcntl, json, os, time
from pathlib import Path

import numpy as np

from reidbench import Attacker, Defense, Training, hookimpl

SIGNALS = Path(os.environ["SIGNALS"])

def note(what):
    (SIGNALS / f"{what}@{os.environ['NODE']}@{os.getpid()}").write_text(__file__)

def wait(what):
    while (SIGNALS / what).exists():
        time.sleep(0.1)

class Waits(Defense):
    "Waits as long as a file says so."
    name = "waits"
    strength: float = 0.5
    def transform(self, images, *, rng):
        note(f"cell-{self.strength}")
        wait("hold-cells")
        return images * self.strength

class Raises(Defense):
    "Raises."
    name = "raises"
    def transform(self, images, *, rng):
        raise RuntimeError("out of order")

class Counted(Attacker):
    "Compares pixels; a training that is counted."
    name = "counted"
    presets = {"quick": {}}
    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        note("fit")
        # Two at a time would be one too many; a process that is killed holds nothing any more.
        with (SIGNALS / "training").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            wait("hold-fit")
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])
    def embed(self, images, *, device):
        pixels = images[:, ::2, ::2].reshape(len(images), -1).astype(np.float32)
        pixels -= pixels.mean(axis=1, keepdims=True)
        return pixels / (np.linalg.norm(pixels, axis=1, keepdims=True) + 1e-6)
    def score(self, a, b):
        return (a * b).sum(axis=1)
    def score_block(self, probes, gallery):
        return probes @ gallery.T
    def save(self, path):
        path.write_text(json.dumps(self.model_dump()))
    def load(self, path, *, device):
        json.loads(path.read_text())

@hookimpl
def reidbench_defenses():
    return [Waits, Raises]

@hookimpl
def reidbench_attackers():
    return [Counted]
"""
PLAN = """
dataset = "example_stripes"
attackers = ["counted"]
size = 32
rungs = ["ignorant"]
set = { bootstrap_runs = 20 }
"""
# What two runs of one thing differ in.
TIMES = ("created", "timings")
#: Bytes of each node's object store, the least that Ray takes.
STORE = 80 * 2**20


def _hears_interrupts() -> None:
    """A shell's job in the background, which tests may be, ignores them, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def eventually(what: Callable[[], Any], seconds: float = 900) -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


class Machine:
    """The cluster, and a folder with a plan, plugins and their signals."""

    def __init__(self, folder: Path, python: Sequence[str]) -> None:
        import ray
        from ray.cluster_utils import Cluster

        # A node gives up if its agent, a thousand modules that were never compiled, is not there in fifteen seconds.
        for part in ("dashboard", "_private", "_common", "core"):
            compileall.compile_dir(Path(ray.__file__).parent / part, quiet=2)
        self.folder, self.python, self.signals = folder, tuple(python), folder / "signals"
        self.signals.mkdir()
        (folder / "plugins").mkdir()
        shutil.copy(EXAMPLE, folder / "plugins")
        (folder / "plugins" / "held.py").write_text(PLUGINS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.client = free.getsockname()[1]
        self.cluster = Cluster()
        # No object finds room on a disk where the store is full.
        spare = {"local_fs_capacity_threshold": 0.0001}
        self.start("head", ray_client_server_port=self.client, num_gpus=2, _system_config=spare)
        self.nodes = {name: self.start(name) for name in ("one", "two")}

    def start(self, name: str, **more: object) -> object:
        # Ray gives a node 30 seconds, of which its agent has 15 to import a thousand modules: not always enough.
        for attempt in range(5):
            try:
                return self.cluster.add_node(**self.node(name), **more)
            except Exception as error:
                if "timed out during startup" not in str(error) or attempt == 4:
                    raise
        raise AssertionError

    def node(self, name: str) -> dict[str, object]:
        return {
            "num_cpus": 1,
            "object_store_memory": STORE,
            "env_vars": {
                "NODE": name,
                "SIGNALS": str(self.signals),
                "OMP_NUM_THREADS": "1",
                # A busy machine takes longer than half a minute to start a process for a client.
                "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "180",
                # Ray gives its workers the least share of a busy machine.
                "RAY_worker_niceness": "0",
            },
        }

    @property
    def outside(self) -> str:
        """The address for a command on a machine outside the cluster."""
        return f"ray://127.0.0.1:{self.client}"

    def plan(self, name: str, text: str) -> str:
        (self.folder / name).write_text(PLAN + text)
        return name

    def sweep(
        self,
        *words: str,
        out: str,
        executor: str = "ray",
        cache: str = "cache",
        python: Sequence[str] | None = None,
        plugins: Sequence[str] = ("plugins",),
    ) -> subprocess.Popen[str]:
        """Types the command, in a process that is forked unless ``python`` starts it."""
        environment = {
            **os.environ,
            "REIDBENCH_CACHE": str(self.folder / cache),
            "SIGNALS": str(self.signals),
            "NODE": "none",
            "RAY_ADDRESS": self.cluster.address,
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        where = [f"--executor={executor}"] if executor != "local" else []
        folders = [f"--plugins-dir={folder}" for folder in plugins]
        return subprocess.Popen(
            [*(python or self.python), "-m", "reidbench", "sweep", *words, *folders, f"--out={out}", *where, "--json"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hears_interrupts,
        )

    def noted(self, what: str) -> dict[str, tuple[str, int]]:
        """Node and process id by the name of what was begun; the last one that began it counts."""
        names = [path.name.split("@") for path in self.signals.glob(f"{what}*@*@*")]
        return {name: (where, int(pid)) for name, where, pid in names}

    def processes(self) -> list[int]:
        """Process ids that were noted, of processes that still run."""
        found = []
        for path in self.signals.glob("*@*@*"):
            pid = int(path.name.split("@")[2])
            with contextlib.suppress(OSError):
                # Of a process that ended and is not waited for yet, it is empty.
                if Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def forget(self) -> None:
        """Takes away all signals."""
        for path in self.signals.iterdir():
            path.unlink()

    def records(self, out: str) -> dict[str, dict[str, object]]:
        found = {path.name: json.loads(path.read_text()) for path in (self.folder / out).glob("*.json")}
        return {
            name: {key: value for key, value in record.items() if key not in TIMES} for name, record in found.items()
        }


def finished(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    """What it printed, on both streams."""
    out, err = process.communicate(timeout=900)
    assert process.returncode == code, err[-3000:]
    return out, err


def python() -> list[str]:
    """A process of its own, which a signal reaches."""
    return [sys.executable]
