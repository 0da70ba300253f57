"""A training that keeps freed memory as a ratio to one that gives it back after each batch, both in the same run.

Run with ``pytest benchmarks/test_heap.py --benchmark-enable``; the ratio of processor time stands in the report's extra
information. Network, size and batch are those of attackers that start from the bundle of real patients.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from reidbench import heap

ROUNDS = 3
# Each in a process of its own: what an allocator did before stays with it.
TRAINED = """
import sys, time
from contextlib import nullcontext
import torch
from reidbench.heap import freed_kept
from reidbench.networks.architectures.siamese import EmbeddingNet

torch.set_num_threads(1)
torch.manual_seed(0)
network = EmbeddingNet("resnet_small_32")
optimizer = torch.optim.Adam(network.parameters())
images = torch.rand(128, 1, 96, 96)

def step():
    optimizer.zero_grad()
    network(images).square().mean().backward()
    optimizer.step()

with freed_kept() if sys.argv[1] == "kept" else nullcontext():
    step()
    step()
    began = time.process_time()
    for _ in range(6):
        step()
    print((time.process_time() - began) / 6)
"""


def seconds(way: str) -> float:
    """Processor time of a step."""
    told = subprocess.run([sys.executable, "-c", TRAINED, way], capture_output=True, text=True, check=True)
    return float(told.stdout)


@pytest.mark.skipif(heap._mallopt() is None, reason="the memory is not glibc's, or the environment says how to keep it")
def test_training_with_freed_memory_kept(benchmark):
    # By turns, so that other work on the machine meets both.
    found = [(seconds("given back"), seconds("kept")) for _ in range(ROUNDS)]
    reference, ours = (min(one) for one in zip(*found))
    benchmark.pedantic(seconds, args=("kept",), rounds=1)
    benchmark.extra_info |= {"ratio": reference / ours, "seconds_a_step": ours}
    assert reference / ours >= 1.15
