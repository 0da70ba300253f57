"""How a command ends: a plugin cannot end it, Ctrl-C says what is kept, and its processes end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reidbench.errors import ReidbenchError
from reidbench.harness import environment

QUITS = """
from reidbench import Dataset, hookimpl

class Quits(Dataset):
    "Ends the program."
    name = "quits"
    def source(self):
        raise SystemExit(0)
    def read(self, rows, size):
        raise SystemExit(0)

class Raises(Quits):
    "Raises."
    name = "raises"
    def source(self):
        return {}["patients"]

class Nothing(Quits):
    "Gives no table."
    name = "gives_nothing"
    def source(self):
        return None

class Interrupted(Quits):
    "Somebody presses Ctrl-C."
    name = "interrupted"
    def source(self):
        raise KeyboardInterrupt

@hookimpl
def reidbench_datasets():
    return [Quits, Raises, Nothing, Interrupted]
"""


@pytest.fixture
def plugins(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "quits.py").write_text(QUITS)
    return folder


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("quits", r"a plugin ended the program with SystemExit(0) before check was done"),
        ("raises", "raises: source() failed: KeyError: 'patients'"),
        ("gives_nothing", "gives_nothing: source() must give a Source with a DataFrame, not NoneType"),
    ],
)
def test_a_plugin_neither_ends_the_program_nor_gives_a_traceback(refused, plugins, dataset, message):
    assert message in refused("data", "check", dataset, f"--plugins-dir={plugins}")


def test_ctrl_c_says_in_one_line_what_is_kept(call, plugins):
    done = call("data", "check", "interrupted", f"--plugins-dir={plugins}", "--quiet", check=130)
    assert done.stderr.splitlines() == [
        "reidbench: interrupted: finished steps and records are kept; the same command goes on from there"
    ]


def test_help_says_that_plugin_files_are_run(call):
    assert "whose code is run" in " ".join(call("list", "--help").stdout.split())


def test_a_slow_git_costs_no_record(monkeypatch):
    def slow(*arguments, **options):
        raise subprocess.TimeoutExpired("git", 10)

    monkeypatch.setattr(environment.subprocess, "run", slow)
    assert environment.git_state() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends processes with their parent")
def test_a_process_ends_with_a_parent_that_is_killed(tmp_path):
    code = f"""
import multiprocessing, os, time
from reidbench.processes import end_with_parent

def work(parent):
    end_with_parent(parent)
    open({str(tmp_path / "child")!r}, "w").write(str(os.getpid()))
    time.sleep(60)

process = multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(),))
process.start()
process.join()
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    child = tmp_path / "child"
    wait_for(lambda: child.is_file() and child.read_text())
    number = int(child.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not alive(number))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends processes with their parent")
def test_processes_that_decode_end_with_a_run_that_is_killed(tmp_path):
    code = f"""
import os, time
from pathlib import Path
import joblib
from reidbench.cohorts.pixels import worker_pool

class Slow:
    # In place of a job's rows: the first thing that a job asks for.
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        Path({str(tmp_path)!r}, f"worker{{os.getpid()}}").touch()
        time.sleep(60)

pool = joblib.Parallel(n_jobs=2, batch_size=1, return_as="generator_unordered")
list(pool(joblib.delayed(worker_pool._decode_apart)(Slow(), os.getpid()) for _ in range(2)))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    # Both import what they decode with; on a busy machine that takes a while.
    wait_for(lambda: len(list(tmp_path.glob("worker*"))) == 2, seconds=150)
    numbers = [int(path.name.removeprefix("worker")) for path in tmp_path.glob("worker*")]
    assert all(map(alive, numbers))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not any(map(alive, numbers)))


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition, seconds: int = 30) -> None:
    for _ in range(20 * seconds):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not happen within {seconds} s")


def test_the_home_of_nobody_as_a_cache_is_one_line(monkeypatch):
    from reidbench.files import cache_folder

    monkeypatch.setenv("REIDBENCH_CACHE", "~nobody-of-this-name")
    with pytest.raises(ReidbenchError, match="REIDBENCH_CACHE=~nobody-of-this-name: "):
        cache_folder()


def test_every_command_ends_and_is_recorded_in_the_same_way():
    from reidbench.cli.app import app
    from reidbench.cli.command_text import RecordedCommand

    groups = [group.typer_instance for group in app.registered_groups]
    commands = [one for group in (app, *groups) for one in group.registered_commands]
    assert len(commands) > 20
    assert [one.name for one in commands if one.cls is not RecordedCommand] == []
