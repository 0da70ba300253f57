"""Pixels moved along a spiral."""

import torch

from reidbench import Field, ReleaseRandom
from reidbench_plugins._keys import KeyedDefense, inverse, permutation, reorder


class PixelRelocation(KeyedDefense):
    """Moves every pixel along a spiral from the centre, by as much as a key says.

    In the spirit of Cichowski and Czyżewski, "Reversible video stream anonymization for video surveillance systems
    based on pixels relocation and watermarking" (ICCV workshops, 2011): grey levels stay, places are exchanged, and the
    key takes them back. Here pixels are numbered along a square spiral that begins in the middle; a key gives each a
    number in [0, reach), they are sorted by the sum of both, and so none moves by more than ``reach`` places. Their
    watermark, which carries the key with the video, is left out.

    A control: with one key for all images, it is one fixed order of the pixels, which hides nothing from an attacker
    who has the key or can learn the order from examples. The histogram of every image stays as it is under any key.

    No formal guarantee. ``undo`` with the key gives the image back to the last bit.
    """

    name = "pixel_relocation"
    family = "keyed"
    differentiable = True
    operating_points = {
        "mild": {"reach": 16},
        "moderate": {"reach": 256},
        "strong": {"reach": 4096},
        "severe": {"reach": 4096, "key": "per_image"},
    }
    reach: int = Field(
        4096, ge=2, le=16_777_216, description="most places that a pixel moves along the spiral; as many as it has: any"
    )

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Moves pixels: (B, 1, H, W)."""
        return reorder(images.flatten(1), self._order(images, rng)).view_as(images)

    def undo(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Moves them back."""
        return reorder(images.flatten(1), inverse(self._order(images, rng))).view_as(images)

    def _order(self, images: torch.Tensor, rng: ReleaseRandom) -> torch.Tensor:
        """Which pixel is published in the place of each: (K, H·W), rows of the image one after the other."""
        path = spiral(*images.shape[-2:]).to(images.device)
        along = torch.arange(len(path), device=images.device, dtype=torch.float64)
        moved = permutation(along + self.reach * self.numbers(images, rng, len(path)).double())
        # The pixel that comes k-th is published in the spiral's k-th place.
        return torch.empty_like(moved).scatter_(1, path.expand_as(moved), path[moved])


def spiral(height: int, width: int) -> torch.Tensor:
    """The pixels of an image (row · width + column) along a square spiral from the middle, rightwards first; (H·W,)."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x = row - (height - 1) // 2, column - (width - 1) // 2
    ring = torch.maximum(y.abs(), x.abs())
    # A ring is left where the next begins, at its lower right corner: up, leftwards, down, and rightwards.
    step = torch.where(
        (x == ring) & (y < ring),
        ring - 1 - y,
        torch.where(y == -ring, 3 * ring - 1 - x, torch.where(x == -ring, 5 * ring - 1 + y, 7 * ring - 1 + x)),
    )
    order: torch.Tensor = ((2 * ring - 1).clamp(min=0) ** 2 + step + (ring == 0)).flatten().argsort()
    return order
