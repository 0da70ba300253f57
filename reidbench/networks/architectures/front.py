"""What may stand in front of a backbone: intensities brought to one look, and images brought to one place."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from reidbench.networks.architectures.backbones import FLAT
from reidbench.networks.precision import in_full

Equalize = Literal["none", "local", "clahe"]
#: Parts a side within which intensities are compared: at 64², of 16 pixels.
TILES = 4
#: How far a histogram's bin may exceed the mean bin before it is cut (Zuiderveld 1994).
CLIP = 4.0


class Equalized(nn.Module):
    """Takes exposure and contrast out of each neighbourhood of an image, not of the image as a whole.

    ``local`` subtracts the mean of the square around a pixel and divides by its deviation; ``clahe`` is kornia's
    contrast-limited adaptive histogram equalization, which takes twice as long and passes no gradient.
    """

    def __init__(self, kind: Literal["local", "clahe"]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the same shape: ``local`` about 0 with deviation 1, ``clahe`` in [0, 1]."""
        with in_full(images.device):
            if self.kind == "local":
                return _local(images)
            from kornia.enhance import equalize_clahe  # It takes a second to import.

            equalized: torch.Tensor = equalize_clahe(images.clamp(0, 1), CLIP, (TILES, TILES))
            return equalized


class Aligned(nn.Module):
    """A spatial transformer (Jaderberg et al. 2015): a small network moves each image by an affine map of its own.

    It begins as the identity and is trained with what stands behind it. Turns, shifts, zooms and stretches stay
    within what a visit changes: entries of the map move by ``reach`` at most, which is about 17° or 15 % of the width.
    """

    SEEN = 32

    def __init__(self, reach: float = 0.3) -> None:
        super().__init__()
        self.reach = reach
        self.network = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (self.SEEN // 4) ** 2, 32),
            nn.ReLU(),
        )
        self.map = nn.Linear(32, 6)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to the same shape; the border is repeated."""
        # Positions take more than 16 bits.
        with in_full(images.device):
            images = images.float()
            theta = self.theta(images)
            grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
            return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def theta(self, images: torch.Tensor) -> torch.Tensor:
        """The maps (B, 2, 3) of images (B, 1, H, W), in the coordinates of ``torch.nn.functional.affine_grid``."""
        small = functional.interpolate(images, (self.SEEN, self.SEEN), mode="bilinear", antialias=True)
        deviation, mean = torch.std_mean(small, dim=(1, 2, 3), keepdim=True, correction=0)
        moved = self.reach * torch.tanh(self.map(self.network((small - mean) / (deviation + FLAT))))
        return torch.eye(2, 3, device=images.device) + moved.view(-1, 2, 3)


def front(*, equalize: Equalize, align: bool) -> nn.Module | None:
    """What images pass before the backbone, equalization first; None where nothing is asked for."""
    parts: list[nn.Module] = []
    if equalize != "none":
        parts.append(Equalized(equalize))
    if align:
        parts.append(Aligned())
    return nn.Sequential(*parts) if parts else None


def _local(images: torch.Tensor) -> torch.Tensor:
    # Odd, so that the square has the pixel in its middle.
    side = 2 * (images.shape[-1] // (2 * TILES)) + 1
    down, across = (_means(length, side, images) for length in images.shape[-2:])

    def mean(values: torch.Tensor) -> torch.Tensor:
        return down @ values @ across.T

    around = mean(images)
    variance = (mean(images.square()) - around.square()).clamp(min=0)
    return (images - around) / (variance.sqrt() + FLAT)


def _means(length: int, side: int, like: torch.Tensor) -> torch.Tensor:
    """(length, length): row i takes the mean of the places within ``side`` around i, those beyond the border left out.

    On a CPU two products with such matrices take a tenth of the time of ``avg_pool2d`` along rows and columns.
    """
    place = torch.arange(length, device=like.device)
    near = ((place[:, None] - place).abs() <= side // 2).to(like.dtype)
    return near / near.sum(dim=1, keepdim=True)
