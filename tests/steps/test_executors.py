"""Steps side by side, each in a process of its own, in an order that their needs allow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from reidbench.progress import Silent
from reidbench.steps.executors import InTurn, Processes

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or torch.cuda.is_available(), reason="processes are forked on Linux alone"
)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Step:
    """A step that a function makes."""

    id: str
    work: Callable[..., object]
    needs: tuple[str, ...] = ()
    here: bool = False

    def make(self, progress):
        return self.work(progress=progress)


class Told:
    """What an executor reports."""

    def __init__(self):
        self.shares = {}
        self.done = []

    def advanced(self, task, share):
        self.shares.setdefault(task, []).append(share)

    def finished(self, task, seconds):
        assert seconds >= 0
        self.done.append(task)


def train(path, *, progress):
    """Writes the process' number and what a step of a convolution gives in it."""
    torch.manual_seed(0)
    weight = torch.randn(16, 8, 3, 3, requires_grad=True)
    with progress.task("training", 4) as advance:
        for _ in range(4):
            functional.conv2d(torch.ones(8, 8, 32, 32), weight).square().mean().backward()
            advance(1)
    path.write_text(f"{os.getpid()} {torch.get_num_threads()} {weight.grad.sum().item():.6f}")


def fail(*, progress):
    raise RuntimeError("shown in the process of the run")


def run(steps, told=None, executor=None):
    (executor or Processes()).run(steps, progress=Silent(), report=told or Told())


def test_steps_are_made_in_processes_of_their_own_even_after_work_on_several_threads(two_threads, tmp_path, capfd):
    here = tmp_path / "here"
    train(here, progress=Silent())
    told = Told()
    names = [str(number) for number in range(5)]
    run([Step(name, partial(train, tmp_path / name)) for name in names], told)
    written = [(tmp_path / name).read_text().split() for name in names]
    assert len({process for process, _, _ in written}) == 5
    assert str(os.getpid()) not in {process for process, _, _ in written}
    assert {threads for _, threads, _ in written} == {"1"}
    assert {value for _, _, value in written} == {here.read_text().split()[2]}
    assert sorted(told.done) == names
    assert all(told.shares[name] == [0.25, 0.5, 0.75, 1.0] for name in names)
    assert capfd.readouterr() == ("", "")


def test_a_step_that_fails_in_its_process_shows_its_error_and_ends_the_run(two_threads, tmp_path):
    steps = [
        Step("good", partial(train, tmp_path / "good")),
        Step("bad", fail),
        Step("after", partial(train, tmp_path / "after"), needs=("bad",)),
    ]
    with pytest.raises(RuntimeError, match="shown in the process of the run"):
        run(steps)
    assert not (tmp_path / "after").exists()


def test_a_step_that_is_stopped_runs_no_handler_of_the_run(two_threads, tmp_path):
    def begun(*, progress):
        (tmp_path / "begun").touch()
        time.sleep(20)

    def fails(*, progress):
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        raise RuntimeError("shown")

    before = signal.signal(signal.SIGTERM, lambda number, frame: (tmp_path / "handled").touch())
    try:
        with pytest.raises(RuntimeError, match="shown"):
            run([Step("begun", begun), Step("fails", fails)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not (tmp_path / "handled").exists()


def test_a_step_whose_process_dies_is_made_here(two_threads, tmp_path):
    before = os.getpid()

    def killed(*, progress):
        if os.getpid() != before:
            os.kill(os.getpid(), signal.SIGKILL)
        train(tmp_path / "killed", progress=progress)

    told = Told()
    run([Step("killed", killed), Step("other", partial(train, tmp_path / "other"))], told)
    assert (tmp_path / "killed").read_text().split()[0] == str(before)
    assert sorted(told.done) == ["killed", "other"]


@pytest.mark.parametrize("executor", [InTurn(), Processes(2)])
def test_no_step_is_made_before_what_it_needs_and_each_is_made_once(two_threads, tmp_path, executor):
    log = tmp_path / "log"

    def make(name, *, progress):
        with log.open("a") as file:
            file.write(f"{name} {os.getpid()}\n")

    needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "here": ("b",), "e": ("d", "here"), "f": ("known",)}
    told = Told()
    run([Step(name, partial(make, name), below, name == "here") for name, below in needs.items()], told, executor)
    made = dict(line.split() for line in log.read_text().splitlines())
    order = list(made)
    assert sorted(order) == sorted(needs) == sorted(told.done)
    assert len(log.read_text().splitlines()) == len(needs)
    assert all(order.index(below) < order.index(name) for name in needs for below in needs[name] if below in needs)
    assert made["here"] == str(os.getpid())


def test_steps_of_this_process_keep_their_order(two_threads, tmp_path):
    # A record is written before the next release is made, which may fail.
    made = []
    steps = [
        Step("training", partial(train, tmp_path / "training")),
        Step("record", lambda *, progress: made.append("record"), ("training",), here=True),
        Step("release", lambda *, progress: made.append("release"), here=True),
        Step("another", partial(train, tmp_path / "another"), ("release",)),
    ]
    run(steps)
    assert made == ["record", "release"]


def test_on_more_threads_than_steps_no_process_waits_for_threads_that_it_cannot_start(tmp_path):
    # In a process of its own: what is tested would hang it.
    code = textwrap.dedent(f"""
        import sys, torch
        from functools import partial
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_executors import Step, Told, train
        from reidbench.steps.executors import Processes
        from reidbench.progress import Silent
        torch.set_num_threads(4)
        torch.relu(torch.randn(1 << 20))
        steps = [Step(name, partial(train, Path({str(tmp_path)!r}) / name)) for name in "ab"]
        Processes().run(steps, progress=Silent(), report=Told())
    """)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert [(tmp_path / name).read_text().split()[1] for name in "ab"] == ["1", "1"]


def test_one_step_or_one_thread_is_left_to_the_process_of_the_run(two_threads, tmp_path):
    run([Step("one", partial(train, tmp_path / "one"))])
    assert (tmp_path / "one").read_text().split()[:2] == [str(os.getpid()), "2"]
    torch.set_num_threads(1)
    run([Step(name, partial(train, tmp_path / name)) for name in ("two", "three")])
    assert {(tmp_path / name).read_text().split()[0] for name in ("two", "three")} == {str(os.getpid())}
