"""The step cache: done once, safe with several processes, going on after a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from reidbench.defenses.fingerprint import by_content
from reidbench.errors import ReidbenchError
from reidbench.files import content_digest
from reidbench.networks.history import Training
from reidbench.progress import Silent
from reidbench.source_version import code_version
from reidbench.steps.cache import StepCache
from reidbench.steps.training import cached_training


def _write(text: str):
    def make(folder):
        (folder / "result.txt").write_text(text)

    return make


def _never(folder):
    raise AssertionError("a finished step was made again")


def test_a_step_is_made_once_for_its_key(tmp_path):
    cache = StepCache(tmp_path)
    first = cache.run("kind", {"a": 1, "b": [2, 3]}, _write("x"))
    again = StepCache(tmp_path).run("kind", {"b": [2, 3], "a": 1}, _never)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.path == first.path
    assert (again.path / "result.txt").read_text() == "x"
    assert again.seconds == first.seconds


@pytest.mark.parametrize(("kind", "key"), [("kind", {"a": 2}), ("other", {"a": 1}), ("kind", {"a": 1, "b": None})])
def test_another_key_or_kind_is_another_step(tmp_path, kind, key):
    cache = StepCache(tmp_path)
    first = cache.run("kind", {"a": 1}, _write("x"))
    other = cache.run(kind, key, _write("y"))
    assert other.fresh
    assert other.digest != first.digest


def test_a_failed_step_leaves_no_result_and_goes_on_in_its_folder(tmp_path):
    cache = StepCache(tmp_path)

    def fail(folder):
        (folder / "checkpoint").write_text("half way")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        cache.run("kind", {}, fail)

    def go_on(folder):
        assert (folder / "checkpoint").read_text() == "half way"
        (folder / "result.txt").write_text("whole")

    step = cache.run("kind", {}, go_on)
    assert (step.path / "result.txt").read_text() == "whole"


def test_a_step_whose_record_was_deleted_is_made_again(tmp_path):
    cache = StepCache(tmp_path)
    step = cache.run("kind", {}, _write("x"))
    (step.path / "step.json").unlink()
    assert cache.run("kind", {}, _write("y")).fresh
    assert (step.path / "result.txt").read_text() == "y"


def _array(folder):
    np.save(folder / "vectors.npy", np.arange(4000, dtype=np.float32))
    (folder / "training.json").write_text(json.dumps({"history": list(range(100))}))


def _zero_the_tail(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def _zero_the_tail_unseen(path):
    before = path.stat()
    _zero_the_tail(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


def _empty(path):
    path.write_bytes(b"")


def _remove(path):
    path.unlink()


@pytest.mark.parametrize("file", ["vectors.npy", "training.json", "step.json"])
@pytest.mark.parametrize("damage", [_zero_the_tail, _cut, _empty, _remove])
def test_a_damaged_step_is_made_again_with_one_line_and_never_read(tmp_path, file, damage):
    def contents(step):
        return {path.name: path.read_bytes() for path in step.path.iterdir() if path.name != "step.json"}

    step = StepCache(tmp_path).run("vectors", {"a": 1}, _array)
    whole = contents(step)
    damage(step.path / file)
    said = []
    cache = StepCache(tmp_path, said.append)
    assert cache.known("vectors", {"a": 1}) is None
    again = cache.run("vectors", {"a": 1}, _array)
    assert again.fresh
    assert contents(again) == whole
    # A step without its record is as one that was never made.
    assert len(said) == (0 if (file, damage) == ("step.json", _remove) else 1)
    assert all(step.digest in line and "made again" in line for line in said)
    assert not cache.run("vectors", {"a": 1}, _never).fresh


def test_a_change_that_keeps_the_time_is_seen_by_the_next_process(tmp_path):
    step = StepCache(tmp_path).run("vectors", {"a": 1}, _array)
    _zero_the_tail_unseen(step.path / "vectors.npy")
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from reidbench.steps.cache import StepCache
        print(StepCache(Path(sys.argv[1])).known("vectors", {"a": 1}))
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_a_copied_or_touched_step_stays_good(tmp_path):
    step = StepCache(tmp_path / "here").run("vectors", {"a": 1}, _array)
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copyfile)
    assert not StepCache(tmp_path / "there").run("vectors", {"a": 1}, _never).fresh
    (step.path / "vectors.npy").touch()
    assert not StepCache(tmp_path / "here").run("vectors", {"a": 1}, _never).fresh


def test_a_full_disk_is_named_and_keeps_nothing_from_working_afterwards(tmp_path):
    def no_space(folder):
        with Path("/dev/full").open("wb") as file:
            file.write(bytes(100_000))

    cache = StepCache(tmp_path)
    with pytest.raises(ReidbenchError, match=f"{re.escape(str(tmp_path))}: the disk is full") as raised:
        cache.run("kind", {}, no_space)
    assert "\n" not in str(raised.value)
    assert cache.run("kind", {}, _write("x")).fresh


@pytest.mark.parametrize("left", [b"", b"PK\x03\x04 cut", None])
def test_an_unreadable_checkpoint_makes_the_training_begin_again(tmp_path, left):
    def fit(checkpoints, progress):
        checkpoints.mkdir(exist_ok=True)
        there = {path.name for path in checkpoints.iterdir()}
        torch.save({"w": torch.arange(1000)}, checkpoints / "last.ckpt")
        torch.save({"w": torch.arange(1000)}, checkpoints / "best.ckpt")
        if not there and len(asked) == 0:
            asked.append("interrupted")
            raise KeyboardInterrupt
        asked.append(there)
        return {"w": torch.zeros(1)}, Training(1, 1, 0.1, [], True)

    def save(model, path):
        torch.save(model, path)

    asked = []
    cache = StepCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cached_training(cache, "kind", {}, fit, save).make(Silent())
    (last,) = tmp_path.glob("kind/*.partial/checkpoints/last.ckpt")
    if left is not None:
        last.write_bytes(left)
    assert cached_training(cache, "kind", {}, fit, save).make(Silent()).fresh
    # The good ones are gone on with; with a bad one among them the training is as if never begun.
    assert asked[1] == ({"last.ckpt", "best.ckpt"} if left is None else set())


PROCESS = """
import sys, time
from pathlib import Path
from reidbench.steps.cache import StepCache

