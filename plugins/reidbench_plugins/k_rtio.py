"""Blending with overlays that a key chooses."""

from functools import cache

import torch
import torch.nn.functional as F

from reidbench import Field, ReleaseRandom
from reidbench_plugins._keys import HOLDER, Holder, KeyedDefense, permutation

#: Cells a side of the layers that an image of the pool is the sum of.
SCALES = (2, 4, 8, 16, 32)


class KRTIO(KeyedDefense):
    """Blends the image with k overlay images that a key chooses, their blocks in an order of the key's.

    k-RTIO of Rajabi, Bobba, Rosulek, Wright and Feng, "On the (im)practicality of adversarial perturbation for image
    privacy" (PoPETs 2021): a keyed function of the image's name chooses k images of a pool and permutes the blocks of
    each, and (1 − alpha) · image + alpha · their mean is published. It was made against recognizers of faces that are
    not trained again, of which more than 90 % failed. Who has the key subtracts the overlay.

    The pool is public. It has ``overlays`` images of smooth random structure at several scales, in the images' own
    size, where the authors have photographs. They have a key for each image; with one for all, all images get the same
    overlay, and the mean of the release shows it.

    alpha = 0 changes nothing, and 1 publishes the overlay alone. No formal guarantee: (1 − alpha) of the image remains.
    """

    name = "k_rtio"
    family = "keyed"
    differentiable = True
    operating_points = {
        "mild": {"alpha": 0.3},
        "moderate": {"alpha": 0.5},
        "strong": {"alpha": 0.7},
        "severe": {"alpha": 0.9},
    }
    key: Holder = Field("per_image", description=HOLDER)
    alpha: float = Field(0.5, ge=0, le=1, description="weight of the overlay; published: 0.5; 0 changes nothing")
    k: int = Field(3, ge=1, le=16, description="overlay images that are averaged")
    overlays: int = Field(64, ge=16, le=1024, description="images of the pool that the key chooses from")
    block: int = Field(8, ge=1, le=1024, description="side of the permuted blocks in pixels, the image's own at most")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Blends images: (B, 1, H, W)."""
        return (1 - self.alpha) * images + self.alpha * self.overlay(images, rng)

    def undo(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Subtracts the overlay; what 8 bits rounded away grows by 1 / (1 − alpha). At alpha = 1 nothing is left."""
        return ((images - self.alpha * self.overlay(images, rng)) / max(1 - self.alpha, 1e-6)).clamp(0, 1)

    def overlay(self, images: torch.Tensor, rng: ReleaseRandom) -> torch.Tensor:
        """The key's overlay for images (B, 1, H, W): as many, or one for all, in [0, 1]."""
        height, width = images.shape[-2:]
        down, right = min(self.block, height), min(self.block, width)
        rows, columns = -(-height // down), -(-width // right)
        blocks = rows * columns
        key = self.numbers(images, rng, self.overlays + self.k * blocks)
        chosen = permutation(key[:, : self.overlays])[:, : self.k].flatten().cpu()
        size = (rows * down, columns * right)
        layers = [F.interpolate(layer[chosen].to(images), size, mode="bilinear") for layer in pool(self.overlays)]
        whole = sum(layers[1:], start=layers[0])
        # The pixels of a block beside each other, blocks in the key's order, and back.
        cells = whole.view(-1, rows, down, columns, right).transpose(2, 3).reshape(-1, blocks, down * right)
        order = permutation(key[:, self.overlays :].reshape(-1, blocks))
        cells = cells.gather(1, order[..., None].expand_as(cells))
        mixed = cells.view(-1, rows, columns, down, right).transpose(2, 3).reshape(-1, self.k, *size)
        return mixed.mean(1, keepdim=True)[..., :height, :width]


@cache
def pool(count: int) -> tuple[torch.Tensor, ...]:
    """The layers of all images of the pool, one per scale: (count, 1, cells, cells), whose sum lies in [0, 1].

    A coarse layer has more weight: twice the cells a side, half the range.
    """
    weights = [1 / cells for cells in SCALES]
    drawn = ReleaseRandom.for_images(0, [f"overlay {number}" for number in range(count)], defense=KRTIO.name)
    return tuple(
        drawn.uniform(count, 1, cells, cells) * weight / sum(weights) for cells, weight in zip(SCALES, weights)
    )
