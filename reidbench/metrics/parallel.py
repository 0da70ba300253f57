"""Threads for numpy work that lets other threads run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

# Beyond a few, threads wait for memory.
MOST_THREADS = 8


def threads() -> int:
    """How many threads are worth starting: one a core that this process may use, up to a bound."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def over_threads(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """The function's result for every part, in order.

    Args:
        function: called from several threads at once; it should leave BLAS alone, which brings threads of its own.
        parts: independent pieces of work.
    """
    if len(parts) < 2:
        # The check of one record resamples a hundred attacks on few pairs: threads would take longer than the work.
        return [function(part) for part in parts]
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(function, parts))
