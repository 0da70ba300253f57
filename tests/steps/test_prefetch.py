"""Trainings side by side: their steps land in the cache, their errors wait for whoever asks for the step."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from reidbench.progress import Silent
from reidbench.steps.prefetch import run_ahead

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or torch.cuda.is_available(), reason="processes are forked on Linux alone"
)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Counting(Silent):
    def __init__(self):
        self.total = self.done = 0

    def task(self, description, total):
        self.total = total
        context = super().task(description, total)

        class Opened:
            def __enter__(inner):
                context.__enter__()
                return self.add

            def __exit__(inner, *error):
                return context.__exit__(*error)

        return Opened()

    def add(self, count):
        self.done += count


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
    raise RuntimeError("shown where the step is asked for, not here")


def test_jobs_run_in_processes_of_their_own_even_after_work_on_several_threads(two_threads, tmp_path, capfd):
    here = tmp_path / "here"
    train(here, progress=Silent())
    jobs = [partial(train, tmp_path / str(number)) for number in range(5)]
    progress = Counting()
    run_ahead([*jobs[:2], fail, *jobs[2:]], progress=progress, description="training")
    written = [(tmp_path / str(number)).read_text().split() for number in range(5)]
    assert len({process for process, _, _ in written}) == 5
    assert str(os.getpid()) not in {process for process, _, _ in written}
    assert {threads for _, threads, _ in written} == {"1"}
    assert {value for _, _, value in written} == {here.read_text().split()[2]}
    assert progress.total == 600
    assert progress.done == 500, "five whole jobs, and one that told of nothing"
    assert capfd.readouterr() == ("", "")


def test_on_more_threads_than_jobs_no_process_waits_for_threads_that_it_cannot_start(tmp_path):
    # In a process of its own: what is tested would hang it.
    code = textwrap.dedent(f"""
        import sys, torch
        from functools import partial
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_prefetch import train
        from reidbench.steps.prefetch import run_ahead
        from reidbench.progress import Silent
        torch.set_num_threads(4)
        torch.relu(torch.randn(1 << 20))
        run_ahead([partial(train, Path({str(tmp_path)!r}) / name) for name in "ab"], progress=Silent(), description="")
    """)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert [(tmp_path / name).read_text().split()[1] for name in "ab"] == ["1", "1"]


def test_one_job_or_one_thread_is_left_to_whoever_asks(two_threads, tmp_path):
    run_ahead([partial(train, tmp_path / "one")], progress=Silent(), description="")
    torch.set_num_threads(1)
    run_ahead([partial(train, tmp_path / "two"), partial(train, tmp_path / "three")], progress=Silent(), description="")
    assert not list(tmp_path.iterdir())
