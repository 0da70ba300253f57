"""A lower resolution."""

import torch
import torch.nn.functional as F

from reidbench import Defense, Field, ReidbenchError, ReleaseRandom


class Downsample(Defense):
    """Publishes at a lower resolution: down by area means, and up again bilinearly.

    The shorter side is reduced to the given size, the longer in proportion. Packhäuser et al. (2022) attacked
    ChestX-ray14 at 1024 down to 224 pixels: retrieval fell from a mAP@R of 0.975 to 0.773, but Precision@1 only to
    0.976. Images that are not larger than the size are refused, since nothing would be defended. No formal guarantee.
    """

    name = "downsample"
    family = "blur"
    differentiable = True
    operating_points = {
        "mild": {"size": 40},
        "moderate": {"size": 24},
        "strong": {"size": 16},
        "severe": {"size": 8},
    }
    size: int = Field(16, ge=1, le=4096, description="the shorter side's pixels after reduction; below the image's own")

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns images of their old size and a lower resolution: (B, 1, H, W).

        Raises:
            ReidbenchError: the shorter side has no more than ``size`` pixels.
        """
        height, width = images.shape[-2:]
        shorter = min(height, width)
        if shorter <= self.size:
            raise ReidbenchError(f"size={self.size} reduces no image of {height}×{width}; give less than {shorter}")
        small = (round(height * self.size / shorter), round(width * self.size / shorter))
        reduced = F.interpolate(images, small, mode="area")
        return F.interpolate(reduced, (height, width), mode="bilinear", align_corners=False).clamp(0, 1)
