"""Trainings that don't wait for each other, in processes of their own: their steps lie in the cache when wanted.

Small networks gain little from a second thread: two trainings on a core each are done well before two in turn on both.
Each process has one thread, whatever the machine: the copy of a process whose threads have worked cannot start new
ones, and would wait for them for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from reidbench.progress import Advance, Progress


class Job(Protocol):
    """A cached step to make; what it returns is lost, what it caches stays."""

    def __call__(self, *, progress: Progress) -> object:
        """Makes it."""
        ...


#: Parts of a job that its process tells of.
PARTS = 100


def workers() -> int:
    """Processes that may work at once: as many as torch has threads; 1 where a process cannot be forked safely."""
    # Forking is a Linux affair, and must not follow the start of CUDA.
    if not sys.platform.startswith("linux") or torch.cuda.is_available():
        return 1
    return torch.get_num_threads()


def run_ahead(jobs: Sequence[Job], *, progress: Progress, description: str) -> None:
    """Runs jobs side by side, with a thread each; with one worker, or one job, none of them.

    Results and errors are discarded: the caller reads the step from the cache as usual, or makes it then, and its error
    is raised there.
    """
    at_once = min(workers(), len(jobs))
    if at_once < 2:
        return
    fork = multiprocessing.get_context("fork")
    waiting = list(jobs)
    running: dict[Any, BaseProcess] = {}
    try:
        with progress.task(f"{description}, {at_once} at a time", len(jobs) * PARTS) as advance:
            while waiting or running:
                while waiting and len(running) < at_once:
                    receiver, sender = fork.Pipe(duplex=False)
                    process = fork.Process(target=_work, args=(waiting.pop(0), sender), daemon=True)
                    with warnings.catch_warnings():
                        # Bars and decoders have threads here; the new process touches neither.
                        warnings.simplefilter("ignore", DeprecationWarning)
                        process.start()
                    sender.close()
                    running[receiver] = process
                for ready in wait(list(running)):
                    done = _received(ready)
                    if done is None:
                        running.pop(ready).join()
                    else:
                        advance(done)
    finally:
        for left in running.values():
            left.terminate()
            left.join()


def _received(receiver: Any) -> int | None:
    # What the process has done since it last told; None once it has ended.
    try:
        return int(receiver.recv())
    except EOFError:
        receiver.close()
        return None


def _work(job: Job, sender: Connection) -> None:
    code = 1
    try:
        torch.set_num_threads(1)
        relay = _Relay(sender.send)
        job(progress=relay)
        relay.finish()
        code = 0
    except BaseException:
        # The step is made again where it is needed, and its error is raised there.
        pass
    finally:
        sender.close()
        # No clean-up of what belongs to the process that this is a copy of.
        os._exit(code)


class _Relay:
    """Progress of a job, sent to the process that shows it."""

    def __init__(self, send: Callable[[int], None]) -> None:
        self._send = send
        self._parent = os.getppid()
        self._told = 0

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        """A bar of the job; of several the one that is furthest counts."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if os.getppid() != self._parent:
                os._exit(1)
            self._tell(PARTS * done // max(total, 1))

        yield advance

    def say(self, line: str) -> None:
        """Nothing: what is worth saying is said where the step is asked for."""

    def finish(self) -> None:
        """The rest."""
        self._tell(PARTS)

    def _tell(self, parts: int) -> None:
        new = min(parts, PARTS) - self._told
        if new > 0:
            self._told += new
            self._send(new)
