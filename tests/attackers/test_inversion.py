"""Undoing a defense: what can be undone is, and what changes nothing is left alone to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.attackers.inversion import RestorerOptions, fit_restorer, load_restorer, restore, save_restorer
from reidbench.networks.restorer import Restorer

CPU = torch.device("cpu")
TINY = RestorerOptions(width=16, min_steps=120, epochs=1)


def error(one, two):
    return np.abs(one.astype(float) - two).mean()


def inverted(images):
    return 1 - images


def test_an_inversion_is_undone(world, tmp_path):
    images, patients = world.blobs(40, 4, seed=1)
    network, training = fit_restorer(
        TINY, world.scenario(images, patients, inverted), seed=0, device=CPU, work_dir=tmp_path
    )
    unseen, _ = world.blobs(10, 2, seed=2)
    assert error(restore(network, 255 - unseen, device=CPU), unseen) < error(255 - unseen, unseen) / 4
    assert training.history[-1]["train_loss"] < training.history[-1]["unrestored_loss"] / 4


def test_where_nothing_was_done_nothing_is_changed(world, tmp_path):
    images, patients = world.blobs(10, 4, seed=1)
    network, _ = fit_restorer(TINY, world.scenario(images, patients), seed=0, device=CPU, work_dir=tmp_path)
    np.testing.assert_array_equal(restore(network, images, device=CPU), images)


@pytest.mark.parametrize("shape", [(1, 17, 30), (70, 32, 32), (3, 8, 8)])
def test_any_size_and_number_image_by_image(shape):
    torch.manual_seed(0)
    network = Restorer(4)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    together = restore(network, images, device=CPU)
    assert together.shape == shape
    assert error(together, images) > 0.5
    np.testing.assert_array_equal(restore(network, images[-1:], device=CPU), together[-1:])


def test_saved_and_loaded_restores_the_same(tmp_path):
    network = Restorer(TINY.width, TINY.fold)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    save_restorer(network, tmp_path / "weights.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    again = load_restorer(TINY, tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(restore(again, images, device=CPU), restore(network, images, device=CPU))
