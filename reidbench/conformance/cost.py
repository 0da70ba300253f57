"""Seconds and peak memory of a call."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """What a call took.

    Attributes:
        seconds: of wall time.
        peak_bytes: the most memory held at once beyond that held before; None where the system doesn't tell.
    """

    seconds: float
    peak_bytes: int | None


def measure(call: Callable[[], object], device: torch.device) -> Cost:
    """Calls twice: the first call's memory, on a CUDA device or else of the process (Linux); the second call's seconds.

    Memory is the first call's, since an allocator keeps what it was given once; time the second's, when all is loaded.
    """
    peak = _cuda_peak(call, device) if device.type == "cuda" else _process_peak(call)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Cost(time.perf_counter() - start, peak)


def _cuda_peak(call: Callable[[], object], device: torch.device) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _process_peak(call: Callable[[], object]) -> int | None:
    if not _reset_peak():
        call()
        return None
    # Garbage that is collected during the call would be taken off its peak, and memory that was freed but is kept
    # by the allocator would be used again unseen.
    gc.collect()
    _give_back()
    _reset_peak()
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _give_back() -> None:
    """Hands freed memory back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_peak() -> bool:
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
