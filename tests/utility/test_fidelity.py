"""SSIM and PSNR against scikit-image's definition and kornia's own functions."""

from __future__ import annotations

import math

import kornia
import numpy as np
import pytest
import torch

from reidbench.cohorts.sources.phantom import Phantom
from reidbench.utility.fidelity import fidelity

CPU = torch.device("cpu")


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    smooth = rng.random((300, 8, 8)).repeat(4, 1).repeat(4, 2)
    return (smooth * 255).astype(np.uint8)


def test_identical_images_are_wholly_alike(images):
    ssim, psnr = fidelity(images, images, device=CPU)
    assert ssim == pytest.approx(1)
    assert psnr == math.inf


def test_psnr_is_that_of_the_mean_squared_error_over_everything(images):
    other = np.clip(images.astype(int) + 10, 0, 255).astype(np.uint8)
    _, psnr = fidelity(images, other, device=CPU)
    a, b = (torch.from_numpy(x).float() / 255 for x in (images, other))
    assert psnr == pytest.approx(float(kornia.metrics.psnr(a, b, 1.0)), abs=1e-3)


def test_ssim_falls_with_noise_and_does_not_depend_on_batches(images):
    rng = np.random.default_rng(1)
    values = []
    for sigma in (5, 20, 80):
        noisy = np.clip(images + rng.normal(0, sigma, images.shape), 0, 255).astype(np.uint8)
        whole, _ = fidelity(images, noisy, device=CPU)
        halves = [fidelity(images[part], noisy[part], device=CPU)[0] for part in (slice(0, 150), slice(150, 300))]
        assert whole == pytest.approx(np.mean(halves), abs=1e-5)
        values.append(whole)
    assert 1 > values[0] > values[1] > values[2] > 0


def test_no_image_is_undefined(images):
    assert all(math.isnan(value) for value in fidelity(images[:0], images[:0], device=CPU))


def test_pitfall_19_likeness_misses_a_finding_that_is_gone_and_punishes_what_harms_nobody():
    phantom = Phantom(patients=60)
    source = phantom.source()
    ill, well = source.frame.head(16).copy(), source.frame.head(16).copy()
    ill[[*source.labels]] = well[[*source.labels]] = 0
    ill["Effusion"] = 1
    before, erased = phantom.read(ill, 64), phantom.read(well, 64)
    assert np.abs(before.astype(int) - erased).max(axis=(1, 2)).min() > 20, "it was there to be seen"
    grain = np.random.default_rng(0).normal(0, 0.05 * 255, before.shape)
    noisy = np.clip(before + grain, 0, 255).astype(np.uint8)
    gone, harmless = (fidelity(before, after, device=CPU) for after in (erased, noisy))
    assert gone[0] > 0.95
    assert harmless[0] < gone[0] - 0.1
    assert harmless[1] < gone[1], "PSNR says the same"
