"""What the conformance suite measures: seconds and memory."""

from __future__ import annotations

import sys

import pytest
import torch

from reidbench.conformance import check_defense
from reidbench.conformance.cost import measure


def test_figures_measure_speed_and_memory(noise) -> None:
    figures = [finding for finding in check_defense(noise) if finding.level == "figure"]
    assert [finding.property for finding in figures] == ["speed", "memory"]
    assert "images of 128×128 a second" in figures[0].message


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process's peak memory")


@linux
def test_peak_memory_is_that_of_the_call() -> None:
    cost = measure(lambda: torch.ones(64 * 2**20, dtype=torch.uint8), torch.device("cpu"))
    assert cost.peak_bytes is not None
    assert 60 * 2**20 < cost.peak_bytes < 96 * 2**20


@linux
def test_peak_memory_counts_memory_that_was_freed_before() -> None:
    # Small blocks, so that they come from the heap; the last one stays and keeps the heap from shrinking.
    blocks = [torch.ones(2**16, dtype=torch.uint8) for _ in range(2048)]
    kept = blocks.pop()
    del blocks
    cost = measure(lambda: torch.ones(64 * 2**20, dtype=torch.uint8), torch.device("cpu"))
    assert kept.sum() == 2**16
    assert cost.peak_bytes is not None
    assert 60 * 2**20 < cost.peak_bytes < 96 * 2**20
