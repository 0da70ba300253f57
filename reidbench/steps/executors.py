"""Where the steps of a plan are made: an executor is given all of them, and makes each once, after what it needs.

To make steps elsewhere, on a cluster for example, write one class with the method :meth:`Executor.run`. Results go
through the step cache, so that an executor moves no data: it needs a place where the same cache folder can be written.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from reidbench.processes import end_with_parent
from reidbench.progress import Advance, Progress

#: Parts of a step that its process tells of.
PARTS = 100


class Task(Protocol):
    """A step, as an executor sees it."""

    @property
    def id(self) -> str:
        """Unique in a plan."""
        ...

    @property
    def needs(self) -> Sequence[str]:
        """The ids of the steps whose results it reads. Those that are in no list of tasks are done."""
        ...

    @property
    def here(self) -> bool:
        """Whether it must be made in the process of the run, in the order of the plan, and with no other beside it."""
        ...

    def make(self, progress: Progress) -> object:
        """Makes it. What it returns is discarded; what it caches stays."""
        ...


class Report(Protocol):
    """Gets told how far the steps are."""

    def advanced(self, task: str, share: float) -> None:
        """A task is this far, in [0, 1]."""
        ...

    def finished(self, task: str, seconds: float) -> None:
        """A task is done, after so many seconds."""
        ...


class Executor(Protocol):
    """Makes the steps of a plan."""

    def run(self, tasks: Sequence[Task], *, progress: Progress, report: Report) -> None:
        """Makes every task, each after those that it needs; in the order of the list where nothing else decides.

        Args:
            tasks: none before one that it needs.

        Raises:
            Exception: whatever a task raises; those that are not made by then are not made.
        """
        ...


def workers() -> int:
    """Processes that may work at once: as many as torch has threads; 1 where a process cannot be forked safely."""
    # Forking is a Linux affair, and must not follow the start of CUDA.
    if not sys.platform.startswith("linux") or torch.cuda.is_available():
        return 1
    return torch.get_num_threads()


class InTurn:
    """Makes one step after the other in this process, with all its threads."""

    def run(self, tasks: Sequence[Task], *, progress: Progress, report: Report) -> None:
        """As :meth:`Executor.run`."""
        for task in tasks:
            _make_here(task, progress, report)


class Processes:
    """Makes steps side by side, each in a process of its own with one thread.

    Small networks gain little from a second thread: two trainings on a core each are done well before two in turn on
    both. Each process has one thread, whatever the machine: the copy of a process whose threads have worked cannot
    start new ones, and would wait for them for ever.

    Args:
        at_once: processes; as many as torch has threads if left out. With one, or with a single step that another
            process could make, all are made in this process with all its threads.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once

    def run(self, tasks: Sequence[Task], *, progress: Progress, report: Report) -> None:
        """As :meth:`Executor.run`."""
        at_once = min(self._at_once or workers(), sum(not task.here for task in tasks))
        if at_once < 2:
            InTurn().run(tasks, progress=progress, report=report)
            return
        waiting = list(tasks)
        unmade = {task.id for task in tasks}
        running: dict[Any, tuple[BaseProcess, Task, float]] = {}

        def ready(task: Task) -> bool:
            return not unmade.intersection(task.needs)

        try:
            while waiting or running:
                # Tasks of this process are made in the order of the list: a record is written before the next release
                # is made, which may fail.
                mine = next((task for task in waiting if task.here), None)
                if mine is not None and ready(mine) and not running:
                    waiting.remove(mine)
                    _make_here(mine, progress, report)
                    unmade.discard(mine.id)
                    continue
                for task in [task for task in waiting if not task.here and ready(task)]:
                    # What is to be made here waits for the others, and these for no longer than they must.
                    if len(running) >= at_once or (mine is not None and ready(mine)):
                        break
                    waiting.remove(task)
                    receiver, process = _start(task)
                    running[receiver] = process, task, time.perf_counter()
                for heard in wait(list(running)):
                    share = _received(heard)
                    process, task, began = running[heard]
                    if share is not None:
                        report.advanced(task.id, share)
                        continue
                    del running[heard]
                    process.join()
                    if process.exitcode:
                        # Made again here, which shows what went wrong; or works, where a process was short of memory.
                        _make_here(task, progress, report)
                    else:
                        report.finished(task.id, time.perf_counter() - began)
                    unmade.discard(task.id)
        finally:
            for process, _, _ in running.values():
                # SIGTERM would run the handler of the process that it is a copy of: that of Ray waits for ever there.
                process.kill()
                process.join()


def local_executor() -> Executor:
    """What makes the steps of a run on this machine."""
    return Processes()


def _make_here(task: Task, progress: Progress, report: Report) -> None:
    began = time.perf_counter()
    task.make(_Watched(progress, lambda share: report.advanced(task.id, share)))
    report.finished(task.id, time.perf_counter() - began)


def _start(task: Task) -> tuple[Any, BaseProcess]:
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_work, args=(task, sender, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # Bars and decoders have threads here; the new process touches neither.
        warnings.simplefilter("ignore", DeprecationWarning)
        # A collection in the new process would visit all that was imported here, and so copy its pages.
        gc.freeze()
        process.start()
        gc.unfreeze()
    sender.close()
    return receiver, process


def _received(receiver: Any) -> float | None:
    # The share that the process has done; None once it has ended.
    try:
        return int(receiver.recv()) / PARTS
    except EOFError:
        receiver.close()
        return None


def _work(task: Task, sender: Connection, parent: int) -> None:
    code = 1
    try:
        end_with_parent(parent)
        torch.set_num_threads(1)
        task.make(_Relay(sender.send))
        code = 0
    except BaseException:
        # Made again in the process of the run, where the error can be seen.
        pass
    finally:
        sender.close()
        # No clean-up of what belongs to the process that this is a copy of.
        os._exit(code)


class _Relay:
    """Progress of a step, sent to the process that shows it."""

    def __init__(self, send: Callable[[int], None]) -> None:
        self._send = send
        self._parent = os.getppid()
        self._told = 0

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of the step; of several the one that is furthest counts."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if os.getppid() != self._parent:
                os._exit(1)
            parts = min(PARTS * done // max(total, 1), PARTS)
            if parts > self._told:
                self._told = parts
                self._send(parts)

        yield advance

    def say(self, line: str) -> None:
        """Nothing: notices are shown by the process of the run."""


class _Watched:
    """Progress of a step in this process: shown, and told of."""

    def __init__(self, progress: Progress, tell: Callable[[float], None]) -> None:
        self._progress = progress
        self._tell = tell

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of the step; of several the one that is furthest counts."""
        done = 0
        with self._progress.task(description, total) as inner:

            def advance(count: int) -> None:
                nonlocal done
                done += count
                inner(count)
                self._tell(min(done / max(total, 1), 1.0))

            yield advance

    def say(self, line: str) -> None:
        """Shown."""
        self._progress.say(line)
