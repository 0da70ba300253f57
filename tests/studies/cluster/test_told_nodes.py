"""What nodes are told of a sweep, and how resources and devices are asked for: nothing here needs Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from reidbench import ReidbenchError
from reidbench.studies.cluster import node
from reidbench.studies.cluster.connection import is_ray
from reidbench.studies.cluster.resources import Resources, device_of_nodes, plan_on_ray
from reidbench.studies.sweep_plan import SweepPlan


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


def test_attackers_train_on_all_gpus_of_their_task_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = SweepPlan(defenses=["identity"], root=Path("data"))
    told = plan_on_ray(plan, Resources(gpus=2))
    assert told.devices == 2
    assert "--devices=2" in told.arguments()
    assert told.root == tmp_path / "data"
    assert plan_on_ray(plan, Resources(gpus=0.5)).devices is None
    assert plan_on_ray(plan, Resources()).devices is None
    assert plan_on_ray(plan.model_copy(update={"devices": 1}), Resources(gpus=2)).devices == 1
    # Without GPUs these are processes on a CPU.
    assert plan_on_ray(plan.model_copy(update={"devices": 3}), Resources()).devices == 3


@pytest.mark.parametrize("gpus", [0.5, 1, 2])
def test_more_devices_than_a_task_has_are_refused(gpus):
    plan = SweepPlan(defenses=["identity"], devices=3)
    with pytest.raises(ReidbenchError, match=f"--devices 3: a task has {gpus:g} GPUs; see --gpus-per-run"):
        plan_on_ray(plan, Resources(gpus=gpus))


def test_a_part_of_several_gpus_is_refused():
    with pytest.raises(ReidbenchError, match=r"--gpus-per-run 1\.5: a part of one GPU, or a whole number of them"):
        Resources(gpus=1.5)


def test_nodes_may_have_devices_that_this_machine_lacks():
    assert {device_of_nodes(name) for name in ("auto", "cpu", "cuda", "mps")} == {torch.device("cpu")}
    with pytest.raises(ReidbenchError, match="--device cuda:1: Ray chooses the GPUs of a task; use cuda or auto"):
        device_of_nodes("cuda:1")
    with pytest.raises(ReidbenchError, match="--device cdua: no such device"):
        device_of_nodes("cdua")
