from __future__ import annotations

import math

import pytest
import torch

from reidbench.networks.augment import Augmentation, moved

NONE = dict.fromkeys(Augmentation.model_fields, 0.0)


def draw(images, seed=0, **strengths):
    return Augmentation(**{**NONE, **strengths})(images, torch.Generator().manual_seed(seed))


def dot(row, column, size=64):
    image = torch.zeros(1, 1, size, size)
    image[0, 0, row - 2 : row + 3, column - 2 : column + 3] = 1
    return image


def centre(image):
    mass = image[0, 0].clamp(min=0)
    rows = torch.arange(mass.shape[0], dtype=torch.float32)
    return float((mass.sum(1) * rows).sum() / mass.sum()), float((mass.sum(0) * rows).sum() / mass.sum())


def test_no_strength_no_change():
    images = torch.rand(5, 1, 16, 16)
    torch.testing.assert_close(draw(images), images)


def test_never_in_place_and_the_same_draws_for_the_same_generator():
    images = torch.rand(6, 1, 24, 24)
    before = images.clone()
    augment = Augmentation(erase=0.5)
    one, two = (augment(images, torch.Generator().manual_seed(3)) for _ in range(2))
    other = augment(images, torch.Generator().manual_seed(4))
    assert torch.equal(images, before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == images.shape


def test_each_image_has_draws_of_its_own():
    images = torch.rand(1, 1, 16, 16).expand(4, -1, -1, -1)
    changed = Augmentation()(images, torch.Generator().manual_seed(0))
    assert all(not torch.equal(changed[0], changed[i]) for i in range(1, 4))


def test_a_shift_moves_by_at_most_its_share():
    moves = [centre(draw(dot(32, 32), seed, shift=0.1)) for seed in range(200)]
    offsets = torch.tensor(moves) - 32
    assert offsets.abs().max() <= 0.1 * 64 + 0.1
    assert offsets.abs().amax(dim=0).min() > 5
    assert offsets.mean().abs() < 0.8


def test_a_rotation_turns_about_the_middle_by_at_most_its_angle():
    # The dot is 16 pixels right of the middle; turned by t it lies at 16 (cos t, sin t) from there.
    angles = []
    for seed in range(100):
        row, column = centre(draw(dot(32, 48), seed, rotation=20.0))
        angles.append(math.degrees(math.atan2(row - 31.5, column - 31.5)))
        assert math.hypot(row - 31.5, column - 31.5) == pytest.approx(math.hypot(0.5, 16.5), abs=0.3)
    assert max(abs(a) for a in angles) < 23
    assert max(angles) > 15
    assert min(angles) < -12


def test_zoom_keeps_the_middle_and_scales_distances():
    spread = []
    for seed in range(100):
        row, column = centre(draw(dot(32, 48), seed, scale=0.3))
        assert abs(row - 31.5) < 0.8
        spread.append((column - 31.5) / 16.5)
    assert math.exp(-0.32) < min(spread) < 0.85
    assert 1.15 < max(spread) < math.exp(0.32)


def test_intensity_changes_follow_their_formulas():
    flat = torch.full((400, 1, 2, 2), 0.25)
    gamma = draw(flat, gamma=0.5)[:, 0, 0, 0]
    exponents = gamma.log() / math.log(0.25)
    assert math.exp(-0.5) <= exponents.min() < exponents.max() <= math.exp(0.5)
    factors = (draw(flat, contrast=0.4)[:, 0, 0, 0] - 0.5) / (0.25 - 0.5)
    assert math.exp(-0.4) - 1e-5 <= factors.min() < factors.max() <= math.exp(0.4) + 1e-5
    offsets = draw(flat, brightness=0.2)[:, 0, 0, 0] - 0.25
    assert -0.2 - 1e-5 <= offsets.min() < -0.15
    assert 0.15 < offsets.max() <= 0.2 + 1e-5


def test_erasing_paints_one_rectangle_in_about_its_share_of_images():
    images = torch.ones(1000, 1, 40, 40)
    painted = draw(images, erase=0.5)[:, 0] == 0.5
    share = painted.flatten(1).any(dim=1).float().mean()
    assert share == pytest.approx(0.5, abs=0.06)
    for mask in painted[painted.flatten(1).any(dim=1)]:
        assert torch.equal(mask, mask.any(dim=1)[:, None] & mask.any(dim=0)[None])
        assert mask.any(dim=0).sum() <= 17


def test_degrading_changes_its_share_of_images_and_leaves_the_rest_to_the_bit():
    images = torch.rand(1000, 1, 16, 16)
    changed = draw(images, degrade=0.4)
    same = (changed == images).flatten(1).all(dim=1)
    assert same.float().mean() == pytest.approx(0.6, abs=0.06)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_without_degrading_nothing_is_drawn_for_it():
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    images = torch.rand(6, 1, 24, 24)
    for generator, chance in zip(generators, (0.0, 1e-9)):
        Augmentation(erase=0.5, degrade=chance)(images, generator)
    assert not torch.equal(generators[0].get_state(), generators[1].get_state())
    plain = torch.Generator().manual_seed(3)
    Augmentation(erase=0.5)(images, plain)
    assert torch.equal(plain.get_state(), generators[0].get_state())


def test_an_empty_batch_stays_empty():
    assert Augmentation(erase=0.5, degrade=0.5)(torch.zeros(0, 1, 8, 8), torch.Generator()).shape == (0, 1, 8, 8)


def test_moved_copies_repeat_the_border():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    left, right, up, down = (copy[0, 0].tolist() for copy in moved(image, 1))
    assert left[0] == [1, 2, 3, 3]
    assert right[0] == [0, 0, 1, 2]
    assert up == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]
    assert down == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_pose_is_an_affine_map_about_the_middle():
    images = torch.rand(3, 1, 20, 28)
    found = draw(images, rotation=10.0, shift=0.1, scale=0.2, aspect=0.1)
    # The same draws, in the same order.
    generator = torch.Generator().manual_seed(0)
    angle, zoom, stretch, across, down = (
        (2 * torch.rand(3, 1, 1, 1, generator=generator) - 1).flatten() * strength
        for strength in (10.0, 0.2, 0.1, 0.1, 0.1)
    )
    angle, zoom, stretch = torch.deg2rad(angle), zoom.exp(), stretch.exp()
    top = torch.stack([zoom * stretch * angle.cos(), -zoom * angle.sin(), 2 * across], dim=1)
    bottom = torch.stack([zoom * angle.sin(), zoom / stretch * angle.cos(), 2 * down], dim=1)
    grid = torch.nn.functional.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    assert (found - images).abs().max() > 0.1


def test_exposure_is_a_power_and_a_line():
    images = torch.rand(3, 1, 20, 28)
    found = draw(images, gamma=0.3, contrast=0.3, brightness=0.15)
    generator = torch.Generator().manual_seed(0)
    gamma, contrast, brightness = (
        (2 * torch.rand(3, 1, 1, 1, generator=generator) - 1) * strength for strength in (0.3, 0.3, 0.15)
    )
    expected = (images.clamp(1e-4, 1) ** gamma.exp() - 0.5) * contrast.exp() + 0.5 + brightness
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
