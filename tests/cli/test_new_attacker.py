"""new-attacker and check-attacker: the files that are written, and the exit codes."""

from __future__ import annotations

import json
import tomllib

import pytest

from reidbench import ReidbenchError
from reidbench.templates import new_attacker

FEW = "min_steps=2,max_steps=2,batch_size=8"
ODD = """
import numpy as np
from reidbench import Attacker, Training, hookimpl

class Odd(Attacker):
    "Compares mean intensities; score_block has the wrong sign."
    name = "odd"
    presets = {"quick": {}, "standard": {}}
    def fit(self, train, val, *, seed, device, work_dir, start=None, progress=None):
        return Training(epochs=0, images_seen=0, seconds=0.0, learned=True, history=[])
    def embed(self, images, *, device):
        return images.mean(axis=(1, 2), dtype=np.float32)[:, None]
    def score(self, a, b):
        return -np.abs(a - b)[:, 0]
    def score_block(self, probes, gallery):
        return np.abs(probes - gallery.T)
    def save(self, path):
        path.write_text("")
    def load(self, path, *, device):
        path.read_text()

@hookimpl
def reidbench_attackers():
    return [Odd]
"""


@pytest.fixture
def odd(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "odd.py").write_text(ODD)
    return f"--plugins-dir={folder}"


@pytest.mark.parametrize(("joint", "base"), [(False, "SiameseAttacker"), (True, "PairNetworkAttacker")])
def test_a_package_has_few_lines_and_an_entry_point_that_names_the_class(tmp_path, joint, base):
    paths = new_attacker("my_link", tmp_path, joint=joint)
    folder = tmp_path / "reidbench-my-link"
    assert sorted(str(path.relative_to(folder)) for path in paths) == [
        ".github/workflows/test.yml",
        "README.md",
        "pyproject.toml",
        "reidbench_my_link.py",
        "test_my_link.py",
    ]
    assert sum(len(path.read_text().splitlines()) for path in paths) < 45
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"reidbench.attackers": {"my_link": "reidbench_my_link:MyLink"}}
    module = (folder / "reidbench_my_link.py").read_text()
    assert f"class MyLink({base}):" in module
    assert "hook" not in module
    assert 'check_attacker("my_link"' in (folder / "test_my_link.py").read_text()
    assert "--attacker my_link" in (folder / "README.md").read_text()
    for path in paths:
        assert "$" not in path.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["reidbench-my-link"], "nothing half-written is left"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("My-Link", "perhaps my_link"),
        ("retrieval", "reidbench brings an attacker of this name already"),
        ("plugins", "a module reidbench_plugins is installed already"),
        ("../up", "perhaps up"),
    ],
)
def test_a_bad_name_is_refused_and_nothing_is_written(tmp_path, name, what):
    with pytest.raises(ReidbenchError, match=what):
        new_attacker(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("single_file", [True, False])
def test_what_is_there_is_never_overwritten(tmp_path, single_file):
    (path, *_) = new_attacker("mine", tmp_path, single_file=single_file)
    path.write_text("work of weeks")
    with pytest.raises(ReidbenchError, match="is there already"):
        new_attacker("mine", tmp_path, single_file=single_file)
    assert path.read_text() == "work of weeks"


@pytest.mark.slow
@pytest.mark.parametrize("joint", [[], ["--joint"]], ids=["vectors", "joint"])
def test_a_single_file_keeps_the_contract(call, joint):
    assert call("new-attacker", "loose", "--single-file", "--out=plug", *joint).stdout.strip() == "plug/loose.py"
    option = "width=4" if joint else "backbone=resnet_small_8,dimensions=8,grid=2,warm_min_steps=2,warm_max_steps=2"
    findings = json.loads(call("check-attacker", f"loose:{FEW},{option}", "--plugins-dir=plug", "--json").stdout)
    assert {"fit determinism", "fit resumption", "blocks", "save and load", "time of the training"} <= {
        finding["property"] for finding in findings
    }
    assert [f for f in findings if not f["passed"] and f["level"] == "error"] == []
    shown = json.loads(call("describe", "loose", "--plugins-dir=plug", "--json").stdout)
    assert (shown["kind"], shown["name"]) == ("attacker", "loose")


def test_a_broken_promise_is_a_line_and_exit_1_a_warning_is_not(call, odd):
    lines = call("check-attacker", "odd", odd, check=1).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("FAIL")]
    assert line.startswith("FAIL  odd: blocks: scores differ by up to ")
    assert any(line.startswith("warn  odd: missing weights: load() of a file that is not there") for line in lines)
    findings = json.loads(call("check-attacker", "odd", odd, "--json", check=1).stdout)
    assert [f["property"] for f in findings if not f["passed"] and f["level"] == "error"] == ["blocks"]


def test_warnings_alone_are_exit_0(call, odd, tmp_path):
    mended = ODD.replace("return np.abs(probes", "return -np.abs(probes")
    (tmp_path / "plugins" / "odd.py").write_text(mended)
    lines = call("check-attacker", "odd", odd).stdout.splitlines()
    assert any(line.startswith("warn") for line in lines)
    assert not any(line.startswith("FAIL") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["check-attacker", "retrival"], "did you mean 'retrieval'?"),
        (["check-attacker", "retrieval:all"], "'all' is not of the form option=value"),
        (["check-attacker", "retrieval:epochs=-1"], "greater than 0"),
        (["check-attacker", "retrieval:epoch=1"], "epoch"),
        (["check-attacker", "retrieval", "--preset=quik"], "did you mean 'quick'?"),
        (["new-attacker", "My-Link"], "perhaps my_link"),
    ],
)
def test_bad_input_is_one_clear_line(refused, arguments, what):
    assert what in refused(*arguments)
