"""Clusters that a sweep cannot run on are refused in one line, with exit status 2 and nothing written."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ray_cluster import STORE, eventually, finished

import reidbench
from reidbench import ReidbenchError
from reidbench.studies.cluster.connection import connected
from reidbench.studies.cluster.sweep import reason_of

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

SITE = Path(next(path for path in sys.path if path.endswith("site-packages")))


def line_of(machine, *words: str, **where: object) -> str:
    out, err = finished(machine.sweep("identity", "--dataset=phantom", *words, out="refused", **where), 2)
    assert not out
    assert not (machine.folder / "refused").exists()
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0].removeprefix("reidbench: error: ")


def interpreter(folder: Path) -> tuple[Path, Path]:
    """A Python that finds what is installed here but for reidbench, and its own folder for packages."""
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    # A bare path, whose own .pth files do not count: that of reidbench, installed in place, is one.
    (site / "outer.pth").write_text(f"{SITE}\n")
    found = folder / "bin" / "python"
    missing = subprocess.run([found, "-c", "import ray, reidbench"], cwd=folder, capture_output=True, text=True)
    assert "No module named 'reidbench'" in missing.stderr
    return found, site


def ray_start(python: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Starts a head or a node, as an administrator does, until it is told to end."""
    return subprocess.Popen(
        [python, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", "--num-cpus=1",
         f"--object-store-memory={STORE}", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # The folder of a process is a place to import from.
        cwd=python.parent,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0", **environment},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> str:
    process.terminate()
    return process.communicate(timeout=120)[0]


def test_a_node_without_reidbench_or_with_another_one_is_named(machine, monkeypatch, tmp_path):
    # Ray has its workers import from the folder of the driver, too.
    monkeypatch.chdir(tmp_path)
    python, site = interpreter(tmp_path / "bare")
    monkeypatch.setenv("RAY_ADDRESS", machine.cluster.address)
    node = ray_start(python, f"--address={machine.cluster.address}")
    try:
        eventually(lambda: _alive(machine) == len(machine.nodes) + 2 or node.poll() is not None, 120)
        assert node.poll() is None, node.communicate()[0]
        assert line_of(machine).endswith(": reidbench is not installed there")
        copy = site / "reidbench"
        shutil.copytree(Path(reidbench.__file__).parent, copy, ignore=lambda at, names: [
            name for name in names if not (Path(at, name).is_dir() or name.endswith(".py"))
        ])  # fmt: skip
        with (copy / "errors.py").open("a") as file:
            file.write("# changed\n")
        with pytest.raises(ReidbenchError, match="its reidbench is other code of the same version"), connected("ray"):
            pass
        text = (copy / "__init__.py").read_text()
        (copy / "__init__.py").write_text(text.replace(f'"{reidbench.__version__}"', '"0.0.9"'))
        message = f"its reidbench is version 0.0.9, not {reidbench.__version__}; records would differ between nodes"
        with pytest.raises(ReidbenchError, match=message), connected(machine.outside):
            pass
    finally:
        ended(node)
    eventually(lambda: _alive(machine) == len(machine.nodes) + 1, 120)


def test_a_full_object_store_is_one_line(machine, tmp_path):
    """The cluster finds no room on a disk either, as its configuration says: an object that is too large stays out."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        (folder / "weights.bin").write_bytes(os.urandom(STORE // 2 + 2**20))
    where = {"plugins": [str(folder) for folder in folders]}
    assert line_of(machine, **where) == "--executor ray: the object store of the cluster is full"
    assert line_of(machine, executor=machine.outside, **where) == (
        f"--executor {machine.outside}: the object store of the cluster is full"
    )


def test_a_result_that_finds_no_room_is_named(machine, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", machine.cluster.address)
    with connected("ray") as ray:
        large = ray.remote(lambda: os.urandom(STORE + 2**20)).options(num_cpus=1, max_retries=0).remote()
        with pytest.raises(ray.exceptions.RayError) as failed:
            ray.get(large)
    assert reason_of(failed.value) == "the object store of its node is full"


def test_a_cluster_of_another_ray_is_refused(machine, monkeypatch, tmp_path):
    """A head that says it has another version: the same Ray, for no second one is downloaded here."""
    import ray

    other = tmp_path / "other" / "ray"
    other.mkdir(parents=True)
    for path in Path(ray.__file__).parent.iterdir():
        if path.name not in ("_version.py", "__pycache__"):
            (other / path.name).symlink_to(path)
    version = (Path(ray.__file__).parent / "_version.py").read_text()
    (other / "_version.py").write_text(version.replace(ray.__version__, "2.99.0"))
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        port, client = one.getsockname()[1], two.getsockname()[1]
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        head = ray_start(
            Path(sys.executable), "--head", f"--port={port}", f"--ray-client-server-port={client}",
            "--include-dashboard=false", f"--temp-dir={folder}", PYTHONPATH=str(other.parent),
        )  # fmt: skip
        try:
            eventually(lambda: head.poll() is not None or (_listens(port) and _listens(client)), 120)
            monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
            for executor in ("ray", f"ray://127.0.0.1:{client}"):
                message = "the cluster has another version of Ray or Python: .* Ray: 2.99.0"
                with pytest.raises(ReidbenchError, match=message), connected(executor):
                    pass
        finally:
            ended(head)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return not tried.connect_ex(("127.0.0.1", port))


def _alive(machine) -> int:
    return len(machine.cluster.global_state._live_node_ids())
