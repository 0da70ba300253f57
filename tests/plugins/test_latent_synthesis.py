"""latent_synthesis: what of an image its release depends on, and copies of training patients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from reidbench.conformance.fitting import small_set
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import release
from reidbench.images import to_unit
from reidbench_plugins.latent_synthesis import LatentSynthesis

LITTLE = {"epochs": 2, "backbone": "resnet_small_4", "grid": 4, "features": 4, "side": 16, "latent": 6}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit_defense(LatentSynthesis(**LITTLE), small_set(), seed=0, work_dir=tmp_path_factory.mktemp("synthesis"))


def published(defense, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense, pixels, ids, np.arange(len(pixels)), seed=seed)


def test_a_release_takes_findings_and_nothing_else_from_an_image(fitted, pixels) -> None:
    images = pixels(12, 40, 24)
    network = copy.deepcopy(fitted[0].network)
    defense = fitted[0].fitted(network, torch.device("cpu"))
    # What the classifier reads must differ among these: a threshold in the middle of their logits.
    logits = network.reader(to_unit(images))
    network.thresholds[0] = logits[:, 0].median()
    read = (logits > network.thresholds).numpy()
    assert 0 < read[:, 0].sum() < 12
    assert not read[:, 2:].any(), "a finding that the dataset lacks is never read"
    first = published(defense, images)
    yes, other = np.flatnonzero(read[:, 0])[:2]
    swapped = images.copy()
    swapped[yes] = images[other]
    if (read[yes] == read[other]).all():
        np.testing.assert_array_equal(published(defense, swapped), first)
    no = np.flatnonzero(~read[:, 0])[0]
    swapped[yes] = images[no]
    after = published(defense, swapped)
    assert (after[yes] != first[yes]).any(), "another finding, another image"
    rest = np.arange(12) != yes
    np.testing.assert_array_equal(after[rest], first[rest])
    assert (published(defense, images, seed=1) != first).any(axis=(1, 2)).all()


def test_thresholds_are_where_findings_are_as_frequent_as_in_training(fitted) -> None:
    defense, _ = fitted
    data = small_set()
    read = defense.network.reader(to_unit(data.pixels)) > defense.network.thresholds
    for number in range(2):
        rate = np.nanmean(data.labels[:, number])
        assert float(read[:, number].float().mean()) == pytest.approx(rate, abs=0.2)


def test_the_model_is_trained(fitted) -> None:
    _, history = fitted
    assert len(history) == 2
    assert history[1]["train_loss"] < history[0]["train_loss"]
