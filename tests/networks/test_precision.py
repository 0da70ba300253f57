"""Within a 16-bit training, what is seen and what is compared stays in full precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.defenses.base import Defense
from reidbench.defenses.fitted import FittedDefense
from reidbench.networks.architectures.linear import LinearMap
from reidbench.networks.architectures.restorer import Restorer
from reidbench.networks.augment import Augmentation
from reidbench.networks.precision import in_full
from reidbench.plugins import Registry
from reidbench.steps.releases import ArraySide, MechanismSide
from reidbench.steps.restoration import _RestoredSide

CPU = torch.device("cpu")
REGISTRY = Registry([])


def image_defenses() -> list[str]:
    """The built-in ones that publish an image at a time and are fitted to nothing."""
    classes = {found.name: REGISTRY.get("defense", found.name) for found in REGISTRY.found("defense")}
    return sorted(n for n, cls in classes.items() if issubclass(cls, Defense) and not issubclass(cls, FittedDefense))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rows, columns = np.mgrid[:64, :64] / 64
    waves = [0.5 + 0.4 * np.sin(40 * (rows * k + columns)) for k in range(1, 5)]
    return np.round(255 * np.array(waves)).astype(np.uint8)


def in_half_and_in_full(what):
    """The same call inside a bfloat16 training, and outside of it."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = what()
    return half, what()


def test_products_are_not_lowered_within():
    a = torch.rand(8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with in_full(CPU):
            assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize("name", image_defenses())
def test_a_defense_publishes_the_same_in_any_training(name, pixels):
    side = MechanismSide(REGISTRY.get("defense", name)(), pixels)
    half, full = in_half_and_in_full(lambda: side(np.arange(4), generator=torch.Generator().manual_seed(0), device=CPU))
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


def test_augmentation_moves_an_image_to_where_the_test_would(pixels):
    images = torch.from_numpy(pixels).unsqueeze(1).float() / 255
    strong = Augmentation(rotation=7, shift=0.05, scale=0.1, aspect=0.05, erase=0.25)
    half, full = in_half_and_in_full(lambda: strong(images, torch.Generator().manual_seed(1)))
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


def test_an_attacker_behind_a_restoration_sees_in_training_what_it_will_see_in_the_test(pixels):
    torch.manual_seed(0)
    network = Restorer(8, 4, LinearMap(32, 16)).eval()
    for buffer in network.linear.buffers():
        buffer.normal_(std=0.1)
    network.mix.copy_(torch.tensor([0.5, 0.5, 0.0]))
    torch.nn.init.normal_(network.last.weight, std=0.1)
    side = _RestoredSide(ArraySide((pixels,)), network)
    half, full = in_half_and_in_full(lambda: side(np.arange(4), generator=torch.Generator(), device=CPU))
    assert torch.equal(half, full)
    assert (full - torch.from_numpy(pixels).unsqueeze(1) / 255).abs().mean() > 0.01, "it restores something"
