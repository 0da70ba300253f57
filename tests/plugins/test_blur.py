"""Blurs against impulses, and against independent implementations."""

import kornia.filters
import numpy as np
import pytest
import scipy.ndimage
import torch

from reidbench_plugins.gaussian_blur import GaussianBlur
from reidbench_plugins.median_blur import MedianBlur
from reidbench_plugins.motion_blur import MotionBlur


def impulse(height: int, width: int) -> torch.Tensor:
    images = torch.zeros(1, 1, height, width)
    images[..., height // 2, width // 2] = 1
    return images


def variances(spot: torch.Tensor) -> tuple[float, float]:
    """Second moments of (H, W) about its middle pixel, along rows and columns."""
    height, width = spot.shape
    rows = torch.arange(height) - height // 2
    columns = torch.arange(width) - width // 2
    return float((spot.sum(1) * rows**2).sum()), float((spot.sum(0) * columns**2).sum())


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_gaussian_impulse_has_mass_one_and_its_sigma(sigma: float, run) -> None:
    spot = run(GaussianBlur(sigma=sigma), impulse(81, 121))[0, 0]
    assert float(spot.sum()) == pytest.approx(1, abs=1e-5)
    assert variances(spot) == pytest.approx((sigma**2, sigma**2), rel=0.01)
    assert torch.equal(spot, spot.flip(0))
    assert torch.equal(spot, spot.flip(1))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0, 6.0])
def test_gaussian_agrees_with_kornia(sigma: float, run, pixels) -> None:
    images = torch.from_numpy(pixels(3)).float().unsqueeze(1) / 255
    size = 2 * int(4 * sigma + 0.5) + 1
    expected = kornia.filters.gaussian_blur2d(images, (size, size), (sigma, sigma), border_type="replicate")
    assert torch.allclose(run(GaussianBlur(sigma=sigma), images), expected, atol=2e-6)


def test_gaussian_wider_than_the_image_keeps_the_range(run, pixels) -> None:
    images = torch.from_numpy(pixels(2, 20, 31)).float().unsqueeze(1) / 255
    after = run(GaussianBlur(sigma=64), images)
    assert float(after.std()) < 0.1 * float(images.std())
    assert torch.allclose(run(GaussianBlur(sigma=64), torch.ones(1, 1, 20, 31)), torch.ones(1, 1, 20, 31))


@pytest.mark.parametrize("kernel", [3, 5, 7, 11])
def test_median_agrees_with_scipy(kernel: int, run, pixels) -> None:
    images = pixels(2, 31, 45)
    expected = np.stack([scipy.ndimage.median_filter(image, kernel, mode="nearest") for image in images])
    after = run(MedianBlur(kernel=kernel), torch.from_numpy(images).float().unsqueeze(1) / 255)
    np.testing.assert_array_equal((after[:, 0] * 255).round().numpy(), expected)


def test_median_splits_work_to_bound_memory(run, pixels, monkeypatch) -> None:
    images = torch.from_numpy(pixels(5)).float().unsqueeze(1) / 255
    whole = run(MedianBlur(), images)
    monkeypatch.setattr("reidbench_plugins.median_blur.WINDOWS", 1)
    assert torch.equal(run(MedianBlur(), images), whole)


@pytest.mark.parametrize(("angle", "along"), [(0, (0, 1)), (90, (1, 0)), (45, (-1, 1)), (135, (1, 1)), (180, (0, 1))])
def test_motion_impulse_becomes_a_line(angle: float, along: tuple[int, int], run) -> None:
    spot = run(MotionBlur(length=7, angle=angle), impulse(31, 45))[0, 0]
    assert float(spot.sum()) == pytest.approx(1, abs=1e-6)
    places = spot.nonzero() - torch.tensor([15, 22])
    across = places[:, 0] * along[1] - places[:, 1] * along[0]
    assert not across.any(), "off the line"
    assert len(places) == (7 if angle in (0, 90, 180) else 5)
    assert torch.allclose(spot[spot > 0], torch.tensor(1 / len(places)))


@pytest.mark.parametrize("angle", [0, 30, 77.5])
def test_motion_agrees_with_kornia(angle: float, run, pixels) -> None:
    images = torch.from_numpy(pixels(2)).float().unsqueeze(1) / 255
    expected = kornia.filters.motion_blur(images, 15, angle, 0.0, border_type="replicate")
    assert torch.allclose(run(MotionBlur(length=15, angle=angle), images), expected, atol=1e-6)


@pytest.mark.parametrize(
    "defense", [GaussianBlur(sigma=3), MedianBlur(kernel=5), MotionBlur(length=9, angle=20), MotionBlur(length=61)]
)
def test_constants_stay_up_to_the_border(defense, run) -> None:
    images = torch.full((2, 1, 33, 47), 200 / 255)
    assert torch.equal((run(defense, images) * 255).round(), torch.full((2, 1, 33, 47), 200.0))


@pytest.mark.parametrize(("cls", "option"), [(MedianBlur, "kernel"), (MotionBlur, "length")])
def test_even_extents_are_refused_with_the_nearest_odd_ones(cls, option: str) -> None:
    with pytest.raises(ValueError, match="take 7 or 9"):
        cls(**{option: 8})
