"""A small residual network for 64² one-channel images on a CPU."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from reidbench.networks.architectures.normed import normed


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016); a shortcut that halves averages before it projects."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        # The block begins as its shortcut: a short training spends no steps on taming random branches.
        nn.init.zeros_(self.norm2.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, inputs, H, W) to (B, outputs, ⌈H / stride⌉, ⌈W / stride⌉)."""
        branch = normed(images, self.first, self.norm1).relu_()
        return normed(branch, self.second, self.norm2).add_(self._straight(images)).relu_()

    def _straight(self, images: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.shortcut, nn.Sequential):
            return images
        pool, project, norm = self.shortcut
        return normed(
            images, cast(nn.Conv2d, project), cast(nn.BatchNorm2d, norm), halved=isinstance(pool, nn.AvgPool2d)
        )


class SmallResNet(nn.Module):
    """A stem that halves the image, and three stages of residual blocks, of which two halve it again.

    40,000 parameters at width 16. No stage works on the stem's large maps: it would take most of the time on a CPU,
    and what it gives is worth less than the images seen in that time (docs/attackers.md has the figures).
    Nor does one work below an eighth of the image, where place is lost.
    Maps (B, 1, H, W) to (B, 2 · width, ⌈H / 8⌉, ⌈W / 8⌉).
    """

    def __init__(self, width: int = 16, blocks: int = 1) -> None:
        super().__init__()
        channels = width
        layers: list[nn.Module] = [
            nn.Conv2d(1, channels, 5, 2, 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
        for outputs, stride in ((width, 2), (2 * width, 2), (2 * width, 1)):
            for block in range(blocks):
                layers.append(Block(channels, outputs, 1 if block else stride))
                channels = outputs
        self.layers = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to the feature map."""
        stem, norm, _, *blocks = self.layers
        features = normed(images, cast(nn.Conv2d, stem), cast(nn.BatchNorm2d, norm)).relu_()
        for block in blocks:
            features = block(features)
        return features
