"""A command in a process of its own: its end, its error, its limit, and where it hung."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reidbench.harness.isolated import Ended, place, run_apart


def test_what_it_prints_and_how_it_ends_is_given_back():
    said: list[str] = []
    assert run_apart(["--version"], timeout=None, say=said.append) == Ended(0, "reidbench 0.1.0\n", "")
    ended = run_apart(["describe", "nothing"], timeout=None, say=said.append)
    assert ended.code == 2
    assert ended.reason.startswith("unknown plugin 'nothing'")
    assert said == [f"reidbench: error: {ended.reason}"]


def test_past_the_limit_it_is_stopped_with_all_it_started(tmp_path):
    # A loose plugin that hangs on import, after starting a process of its own.
    (tmp_path / "hang.py").write_text(
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "while True:\n    pass\n"
    )
    ended = run_apart(["list", f"--plugins-dir={tmp_path}"], timeout=3, say=lambda line: None)
    assert ended.code is None
    assert ended.reason in {f"no end within 3 s; it was at hang.py line {line}, in <module>" for line in (4, 5)}
    child = (tmp_path / "pid").read_text()
    state = subprocess.run(["ps", "-o", "stat=", "-p", child], capture_output=True, text=True).stdout.strip()
    assert state in ("", "Z", "Zs"), "the child's child is stopped too"


def test_the_place_is_the_line_of_the_method_that_we_called():
    ours = __import__("reidbench").__path__[0]
    trace = [
        "Current thread 0x01 (most recent call first):",
        '  File "/lib/torch/deep.py", line 3 in inner',
        '  File "/home/me/mine.py", line 12 in helper',
        '  File "/home/me/mine.py", line 20 in transform',
        f'  File "{ours}/defenses/release.py", line 90 in apply',
        f'  File "{ours}/cli/kit.py", line 70 in check_defense',
    ]
    assert place(trace) == "mine.py line 20, in transform"
    assert place(trace[4:]) == "release.py line 90, in apply"
    assert place([]) == ""


def test_the_handler_of_this_python_writes_what_is_read():
    code = "import faulthandler\ndef f():\n    faulthandler.dump_traceback(all_threads=False)\nf()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert place(done.stderr.splitlines()) in ("<string> line 4, in <module>", "")


@pytest.mark.skipif(not hasattr(__import__("os"), "killpg"), reason="signals are POSIX")
def test_a_killed_process_says_by_which_signal(tmp_path):
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    ended = run_apart(["list", f"--plugins-dir={tmp_path}"], timeout=None, say=lambda line: None)
    assert (ended.code, ended.reason) == (-9, "the process was killed by signal 9")
