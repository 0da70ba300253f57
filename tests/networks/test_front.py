"""What stands in front of a backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from reidbench.networks.architectures.front import Aligned, Equalized, front
from reidbench.networks.architectures.siamese import EmbeddingNet


def test_nothing_in_front_is_nothing_in_the_weights():
    assert front(equalize="none", align=False) is None
    assert set(EmbeddingNet("resnet_small").state_dict()) == set(EmbeddingNet("resnet_small", front=None).state_dict())
    assert not any(name.startswith("front") for name in EmbeddingNet("resnet_small").state_dict())


def test_local_equalization_standardizes_by_the_square_around():
    image = torch.rand(1, 1, 64, 64)
    found = Equalized("local")(image)[0, 0].numpy()
    pixels = image[0, 0].double().numpy()
    mean = uniform_filter(pixels, 17)
    deviation = np.sqrt(uniform_filter(pixels**2, 17) - mean**2)
    inner = slice(8, -8)
    expected = (pixels - mean) / (deviation + 0.02)
    np.testing.assert_allclose(found[inner, inner], expected[inner, inner], atol=1e-3)
    # At the corner, of what there is of the square.
    part = pixels[:9, :9]
    assert found[0, 0] == pytest.approx((pixels[0, 0] - part.mean()) / (part.std() + 0.02), abs=1e-3)


@pytest.mark.parametrize("kind", ["local", "clahe"])
@pytest.mark.parametrize("size", [(16, 16), (64, 64), (33, 40)])
def test_equalization_takes_a_change_of_exposure_out(kind, size):
    coarse = torch.rand(4, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    dark = 0.5 * images + 0.1
    equalize = Equalized(kind)
    one, other = equalize(images), equalize(dark)
    assert one.shape == images.shape
    assert torch.isfinite(one).all()
    assert (one - other).abs().mean() / one.std() < 0.5 * (images - dark).abs().mean() / images.std()
    # Each image by itself, and a constant one without a fault.
    torch.testing.assert_close(equalize(images[2:3]), one[2:3])
    assert torch.isfinite(equalize(torch.full((1, 1, *size), 0.4))).all()


def test_alignment_begins_as_the_identity_and_keeps_within_reach():
    images = torch.rand(3, 1, 24, 20)
    align = Aligned()
    torch.testing.assert_close(align(images), images, atol=1e-4, rtol=0)
    torch.nn.init.normal_(align.map.weight, std=100.0)
    moved = align.theta(images) - torch.eye(2, 3)
    assert 0.29 < moved.abs().max() <= 0.3


def test_alignment_learns_to_undo_a_shift():
    # A spot at a random place: brought to the middle, all images are equal.
    generator = torch.Generator().manual_seed(0)
    places = (torch.rand(256, 2, generator=generator) - 0.5) * 0.4
    grid = torch.linspace(-1, 1, 32)
    distance = (grid[None, :, None] - places[:, 0, None, None]) ** 2 + (
        grid[None, None] - places[:, 1, None, None]
    ) ** 2
    images = torch.exp(-distance / 0.05)[:, None]
    target = torch.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / 0.05)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        align = Aligned()
    before = float((align(images).detach() - target).abs().mean())
    optimizer = torch.optim.Adam(align.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        (align(images) - target).square().mean().backward()
        optimizer.step()
    align.eval()
    assert float((align(images).detach() - target).abs().mean()) < 0.5 * before
