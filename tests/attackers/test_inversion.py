"""Undoing a defense: what can be undone is, and what changes nothing is left alone to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.attackers.inversion import RestorerOptions, fit_restorer, load_restorer, restore, save_restorer
from reidbench.networks.architectures.linear import BeforeAndAfter, fit_linear
from reidbench.networks.architectures.restorer import Restorer

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


@pytest.mark.parametrize("shuffle", [False, True])
def test_what_moves_pixels_as_a_whole_is_undone_by_the_linear_map(world, tmp_path, shuffle):
    order = torch.randperm(world.size**2, generator=torch.Generator().manual_seed(0))

    def moved(images):
        return images.flatten(1)[:, order].view_as(images) if shuffle else images.rot90(1, (2, 3)).contiguous()

    images, patients = world.blobs(300, 2, seed=1)
    unseen, _ = world.blobs(10, 2, seed=2)
    released = moved(torch.from_numpy(unseen).unsqueeze(1)).squeeze(1).numpy()
    errors = {}
    for rank in (0, 400):
        options = RestorerOptions(width=8, min_steps=20, epochs=1, rank=rank)
        folder = tmp_path / str(rank)
        network, _ = fit_restorer(
            options, world.scenario(images, patients, moved), seed=0, device=CPU, work_dir=folder / "fit"
        )
        save_restorer(network, folder / "weights.safetensors")
        again = load_restorer(options, folder / "weights.safetensors")
        errors[rank] = error(restore(again, released, device=CPU), unseen)
    assert errors[400] < errors[0] / 3


def test_a_constant_release_restores_to_one_image(world, tmp_path):
    images, patients = world.blobs(20, 3, seed=1)
    network, _ = fit_restorer(
        RestorerOptions(width=8, min_steps=5, epochs=1),
        world.scenario(images, patients, torch.zeros_like),
        seed=0,
        device=CPU,
        work_dir=tmp_path,
    )
    restored = restore(network, np.zeros_like(images), device=CPU)
    np.testing.assert_array_equal(restored, np.broadcast_to(restored[:1], restored.shape))


def test_larger_images_than_the_linear_map_sees(world, tmp_path):
    images, patients = world.blobs(60, 3, seed=1)
    options = RestorerOptions(width=8, min_steps=5, epochs=1, linear_size=16)
    network, _ = fit_restorer(
        options,
        world.scenario(images, patients, lambda x: x.rot90(1, (2, 3)).contiguous()),
        seed=0,
        device=CPU,
        work_dir=tmp_path,
    )
    assert network.linear is not None
    turned = np.ascontiguousarray(np.rot90(images, 1, (1, 2)))
    assert error(restore(network, turned, device=CPU), images) < error(turned, images) / 2


def test_a_release_of_few_directions_gives_a_linear_map_of_as_many():
    rng = np.random.default_rng(0)
    before = torch.from_numpy(rng.random((300, 16, 16), dtype=np.float32))
    cells = before.unflatten(2, (4, 4)).unflatten(1, (4, 4)).mean(dim=(2, 4))
    after = cells.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    known, aside = (
        BeforeAndAfter(before[rows].flatten(1), after[rows].flatten(1)) for rows in (slice(250), slice(250, 300))
    )
    fitted = fit_linear(known, aside, size=16, rank=200, seed=0)
    assert fitted.down.shape == (256, 16), "of the sixteen cells"
    # No worse than ordinary least squares on the cells.
    ones = torch.ones(300, 1)
    columns = torch.cat([cells.flatten(1), ones], dim=1)
    best = columns[250:] @ torch.linalg.lstsq(columns[:250], known.before).solution
    found = fitted(after[250:].unsqueeze(1)).flatten(1)
    assert (found - aside.before).abs().mean() < (best - aside.before).abs().mean() * 1.02


@pytest.mark.parametrize(("rate", "learned"), [(1e-2, True), (1e3, False)])
def test_a_restorer_that_ends_worse_than_the_release_has_not_learned(world, tmp_path, rate, learned):
    images, patients = world.blobs(20, 4, seed=1)
    options = RestorerOptions(width=8, min_steps=20, epochs=1, lr=rate, rank=0)
    scenario = world.scenario(images, patients, inverted)
    _, training = fit_restorer(options, scenario, seed=0, device=CPU, work_dir=tmp_path)
    assert training.learned is learned
