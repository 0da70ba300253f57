"""Time to an AUC, as a ratio to training in the manner of the 2022 paper's published code; both in the same run.

Run with ``pytest benchmarks/test_training.py --benchmark-enable``; ratio and images per second stand in the report's
extra information. Network and size are the same. The reference decodes two PNG files a pair, passes both images of each
pair of a drawn list through the network, in float32, in plain memory layout, with Adam at 1e-3 and cross-entropy alone.
Ours draws batches of patients from a memory-mapped store and learns from all their pairs.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from reidbench.attackers.base import Scenario
from reidbench.attackers.heads import ScaledDifference
from reidbench.attackers.verification import Verification
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.networks.architectures.siamese import EmbeddingNet
from reidbench.progress import Silent

SIZE, PATIENTS = 64, 250
CPU = torch.device("cpu")
# What the reference gets: so many pairs, in batches of 32 as in the 2022 paper, evaluated every so many steps.
STEPS, EVERY, BATCH = 1200, 100, 32


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A phantom's train part as pixels and as PNG files, and its test part to judge on."""
    folder = tmp_path_factory.mktemp("data")
    cohort = load_cohort(Phantom(version=1, patients=PATIENTS), size=SIZE, cache=folder, strict=True, progress=Silent())
    train, test = cohort.part("train"), cohort.part("test")
    files = [folder / f"{row}.png" for row in range(len(train))]
    for file, pixels in zip(files, train.pixels):
        Image.fromarray(pixels).save(file)
    return train, test, files


def auc(score_block, patients) -> float:
    upper = np.triu_indices(len(patients), 1)
    return float(roc_auc_score((patients[:, None] == patients[None])[upper], score_block[upper]))


def drawn_pairs(patients: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A list of pairs, half of them genuine, drawn as in the 2022 paper."""
    rng = np.random.default_rng(0)
    rows = {patient: np.flatnonzero(patients == patient) for patient in np.unique(patients)}
    several = [mine for mine in rows.values() if len(mine) > 1]
    genuine = [rng.choice(several[rng.integers(len(several))], 2, replace=False) for _ in range(count // 2)]
    impostor = []
    while len(impostor) < count - len(genuine):
        pair = rng.integers(0, len(patients), 2)
        if patients[pair[0]] != patients[pair[1]]:
            impostor.append(pair)
    pairs = np.array(genuine + impostor)
    order = rng.permutation(len(pairs))
    return pairs[order, 0], pairs[order, 1], (patients[pairs[:, 0]] == patients[pairs[:, 1]])[order]


def decoded(files: list[Path], rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(Image.open(files[row])) for row in rows])).unsqueeze(1).float() / 255


def plain(data) -> tuple[list[tuple[float, float]], float]:
    """(seconds, AUC) on the way, judging left out of the seconds, and images a second."""
    train, test, files = data
    torch.manual_seed(0)
    network = EmbeddingNet("resnet_small").to(memory_format=torch.contiguous_format)
    head = ScaledDifference(128)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=1e-3)
    first, second, same = drawn_pairs(train.frame["patient"].to_numpy(), STEPS * BATCH)
    way, seconds = [], 0.0
    for step in range(STEPS):
        began = time.process_time()
        chosen = slice(step * BATCH, (step + 1) * BATCH)
        network.train()
        one, two = (head.vectors(network(decoded(files, rows[chosen]))) for rows in (first, second))
        logits = head.pairs(one, two)
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(same[chosen]).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds += time.process_time() - began
        if (step + 1) % EVERY == 0:
            network.eval()
            with torch.no_grad():
                vectors = head.vectors(network(torch.from_numpy(np.array(test.pixels)).unsqueeze(1).float() / 255))
                way.append((seconds, auc(head.block(vectors, vectors).numpy(), test.frame["patient"].to_numpy())))
    return way, 2 * STEPS * BATCH / seconds


def ours(data, folder: Path, steps: int) -> tuple[float, float, float]:
    """CPU seconds, AUC, and images a second of a whole training of so many steps, from random weights."""
    train, test, _ = data

    def side(index, *, generator, device):
        return torch.from_numpy(train.pixels[index]).unsqueeze(1).float() / 255

    attacker = Verification(min_steps=steps, max_steps=steps, test_shift=0)
    scenario = Scenario(train.frame["patient"].to_numpy(), side, side, SIZE)
    began = time.process_time()
    training = attacker.fit(scenario, None, seed=0, device=CPU, work_dir=folder)
    seconds = time.process_time() - began
    vectors = attacker.embed(test.pixels, device=CPU)
    return (
        seconds,
        auc(attacker.score_block(vectors, vectors), test.frame["patient"].to_numpy()),
        training.images_seen / seconds,
    )


def test_time_to_the_same_auc(benchmark, data, tmp_path):
    torch.set_num_threads(1)
    way, images_a_second = plain(data)
    best = max(reached for _, reached in way)
    reference = next(seconds for seconds, reached in way if reached >= best)

    def shortest() -> tuple[float, float, float]:
        for steps in (10, 20, 40, 80, 160):
            found = ours(data, tmp_path / str(steps), steps)
            if found[1] >= best:
                return found
        raise AssertionError(f"never reached the reference's AUC of {best}")

    seconds, reached, throughput = benchmark.pedantic(shortest, rounds=1)
    benchmark.extra_info |= {
        "ratio": reference / seconds,
        "auc": reached,
        "auc_of_the_reference": best,
        "images_a_second": throughput,
        "images_a_second_of_the_reference": images_a_second,
    }
    assert reference / seconds >= 3
