"""The kinds of change that defenses make, against other implementations of each."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from reidbench.networks import degrade


@pytest.fixture
def images():
    coarse = torch.rand(6, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (40, 36), mode="bicubic").clamp(0, 1)
    return (255 * smooth).round() / 255


def strengths(*values):
    return torch.tensor(values).view(-1, 1, 1, 1)


def by(generator):
    return lambda shape: torch.rand(shape, generator=generator)


def test_compression_is_that_of_a_jpeg_file(images):
    qualities = [10, 20, 40, 60, 80, 95]
    ours = degrade._compressed(images, strengths(*[(q - 10) / 85 for q in qualities]), by(None)).clamp(0, 1)
    for image, mine, quality in zip(images, ours, qualities):
        file = io.BytesIO()
        Image.fromarray((255 * image[0]).round().byte().numpy()).save(file, "JPEG", quality=quality)
        theirs = torch.from_numpy(np.array(Image.open(file))) / 255
        lost = (theirs - image[0]).abs().mean()
        # The file rounds to grey levels once more, by a quarter on average; its integers decide some ties otherwise.
        assert (mine[0] - theirs).abs().mean() < 0.4 / 255 + 0.1 * lost
        assert (mine[0] - image[0]).abs().mean() == pytest.approx(float(lost), abs=0.4 / 255)


def test_each_image_is_blurred_by_its_own_deviation(images):
    deviations = np.array([0.3, 0.5, 0.8, 1.2, 1.6, 2.2])
    low, high = (36 * limit for limit in degrade.BLUR)
    strength = strengths(*(np.log(deviations / low) / np.log(high / low)).tolist()).float()
    blurred = degrade._blurred(images, strength, by(None))
    for image, mine, deviation in zip(images, blurred, deviations):
        expected = gaussian_filter(image[0].numpy(), deviation, mode="nearest", radius=6)
        np.testing.assert_allclose(mine[0].numpy(), expected, atol=2e-5)


def test_noise_is_normal_of_its_own_deviation():
    grey = torch.full((3, 1, 100, 100), 0.5)
    noise = degrade._noisy(grey, strengths(0.0, 0.5, 1.0), by(torch.Generator().manual_seed(0))) - grey
    low, high = degrade.NOISE
    for mine, deviation in zip(noise, (low, (low * high) ** 0.5, high)):
        assert mine.std() == pytest.approx(deviation, rel=0.03)
        assert mine.mean() == pytest.approx(0, abs=0.03 * deviation)
        assert (mine.abs() > 1.96 * deviation).float().mean() == pytest.approx(0.05, abs=0.01)


def test_coarse_pixels_are_means_of_cells():
    images = torch.rand(5, 1, 96, 96)
    coarse = degrade._coarse(images, strengths(0.0, 0.25, 0.45, 0.65, 0.9), by(None))
    for image, mine, cells in zip(images, coarse, degrade.CELLS):
        side = 96 // cells
        means = image[0].unfold(0, side, side).unfold(1, side, side).mean(dim=(2, 3))
        expected = means.repeat_interleave(side, 0).repeat_interleave(side, 1)
        np.testing.assert_allclose(mine[0].numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (5, 3), (33, 17)])
def test_any_size_and_the_same_draws_give_the_same_images(size):
    images = torch.rand(64, 1, *size)
    before = images.clone()
    one, two = (degrade.degraded(images, 1.0, by(torch.Generator().manual_seed(1))) for _ in range(2))
    assert torch.equal(images, before)
    assert torch.equal(one, two)
    assert one.shape == images.shape
    assert torch.isfinite(one).all()
    assert 0 <= one.min() < one.max() <= 1
    # One of the four for each.
    assert not (one == images).flatten(1).all(dim=1).any()
