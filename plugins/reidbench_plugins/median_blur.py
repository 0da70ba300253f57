"""Median smoothing."""

import kornia.filters
import torch
import torch.nn.functional as F
from pydantic import field_validator

from reidbench import Defense, Field, ReleaseRandom

# Windows are unfolded to kernel² copies of the image; this many numbers at a time (a quarter GiB) bound the memory.
WINDOWS = 2**26


class MedianBlur(Defense):
    """Replaces every pixel by the median of its neighbourhood: texture goes, edges stay.

    The median over kernel × kernel pixels, edge pixels repeated beyond the border. Quick for kernels of 3 and 5; larger
    ones cost their area in time. No formal guarantee.
    """

    name = "median_blur"
    family = "blur"
    differentiable = True
    operating_points = {
        "mild": {"kernel": 3},
        "moderate": {"kernel": 5},
        "severe": {"kernel": 9},
    }
    kernel: int = Field(5, ge=3, le=15, description="width and height of the neighbourhood in pixels, odd")

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"an even neighbourhood has no middle: take {kernel - 1} or {kernel + 1}")
        return kernel

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Returns smoothed images: (B, 1, H, W)."""
        height, width = images.shape[-2:]
        margin = self.kernel // 2
        # Padded here, since older kornia pads with black.
        padded = F.pad(images, (margin,) * 4, mode="replicate")
        at_once = max(1, WINDOWS // (self.kernel**2 * padded.shape[-2] * padded.shape[-1]))
        blurred = [kornia.filters.median_blur(part, self.kernel) for part in padded.split(at_once)]
        return torch.cat(blurred)[..., margin : margin + height, margin : margin + width]
