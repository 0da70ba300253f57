"""A sweep on a real Ray cluster: a node is lost, and records are those of a local sweep.

Nodes are separate raylets with workers, stores and ports of their own, on the loopback address.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reidbench import ReidbenchError
from reidbench.studies.cluster import node
from reidbench.studies.cluster.connection import is_ray

EXAMPLE = Path(__file__).parents[1] / "third_party" / "example" / "reidbench_example.py"
# Notes on which node it ran, so that the test can end that node while a run is going on; nothing else is slow here.
WAITS = """
import os, time
from pathlib import Path
from reidbench import Defense, hookimpl

class Waits(Defense):
    "Waits as long as a file says so."
    name = "waits"
    strength: float = 0.5
    def transform(self, images, *, rng):
        Path(os.environ["SIGNALS"], f"began-{self.strength}-{os.environ['NODE']}").touch()
        while Path(os.environ["SIGNALS"], "hold").exists():
            time.sleep(0.1)
        return images * self.strength

class Raises(Defense):
    "Raises."
    name = "raises"
    def transform(self, images, *, rng):
        raise RuntimeError("out of order")

@hookimpl
def reidbench_defenses():
    return [Waits, Raises]
"""
PLAN = """
dataset = "example_stripes"
attackers = ["example_pixels"]
size = 32
rungs = ["ignorant"]
set = { bootstrap_runs = 20 }
defenses = ["raises"]

[[defense]]
name = "waits"
options = { strength = [0.1, 0.3, 0.5, 0.7, 0.9] }
"""
# What two runs of one thing differ in.
TIMES = ("created", "timings")


class Machine:
    """A cluster of three nodes with a core each, and what is typed on a machine beside it."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        (folder / "signals").mkdir()
        (folder / "plugins").mkdir()
        shutil.copy(EXAMPLE, folder / "plugins")
        (folder / "plugins" / "waits.py").write_text(WAITS)
        (folder / "plan.toml").write_text(PLAN)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.client = free.getsockname()[1]
        self.cluster = Cluster()
        self.start("head", ray_client_server_port=self.client)
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
            "object_store_memory": 80 * 2**20,
            "env_vars": {
                "NODE": name,
                "SIGNALS": str(self.folder / "signals"),
                "OMP_NUM_THREADS": "1",
                # A busy machine takes longer than half a minute to start a process for a client.
                "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "180",
                # Ray gives its workers the least share of a busy machine.
                "RAY_worker_niceness": "0",
            },
        }

    def sweep(self, *words: str, out: str, cache: str = "cache", address: str | None = None) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "REIDBENCH_CACHE": str(self.folder / cache),
            "SIGNALS": str(self.folder / "signals"),
            "NODE": "none",
            "RAY_ADDRESS": self.cluster.address,
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        where = ["--executor", address or "ray"] if address != "local" else []
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "reidbench",
                "sweep",
                *words,
                "--plugins-dir=plugins",
                f"--out={out}",
                *where,
                "--json",
            ],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def records(self, out: str) -> dict[str, dict[str, object]]:
        found = {path.name: json.loads(path.read_text()) for path in (self.folder / out).glob("*.json")}
        return {
            name: {key: value for key, value in record.items() if key not in TIMES} for name, record in found.items()
        }

    def began(self) -> dict[str, str]:
        """Strength by node of the runs that have begun."""
        names = [path.name.split("-") for path in (self.folder / "signals").glob("began-*")]
        return {where: strength for _, strength, where in names}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'reidbench[ray]'")
    pytest.importorskip("grpc", reason="the Ray client is not installed: pip install 'reidbench[ray]'")
    # A node gives up if its agent, a thousand modules that were never compiled, is not there in fifteen seconds.
    for part in ("dashboard", "_private", "_common", "core"):
        compileall.compile_dir(Path(ray.__file__).parent / part, quiet=2)
    made = Machine(tmp_path_factory.mktemp("cluster"))
    yield made
    made.cluster.shutdown()


