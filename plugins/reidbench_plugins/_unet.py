"""The U-Net that learned anonymizers are made of."""

import torch
import torch.nn.functional as F
from torch import nn


class UNet(nn.Module):
    """A U-Net (Ronneberger, Fischer and Brox, 2015) with batch norm, as PriCheXy-Net's.

    Each scale has two 3 × 3 convolutions without bias, each with batch norm and ReLU; 2 × 2 max pooling halves, a
    transposed convolution of stride 2 doubles, and what it gives is joined to the map of the same scale. Each scale has
    twice the channels of the one above. A 1 × 1 convolution and ``last`` end it.

    Args:
        outputs: channels of the result.
        features: channels of the first scale.
        scales: how often it halves; PriCheXy-Net 4.
        last: the activation at the end.
    """

    def __init__(self, outputs: int, features: int, scales: int, last: nn.Module) -> None:
        super().__init__()
        widths = [features * 2**scale for scale in range(scales + 1)]
        self.down = nn.ModuleList(_block(inputs, width) for inputs, width in zip([1, *widths], widths))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[:-1])
        self.up = nn.ModuleList(_block(2 * width, width) for width in widths[:-1])
        self.end = nn.Sequential(nn.Conv2d(features, outputs, 1), last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to (B, outputs, H, W); sides that cannot be halved so often are continued, and cut again."""
        height, width = images.shape[-2:]
        multiple = 2 ** len(self.up)
        maps = F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        kept = []
        for scale, block in enumerate(self.down):
            maps = block(F.max_pool2d(maps, 2) if scale else maps)
            kept.append(maps)
        for scale in reversed(range(len(self.up))):
            maps = self.up[scale](torch.cat([self.enlarge[scale](maps), kept[scale]], dim=1))
        result: torch.Tensor = self.end(maps)[..., :height, :width]
        return result


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
