"""Memory between two batches: a process keeps what it freed, and need not ask for it again.

glibc gives a freed block of more than 32 MiB back to the system at once. The next batch asks for as many bytes, and the
system clears each of their pages first. At 96² on a CPU that is a quarter to a third of the processor time of a
training step (``benchmarks/test_heap.py``).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
# What glibc comes to by itself with large blocks, since it cannot be told to begin anew.
_USUAL = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}
# The most that an int holds.
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}

_lock = threading.Lock()
_users = 0


@contextmanager
def freed_kept() -> Iterator[None]:
    """Within it, up to 2 GiB of freed memory stay with the process; behind it, glibc gives it back as usual.

    It may be entered again within itself, and in other threads. Where the memory is not glibc's, or the environment
    says how glibc is to keep it (``MALLOC_…``, ``GLIBC_TUNABLES``), nothing is changed.
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _users
    with _lock:
        before, _users = _users > 0, _users + change
        if (_users > 0) != before and (tell := _mallopt()) is not None:
            for option, value in (_KEPT if _users else _USUAL).items():
                tell(option, value)


def _mallopt() -> Callable[[int, int], int] | None:
    """glibc's function that sets an option; None where there is none, or where it is not ours to set."""
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    try:
        library = ctypes.CDLL(None)
        # Other libraries have one of these two.
        return library.mallopt if hasattr(library, "gnu_get_libc_version") else None
    except (OSError, TypeError, AttributeError):
        return None
