"""A small network that maps an image to an image: what is left when what was done to it is taken back."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from reidbench.networks.architectures.linear import LinearMap
from reidbench.networks.architectures.normed import normed


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        convolution, norm, _ = self
        return normed(images, cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm)).relu_()


class Restorer(nn.Module):
    """A U-Net (Ronneberger et al. 2015) of three scales, added to a guess: gain · image + share · linear map + offset.

    Its first scale is the image folded: ``fold`` × ``fold`` pixels are one place with as many channels. That saves most
    of the time that a CPU would spend on large maps of few channels. It sees the image and what the linear map makes of
    it. The guess begins as the image itself, the U-Net as nothing, and both stay so where nothing is to be taken back.
    """

    mix: torch.Tensor

    def __init__(self, width: int = 24, fold: int = 4, linear: LinearMap | None = None) -> None:
        super().__init__()
        self.fold = fold
        self.linear = linear
        self.register_buffer("mix", torch.tensor([1.0, 0.0, 0.0]))
        self.first = nn.Sequential(_Block(fold**2 * (2 if linear is not None else 1), width), _Block(width, width))
        self.second = nn.Sequential(_Block(width, 2 * width), _Block(2 * width, 2 * width))
        self.third = nn.Sequential(_Block(2 * width, 4 * width), _Block(4 * width, 4 * width))
        self.up_second = _Block(6 * width, 2 * width)
        self.up_first = _Block(3 * width, width)
        self.last = nn.Conv2d(width, fold**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the same, nearly in [0, 1]; any size."""
        gain, share, offset = self.mix
        guess, seen = gain * images + offset, [images]
        if self.linear is not None:
            seen.append(self.linear(images))
            guess = guess + share * seen[1]
        height, width = images.shape[-2:]
        multiple = 4 * self.fold
        padding = (0, -width % multiple, 0, -height % multiple)
        padded = functional.pad(torch.cat(seen, dim=1), padding, mode="replicate")
        # Channels last: half as fast again on a CPU.
        folded = functional.pixel_unshuffle(padded, self.fold).contiguous(memory_format=torch.channels_last)
        first = self.first(folded)
        second = self.second(functional.avg_pool2d(first, 2))
        third = self.third(functional.avg_pool2d(second, 2))
        second = self.up_second(torch.cat([second, _twice(third)], dim=1))
        first = self.up_first(torch.cat([first, _twice(second)], dim=1))
        change = functional.pixel_shuffle(self.last(first), self.fold)[..., :height, :width]
        return guess + change


def _twice(features: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(features, scale_factor=2, mode="nearest")
