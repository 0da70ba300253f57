"""neural_obfuscation: its measure, its decoder, its sets and its mixing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.defenses.release import release
from reidbench.images import to_unit
from reidbench.progress import Silent
from reidbench_plugins._decoder import Decoder
from reidbench_plugins.neural_obfuscation import NeuralObfuscation, TransposedDecoder, similarity


def published(defense: NeuralObfuscation, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense, pixels, ids, np.arange(len(pixels)), seed=seed)


def by_hand(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity window by window."""
    found = []
    for row in range(one.shape[0] - 6):
        for column in range(one.shape[1] - 6):
            a, b = (image[row : row + 7, column : column + 7].astype(np.float64).ravel() for image in (one, other))
            light = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
            structure = (2 * np.cov(a, b, ddof=0)[0, 1] + 9e-4) / (a.var() + b.var() + 9e-4)
            found.append(light * structure)
    return float(np.mean(found))


def test_similarity_is_that_of_windows(pixels) -> None:
    images = to_unit(pixels(2, 12, 15))
    one, other = images[:1], images[1:]
    assert float(similarity(one, one)) == pytest.approx(1, abs=1e-5)
    assert float(similarity(one, other)) == pytest.approx(by_hand(one[0, 0].numpy(), other[0, 0].numpy()), abs=1e-4)
    assert float(similarity(one, 1 - one)) < 0.5


@pytest.mark.parametrize("decoder", [Decoder, TransposedDecoder])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80), (7, 200), (3, 3)])
def test_the_decoders_make_images_of_any_shape(decoder: type[nn.Module], height: int, width: int) -> None:
    made = decoder(5, 4, height, width)(torch.randn(2, 5))
    assert made.shape == (2, 1, height, width)
    assert 0 < float(made.detach().min()) <= float(made.detach().max()) < 1


def test_the_published_decoder_has_fewer_weights_than_a_sixth_of_the_pixels() -> None:
    options = NeuralObfuscation.operating_points["published"]
    defense = NeuralObfuscation(**options)
    decoder = TransposedDecoder(defense.code, defense.width, 256, 256)
    weights = sum(tensor.numel() for tensor in decoder.parameters()) + defense.set_size * defense.code
    assert weights < defense.set_size * 256 * 256 / 6


def test_without_mixing_a_training_comes_close_and_with_mixing_less_so(pixels) -> None:
    images = pixels(4, 32, 32)
    errors = []
    for steps, rho in ((2, 0.0), (60, 0.0), (60, 1.0)):
        after = published(NeuralObfuscation(steps=steps, rho=rho, lr=0.02, width=8), images)
        errors.append(float(np.abs(after.astype(float) - images).mean()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] > 1.5 * errors[1]


def test_the_steps_of_most_points_suffice_for_a_set_of_the_phantom(tmp_path: Path) -> None:
    images = load_cohort(Phantom(patients=25), size=64, cache=tmp_path, progress=Silent()).pixels[:46]
    released = published(NeuralObfuscation(rho=0.0), images)
    assert len(images) == 46
    assert 0.86 < float(similarity(to_unit(released), to_unit(images))) < 0.95


def test_mixing_weights_have_their_mean_and_deviation() -> None:
    torch.manual_seed(0)
    mixing = NeuralObfuscation(rho=0.08).mixing(300) - torch.eye(300)
    assert float(mixing.std()) == pytest.approx(0.08, rel=0.02)
    assert float(mixing.mean()) == pytest.approx(0, abs=0.001)
    assert NeuralObfuscation(rho=5.0).mixing(1).tolist() == [[1.0]]


def test_an_image_takes_from_its_set_and_from_no_other(pixels) -> None:
    """Of images in sets of their own, one that changes changes no other; in one set it changes all."""
    images = pixels(6, 16, 16)
    others = images.copy()
    for size, together in ((1, False), (6, True)):
        defense = NeuralObfuscation(steps=3, set_size=size, code=4)
        first = published(defense, images)
        assert not np.array_equal(first, published(defense, images, seed=1))
        np.testing.assert_array_equal(first, published(defense, images))
        if together:
            others[0] = 255 - others[0]
            changed = (published(defense, others) != first).any(axis=(1, 2))
            assert changed.all()


def test_a_release_does_not_depend_on_the_number_of_threads(pixels) -> None:
    images = pixels(6, 16, 16)
    defense = NeuralObfuscation(steps=10, set_size=2, code=4)
    threads = torch.get_num_threads()
    try:
        releases = []
        for count in (1, 3):
            torch.set_num_threads(count)
            releases.append(published(defense, images))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*releases)
