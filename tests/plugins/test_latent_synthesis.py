"""latent_synthesis: what of an image its release depends on, and copies of training patients."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from reidbench import FitData, ReidbenchError
from reidbench.conformance.fitting import small_set
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import release
from reidbench.images import to_unit
from reidbench_plugins._memorization import memorization
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


def test_the_history_ends_with_the_copies_of_the_training(fitted) -> None:
    _, history = fitted
    assert len(history) == 2
    assert {"memorized_share", "memorized_patients", "memorized_most"} <= set(history[-1])
    assert all(0 <= history[-1][name] <= 1 for name in history[-1] if name.startswith("memorized"))
    assert history[1]["train_loss"] < history[0]["train_loss"]


def test_one_patient_is_refused(tmp_path: Path) -> None:
    data = FitData(np.zeros((3, 32, 32), np.uint8), np.zeros(3, np.int64), np.zeros((3, 1), np.float32))
    with pytest.raises(ReidbenchError, match="latent_synthesis: a generative model takes two patients"):
        fit_defense(LatentSynthesis(**LITTLE), data, seed=0, work_dir=tmp_path)


def grey(*levels: int) -> np.ndarray:
    return np.array(levels, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)


def test_copies_are_counted_by_patient() -> None:
    """Grey images: distances are differences of levels."""
    train, patients = grey(10, 50, 100, 200), np.array([4, 4, 7, 9])
    # Nearest of other patients: 30 from patient 4 (80), 20 from 7 (80), 40 from 9 (240).
    held_out = grey(80, 240)
    # 55 and 12 copy patient 4, 100 patient 7; 240 is as far from 9 as one of the others, and is no copy.
    found = memorization(grey(55, 12, 100, 240), train, patients, held_out)
    assert found["memorized_share"] == pytest.approx(3 / 4)
    assert found["memorized_patients"] == pytest.approx(2 / 3)
    assert found["memorized_most"] == pytest.approx(2 / 4)
    # The training images themselves are all copies; held-out ones never are.
    assert memorization(train, train, patients, held_out)["memorized_share"] == 1
    assert memorization(held_out, train, patients, held_out)["memorized_share"] == 0


def test_a_generator_that_knows_nothing_of_a_patient_copies_by_chance_as_told() -> None:
    rng = np.random.default_rng(0)
    train, made, held = (rng.integers(0, 256, (count, 4, 4), dtype=np.uint8) for count in (60, 400, 9))
    found = memorization(made, train, np.arange(60), held)
    assert 0 < found["memorized_most"] < 1
    shares = [
        memorization(made, train[:1], np.zeros(1, int), rng.integers(0, 256, (9, 4, 4), dtype=np.uint8))
        for _ in range(60)
    ]
    assert np.mean([share["memorized_share"] for share in shares]) == pytest.approx(1 / 10, abs=0.05)
