"""Regions that tell the patient, covered."""

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import nn

from reidbench import Field, FitData, FittedDefense, History, ReleaseRandom, learn, to_unit
from reidbench_plugins._identity import DIMENSIONS, IdentityNet, identity_loss, partners
from reidbench_plugins._unet import UNet

#: What the inpainting network sees in the place of a covered pixel: no grey level.
HOLE = -1.0


class IdentityBlocking(FittedDefense):
    """Covers the cells of an image by which the defender's own network recognizes the patient, and fills them.

    In the spirit of the identity blocking of "Semantics versus identity: a divide-and-conquer approach towards
    adjustable medical image de-identification" (arXiv 2507.21703), which blocks a share of the regions that tell
    identity and compensates by features of a medical foundation model. Here an identity network learns from the train
    split; of an image, the gradient of its vector's distance to the mean vector of that split shows how much each cell
    contributes (absolute value, summed over a cell), and the ``share`` of cells with the most is covered. They are
    filled with the mean of what stays, with a blur of the image, or by a small network that has learnt to fill random
    holes. That network never sees what is behind them.

    A release is a fixed function of the image. A blur leaves what is coarse. No formal guarantee: what stays is as it
    was, and where the covered cells are depends on the image.
    """

    name = "identity_blocking"
    family = "learned"
    deterministic = True
    differentiable = True
    operating_points = {
        "mild": {"share": 0.1},
        "moderate": {"share": 0.25},
        "strong": {"share": 0.5},
        "severe": {"share": 0.8},
    }
    share: float = Field(
        0.25, ge=0, le=1, description="of the cells that are covered; 0 changes nothing, 1 leaves none"
    )
    cell: int = Field(8, ge=1, le=256, description="side of a cell in pixels; cut off at the edge")
    fill: Literal["mean", "blur", "inpaint"] = Field(
        "inpaint", description="what is put there: the mean of the rest, a blur of the image, or a network's guess"
    )
    sigma: float = Field(8.0, ge=0.5, le=64, description="deviation of the blur in pixels")
    epochs: int = Field(8, ge=1, le=1000, description="passes of the networks over the train split")
    backbone: str = Field("resnet_small", description="of the identity network: resnet_small, a torchvision name …")
    grid: int = Field(8, ge=1, le=16, description="cells a side that its feature map is averaged into")
    features: int = Field(8, ge=1, le=128, description="channels of the inpainting network's first scale")

    def build(self) -> nn.Module:
        """The identity network with the mean vector, and the inpainting network where one is wanted."""
        return Networks(self.backbone, self.grid, self.features if self.fill == "inpaint" else None)

    def fit(
        self,
        network: nn.Module,
        data: FitData,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Any = None,
    ) -> History:
        """Trains the networks.

        Raises:
            ReidbenchError: no patient has two images, or there is only one patient.
        """
        assert isinstance(network, Networks)
        other = partners(data.patients)

        def loss(images: torch.Tensor, rows: Any) -> torch.Tensor:
            beside = other(rows)
            vectors = network.identity(torch.cat([images, to_unit(data.pixels[beside], images.device)]))
            one, two = vectors.chunk(2)
            # A running mean of what is seen; it is used, and not learnt from.
            with torch.no_grad():
                network.mean.lerp_(one.detach().mean(0), 0.05)
            total = identity_loss(one, two, data.patients[rows], beside == rows)
            if network.inpainter is not None:
                holes = self._spread(
                    torch.rand(len(images), 1, *self._cells(images)) < torch.rand(len(images), 1, 1, 1)
                )
                holes = holes.to(images.device)[..., : images.shape[2], : images.shape[3]]
                total = total + F.l1_loss(network.inpainter(images.masked_fill(holes, HOLE)), images)
            return total

        return learn(
            network,
            loss,
            data.pixels,
            epochs=self.epochs,
            seed=seed,
            device=device,
            work_dir=work_dir,
            progress=progress,
        )

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Covers cells: (B, 1, H, W)."""
        return rng.each(images, self._blocked)

    def _blocked(self, images: torch.Tensor) -> torch.Tensor:
        holes = self.holes(images)
        return torch.where(holes, self._filling(images, holes), images).clamp(0, 1)

    def holes(self, images: torch.Tensor) -> torch.Tensor:
        """Which pixels are covered: (B, 1, H, W) bool."""
        network = self.network
        assert isinstance(network, Networks)
        with torch.enable_grad():
            seen = images.detach().clone().requires_grad_()
            distance = (network.identity(seen) - network.mean).square().sum()
            (slope,) = torch.autograd.grad(distance, seen)
        padded = F.pad(slope.abs(), (0, -images.shape[3] % self.cell, 0, -images.shape[2] % self.cell))
        weight = F.avg_pool2d(padded, self.cell).flatten(1)
        most = weight.argsort(dim=1, descending=True, stable=True)[:, : round(self.share * weight.shape[1])]
        covered = torch.zeros_like(weight, dtype=torch.bool).scatter_(1, most, True)
        whole = self._spread(covered.view(len(images), 1, *self._cells(images)))
        return whole[..., : images.shape[2], : images.shape[3]]

    def _cells(self, images: torch.Tensor) -> tuple[int, int]:
        height, width = images.shape[-2:]
        return -(-height // self.cell), -(-width // self.cell)

    def _spread(self, cells: torch.Tensor) -> torch.Tensor:
        return cells.repeat_interleave(self.cell, 2).repeat_interleave(self.cell, 3)

    def _filling(self, images: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
        network = self.network
        assert isinstance(network, Networks)
        if network.inpainter is not None:
            filled: torch.Tensor = network.inpainter(images.masked_fill(holes, HOLE))
            return filled
        if self.fill == "blur":
            side = 2 * min(int(3 * self.sigma), min(images.shape[-2:]) // 2 - 1) + 1
            return gaussian_blur2d(images, (side, side), (self.sigma, self.sigma), border_type="replicate")
        left = (~holes).sum((1, 2, 3), keepdim=True)
        mean = images.masked_fill(holes, 0).sum((1, 2, 3), keepdim=True) / left.clamp(min=1)
        # Where nothing stays there is no mean to take, and mid-grey tells nothing.
        return torch.where(left > 0, mean, 0.5).expand_as(images)


class Networks(nn.Module):
    """What finds the cells, and what fills them."""

    mean: torch.Tensor

    def __init__(self, backbone: str, grid: int, features: int | None) -> None:
        super().__init__()
        self.identity = IdentityNet(backbone, grid)
        self.register_buffer("mean", torch.zeros(DIMENSIONS))
        self.inpainter = None if features is None else UNet(1, features, 3, nn.Sigmoid())
