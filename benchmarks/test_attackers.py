"""Speed of the attack as a ratio to the 2022 paper's published code, both measured in the same run.

Run with ``pytest benchmarks --benchmark-enable``; the ratios stand in the report's extra information.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from reidbench.attackers.base import Scenario
from reidbench.attackers.verification import Verification
from reidbench.images import to_unit

# The 2022 paper's test, 25,596 images and 100,000 pairs, divided by 40.
IMAGES, PAIRS, SIZE, BATCH = 640, 2500, 64, 32
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def attacker(tmp_path_factory):
    """A quick verification attacker after a few batches; its speed is that of a trained one."""
    images = np.random.default_rng(0).integers(0, 256, (64, SIZE, SIZE), dtype=np.uint8)
    patients = np.repeat(np.arange(16), 4)

    def side(index, *, generator, device):
        return to_unit(images[index])

    made = Verification(batch_size=32, min_steps=3, max_steps=3)
    made.fit(Scenario(patients, side, side, SIZE), None, seed=0, device=CPU, work_dir=tmp_path_factory.mktemp("fit"))
    return made


def two_passes_a_pair(attacker, images, first, second):
    """Scores as the 2022 paper's code computes them: both images of every pair go through the network."""
    model = attacker.siamese.eval()
    scores = []
    with torch.no_grad():
        for begin in range(0, len(first), BATCH):
            sides = [
                model(torch.from_numpy(images[rows[begin : begin + BATCH]]).unsqueeze(1).float() / 255)
                for rows in (first, second)
            ]
            scores.append(model.head.pairs(*sides))
    return torch.cat(scores).numpy()


def test_scoring_embeds_each_image_once(benchmark, attacker):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (IMAGES, SIZE, SIZE), dtype=np.uint8)
    first, second = rng.integers(0, IMAGES, (2, PAIRS))

    def once():
        vectors = attacker.embed(images, device=CPU)
        return attacker.score(vectors[first], vectors[second])

    once()
    began = time.process_time()
    reference = two_passes_a_pair(attacker, images, first, second)
    slow = time.process_time() - began
    began = time.process_time()
    scores = benchmark.pedantic(once, rounds=1)
    fast = time.process_time() - began
    np.testing.assert_allclose(scores, reference, rtol=1e-4, atol=1e-4)
    benchmark.extra_info["ratio"] = slow / fast
    assert slow / fast >= 6
