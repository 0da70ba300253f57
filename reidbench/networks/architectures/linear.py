"""A linear map from images to images in closed form: what a defense did to the pixels as a whole, taken back at once.

Whatever moves, mixes or inverts pixels by a fixed rule is linear, and a few hundred pairs of images give its inverse on
the images that there are, where a convolution, which sees only a pixel's neighbours, learns none of it. Of noise it
takes away what lies off the images' own few hundred main directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from reidbench.networks.precision import in_full
from reidbench.threads import one_thread

# Shares of the largest eigenvalue that tame the small ones; the one that errs least on images set aside is taken.
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
#: Directions in which released images vary by less than this share of the first one's are rounding: coarse pixels have
#: as many directions as cells.
ROUNDING = 1e-6


class LinearMap(nn.Module):
    """x ↦ μ' + B A (x − μ) of images as vectors, A of few rows.

    Larger images than it was made for are averaged down before it, and its result is enlarged.
    """

    inputs: torch.Tensor
    outputs: torch.Tensor
    down: torch.Tensor
    up: torch.Tensor

    def __init__(self, size: int, rank: int) -> None:
        super().__init__()
        self.size = size
        pixels = size * size
        for name, shape in (("inputs", (pixels,)), ("outputs", (pixels,)), ("down", (pixels, rank))):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("up", torch.zeros(rank, pixels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to the same shape."""
        with in_full(images.device):
            vectors = resized(images, self.size).flatten(1)
            found = self.outputs + (vectors - self.inputs) @ self.down @ self.up
            return resized(found.view(-1, 1, self.size, self.size), tuple(images.shape[-2:]))


@dataclass(frozen=True)
class BeforeAndAfter:
    """Images before and after, as vectors.

    Attributes:
        before, after: (N, pixels) float32, row by row of the same images.
    """

    before: torch.Tensor
    after: torch.Tensor


def fit_linear(known: BeforeAndAfter, aside: BeforeAndAfter, *, size: int, rank: int, seed: int) -> LinearMap:
    """The ridge regression of ``before`` on ``after``, within the main directions of ``after``.

    Args:
        known: what it is fitted to.
        aside: of other patients: what the ridge is chosen on.
        size: width and height of the images.
        rank: main directions at most.
        seed: of the randomized decomposition (Halko et al. 2011).
    """
    rank = min(rank, len(known.after) - 1, known.after.shape[1])
    with one_thread():
        with torch.random.fork_rng(devices=[]), _no_denormals():
            torch.manual_seed(seed)
            inputs, outputs = known.after.mean(dim=0), known.before.mean(dim=0)
            left, scale, right = torch.svd_lowrank(known.after - inputs, q=rank, niter=2)
        rank = max(1, int((scale > ROUNDING * scale[0]).sum()))
        left, scale, right = left[:, :rank], scale[:rank], right[:, :rank]
        projected = left.T @ (known.before - outputs)
        aside_directions = (aside.after - inputs) @ right
        errors = []
        ups = []
        for ridge in RIDGES:
            ups.append((scale / (scale**2 + ridge * scale[0] ** 2).clamp_min(1e-12))[:, None] * projected)
            errors.append(float((aside_directions @ ups[-1] + outputs - aside.before).abs().mean()))
    best = min(range(len(RIDGES)), key=errors.__getitem__)
    fitted = LinearMap(size, rank)
    for name, value in (("inputs", inputs), ("outputs", outputs), ("down", right), ("up", ups[best])):
        getattr(fitted, name).copy_(value)
    return fitted


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Within it numbers below 1e-38 are zero, where the processor can: of images of low rank a decomposition leaves
    such numbers by the thousand, with which it takes three times as long."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def resized(images: torch.Tensor, size: int | tuple[int, ...]) -> torch.Tensor:
    """(B, 1, H, W) images at another size, averaged down or enlarged; as they are at their own."""
    wanted = (size, size) if isinstance(size, int) else size
    if tuple(images.shape[-2:]) == wanted:
        return images
    return functional.interpolate(images, size=wanted, mode="bilinear", antialias=True)
