"""Pixels to floats and back, and images through a function in batches of one size."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from reidbench.images import map_images, round_grey, to_levels, to_pixels, to_unit

LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


def test_every_grey_level_and_its_float():
    images = to_unit(LEVELS)
    assert images.shape == (1, 1, 16, 16)
    assert images.dtype == torch.float32
    assert np.array_equal(images.numpy().ravel(), np.arange(256, dtype=np.float32) / np.float32(255))
    assert np.array_equal(to_pixels(images), LEVELS)
    assert torch.equal(to_levels(images), images)


def test_halves_go_to_the_even_level_and_what_lies_outside_is_clipped():
    grey = np.array([0.5, 1.5, 2.5, 253.5, 254.5, -3, 255.4, 300])
    wanted = [0, 2, 2, 254, 254, 0, 255, 255]
    assert round_grey(grey).tolist() == wanted
    assert round_grey(grey).dtype == np.uint8
    # In double precision n / 255 · 255 is exact at these halves.
    images = torch.from_numpy(grey / 255).reshape(1, 1, 1, -1)
    assert (images * 255)[0, 0, 0, :5].tolist() == [0.5, 1.5, 2.5, 253.5, 254.5]
    assert to_pixels(images).ravel().tolist() == wanted
    assert (to_levels(images) * 255).round().ravel().tolist() == wanted


def test_rounding_to_levels_is_the_way_to_pixels_and_back():
    images = 1.2 * torch.rand(3, 1, 20, 20, generator=torch.Generator().manual_seed(0)) - 0.1
    before = images.clone()
    assert torch.equal(to_levels(images), to_unit(to_pixels(images)))
    assert torch.equal(images, before), "not in place"


def test_read_only_and_reversed_pixels_are_read_and_none_are_shared():
    pixels = np.repeat(LEVELS, 2, axis=0)
    pixels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = to_unit(pixels)
        turned = to_unit(LEVELS[:, ::-1])
    images.zero_()
    assert pixels.sum() == 2 * 255 * 128
    assert np.array_equal(to_pixels(turned), LEVELS[:, ::-1])


@pytest.mark.parametrize("count", [0, 1, 7, 8, 17])
def test_a_function_sees_batches_of_one_size_and_its_results_are_in_order(count):
    pixels = np.arange(count, dtype=np.uint8)[:, None, None] + np.zeros((1, 3, 4), np.uint8)
    shapes = []

    def function(images):
        shapes.append(tuple(images.shape))
        assert not torch.is_grad_enabled()
        return torch.stack([images[:, 0, 0, 0] * 255, images.mean(dim=(1, 2, 3))], dim=1)

    found = map_images(function, pixels, batch_size=8)
    assert set(shapes) == {(8, 1, 3, 4)}
    assert found.shape == (count, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], np.arange(count), atol=1e-5)


def test_chosen_rows_and_results_of_any_type():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    rows = np.array([3, 3, 19, 0])
    found = map_images(lambda images: (images * 255).round().to(torch.uint8)[:, 0], pixels, rows=rows, batch_size=3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels[rows])


def test_torch_is_not_imported_with_it():
    code = "import sys, reidbench.images, reidbench.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
