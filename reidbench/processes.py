"""Processes that end with the one that started them, and that clean up where they are told to end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_PR_SET_PDEATHSIG = 1


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is: what was begun is cleaned up."""


@contextlib.contextmanager
def termination_interrupts() -> Iterator[None]:
    """SIGTERM raises :class:`Terminated` in the main thread, which a batch system's cancelling so becomes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    told = False

    def raise_it(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = True
        raise Terminated

    before = signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    except KeyboardInterrupt as stop:
        # A library that waits in C may raise the plain one in its place.
        if told and not isinstance(stop, Terminated):
            raise Terminated from stop
        raise
    finally:
        # None: it was set by other than Python, and cannot be set again.
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def end_with_parent(parent: int) -> None:
    """Has the system kill this process as soon as its parent ends, however that ends. On Linux only.

    Call it in the new process, which the main thread of the parent must have started.

    Args:
        parent: the parent's process id; if that has ended already, this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