def finished(process: subprocess.Popen[str], code: int) -> list[dict[str, object]]:
    out, err = process.communicate(timeout=900)
    assert process.returncode == code, err[-3000:]
    return json.loads(out)


@pytest.mark.slow
def test_a_sweep_outlives_a_node_and_leaves_the_records_of_a_local_one(machine):
    hold = machine.folder / "signals" / "hold"
    hold.touch()
    running = machine.sweep("plan.toml", out="ray", address=f"ray://127.0.0.1:{machine.client}")
    deadline = time.monotonic() + 600
    while not (lost := [name for name in machine.began() if name in machine.nodes]):
        assert time.monotonic() < deadline, machine.began()
        assert running.poll() is None, running.communicate()[1][-3000:]
        time.sleep(0.2)
    machine.cluster.remove_node(machine.nodes.pop(lost[0]), allow_graceful=False)
    hold.unlink()
    rows = {row["defense"]: row for row in finished(running, 1)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "undefended": "recorded",
        "raises": "failed",
        **{f"waits strength={strength}": "recorded" for strength in (0.1, 0.3, 0.5, 0.7, 0.9)},
    }
    assert rows["raises"]["reason"] == "raises: transform() raised RuntimeError: out of order"

    # On this machine alone, with nothing of the cluster's: two of the cells, and what they are compared with.
    local = machine.sweep("plan.toml", "--cell=3", out="local", cache="other", address="local")
    finished(local, 0)
    here, there = machine.records("local"), machine.records("ray")
    assert len(there) == 6
    assert len(here) == 2
    assert {name: there[name] for name in here} == here
    assert {path.name for path in (machine.folder / "ray").iterdir()} > {
        path.name for path in (machine.folder / "local").iterdir()
    }


@pytest.mark.parametrize("text", ["slurm", "ray://", "Ray", "ray:127.0.0.1"])
def test_an_executor_that_is_none_is_refused(text):
    with pytest.raises(ReidbenchError, match=r"it is local, ray or ray://HOST:PORT"):
        is_ray(text)


def test_plugins_that_were_sent_are_what_they_were_and_unpacked_once(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "there"))
    (tmp_path / "there").mkdir()
    (tmp_path / "plugins" / "package" / "__pycache__").mkdir(parents=True)
    (tmp_path / "plugins" / "one.py").write_text("1\n")
    (tmp_path / "plugins" / "package" / "two.py").write_text("2\n")
    (tmp_path / "plugins" / "package" / "__pycache__" / "two.pyc").write_bytes(b"x")
    sent = node.packed(tmp_path / "plugins")
    place = node.unpacked(sent)
    assert {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*.py")} == {
        "one.py": "1\n",
        "package/two.py": "2\n",
    }
    assert not list(place.rglob("__pycache__"))
    os.utime(tmp_path / "plugins" / "one.py", (0, 0))
    assert node.packed(tmp_path / "plugins") == sent
    assert node.unpacked(sent) == place
    assert [path.name for path in (tmp_path / "there").iterdir()] == [place.name]


def test_plugins_that_cannot_be_sent_are_named(tmp_path, monkeypatch):
    with pytest.raises(ReidbenchError, match="no such folder"):
        node.packed(tmp_path / "nowhere")
    monkeypatch.setattr(node, "MAX_PLUGIN_BYTES", 10)
    (tmp_path / "weights.bin").write_bytes(bytes(11))
    with pytest.raises(ReidbenchError, match=r"11 bytes are too many to be sent to the nodes \(at most 10\)"):
        node.packed(tmp_path)


def test_files_of_a_record_are_written_before_it(tmp_path, monkeypatch):
    written = []

    def write(path, content, **kwargs):
        written.append(path.name)
        path.write_bytes(content)

    monkeypatch.setattr(node, "write_file", write)
    node.write_files(tmp_path, {"a-1.json": b"{}", "a-1.npz": b"1", "b-2.json": b"{}", "b-2.webp": b"2"})
    assert written == ["a-1.npz", "b-2.webp", "a-1.json", "b-2.json"]
