"""A command of ours in a process of its own: a hang or crash there does not affect this process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import reidbench

# Before it is stopped, the process is asked where it is: a C handler answers even out of a loop that never yields.
_ASK = getattr(signal, "SIGUSR1", None)
# The clock starts when torch is imported, for a run Lightning too: that takes seconds on a busy machine, whatever the
# plugin.
_READY = "reidbench: ready"
_CHILD = f"""
import faulthandler, importlib, sys
from reidbench.processes import end_with_parent
end_with_parent(int(sys.argv.pop(1)))
from reidbench.cli import main
{f"faulthandler.register({int(_ASK)}, all_threads=False)" if _ASK else ""}
if sys.argv.pop(1) == "timed":
    for name in ("harness.run", "networks.trainer") if sys.argv[1] == "run" else ("conformance",):
        importlib.import_module(f"reidbench.{{name}}")
    print({_READY!r}, file=sys.stderr, flush=True)
main()
"""
_ERROR = "reidbench: error: "
_ANSWER_SECONDS = 2.0
# How often a wait without end looks for an interrupt.
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit status; None where it was stopped at the limit.
        out: its standard output.
        reason: of a failure: its own error, the last line it wrote, or where it was when it was stopped.
    """

    code: int | None
    out: str
    reason: str


def run_apart(arguments: Sequence[str], *, timeout: float | None, say: Callable[[str], None]) -> Ended:
    """Runs ``reidbench ARGUMENTS`` in a new process, and stops it with all that it started at the limit.

    Args:
        arguments: as typed behind ``reidbench``.
        timeout: seconds from when everything of ours is imported, None for no limit.
        say: gets each line of its standard error, as it comes.
    """
    lines: list[str] = []
    ready, asked = threading.Event(), threading.Event()

    def read() -> None:
        assert process.stderr
        for line in process.stderr:
            if line.rstrip() == _READY:
                ready.set()
                continue
            lines.append(line.rstrip("\n"))
            if not asked.is_set():
                say(lines[-1])
        ready.set()  # It ended before.

    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(os.getpid()), "timed" if timeout else "free", *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        code: int | None
        before = 0
        try:
            if timeout:
                ready.wait()
            code = _wait(process, timeout)
        except subprocess.TimeoutExpired:
            code, before = None, len(lines)
            asked.set()
            if _ASK is not None:
                process.send_signal(_ASK)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_ANSWER_SECONDS)
        finally:
            _stop(process)
        reader.join(_ANSWER_SECONDS)
        out.seek(0)
        printed = out.read()
    if code is None:
        where = place(lines[before:])
        return Ended(None, printed, f"no end within {timeout:g} s{f'; it was at {where}' if where else ''}")
    return Ended(code, printed, _reason(code, lines) if code else "")


def _wait(process: subprocess.Popen[str], timeout: float | None) -> int:
    """Its exit status, as ``Popen.wait`` gives it.

    Without end, that waits inside the system, where an interrupt which another thread asks for (as Ray does to cancel a
    task) is not seen before the process has ended.
    """
    if timeout:
        return process.wait(timeout)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_LOOK_SECONDS)


def place(trace: Sequence[str]) -> str:
    """Where in the code of a plugin a process is, from its traceback, the innermost call first.

    That is the last frame before ours: the line of the method that we called. Empty without a traceback.
    """
    ours = str(Path(reidbench.__file__).parent)
    found = ""
    for line in trace:
        frame = re.match(r'\s*File "(?P<path>.+)", line (?P<line>\d+) in (?P<name>.+)', line)
        if frame is None or frame["path"].startswith("<"):  # The import machinery itself.
            continue
        if frame["path"].startswith(ours + os.sep) and found:
            break
        found = f"{Path(frame['path']).name} line {frame['line']}, in {frame['name']}"
        if frame["path"].startswith(ours + os.sep):
            break
    return found


def _reason(code: int, lines: Sequence[str]) -> str:
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    said = [line for line in lines if line.strip()]
    if errors:
        return errors[-1]
    if code < 0:
        return f"the process was killed by signal {-code}"
    return said[-1].strip() if said else f"exit status {code}"


def _stop(process: subprocess.Popen[str]) -> None:
    # The whole group: a run starts processes of its own to decode images.
    if process.poll() is None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
