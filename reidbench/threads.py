"""Threads of torch on a CPU: with one, sums come in one order, and no result depends on the number of cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, torch works with one thread; what was set before is set again behind it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cpu_capability() -> str:
    """The instruction set that torch's kernels use here, such as ``AVX2``: another one adds in another order."""
    return torch.backends.cpu.get_cpu_capability()
