"""latent_k_same: clusters by codes, one image for each, learned from the train split alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reidbench import FitData, ReidbenchError
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import release
from reidbench_plugins.latent_k_same import LatentKSame

LITTLE = {"epochs": 1, "width": 4, "code": 8, "side": 32}


def trained(pixels, folder: Path, **options) -> LatentKSame:
    """Fitted on twelve images of six patients that no test publishes."""
    images = pixels(12, 32, 32, seed=9)
    data = FitData(images, np.arange(12) // 2, np.zeros((12, 0), dtype=np.float32))
    return fit_defense(LatentKSame(**LITTLE | options), data, seed=0, work_dir=folder)[0]


def published(defense: LatentKSame, pixels: np.ndarray, patients: np.ndarray, seed: int = 0) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense, pixels, ids, patients, seed=seed)


def test_every_cluster_has_k_patients_and_one_image(pixels, tmp_path: Path) -> None:
    images, patients = pixels(26, 32, 32), np.arange(26) // 2
    defense = trained(pixels, tmp_path, k=3, detail=1.0)
    after = published(defense, images, patients)
    groups: dict[bytes, set[int]] = {}
    for image, patient in zip(after, patients):
        groups.setdefault(image.tobytes(), set()).add(int(patient))
    assert sorted(map(len, groups.values())) == [3, 3, 3, 4]
    assert sum(map(len, groups.values())) == 13, "a patient is in one cluster with all images"
    np.testing.assert_array_equal(after, published(defense, images, patients))
    assert (after != published(defense, images, patients, seed=1)).any()
    order = np.random.default_rng(0).permutation(26)
    ids = np.array([str(number) for number in range(26)])
    again = release(defense, images[order], ids[order], patients[order], seed=0)
    np.testing.assert_array_equal(again, after[order])


def test_fewer_patients_than_k_are_refused(pixels, tmp_path: Path) -> None:
    with pytest.raises(ReidbenchError, match="latent_k_same: k=5 needs at least 5 patients"):
        published(trained(pixels, tmp_path), pixels(4, 32, 32), np.arange(4))


def test_the_autoencoder_learns_to_return_mean_images_of_the_train_split(pixels, tmp_path: Path) -> None:
    images = pixels(12, 16, 16)
    means = torch.from_numpy(images.reshape(6, 2, 16, 16).mean(axis=1, keepdims=True) / 255).float()
    data = FitData(images, np.arange(12) // 2, np.zeros((12, 0), dtype=np.float32))
    errors = []
    for epochs in (1, 80):
        defense = LatentKSame(epochs=epochs, width=8, code=8, side=16, lr=0.01)
        fitted, history = fit_defense(defense, data, seed=0, work_dir=tmp_path / str(epochs))
        assert len(history) == epochs
        with torch.no_grad():
            errors.append(float((fitted.network.decoder(fitted.network.encoded(means)) - means).abs().mean()))
    assert errors[1] < 0.6 * errors[0]


def test_all_detail_of_a_cluster_is_put_back(pixels, tmp_path: Path) -> None:
    """Two patients, so that the cluster's mean is known: what is lost and what is put back are one network's."""
    images, patients = pixels(2, 32, 32), np.array([0, 1])
    mean = images.mean(axis=0)
    errors = [
        np.abs(published(trained(pixels, tmp_path / str(d), k=2, detail=d), images, patients)[0] - mean).mean()
        for d in (0.0, 1.0)
    ]
    assert errors[1] < 0.7 * errors[0]
