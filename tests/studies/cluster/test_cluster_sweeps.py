"""Sweeps on a real Ray cluster: cancelled, two at once, outliving a node, and on several GPUs of a task."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from ray_cluster import eventually, finished, python

from reidbench.studies.cluster.connection import connected

pytestmark = pytest.mark.slow

SIX = """
defenses = ["raises"]

[[defense]]
name = "waits"
options = { strength = [0.1, 0.3, 0.5, 0.7, 0.9] }
"""
ONE = """
[[defense]]
name = "waits"
options = { strength = 0.3 }
"""


@pytest.mark.cluster
def test_cancelled_sweeps_leave_no_task_and_no_process(machine, monkeypatch):
    """Two at once on one cache, one from outside the cluster: while one trains what both need, the other waits."""
    for name in ("hold-fit", "hold-cells"):
        (machine.signals / name).touch()
    plan = machine.plan("six.toml", SIX)
    outside = machine.sweep(plan, out="outside", executor=machine.outside, python=python())
    inside = machine.sweep(plan, out="inside", python=python())
    eventually(lambda: machine.noted("fit"))
    inside.send_signal(signal.SIGTERM)
    _, told = finished(inside, 128 + signal.SIGTERM)
    assert told.splitlines()[-1] == (
        "reidbench: interrupted: finished steps and records are kept; the same command goes on from there"
    )
    assert "Traceback" not in told
    # If it was the one that trained, the other does now.
    eventually(machine.processes)
    (machine.signals / "hold-fit").unlink()
    eventually(lambda: machine.noted("cell"))
    outside.send_signal(signal.SIGINT)
    _, told = finished(outside, 128 + signal.SIGINT)
    assert "Traceback" not in told
    # Nothing is held any more, and nobody that began something runs; of eleven cells most were waiting.
    begun = machine.noted("cell")
    assert 1 <= len(begun) <= 3
    eventually(lambda: not machine.processes(), 30)
    monkeypatch.setenv("RAY_ADDRESS", machine.cluster.address)
    with connected("ray") as ray:
        eventually(lambda: ray.available_resources().get("CPU") == 3, 30)
    assert machine.noted("cell") == begun
    # What was finished is kept, and nothing else was written.
    for out in ("outside", "inside"):
        names = [path.name for path in (machine.folder / out).glob("*")]
        assert all(name.startswith("undefended") or name.startswith("identity") for name in names), names
    assert len(machine.records("outside")) == 1


def test_two_sweeps_at_once_outlive_a_node_and_leave_the_records_of_a_local_one(machine):
    (machine.signals / "hold-cells").touch()
    six, one = machine.plan("six.toml", SIX), machine.plan("one.toml", ONE)
    shutil.copytree(machine.folder / "plugins", machine.folder / "sent")
    outside = machine.sweep(six, out="outside", executor=machine.outside, plugins=["sent"])
    inside = machine.sweep(one, out="one")

    def begun_on_a_node_to_lose() -> str | None:
        assert outside.poll() is None, finished(outside, 0)
        return next((where for where, _ in machine.noted("cell").values() if where in machine.nodes), None)

    lost = eventually(begun_on_a_node_to_lose)
    # Nodes that cannot see the folder of the plugins were sent what is in it.
    shutil.rmtree(machine.folder / "sent")
    machine.cluster.remove_node(machine.nodes.pop(lost), allow_graceful=False)
    (machine.signals / "hold-cells").unlink()
    rows = {row["defense"]: row for row in json.loads(finished(outside, 1)[0])}
    assert {name: row["state"] for name, row in rows.items() if name != "undefended"} == {
        "raises": "failed",
        **{f"waits strength={strength}": "recorded" for strength in (0.1, 0.3, 0.5, 0.7, 0.9)},
    }
    assert rows["raises"]["reason"] == "raises: transform() raised RuntimeError: out of order"
    assert {row["state"] for row in json.loads(finished(inside, 0)[0])} == {"recorded"}
    # Made once for both, or before by a test that was cancelled.
    assert len(list(machine.signals.glob("fit@*"))) <= 1
    places = [Path(path.read_text()) for path in machine.signals.glob("cell*")]
    assert not any(place.is_relative_to(machine.folder) for place in places)

    # On this machine alone, with nothing of the cluster's: one of the cells, and what it is compared with.
    finished(machine.sweep(one, out="local", cache="other", executor="local"), 0)
    here, there = machine.records("local"), machine.records("outside")
    assert len(there) == 6
    assert len(here) == 2
    assert {name: there[name] for name in here} == here
    assert machine.records("one") == here
    assert {path.name for path in (machine.folder / "outside").iterdir()} > {
        path.name for path in (machine.folder / "local").iterdir()
    }


@pytest.mark.cluster
def test_an_attacker_trains_on_all_gpus_of_its_task(machine):
    """Ray assigns two devices by number; this machine has none, so that two processes on its CPU train together."""
    # Shipped weights would be found good enough, and nothing trained.
    little = {"weights": "random", "min_steps": 2, "max_steps": 2, "batch_size": 16}
    plan = machine.plan("gpus.toml", 'defenses = ["identity"]\n')
    options = [f"--set=verification.{name}={value}" for name, value in little.items()]
    running = machine.sweep(plan, "--attacker=verification", "--gpus-per-run=2", "--device=cpu", *options, out="gpus")
    # Processes that multiprocessing starts for a training, by their number, with the devices that they may use.
    trained: dict[int, str] = {}
    while running.poll() is None:
        trained |= _spawned(str(machine.signals))
        time.sleep(0.2)
    assert {row["state"] for row in json.loads(finished(running, 0)[0])} == {"recorded"}
    assert len(trained) == 2
    assert set(trained.values()) == {"0,1"}
    for record in machine.records("gpus").values():
        assert record["hyperparameters"]["verification"]["devices"] == 2


def _spawned(signals: str) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if b"spawn_main" in (folder / "cmdline").read_bytes():
                words = dict(word.partition("=")[::2] for word in (folder / "environ").read_text().split("\0"))
                if words.get("SIGNALS") == signals:
                    found[int(folder.name)] = words.get("CUDA_VISIBLE_DEVICES", "")
        except (OSError, ValueError):
            continue
    return found
