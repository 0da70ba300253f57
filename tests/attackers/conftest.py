"""Patients made of a few smooth blobs each, at a place of the visit's: an untrained network tells few of them apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.verification import Verification

SIZE = 32
CPU = torch.device("cpu")
ATTACKERS = [Verification, Retrieval]


def auc(attacker, probe, gallery, patients):
    """Over all pairs of different images, by another implementation than the project's."""
    scores = attacker.score_block(attacker.embed(probe, device=CPU), attacker.embed(gallery, device=CPU))
    off = ~np.eye(len(patients), dtype=bool)
    return roc_auc_score((patients[:, None] == patients[None])[off], scores[off])


@pytest.fixture(params=ATTACKERS, ids=[cls.name for cls in ATTACKERS])
def attacker_class(request):
    """Each of the two trained attackers."""
    return request.param


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blobs(patients: int, visits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, SIZE, SIZE) uint8 and (N,) patients: six blobs are the patient's; place, exposure, noise are the visit's."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    images, owners = [], []
    for patient in range(patients):
        heights, ys, xs = rng.normal(size=6), rng.uniform(0.2, 0.8, 6), rng.uniform(0.2, 0.8, 6)
        widths = rng.uniform(0.05, 0.12, 6)
        for _ in range(visits):
            down, across = rng.uniform(-0.15, 0.15, 2)
            anatomy = sum(
                a * np.exp(-((rows - y - down) ** 2 + (columns - x - across) ** 2) / (2 * s**2))
                for a, y, x, s in zip(heights, ys, xs, widths)
            )
            contrast, exposure, noise = rng.uniform(0.15, 0.3), rng.normal(0, 0.1), rng.normal(0, 0.03, anatomy.shape)
            image = 0.5 + contrast * anatomy + exposure + noise
            images.append(np.round(255 * image.clip(0, 1)))
            owners.append(patient)
    return np.array(images, dtype=np.uint8), np.array(owners, dtype=np.int64)


def side(images: np.ndarray, change: Callable[[torch.Tensor], torch.Tensor] = lambda x: x):
    def give(index, *, generator, device):
        return change(torch.from_numpy(images[index]).to(device).unsqueeze(1).float() / 255)

    return give


@pytest.fixture(scope="session")
def world():
    """Makers of data: ``blobs``, ``side``, ``scenario`` and ``fixed``."""

    class World:
        size = SIZE
        device = CPU

        @staticmethod
        def blobs(patients: int, visits: int, seed: int):
            return blobs(patients, visits, seed)

        @staticmethod
        def scenario(images, patients, change=lambda x: x) -> Scenario:
            return Scenario(patients, side(images), side(images, change), SIZE)

        @staticmethod
        def fixed(images, patients, gallery=None) -> Fixed:
            return Fixed(patients, images, images if gallery is None else gallery)

    return World


@pytest.fixture
def tiny() -> dict[str, object]:
    """Hyperparameters of a training that takes about a second."""
    return {
        "backbone": "resnet_small_16",
        "batch_size": 48,
        "dimensions": 16,
        "grid": 4,
        "min_steps": 60,
        "epochs": 1,
        "warm_min_steps": 30,
        "warm_epochs": 1,
    }
