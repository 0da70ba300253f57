"""A network that was trained for something else, as it is, and PLDA on its features."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from reidbench.attackers.plda import LinearAttacker
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.backbones import build_backbone
from reidbench.networks.architectures.siamese import GridPool, resize


class Pooled(nn.Module):
    """A frozen backbone that sees images at one size, its feature map averaged to ``grid`` × ``grid`` cells."""

    def __init__(self, backbone: str, weights: str, *, size: int, grid: int) -> None:
        super().__init__()
        self._size = size
        self.backbone = build_backbone(backbone, weights).eval().requires_grad_(False)
        self.pool = GridPool(grid)
        self.width = self.backbone.channels * grid * grid

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, channels · grid²)."""
        features: torch.Tensor = self.pool(self.backbone(resize(images, self._size))).flatten(1)
        return features


class Encoder(LinearAttacker):
    """Features of a general-purpose network that stays as it is, with whitening and PLDA fitted to the train patients.

    It needs far fewer patients than a network that is trained. There are no default weights: name a file. The file that
    it saves holds the network too, and needs no other.
    """

    name = "encoder"

    backbone: str = Field("mobilenet_v2", description="a convolutional network of torchvision, or timm:NAME")
    weights: str = Field(
        "",
        description="the network's weights, to be named: a file of its whole state, imagenet (a download) or random",
    )
    size: int = Field(224, ge=32, le=1024, description="side in pixels at which the network sees images")
    grid: int = Field(2, ge=1, le=16, description="cells a side that the feature map is averaged to")

    def features(self, weights: str) -> nn.Module:
        """The network's feature map, averaged to cells."""
        return Pooled(self.backbone, weights, size=self.size, grid=self.grid)

    def first_weights(self) -> str:
        """The option ``weights``, which has no default."""
        if not self.weights:
            raise ReidbenchError(
                f"attacker encoder: whose weights? Add --set encoder.weights=FILE, the state of a {self.backbone} "
                "(.safetensors or .pt), encoder.weights=imagenet (a download), or encoder.weights=random"
            )
        return self.weights

    def embedded_at_once(self) -> int:
        """Fewer images at a time the larger they are."""
        return max(8, min(128, 128 * 112**2 // self.size**2))

    def about(self) -> dict[str, str]:
        """What a weights file must say of itself to be read."""
        return {**super().about(), "backbone": self.backbone, "grid": f"{self.grid} at {self.size}"}
