"""Memory that a process keeps between batches: no page of it is cleared twice, and all else is as before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reidbench import heap

# Counts the pages that the system cleared for three blocks of 64 MiB, one after the other: before, within and behind.
COUNTED = """
import resource, sys
import numpy as np
from reidbench.heap import freed_kept

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        np.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

found = [cleared()]
with freed_kept():
    # The first ones are new to the heap.
    cleared()
    found.append(cleared())
    with freed_kept():
        pass
    found.append(cleared())
found.append(cleared())
print(*found)
"""


def cleared(**environment: str) -> list[int]:
    """Before, within, within after an inner one has ended, and behind."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    told = subprocess.run(
        [sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True, env={**clean, **environment}
    )
    return [int(word) for word in told.stdout.split()]


@pytest.mark.skipif(heap._mallopt() is None, reason="the memory is not glibc's, or the environment says how to keep it")
def test_pages_of_freed_blocks_are_not_cleared_again():
    before, within, further, behind = cleared()
    # Huge pages alone would be 96.
    assert before > 90
    assert within < before / 20
    assert further < before / 20
    assert behind > before / 2


@pytest.mark.skipif(heap._mallopt() is None, reason="the memory is not glibc's, or the environment says how to keep it")
def test_what_the_environment_says_stays():
    before, within, *_ = cleared(MALLOC_MMAP_THRESHOLD_="1048576")
    assert within > before / 2


@pytest.mark.parametrize(
    "environment", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2:glibc.malloc.hugetlb=1"}]
)
def test_nothing_is_set_where_the_environment_does(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert heap._mallopt() is None


def test_other_memory_is_left_alone(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert heap._mallopt() is None
    with heap.freed_kept():
        assert heap._users == 1
    assert heap._users == 0


def test_an_error_within_sets_all_back(monkeypatch):
    told = []
    monkeypatch.setattr(heap, "_mallopt", lambda: lambda option, value: told.append((option, value)))
    with pytest.raises(ZeroDivisionError), heap.freed_kept(), heap.freed_kept():
        raise ZeroDivisionError
    assert told == [*heap._KEPT.items(), *heap._USUAL.items()]
