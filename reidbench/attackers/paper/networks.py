"""The paper's two networks over a backbone."""

from __future__ import annotations

import torch
from torch import nn

from reidbench.networks.architectures.backbones import build_backbone

#: The retrieval head's sizes: cells a side that are pooled to, channels after the 1×1 convolution, hidden units.
CELLS, NARROW, HIDDEN = 5, 100, 2048
DROPOUT = (0.5, 0.25)


class VerificationNet(nn.Module):
    """A backbone with its global average pooling, and its last layer replaced by one to ``dimensions``."""

    def __init__(self, backbone: str, *, weights: str, dimensions: int) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, weights)
        self.last = nn.Linear(self.backbone.channels, dimensions)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, dimensions)."""
        features: torch.Tensor = self.last(self.backbone(images).mean(dim=(2, 3)))
        return features


class RetrievalNet(nn.Module):
    """A backbone without pooling and classifier, average and maximum of 5 × 5 cells, and a head of two layers.

    The 2C pooled channels are viewed as C of twice the height, as in the authors' code: the averages of channels
    2k and 2k + 1, one above the other, are channel k of the first half, and so for the maxima in the second.
    """

    def __init__(self, backbone: str, *, weights: str, dimensions: int) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, weights)
        pooled = 2 * CELLS * CELLS * NARROW
        self.average = nn.AdaptiveAvgPool2d(CELLS)
        self.maximum = nn.AdaptiveMaxPool2d(CELLS)
        self.narrow = nn.Conv2d(self.backbone.channels, NARROW, 1, bias=False)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.BatchNorm1d(pooled),
            nn.Dropout(DROPOUT[0]),
            nn.Linear(pooled, HIDDEN),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(HIDDEN),
            nn.Dropout(DROPOUT[1]),
            nn.Linear(HIDDEN, dimensions),
        )

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1], of any size, to the (B, C, 10, 5) map that the 1×1 convolution sees."""
        features = self.backbone(images)
        both = torch.cat([self.average(features), self.maximum(features)], dim=1)
        return both.reshape(len(both), self.backbone.channels, 2 * CELLS, CELLS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1], of any size, to (B, dimensions)."""
        features: torch.Tensor = self.head(self.narrow(self.pooled(images)))
        return features
