"""Images with known content, and the one way in which these tests run a defense."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import threadpoolctl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from reidbench import Defense, ReleaseRandom
from reidbench.defenses.release import apply

Run = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small arrays are slower on many threads, and much slower where several test processes share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def run() -> Run:
    """Runs a defense on (B, 1, H, W) images with checks, before anything is rounded to 8 bits."""

    def run(defense: Defense, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        rng = ReleaseRandom.for_images(seed, [f"image {number}" for number in range(len(images))])
        return apply(defense, images, rng)

    return run


@pytest.fixture
def grey() -> Callable[..., torch.Tensor]:
    """Constant images: (1, 1, H, W), mid-grey unless told otherwise, so that clipping doesn't bias the moments."""

    def grey(height: int = 192, width: int = 320, value: float = 0.5) -> torch.Tensor:
        return torch.full((1, 1, height, width), value)

    return grey


@pytest.fixture
def pixels() -> Callable[..., NDArray[np.uint8]]:
    """Images with structure at all scales, and with every grey level: (N, H, W) uint8."""

    def pixels(count: int, height: int = 48, width: int = 80, seed: int = 0) -> NDArray[np.uint8]:
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros(count, 1, height, width)
        for scale in (3, 6, 12, 24, 48):
            coarse = torch.rand(count, 1, scale, scale, generator=generator) / scale**0.7
            total += F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        low, high = total.amin((1, 2, 3), keepdim=True), total.amax((1, 2, 3), keepdim=True)
        return ((total - low) / (high - low) * 255).round().to(torch.uint8)[:, 0].numpy()

    return pixels
