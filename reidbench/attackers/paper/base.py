"""What the paper's two attackers share: their hyperparameters, and how a network of theirs is made."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from pydantic import Field
from torch import nn

from reidbench.attackers.network import NetworkAttacker
from reidbench.attackers.siamese_network import Siamese


class PaperAttacker(NetworkAttacker):
    """The paper's network over a backbone."""

    backbone: str = Field("resnet50", description="resnet_small[_WIDTH[xBLOCKS]], a torchvision name, or timm:NAME")
    weights: str = Field(
        "imagenet_v1",
        description="the backbone's first weights: imagenet_v1 (the paper's), imagenet, random, or a file",
    )
    dimensions: int = Field(128, ge=2, description="length of an image's vector")
    batch_size: int = Field(32, ge=8, description="what goes through the network at a time")

    @abstractmethod
    def network(self, weights: str) -> nn.Module:
        """A fresh network, its backbone with these weights."""

    def model(self, weights: str) -> Siamese:
        """The network with its head."""
        return Siamese(self.network(weights), self.head())

    def embedded_at_once(self) -> int:
        """A batch, as in training."""
        return self.batch_size

    def first(self, seed: int, start: Path | None) -> Siamese:
        """The network that a training begins with: fresh, or another training's.

        Raises:
            ReidbenchError: the backbone's weights cannot be had, or ``start`` holds others.
        """
        return self.fresh(seed, weights=self.weights) if start is None else self.started(seed, start)

    def about(self) -> dict[str, str]:
        """What a weights file must say of itself to be read."""
        return {"attacker": f"{self.name}, paper", "backbone": self.backbone, "shape": str(self.dimensions)}
