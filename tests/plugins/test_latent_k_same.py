"""latent_k_same: clusters by codes, one image for each, and what the autoencoder returns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench import ReidbenchError
from reidbench.defenses.release import release
from reidbench_plugins.latent_k_same import LatentKSame

LITTLE = {"steps": 2, "width": 4, "code": 8}


def published(defense: LatentKSame, pixels: np.ndarray, patients: np.ndarray, seed: int = 0) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense, pixels, ids, patients, seed=seed)


def test_every_cluster_has_k_patients_and_one_image(pixels) -> None:
    images, patients = pixels(26, 32, 32), np.arange(26) // 2
    after = published(LatentKSame(**LITTLE, k=3), images, patients)
    groups: dict[bytes, set[int]] = {}
    for image, patient in zip(after, patients):
        groups.setdefault(image.tobytes(), set()).add(int(patient))
    assert sorted(map(len, groups.values())) == [3, 3, 3, 4]
    assert sum(map(len, groups.values())) == 13, "a patient is in one cluster with all images"
    np.testing.assert_array_equal(after, published(LatentKSame(**LITTLE, k=3), images, patients))
    assert (after != published(LatentKSame(**LITTLE, k=3), images, patients, seed=1)).any()
    order = np.random.default_rng(0).permutation(26)
    ids = np.array([str(number) for number in range(26)])
    again = release(LatentKSame(**LITTLE, k=3), images[order], ids[order], patients[order], seed=0)
    np.testing.assert_array_equal(again, after[order])


def test_fewer_patients_than_k_are_refused(pixels) -> None:
    with pytest.raises(ReidbenchError, match="latent_k_same: k=5 needs at least 5 patients"):
        published(LatentKSame(**LITTLE), pixels(4, 32, 32), np.arange(4))


def test_the_autoencoder_learns_to_return_images(pixels) -> None:
    images = torch.from_numpy(pixels(6, 16, 16))[:, None] / 255
    errors = []
    for steps in (1, 80):
        torch.manual_seed(0)
        network = LatentKSame(steps=steps, width=8, code=8, lr=0.01)._trained(images)
        with torch.no_grad():
            errors.append(float((network.decoder(network.encoder(images)) - images).abs().mean()))
    assert errors[1] < 0.6 * errors[0]


def test_all_detail_of_a_cluster_is_put_back(pixels) -> None:
    """Two patients, so that the cluster's mean is known: what is lost and what is put back are one network's."""
    images, patients = pixels(2, 32, 32), np.array([0, 1])
    mean = images.mean(axis=0)
    errors = [
        np.abs(published(LatentKSame(**LITTLE, k=2, detail=detail), images, patients)[0] - mean).mean()
        for detail in (0.0, 1.0)
    ]
    assert errors[1] < 0.7 * errors[0]