def make(folder):
    with open(Path(sys.argv[1]) / "made.log", "a") as log:
        log.write("made\\n")
    if (folder / "checkpoint").exists():
        (folder / "went_on").write_text("")
    (folder / "checkpoint").write_text("")
    time.sleep(float(sys.argv[2]))

print(StepCache(Path(sys.argv[1])).run("kind", {"a": 1}, make).fresh)
"""


def _start(tmp_path, seconds):
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), str(tmp_path), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_makes_the_step_and_the_other_waits(tmp_path):
    both = [_start(tmp_path, 1.0) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert said == ["False", "True"]
    assert (tmp_path / "made.log").read_text() == "made\n"


def test_a_killed_process_leaves_a_step_that_another_finishes(tmp_path):
    victim = _start(tmp_path, 600)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("kind/*.partial/checkpoint")) and time.monotonic() < deadline:
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not list(tmp_path.glob("kind/*/step.json"))
    survivor = _start(tmp_path, 0)
    assert survivor.communicate(timeout=60)[0].strip() == "True"
    assert list(tmp_path.glob("kind/*/went_on"))


def test_the_key_is_kept_with_the_step(tmp_path):
    step = StepCache(tmp_path).run("kind", {"a": 1}, _write("x"))
    assert json.loads((step.path / "step.json").read_text())["key"] == {"a": 1}


def test_the_code_version_follows_the_code(tmp_path, monkeypatch):
    package = tmp_path / "some_package_for_versions"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_version.__wrapped__("some_package_for_versions")
    assert before == code_version.__wrapped__("some_package_for_versions")
    (package / "part.py").write_text("A = 2\n")
    assert code_version.__wrapped__("some_package_for_versions") != before
    (package / "renamed.py").write_text((package / "part.py").read_text())
    (package / "part.py").unlink()
    assert code_version.__wrapped__("some_package_for_versions") != before


def test_the_content_digest_is_sha_256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert content_digest(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_weights_file_is_named_by_its_content(tmp_path):
    path = tmp_path / "resnet50.pth"
    path.write_bytes(b"one")
    options = {"weights": str(path), "lr": 0.1}
    first = by_content(options)
    assert first == {"weights": f"FILE, SHA-256 {content_digest(path)}", "lr": 0.1}
    # Wherever it lies.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "resnet50.pth").write_bytes(b"one")
    assert by_content({**options, "weights": str(tmp_path / "elsewhere" / "resnet50.pth")}) == first
    path.write_bytes(b"other")
    assert by_content(options) != first
    for named in ("random", "imagenet", str(tmp_path / "missing.pth"), None, 3):
        assert by_content({"weights": named}) == {"weights": named}
    assert by_content({"lr": 1}) == {"lr": 1}
