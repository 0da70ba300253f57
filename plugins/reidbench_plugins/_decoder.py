"""The decoder that images are drawn with: from a code, by doublings."""

import torch
import torch.nn.functional as F
from torch import nn

#: Cells a side of the map that a code becomes first.
COARSE = 4


class Decoder(nn.Module):
    """Codes to images: a linear map to a coarse map, then doublings, each with a convolution."""

    def __init__(self, code: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        self._size = (height, width)
        self._channels = channels
        self.start = nn.Linear(code, channels * COARSE * COARSE)
        doublings = max(1, (max(height, width) - 1).bit_length() - 2)
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(doublings))
        self.end = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """(B, code) to (B, 1, H, W) in [0, 1]."""
        maps = self.start(codes).view(-1, self._channels, COARSE, COARSE)
        for number, convolution in enumerate(self.convolutions):
            last = number == len(self.convolutions) - 1
            size = self._size if last else (2 * maps.shape[2], 2 * maps.shape[3])
            maps = F.leaky_relu(convolution(F.interpolate(maps, size, mode="nearest")), 0.1)
        made: torch.Tensor = self.end(maps).sigmoid()
        return made
